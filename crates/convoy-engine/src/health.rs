//! Looking after the pool: what a daemon asks for every second or so, since the kernel tells nobody.
//!
//! A look is one status without a commit. From one look to the next it says once what has changed (thresholds
//! passed, out of space, read-only, failed), remembers durably which volumes may have lost writes, and gives
//! the pool more metadata before it runs out. The library starts no thread: who opened the engine calls
//! [`Engine::look_after_pool`] for as long as it likes.

mod suspects;
mod watcher;

pub(crate) use watcher::Condition;
pub use watcher::Severity;
use watcher::{Notice, Watcher};

use crate::engine::Engine;
use crate::space::Reserve;
use convoy_thinpool::{Mode, PoolStatus, PoolUsage};
use convoy_units::Bytes;
use jiff::Timestamp;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// From one look to the next.
const CALM: Duration = Duration::from_secs(1);
/// The same where metadata is being used up: what is left may last for seconds.
const TIGHT: Duration = Duration::from_millis(200);
/// Metadata in use, in percent, from which looks follow one another faster.
const WATCHED: u64 = 60;
/// Metadata in use, in percent, at which it gets more: what is left has to last until the pool has taken it over.
const MORE_AT: u64 = 75;
/// From one vain attempt to give it more to the next.
const PAUSE: Duration = Duration::from_secs(10);
/// How many events are kept for `info`.
const KEPT: usize = 100;

/// Something that happened to a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolEvent {
    /// When it was noticed.
    pub at: Timestamp,
    /// How bad it is.
    pub severity: Severity,
    /// One sentence.
    pub what: String,
}

/// What is known of the pool between two looks.
#[derive(Debug, Default)]
pub(crate) struct Health {
    state: Mutex<State>,
    reserve: Mutex<Reserve>,
}

#[derive(Debug, Default)]
struct State {
    watcher: Watcher,
    events: VecDeque<PoolEvent>,
    /// The last vain attempt to give the pool more metadata.
    tried: Option<Instant>,
}

impl Health {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that are held back.
    pub(crate) fn held(&self) -> Bytes {
        match &*self.reserve() {
            Reserve::Held(bytes) => *bytes,
            Reserve::None | Reserve::Lacking(_) => Bytes(0),
        }
    }

    pub(crate) fn reserve(&self) -> MutexGuard<'_, Reserve> {
        self.reserve.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn note(&mut self, severity: Severity, what: String) {
        match severity {
            Severity::Info => tracing::info!("{what}"),
            Severity::Warning => tracing::warn!("{what}"),
            Severity::Error => tracing::error!("{what}"),
        }
        if self.events.len() == KEPT {
            self.events.pop_front();
        }
        let at = Timestamp::now();
        self.events.push_back(PoolEvent { at, severity, what });
    }
}

impl Engine {
    /// Looks at the pool once, does what is to be done about it, and says when to look again. Never fails: what
    /// goes wrong is an event, and tried again at the next look. Blocks for as long as the kernel takes to
    /// answer, which a hanging disk can make long: give it a thread of its own. One call at a time.
    pub fn look_after_pool(&self) -> Duration {
        // What is only looked at is nobody's to change.
        if self.reading.is_some() {
            return CALM;
        }
        let status = self.pool.status().unwrap_or(PoolStatus::Error);
        let notices = self.health.state().watcher.observe(&status);
        for Notice { severity, what } in notices {
            let what = format!("pool {}: {what}", self.pool.spec().name);
            self.health.state().note(severity, what);
        }
        self.suspect_volumes(Condition::of(&status));
        let Some(usage) = status.usage() else {
            return CALM;
        };
        if is_at(usage, MORE_AT) {
            self.widen();
        }
        if is_at(usage, WATCHED) { TIGHT } else { CALM }
    }

    /// What happened to the pool since the engine was opened, oldest first; the last hundred.
    pub fn pool_events(&self) -> Vec<PoolEvent> {
        self.health.state().events.iter().cloned().collect()
    }

    /// Gives metadata that gets tight more, if there is more: also when it ran out, which nothing else cures.
    pub(crate) fn widen(&self) {
        let _one_at_a_time = self.growing.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock: whoever held it may have done what was to be done.
        let Ok(PoolStatus::Working(usage)) = self.pool.status() else {
            return;
        };
        let ran_out = is_at(&usage, 100);
        if !is_at(&usage, MORE_AT)
            || usage.needs_check
            || (usage.mode == Mode::ReadOnly && !ran_out)
        {
            return;
        }
        let tried = self.health.state().tried;
        if tried.is_some_and(|tried| tried.elapsed() < PAUSE) {
            return;
        }
        let grown = self.drop_reserve();
        *self.health.reserve() = self.take_reserve();
        let mut state = self.health.state();
        let (before, now) = match &grown {
            Ok(grown) => grown.metadata,
            Err(_) => (0, 0),
        };
        if now > before {
            state.tried = None;
            let what = format!(
                "pool {}: its metadata got tight and was made larger, from {before} to {now} blocks",
                self.pool.spec().name
            );
            return state.note(Severity::Warning, what);
        }
        // Said once, not at every attempt.
        if state.tried.replace(Instant::now()).is_none() {
            let why = match &grown {
                Err(error) => convoy_fault::chain(error),
                Ok(_) => "its device has no more: make it larger, it is taken over within seconds"
                    .to_owned(),
            };
            let what = format!(
                "pool {}: its metadata gets tight and cannot be made larger: {why}",
                self.pool.spec().name
            );
            state.note(Severity::Error, what);
        }
    }

    /// Keeps an event for `info`, and logs it.
    pub(crate) fn note(&self, severity: Severity, what: String) {
        self.health.state().note(severity, what);
    }

    /// What of the pool wants attention now, one sentence each.
    pub(crate) fn alerts(&self, status: &PoolStatus) -> Vec<String> {
        let mut alerts = watcher::alerts(status);
        if let Reserve::Lacking(why) = &*self.health.reserve() {
            alerts.push(format!("the metadata has no reserve: {why}"));
        }
        alerts
    }
}

fn is_at(usage: &PoolUsage, percent: u64) -> bool {
    usage.metadata.used * 100 >= usage.metadata.total * percent
}
