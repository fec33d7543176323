//! A volume becomes what a snapshot of it was; what it was until then becomes a snapshot.
//!
//! Nothing is copied and nothing is written over. A new thin device is made of the snapshot's, and in the one
//! catalog transaction that completes its intent it takes the place of the volume's, which goes to the safety
//! snapshot. Until then the safety snapshot's row holds the new device. Everything that has a volume by its
//! identity (its name, mount, backups, other snapshots) goes on. `docs/decisions/0021-reshaping.md` has the reasons.

use crate::engine::Engine;
use crate::error::{Doing, Error};
use crate::model::{Created, RolledBack, VolumeState};
use crate::operation::{Operation, Phase};
use crate::resolve::describe_snapshot;
use crate::volume::automatic_name;
use convoy_catalog as catalog;
use convoy_catalog::{Action, Change, Intent, SnapshotState};
use convoy_fault::Kind;
use convoy_names::SnapshotRef;
use convoy_units::DevId;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::PoisonError;
use uuid::Uuid;

impl Engine {
    /// Makes the volume of a snapshot what the snapshot was, its size included. What it was until now is kept as a
    /// new snapshot, `before-rollback-` and 16 hexadecimal digits, which is told in the answer: rolling back to that
    /// undoes this. The snapshot itself stays, and so do all others.
    ///
    /// Repeating an operation under the same id answers `Unchanged`. Killed in the middle, the volume is what it
    /// was or what the snapshot was, and in the latter case the safety snapshot is there.
    ///
    /// # Errors
    /// `NotFound`; `Busy` while the volume is mounted, open, or in the middle of something; `PoolFull` and
    /// `PoolUnhealthy` from the pool. On every error the volume is as it was.
    pub fn roll_back(
        &self,
        reference: &SnapshotRef,
        op: &Operation<'_>,
    ) -> Result<Created<RolledBack>, Error> {
        self.refuse_read_only()?;
        let (seen, snapshot) = self.find_snapshot(reference)?;
        let _claim = self.volumes.claim(seen.uuid);
        let volume = self.end_rollback(self.reread_volume(&seen)?)?;
        let _span = tracing::info_span!("rollback", volume = %volume.name, snapshot = %snapshot.name, operation = %op.id)
            .entered();
        let taken = self.catalog.snapshots_of(volume.uuid);
        let taken = taken.doing(|| format!("reading the snapshots of volume {}", volume.name))?;
        if let Some(safety) = taken.into_iter().find(|safety| safety.op == op.id) {
            return self.rolled_back(volume, safety).map(Created::Unchanged);
        }
        let snapshot = self.reread(&snapshot)?;
        self.refuse_in_use(&volume, &snapshot)?;
        self.refuse_full(|| format!("rolling volume {} back", volume.name))?;
        // The kernel's own proof that nobody has it, and the last moment at which its device is the volume's.
        self.pool
            .deactivate_thin(volume.uuid)
            .doing(|| format!("taking volume {} down", volume.name))?;
        let exchanged = self.exchange(&volume, &snapshot, op);
        let now = self.reread_volume(&volume);
        match now.as_ref().map(|now| self.activate(now)) {
            Ok(Ok(_)) => self.is_whole_again(volume.uuid),
            Ok(Err(error)) => {
                let error = convoy_fault::chain(&error);
                tracing::warn!(volume = %volume.name, "it is down until it is mounted: {error}");
            }
            Err(_) => {}
        }
        let safety = self.reread(&exchanged?)?;
        tracing::info!(safety = %safety.name, "volume rolled back");
        self.keep_copy();
        self.rolled_back(now?, safety).map(Created::New)
    }

    fn rolled_back(
        &self,
        volume: catalog::Volume,
        safety: catalog::Snapshot,
    ) -> Result<RolledBack, Error> {
        Ok(RolledBack {
            safety: describe_snapshot(&volume, safety),
            volume: self.describe_volume(volume, &self.kernel()?)?,
        })
    }

    /// Refuses to exchange the device of a volume that somebody uses, or to take a snapshot for it that is being
    /// deleted.
    fn refuse_in_use(
        &self,
        volume: &catalog::Volume,
        snapshot: &catalog::Snapshot,
    ) -> Result<(), Error> {
        let name = &volume.name;
        let state = self.state_of(volume);
        // A volume that is half overwritten is what this is for, once nobody overwrites it any more.
        let given_up =
            self.is_overwritten(volume.uuid) && self.overwriting.try_claim(volume.uuid).is_some();
        if !matches!(state, VolumeState::Ready | VolumeState::Broken) && !given_up {
            let what = format!("volume {name} is {} still", state.as_str());
            return Err(Error::new(Kind::Busy, what));
        }
        if snapshot.state != SnapshotState::Ready {
            let (name, state) = (&snapshot.name, snapshot.state.as_str());
            return Err(Error::new(
                Kind::Busy,
                format!("snapshot {name} is {state}"),
            ));
        }
        self.unmount_if_idle(volume)?;
        if let Some(target) = self.kernel()?.mount_of(volume.uuid, None) {
            let target = target.display();
            let what =
                format!("volume {name} cannot be rolled back while it is mounted at {target}");
            return Err(
                Error::new(Kind::Busy, what).hinting(format!("`convoy umount {name}` first"))
            );
        }
        self.refuse_open(volume)
    }

    /// Makes the new device and exchanges it for the volume's; the safety snapshot as it was begun.
    fn exchange(
        &self,
        volume: &catalog::Volume,
        snapshot: &catalog::Snapshot,
        op: &Operation<'_>,
    ) -> Result<catalog::Snapshot, Error> {
        op.phase(Phase::Snapshotting);
        let dev_id = self
            .catalog
            .allocate_dev_id(self.pool_uuid)
            .doing(|| format!("allocating a thin device for volume {}", volume.name))?;
        let safety = catalog::Snapshot {
            uuid: Uuid::now_v7(),
            volume: volume.uuid,
            pool: volume.pool,
            name: automatic_name("before-rollback", op.id),
            dev_id,
            size: snapshot.size,
            state: SnapshotState::Creating,
            created: Timestamp::now(),
            labels: BTreeMap::new(),
            op: op.id,
            hold_micros: None,
        };
        let action = Action::RollBack {
            dev_id,
            origin: snapshot.dev_id,
            instead_of: volume.dev_id,
        };
        self.transact(
            op.id,
            "roll a volume back",
            vec![action],
            &[Change::PutSnapshot(safety.clone())],
            || {
                let made = self.pool.create_snapshot(dev_id, snapshot.dev_id);
                made.doing(|| {
                    format!(
                        "rolling volume {} back to snapshot {}",
                        volume.name, snapshot.name
                    )
                })
            },
            |(), _| (),
        )?;
        Ok(safety)
    }

    /// What could not be brought up with its old device is up with its new one.
    fn is_whole_again(&self, volume: Uuid) {
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        broken.remove(&volume);
    }

    /// A volume as it is under the claim on it.
    pub(crate) fn reread_volume(&self, seen: &catalog::Volume) -> Result<catalog::Volume, Error> {
        self.catalog
            .volume(seen.uuid)
            .doing(|| format!("looking for volume {}", seen.name))?
            .ok_or_else(|| {
                Error::new(
                    Kind::NotFound,
                    format!("volume {} was deleted in this moment", seen.name),
                )
            })
    }

    /// Ends a rollback of this volume that was left to be settled, before anybody works with its device: the one that
    /// it has by its row may not be its own any more. The volume as it is then; it is claimed.
    pub(crate) fn end_rollback(&self, volume: catalog::Volume) -> Result<catalog::Volume, Error> {
        let pending = || {
            let intents = self.catalog.pending_intents();
            intents.doing(|| "reading pending intents")
        };
        if !pending()?.iter().any(|i| exchanges(i, volume.dev_id)) {
            return Ok(volume);
        }
        let _one_at_a_time = self
            .transactions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for intent in pending()? {
            self.settle(&intent)?;
        }
        self.reread_volume(&volume)
    }

    /// Refuses to delete a thin device that a rollback left to be settled may give to another row.
    pub(crate) fn refuse_exchanging(&self, dev_id: DevId) -> Result<(), Error> {
        let intents = self.catalog.pending_intents();
        let intents = intents.doing(|| "reading pending intents")?;
        if intents.iter().any(|intent| exchanges(intent, dev_id)) {
            let what = "an interrupted rollback of the volume is still to be settled";
            return Err(Error::new(Kind::Busy, what)
                .hinting("see `convoy info` for what the pool is waiting for"));
        }
        Ok(())
    }

    /// Takes down the volumes whose devices a pending intent exchanges.
    pub(crate) fn take_down_exchanged(&self, intent: &Intent) -> Result<(), Error> {
        for volume in self.catalog.volumes().doing(|| "reading volumes")? {
            let theirs = |action: &Action| matches!(action, Action::RollBack { instead_of, .. } if *instead_of == volume.dev_id);
            if intent.actions.iter().any(theirs) {
                self.pool.deactivate_thin(volume.uuid).doing(|| {
                    format!("taking volume {} down, which is rolled back", volume.name)
                })?;
            }
        }
        Ok(())
    }
}

/// Whether an intent may exchange this device for another, or another for this.
fn exchanges(intent: &Intent, device: DevId) -> bool {
    let exchanges = |action: &Action| matches!(action, Action::RollBack { dev_id, instead_of, .. } if *dev_id == device || *instead_of == device);
    intent.actions.iter().any(exchanges)
}
