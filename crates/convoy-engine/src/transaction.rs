//! One pool transaction: intent, messages, transaction id, completion.
//!
//! No database transaction can cover the catalog and the pool, so each change that takes both is written
//! ahead (`docs/formats/catalog.md`): the intent is durable in the catalog before the first message, the
//! pool's transaction id moves from N to N+1 after the last one, and only then does the catalog say that
//! it happened. Whatever is killed in between, the pool's own id tells which side of that step it was on.

use crate::engine::Engine;
use crate::error::{Doing, Error};
use convoy_catalog::{Action, Change, Intent, NewIntent, SnapshotState, VolumeState};
use convoy_fault::Kind;
use convoy_units::DevId;
use std::sync::PoisonError;
use uuid::Uuid;

/// How an intent found pending was settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    /// All of it had happened, or has now.
    Finished,
    /// None of it remains.
    Undone,
}

impl Engine {
    /// Runs one transaction. `begun` is what the catalog says from the intent on (rows of things being
    /// made); `act` sends the messages; the rows then become what [`Engine::finished`] says, and
    /// `last_words` may add what only `act` learned.
    ///
    /// When `act` fails everything is undone before this returns; when even that fails, the intent stays
    /// and the next transaction, or the next start, settles it first. When it turns out to have happened
    /// all the same (the answer was lost, or what remained could be done), that is success with the
    /// default of what `act` would have learned.
    pub(crate) fn transact<T: Default>(
        &self,
        op: Uuid,
        verb: &str,
        actions: Vec<Action>,
        begun: &[Change],
        act: impl FnOnce() -> Result<T, Error>,
        last_words: impl FnOnce(&T, &mut Vec<Change>),
    ) -> Result<T, Error> {
        // The lock guards no data of its own: a panic under it leaves an intent, which is settled here.
        let _one_at_a_time = self
            .transactions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for intent in self
            .catalog
            .pending_intents()
            .doing(|| "reading pending intents")?
        {
            self.settle(&intent)?;
        }
        let plan = NewIntent {
            pool: self.pool_uuid,
            op,
            verb: verb.to_owned(),
            actions,
        };
        let intent = self
            .catalog
            .begin(&plan, begun)
            .doing(|| format!("recording the intent to {verb}"))?;
        let happened = act().and_then(|value| {
            self.pool
                .set_transaction_id(intent.from, intent.to)
                .doing(|| format!("moving the pool's transaction id to {}", intent.to))?;
            Ok(value)
        });
        match happened {
            Ok(value) => {
                let mut changes = self.finished(&intent)?;
                last_words(&value, &mut changes);
                self.complete(&intent, &changes)?;
                Ok(value)
            }
            Err(error) => {
                // A device that was there before us is somebody else's: undoing must not delete it.
                let settled = match taken(&error) {
                    Some(dev_id) => self.undo(&intent, Some(dev_id)).map(|()| Settled::Undone),
                    None => self.settle(&intent),
                };
                match settled {
                    Ok(Settled::Finished) => Ok(T::default()),
                    Ok(Settled::Undone) => Err(error),
                    Err(left) => {
                        let left = convoy_fault::chain(&left);
                        tracing::error!(%verb, "left for the next transaction to settle: {left}");
                        Err(error)
                    }
                }
            }
        }
    }

    /// Records that an intent is done. The pool has moved on already, so this is tried for a while; when
    /// it fails for good, the thing exists and the next transaction records it.
    fn complete(&self, intent: &Intent, changes: &[Change]) -> Result<(), Error> {
        const TRIES: u32 = 5;
        let doing = || format!("recording that {} is done", intent.verb);
        let mut last = None;
        for _ in 0..TRIES {
            match self.catalog.complete(intent, changes) {
                Ok(()) => return Ok(()),
                // A try before this one failed and had happened all the same.
                Err(convoy_catalog::Error::Missing { .. }) if last.is_some() => return Ok(()),
                Err(error) => {
                    tracing::warn!("{}: {}", doing(), convoy_fault::chain(&error));
                    last = Some(error);
                }
            }
            self.machine.sleep(std::time::Duration::from_millis(100));
        }
        let error = last.expect("it was tried, and did not return");
        Err(Error::of(doing(), error).hinting("it did happen in the pool: it will be recorded by the next change, or at the next start"))
    }

    /// Finishes or undoes a pending intent, by what the pool's transaction id says happened.
    pub(crate) fn settle(&self, intent: &Intent) -> Result<Settled, Error> {
        let verb = &intent.verb;
        let status = self
            .pool
            .status()
            .doing(|| "asking the kernel for the pool's status")?;
        let now = status
            .usage()
            .map(|usage| usage.transaction_id)
            .ok_or_else(|| {
                Error::new(
                    Kind::PoolUnhealthy,
                    format!("the pool does not answer, so whether {verb} happened cannot be told"),
                )
            })?;
        // A pool that went read-only may show an id that never reached its disk.
        if !status.takes_messages() {
            let what =
                format!("the pool takes no changes ({status}), so {verb} stays to be settled");
            return Err(Error::new(Kind::PoolUnhealthy, what));
        }
        if now != intent.to && now != intent.from {
            let what = format!(
                "the pool's transaction id is {now}, but {verb} was begun between {} and {}: the pool's metadata was rolled back, restored or changed by somebody else",
                intent.from, intent.to
            );
            return Err(Error::new(Kind::PoolUnhealthy, what));
        }
        let only_deletes = intent
            .actions
            .iter()
            .all(|a| matches!(a, Action::Delete { .. }));
        if now == intent.from && !only_deletes {
            self.undo(intent, None)?;
            return Ok(Settled::Undone);
        }
        // Before its row says that the device it runs on is a snapshot's.
        self.take_down_exchanged(intent)?;
        if only_deletes {
            // One that is up cannot be deleted, and nobody may use what is being deleted; one that is gone may
            // have left a device that was brought up half since.
            self.take_down(intent)?;
        }
        if now == intent.from {
            self.delete_devices(&intent.actions)?;
            self.pool
                .set_transaction_id(intent.from, intent.to)
                .doing(|| format!("moving the pool's transaction id to {}", intent.to))?;
        }
        let changes = self.finished(intent)?;
        self.complete(intent, &changes)?;
        Ok(Settled::Finished)
    }

    /// Takes back an intent whose transaction did not happen: what it made is deleted, but for one device
    /// that it found and did not make.
    fn undo(&self, intent: &Intent, found: Option<DevId>) -> Result<(), Error> {
        let verb = &intent.verb;
        // Nothing that is undone is up, unless an attempt to undo it failed before and its volume was brought
        // up meanwhile: its rows go now, and with them all that knows of it.
        self.take_down(intent)?;
        for action in &intent.actions {
            if Some(action.dev_id()) != found {
                self.pool
                    .delete(action.dev_id())
                    .doing(|| format!("undoing {verb}"))?;
            }
        }
        let changes = self.undone(intent)?;
        self.catalog
            .abandon(intent, &changes)
            .doing(|| format!("recording that {verb} is undone"))
    }

    /// Takes down what is up of what an intent names.
    fn take_down(&self, intent: &Intent) -> Result<(), Error> {
        for (_, row) in self.rows_of(intent)? {
            self.pool
                .deactivate_thin(row.uuid())
                .doing(|| format!("taking down what is left of an attempt to {}", intent.verb))?;
        }
        Ok(())
    }

    /// Deletes the thin devices that these actions name; one that is gone already is no error.
    pub(crate) fn delete_devices(&self, actions: &[Action]) -> Result<(), Error> {
        for action in actions {
            let id = action.dev_id();
            self.pool
                .delete(id)
                .doing(|| format!("deleting thin device {id}"))?;
        }
        Ok(())
    }

    /// What the catalog says once an intent's actions have happened.
    fn finished(&self, intent: &Intent) -> Result<Vec<Change>, Error> {
        let mut changes = Vec::new();
        for (action, row) in self.rows_of(intent)? {
            if let (Action::RollBack { .. }, Row::Snapshot(safety)) = (action, &row) {
                // What it was half overwritten with is in the safety snapshot now.
                changes.push(Change::RemoveOverwrite(safety.volume));
            }
            changes.push(row.after(action));
        }
        Ok(changes)
    }

    /// What the catalog says once an intent's actions are known not to have happened.
    fn undone(&self, intent: &Intent) -> Result<Vec<Change>, Error> {
        Ok(self
            .rows_of(intent)?
            .into_iter()
            .map(|(_, row)| row.removed())
            .collect())
    }

    /// The rows whose thin device an intent's actions name. Snapshots come before volumes, which they
    /// refer to.
    fn rows_of(&self, intent: &Intent) -> Result<Vec<(Action, Row)>, Error> {
        let (mut snapshots, mut volumes) = (Vec::new(), Vec::new());
        for action in intent.actions.iter().copied() {
            let (pool, dev_id) = (intent.pool, action.dev_id());
            let snapshot = self.catalog.snapshot_on(pool, dev_id);
            let snapshot = snapshot.doing(|| "reading snapshots")?;
            snapshots.extend(snapshot.map(|snapshot| (action, Row::Snapshot(snapshot))));
            let volume = self.catalog.volume_on(pool, dev_id);
            let volume = volume.doing(|| "reading volumes")?;
            volumes.extend(volume.map(|volume| (action, Row::Volume(volume))));
        }
        snapshots.append(&mut volumes);
        Ok(snapshots)
    }
}

/// The thin device that could not be made because it was there already, if that is why this failed.
fn taken(error: &Error) -> Option<DevId> {
    match std::error::Error::source(error)?.downcast_ref()? {
        convoy_thinpool::Error::ThinExists { dev_id, .. } => Some(*dev_id),
        _ => None,
    }
}

/// What a thin device is to the catalog.
enum Row {
    Volume(convoy_catalog::Volume),
    Snapshot(convoy_catalog::Snapshot),
}

impl Row {
    fn uuid(&self) -> Uuid {
        match self {
            Self::Volume(volume) => volume.uuid,
            Self::Snapshot(snapshot) => snapshot.uuid,
        }
    }

    /// What becomes of it when an action on its device has happened.
    fn after(self, action: Action) -> Change {
        match (action, self) {
            (Action::Delete { .. }, row) => row.removed(),
            (Action::RollBack { .. }, Self::Snapshot(safety)) => Change::ExchangeDevices {
                snapshot: safety.uuid,
            },
            (_, Self::Volume(mut volume)) => {
                volume.state = match (action, &volume.restored_from) {
                    // A clone has a filesystem already, which was mounted as likely as not.
                    (Action::CreateSnapshot { .. }, _) | (_, Some(_)) => VolumeState::Restoring,
                    (_, None) => VolumeState::Formatting,
                };
                Change::PutVolume(volume)
            }
            (_, Self::Snapshot(mut snapshot)) => {
                snapshot.state = SnapshotState::Ready;
                Change::PutSnapshot(snapshot)
            }
        }
    }

    fn removed(self) -> Change {
        match self {
            Self::Volume(volume) => Change::RemoveVolume(volume.uuid),
            Self::Snapshot(snapshot) => Change::RemoveSnapshot(snapshot.uuid),
        }
    }
}
