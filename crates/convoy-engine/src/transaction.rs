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
    /// and the next transaction, or the next start, settles it first.
    pub(crate) fn transact<T>(
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
                self.catalog
                    .complete(&intent, &changes)
                    .doing(|| format!("recording that {verb} is done"))?;
                Ok(value)
            }
            Err(error) => {
                if let Err(left) = self.settle(&intent) {
                    let left = convoy_fault::chain(&left);
                    tracing::error!(%verb, "left for the next transaction to settle: {left}");
                }
                Err(error)
            }
        }
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
            for action in &intent.actions {
                self.pool
                    .delete(action.dev_id())
                    .doing(|| format!("undoing {verb}"))?;
            }
            let changes = self.undone(intent)?;
            self.catalog
                .abandon(intent, &changes)
                .doing(|| format!("recording that {verb} is undone"))?;
            return Ok(Settled::Undone);
        }
        if now == intent.from {
            self.delete_devices(&intent.actions)?;
            self.pool
                .set_transaction_id(intent.from, intent.to)
                .doing(|| format!("moving the pool's transaction id to {}", intent.to))?;
        }
        let changes = self.finished(intent)?;
        self.catalog
            .complete(intent, &changes)
            .doing(|| format!("recording that {verb} is done"))?;
        Ok(Settled::Finished)
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
        self.rows_of(intent, |action, row| match (action, row) {
            (Action::Delete { .. }, Row::Volume(volume)) => Change::RemoveVolume(volume.uuid),
            (Action::Delete { .. }, Row::Snapshot(snapshot)) => {
                Change::RemoveSnapshot(snapshot.uuid)
            }
            (_, Row::Volume(mut volume)) => {
                volume.state = match volume.restored_from {
                    Some(_) => VolumeState::Restoring,
                    None => VolumeState::Formatting,
                };
                Change::PutVolume(volume)
            }
            (_, Row::Snapshot(mut snapshot)) => {
                snapshot.state = SnapshotState::Ready;
                Change::PutSnapshot(snapshot)
            }
        })
    }

    /// What the catalog says once an intent's actions are known not to have happened.
    fn undone(&self, intent: &Intent) -> Result<Vec<Change>, Error> {
        self.rows_of(intent, |_, row| match row {
            Row::Volume(volume) => Change::RemoveVolume(volume.uuid),
            Row::Snapshot(snapshot) => Change::RemoveSnapshot(snapshot.uuid),
        })
    }

    /// One change for each row whose thin device an action names. Snapshots come before volumes, which
    /// they refer to.
    fn rows_of(
        &self,
        intent: &Intent,
        mut change: impl FnMut(&Action, Row) -> Change,
    ) -> Result<Vec<Change>, Error> {
        let action_on = |id: DevId| intent.actions.iter().find(|action| action.dev_id() == id);
        let mut changes = Vec::new();
        for snapshot in self.catalog.snapshots().doing(|| "reading snapshots")? {
            if let Some(action) =
                action_on(snapshot.dev_id).filter(|_| snapshot.pool == intent.pool)
            {
                changes.push(change(action, Row::Snapshot(snapshot)));
            }
        }
        for volume in self.catalog.volumes().doing(|| "reading volumes")? {
            if let Some(action) = action_on(volume.dev_id).filter(|_| volume.pool == intent.pool) {
                changes.push(change(action, Row::Volume(volume)));
            }
        }
        Ok(changes)
    }
}

/// What a thin device is to the catalog.
enum Row {
    Volume(convoy_catalog::Volume),
    Snapshot(convoy_catalog::Snapshot),
}
