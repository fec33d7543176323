//! The jobs of this process while they run: what they are at, and whether they are to stop.

use super::JobInfo;
use crate::operation::{Event, Observer, Phase};
use convoy_catalog as catalog;
use convoy_units::Bytes;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use uuid::Uuid;

/// Those that run.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    running: Mutex<BTreeMap<Uuid, Arc<State>>>,
    ended: Condvar,
}

#[derive(Debug)]
struct State {
    begun: catalog::Job,
    cancel: AtomicBool,
    seen: Mutex<Seen>,
}

/// What a job is at.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub(super) phase: Option<Phase>,
    pub(super) waiting_for: Option<Uuid>,
    pub(super) done: Bytes,
    pub(super) total: Bytes,
}

/// One that runs, until dropped.
#[derive(Debug)]
pub(super) struct Live<'a> {
    of: &'a Jobs,
    state: Arc<State>,
}

/// Hears of a job what its caller hears, and tells it to stop when either wants that.
pub(super) struct Listener<'a> {
    pub(super) live: &'a Live<'a>,
    pub(super) inner: &'a dyn Observer,
}

impl Jobs {
    /// `None` if this very operation runs already.
    pub(super) fn begin(&self, begun: catalog::Job) -> Option<Live<'_>> {
        let mut running = self.lock();
        if running.contains_key(&begun.id) {
            return None;
        }
        let state = Arc::new(State {
            begun,
            cancel: AtomicBool::new(false),
            seen: Mutex::default(),
        });
        running.insert(state.begun.id, Arc::clone(&state));
        Some(Live { of: self, state })
    }

    /// What a running job is at.
    pub(super) fn seen(&self, id: Uuid) -> Option<Seen> {
        let running = self.lock();
        Some(running.get(&id)?.seen().clone())
    }

    /// Those that run and are not among these.
    pub(super) fn unrecorded(&self, recorded: &[JobInfo]) -> Vec<catalog::Job> {
        let running = self.lock();
        let missing = running
            .values()
            .filter(|state| !recorded.iter().any(|job| job.id == state.begun.id));
        missing.map(|state| state.begun.clone()).collect()
    }

    /// Whether it runs, and is asked to stop now.
    pub(super) fn cancel(&self, id: Uuid) -> bool {
        let running = self.lock();
        let Some(state) = running.get(&id) else {
            return false;
        };
        state.cancel.store(true, Ordering::Relaxed);
        true
    }

    /// Until it does not run any more, or that time has come.
    pub(super) fn wait(&self, id: Uuid, deadline: Instant) {
        let mut running = self.lock();
        while running.contains_key(&id) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let woken = self.ended.wait_timeout(running, left);
            running = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The map is whole whatever panicked beside it.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Uuid, Arc<State>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Live<'_> {
    /// Whether somebody asked it to stop.
    pub(super) fn is_cancelled(&self) -> bool {
        self.state.cancel.load(Ordering::Relaxed)
    }
}

impl Drop for Live<'_> {
    fn drop(&mut self) {
        self.of.lock().remove(&self.state.begun.id);
        self.of.ended.notify_all();
    }
}

impl Observer for Listener<'_> {
    fn event(&self, event: Event) {
        {
            let mut seen = self.live.state.seen();
            match event {
                Event::Waiting(operation) => seen.waiting_for = operation,
                Event::Phase(phase) => {
                    *seen = Seen {
                        phase: Some(phase),
                        ..Seen::default()
                    };
                }
                Event::Progress { done, total } => (seen.done, seen.total) = (done, total),
                Event::Recorded => {}
            }
        }
        self.inner.event(event);
    }

    fn cancelled(&self) -> bool {
        self.live.is_cancelled() || self.inner.cancelled()
    }
}
