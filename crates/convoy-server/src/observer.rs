//! From the engine's events to lines of a stream.

use convoy_api::Frame;
use convoy_engine::{Event, Observer};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// Ten progress lines a second are more than an eye or a log wants.
const INTERVAL: Duration = Duration::from_millis(100);

/// Hears a verb's events in its thread, passes them on without ever waiting for the reader, and tells the
/// verb when the daemon must end.
#[derive(Debug)]
pub(crate) struct Reporter<'a> {
    lines: Option<mpsc::Sender<Frame<()>>>,
    /// Told when the verb is on record as a job.
    recorded: Mutex<Option<oneshot::Sender<()>>>,
    stopping: &'a AtomicBool,
    last: Mutex<Option<Instant>>,
}

impl<'a> Reporter<'a> {
    /// Without `lines` nobody reads: only the end of the daemon matters.
    pub(crate) fn new(
        lines: Option<mpsc::Sender<Frame<()>>>,
        recorded: Option<oneshot::Sender<()>>,
        stopping: &'a AtomicBool,
    ) -> Self {
        Self {
            lines,
            recorded: Mutex::new(recorded),
            stopping,
            last: Mutex::new(None),
        }
    }

    fn due(&self) -> bool {
        // A panic while it was held leaves an instant that is still one.
        let mut last = self
            .last
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let now = Instant::now();
        let due = last.is_none_or(|last| now.duration_since(last) >= INTERVAL);
        if due {
            *last = Some(now);
        }
        due
    }
}

impl Observer for Reporter<'_> {
    fn event(&self, event: Event) {
        if event == Event::Recorded {
            let recorded = self.recorded.lock();
            let recorded = recorded
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .take();
            // Nobody waits for it any more: then nobody is told.
            recorded.map(|recorded| recorded.send(()));
            return;
        }
        let Some(lines) = &self.lines else { return };
        let frame = match event {
            Event::Phase(phase) => Frame::Phase {
                phase: phase.as_str().to_owned(),
            },
            Event::Progress { done, total } if done == total || self.due() => Frame::Progress {
                done: done.0,
                total: total.0,
            },
            Event::Waiting(Some(operation)) => Frame::Waiting { operation },
            _ => return,
        };
        // Full or closed: a reader that is slow or gone misses progress, and the verb does not care.
        drop(lines.try_send(frame));
    }

    fn cancelled(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}
