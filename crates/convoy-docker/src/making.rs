//! Volumes that are being made: a restore takes longer than an engine waits, so it goes on after the answer.
//!
//! What is remembered of it lives as long as the daemon. One that is killed leaves no half-made volume: the next
//! opening removes it, and the engine is told that there is none.

use crate::options::Wish;
use convoy_engine::{Event, Observer, Phase};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// How many failures are remembered.
const FAILURES: usize = 100;

/// The volumes that are being made, by name.
#[derive(Debug, Default)]
pub(crate) struct Making {
    state: Mutex<State>,
    /// All are asked to stop.
    stopping: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
struct State {
    going: BTreeMap<String, Arc<Draft>>,
    failed: BTreeMap<String, String>,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Draft {
    /// What was asked for: who asks again for the same gets the same.
    pub(crate) options: BTreeMap<String, String>,
    pub(crate) is_restore: bool,
    pub(crate) since: Timestamp,
    done: AtomicU64,
    total: AtomicU64,
    stopping: Arc<AtomicBool>,
    outcome: watch::Sender<Option<Result<(), String>>>,
}

impl Making {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one of this name.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<Draft>> {
        self.state().going.get(name).cloned()
    }

    /// All names.
    pub(crate) fn names(&self) -> Vec<String> {
        self.state().going.keys().cloned().collect()
    }

    /// Why the last one of this name failed.
    pub(crate) fn failure(&self, name: &str) -> Option<String> {
        self.state().failed.get(name).cloned()
    }

    pub(crate) fn forget_failure(&self, name: &str) {
        self.state().failed.remove(name);
    }

    /// Begins one, or gives the one that is going on: whether it is new.
    pub(crate) fn begin(
        &self,
        name: &str,
        options: &BTreeMap<String, String>,
        wish: &Wish,
    ) -> (Arc<Draft>, bool) {
        let mut state = self.state();
        if let Some(going) = state.going.get(name) {
            return (Arc::clone(going), false);
        }
        let new = Arc::new(Draft {
            options: options.clone(),
            is_restore: wish.volume.backup.is_some(),
            since: Timestamp::now(),
            done: AtomicU64::new(0),
            total: AtomicU64::new(0),
            stopping: Arc::clone(&self.stopping),
            outcome: watch::Sender::new(None),
        });
        state.failed.remove(name);
        state.going.insert(name.to_owned(), Arc::clone(&new));
        (new, true)
    }

    /// Ends one.
    pub(crate) fn end(&self, name: &str, outcome: Result<(), String>) {
        let mut state = self.state();
        let going = state.going.remove(name);
        if let Err(why) = &outcome {
            if state.failed.len() >= FAILURES {
                state.failed.pop_first();
            }
            state.failed.insert(name.to_owned(), why.clone());
        }
        drop(state);
        if let Some(going) = going {
            going.outcome.send_replace(Some(outcome));
        }
    }

    /// Asks all to stop at their next safe point.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }
}

impl Draft {
    /// Waits for its end.
    pub(crate) async fn ended(&self) -> Result<(), String> {
        let mut outcome = self.outcome.subscribe();
        let ended = outcome.wait_for(Option::is_some).await;
        match ended {
            Ok(outcome) => outcome.clone().unwrap_or(Ok(())),
            Err(_) => Ok(()),
        }
    }

    /// For people: what goes on, and how far it is.
    pub(crate) fn progress(&self) -> String {
        if !self.is_restore {
            return "being made".to_owned();
        }
        let (done, total) = (
            self.done.load(Ordering::Relaxed),
            self.total.load(Ordering::Relaxed),
        );
        match (u128::from(done) * 100).checked_div(u128::from(total)) {
            None => "being restored".to_owned(),
            Some(percent) => {
                format!("being restored: {percent} % ({done} of {total} bytes)")
            }
        }
    }
}

impl Observer for Draft {
    fn event(&self, event: Event) {
        match event {
            Event::Progress { done, total } => {
                self.total.store(total.0, Ordering::Relaxed);
                self.done.store(done.0, Ordering::Relaxed);
            }
            Event::Phase(Phase::Restoring) => self.done.store(0, Ordering::Relaxed),
            _ => (),
        }
    }

    fn cancelled(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}
