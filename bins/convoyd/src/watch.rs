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

/// Looks after volumes, in a thread of its own too: deleting what was thrown away may take minutes, and the pool
/// is looked at meanwhile.
pub(crate) fn start_for_volumes(engine: &Arc<Engine>) -> Watch {
    let engine = Arc::downgrade(engine);
    spawn("convoy-care", move || {
        Some(engine.upgrade()?.look_after_volumes())
    })
}

/// Begins at once. Without the thread the daemon serves all the same, and says so in its log.
pub(crate) fn start(engine: &Arc<Engine>) -> Watch {
    let engine = Arc::downgrade(engine);
    spawn("convoy-watch", move || look(&engine))
}

fn spawn(name: &str, look: impl FnMut() -> Option<Duration> + Send + 'static) -> Watch {
    let (stop, stopped) = mpsc::sync_channel(0);
    let thread = std::thread::Builder::new().name(name.to_owned());
    if let Err(error) = thread.spawn(move || repeat(look, &stopped)) {
        tracing::error!("thread {name} does not start: {error}");
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
