//! Looking after volumes: what engines gave back is unmounted after a while, the trash is emptied in time, and how
//! much volumes take up is remembered for who must not ask the kernel.

use crate::engine::Engine;
use crate::error::{Doing, Error};
use convoy_thinpool::ThinStatus;
use convoy_units::Bytes;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// From one look to the next.
const PAUSE: Duration = Duration::from_millis(500);
/// How much time of the trash may be forgotten by a kill. Each count is a write of the catalog.
const COUNTED: Duration = Duration::from_mins(1);
/// From one measurement of all volumes to the next.
const MEASURED: Duration = Duration::from_secs(30);

/// What is known between two looks.
#[derive(Debug, Default)]
pub(crate) struct Care(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Volumes that engines had mounted and nobody holds, and since when.
    idle: BTreeMap<Uuid, Instant>,
    /// Until when the trash has been counted down.
    counted: Option<Instant>,
    measured: Option<Instant>,
    /// Bytes that volumes have mapped, as last seen.
    mapped: BTreeMap<Uuid, Bytes>,
}

impl Care {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn idle_since(&self, volume: Uuid, since: Instant) {
        self.state().idle.insert(volume, since);
    }

    pub(crate) fn forget_idle(&self, volume: Uuid) {
        self.state().idle.remove(&volume);
    }

    /// Bytes that a volume had mapped when it was last measured.
    pub(crate) fn mapped(&self, volume: Uuid) -> Option<Bytes> {
        self.state().mapped.get(&volume).copied()
    }

    fn idle_for(&self, delay: Duration) -> Vec<Uuid> {
        let state = self.state();
        let idle = state.idle.iter();
        idle.filter(|(_, since)| since.elapsed() >= delay)
            .map(|(volume, _)| *volume)
            .collect()
    }

    /// Whole seconds since the last time this counted any, once it is time to; the rest is counted next time.
    fn passed(&self, each: Duration) -> Option<Duration> {
        let mut state = self.state();
        let since = *state.counted.get_or_insert_with(Instant::now);
        let passed = Duration::from_secs(since.elapsed().as_secs());
        if passed < each || passed.is_zero() {
            return None;
        }
        state.counted = Some(since + passed);
        Some(passed)
    }

    fn is_measuring_due(&self) -> bool {
        let mut state = self.state();
        let is_due = state
            .measured
            .is_none_or(|measured| measured.elapsed() >= MEASURED);
        if is_due {
            state.measured = Some(Instant::now());
        }
        is_due
    }
}

impl Engine {
    /// Looks after volumes once, and says when to look again: unmounts what engines gave back, counts down and
    /// empties the trash, measures what volumes take up. Never fails: what goes wrong is logged, and tried again.
    /// Blocks for as long as deleting takes: give it a thread of its own, not that of
    /// [`Engine::look_after_pool`]. One call at a time.
    pub fn look_after_volumes(&self) -> Duration {
        if self.reading.is_some() {
            return PAUSE;
        }
        for volume in self.care.idle_for(self.idle_delay) {
            told(self.unmount_idle(volume));
        }
        let each = COUNTED.min(self.trash_grace / 10);
        if let Some(passed) = self.care.passed(each) {
            told(self.age_trash(passed));
        }
        self.make_room();
        if self.care.is_measuring_due() {
            told(self.measure());
        }
        PAUSE
    }

    fn unmount_idle(&self, volume: Uuid) -> Result<(), Error> {
        let Some(_claim) = self.volumes.try_claim(volume) else {
            return Ok(());
        };
        let found = self
            .catalog
            .volume(volume)
            .doing(|| "looking for an idle volume")?;
        let Some(found) = found else {
            self.care.forget_idle(volume);
            return Ok(());
        };
        match self.unmount_if_idle(&found) {
            Ok(true) => Ok(()),
            Ok(false) => {
                self.care.forget_idle(volume);
                Ok(())
            }
            Err(error) => {
                // Somebody stands in it: it is tried again after as long.
                self.care.idle_since(volume, Instant::now());
                Err(error)
            }
        }
    }

    fn measure(&self) -> Result<(), Error> {
        let mut mapped = BTreeMap::new();
        for volume in self.catalog.volumes().doing(|| "reading volumes")? {
            if let Ok(ThinStatus::Working { mapped: now, .. }) = self.pool.thin_status(volume.uuid)
                && let Some(bytes) = now.bytes()
            {
                mapped.insert(volume.uuid, bytes);
            }
        }
        self.care.state().mapped = mapped;
        Ok(())
    }
}

fn told(done: Result<(), Error>) {
    if let Err(error) = done {
        tracing::warn!("looking after volumes: {}", convoy_fault::chain(&error));
    }
}
