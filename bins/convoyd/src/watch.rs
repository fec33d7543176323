//! The thread that looks after the pool for as long as the daemon serves.
//!
//! A thread of its own, since a look takes as long as the kernel takes to answer: a hanging disk must stop
//! no request.

use convoy_engine::Engine;
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Looks go on until this is dropped. One that hangs is left behind: it holds the engine until the
/// kernel answers, which nobody waits for.
pub(crate) struct Watch {
    /// Held, never sent on: its end ends the thread's wait.
    _stop: SyncSender<()>,
}

/// Begins at once. Without the thread the daemon serves all the same, and says so in its log.
pub(crate) fn start(engine: &Arc<Engine>) -> Watch {
    let (stop, stopped) = mpsc::sync_channel(0);
    let engine = Arc::downgrade(engine);
    let look = move || look(&engine);
    let thread = std::thread::Builder::new().name("convoy-watch".into());
    if let Err(error) = thread.spawn(move || repeat(look, &stopped)) {
        tracing::error!("nobody looks after the pool: {error}");
    }
    Watch { _stop: stop }
}

/// Looks once; when to look again, while there is an engine.
fn look(engine: &Weak<Engine>) -> Option<Duration> {
    Some(engine.upgrade()?.look_after_pool())
}

fn repeat(mut look: impl FnMut() -> Option<Duration>, stopped: &mpsc::Receiver<()>) {
    while let Some(pause) = look() {
        if stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    //! Looks follow one another until nobody wants them any more.

    use super::*;
    use std::time::Instant;

    #[test]
    fn looks_end_when_the_watch_is_dropped() {
        let (stop, stopped) = mpsc::sync_channel::<()>(0);
        let (tell, told) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            repeat(
                || {
                    tell.send(()).ok()?;
                    Some(Duration::from_millis(1))
                },
                &stopped,
            );
        });
        for _ in 0..3 {
            told.recv().unwrap();
        }
        drop(stop);
        thread.join().unwrap();
    }

    #[test]
    fn a_long_pause_is_cut_short() {
        let (stop, stopped) = mpsc::sync_channel::<()>(0);
        let begin = Instant::now();
        let thread = std::thread::spawn(move || {
            repeat(|| Some(Duration::from_hours(1)), &stopped);
        });
        drop(stop);
        thread.join().unwrap();
        assert!(begin.elapsed() < Duration::from_mins(1));
    }
}
