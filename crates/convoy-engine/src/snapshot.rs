//! The verbs on snapshots: create, delete, list, inspect.

use crate::engine::Engine;
use crate::error::{Doing, Error};
use crate::model::{Created, SnapshotInfo};
use crate::operation::{Operation, Phase};
use crate::resolve::describe_snapshot;
use crate::volume::automatic_name;
use convoy_catalog as catalog;
use convoy_catalog::{Action, Change};
use convoy_fault::Kind;
use convoy_names::{SnapshotName, SnapshotRef, VolumeName};
use convoy_thinpool::{ThinDevice, ThinSpec};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::PoisonError;
use uuid::Uuid;

impl Engine {
    /// Takes a snapshot of a volume, mounted or not: what a power cut at this instant would leave, or
    /// better, since the filesystem is flushed and frozen first.
    ///
    /// Writes to the volume are held from the suspend to the resume of its device, which is measured and
    /// told in the answer. The flush of dirty pages happens before, while writes go on.
    ///
    /// # Errors
    /// `NotFound` for the volume; `Conflict` when the name is taken; `PoolFull` and `PoolUnhealthy` from
    /// the pool; `Busy` when the storage is too slow to hold the volume for no longer than the hold limit.
    /// On every error the volume runs on and no snapshot remains.
    pub fn create_snapshot(
        &self,
        volume: &VolumeName,
        name: Option<&SnapshotName>,
        op: &Operation<'_>,
    ) -> Result<Created<SnapshotInfo>, Error> {
        self.refuse_read_only()?;
        let (_claim, volume) = self.claim_ready(volume)?;
        let uuid = Uuid::now_v7();
        let name = match name {
            Some(name) => name.clone(),
            None => automatic_name("snapshot", op.id),
        };
        let _span =
            tracing::info_span!("snapshot", volume = %volume.name, snapshot = %name, operation = %op.id)
                .entered();
        if let Some(taken) = self.taken_before(&name, op)? {
            if taken.op == op.id
                && taken.volume == volume.uuid
                && taken.state == catalog::SnapshotState::Ready
            {
                return Ok(Created::Unchanged(describe_snapshot(&volume, taken)));
            }
            return Err(Error::new(
                Kind::Conflict,
                format!("Snapshot name {} already exists", taken.name),
            )
            .hinting("snapshot names are unique among all volumes: choose another"));
        }
        self.refuse_full(|| format!("taking a snapshot of volume {}", volume.name))?;
        let dev_id = self
            .catalog
            .allocate_dev_id(self.pool_uuid)
            .doing(|| format!("allocating a thin device for snapshot {name}"))?;
        let snapshot = catalog::Snapshot {
            uuid,
            volume: volume.uuid,
            pool: volume.pool,
            name,
            dev_id,
            size: volume.size,
            state: catalog::SnapshotState::Creating,
            created: Timestamp::now(),
            labels: BTreeMap::new(),
            op: op.id,
            hold_micros: None,
        };
        op.phase(Phase::Snapshotting);
        let snapshot = self.take(&volume, snapshot, op)?;
        tracing::info!(hold_micros = snapshot.hold_micros, "snapshot taken");
        self.keep_copy_if_due();
        Ok(Created::New(describe_snapshot(&volume, snapshot)))
    }

    /// A snapshot of this name, or of this very operation.
    fn taken_before(
        &self,
        name: &SnapshotName,
        op: &Operation<'_>,
    ) -> Result<Option<catalog::Snapshot>, Error> {
        let taken = self.catalog.snapshots_taken(name, op.id);
        Ok(taken.doing(|| "reading snapshots")?.into_iter().next())
    }

    pub(crate) fn take(
        &self,
        volume: &catalog::Volume,
        mut snapshot: catalog::Snapshot,
        op: &Operation<'_>,
    ) -> Result<catalog::Snapshot, Error> {
        // Nobody is held by this flush; what it writes need not be written inside the suspension.
        self.steps.run("flush", || self.flush(volume))?;
        let (dev_id, origin) = (snapshot.dev_id, volume.dev_id);
        let begun = [Change::PutSnapshot(snapshot.clone())];
        let hold = self.transact(
            op.id,
            "take a snapshot",
            vec![Action::CreateSnapshot { dev_id, origin }],
            &begun,
            || {
                let ((), hold) = self
                    .pool
                    .while_suspended(volume.uuid, || self.pool.create_snapshot(dev_id, origin))
                    .doing(|| {
                        format!(
                            "taking snapshot {} of volume {}",
                            snapshot.name, volume.name
                        )
                    })?;
                self.meters.held(hold);
                Ok(u64::try_from(hold.as_micros()).unwrap_or(u64::MAX))
            },
            |hold, changes| {
                for change in changes {
                    if let Change::PutSnapshot(row) = change {
                        row.hold_micros = Some(*hold);
                    }
                }
            },
        )?;
        snapshot.state = catalog::SnapshotState::Ready;
        snapshot.hold_micros = Some(hold);
        Ok(snapshot)
    }

    /// Deletes a snapshot. Later backups that would have built on it are made in full, and are correct.
    ///
    /// Killed in the middle, the deletion is finished at the next opening.
    ///
    /// # Errors
    /// `NotFound`; `Busy` while it is being backed up or is the base of a running backup.
    pub fn delete_snapshot(
        &self,
        reference: &SnapshotRef,
        op: &Operation<'_>,
    ) -> Result<(), Error> {
        self.refuse_read_only()?;
        let (volume, snapshot) = self.find_snapshot(reference)?;
        let _claim = self.volumes.claim(volume.uuid);
        let _span =
            tracing::info_span!("snapshot delete", snapshot = %snapshot.name, operation = %op.id)
                .entered();
        self.end_rollback(self.reread_volume(&volume)?)?;
        let snapshot = self.reread(&snapshot)?;
        self.destroy_snapshot(&snapshot, op)?;
        tracing::info!("snapshot deleted");
        Ok(())
    }

    /// The snapshot as it is under a claim on its volume.
    pub(crate) fn reread(&self, seen: &catalog::Snapshot) -> Result<catalog::Snapshot, Error> {
        self.catalog
            .snapshot(seen.uuid)
            .doing(|| format!("looking for snapshot {}", seen.name))?
            .ok_or_else(|| {
                Error::new(
                    Kind::NotFound,
                    format!("snapshot {} was deleted in this moment", seen.name),
                )
            })
    }

    /// Deletes a snapshot, from whatever point an earlier try reached.
    pub(crate) fn destroy_snapshot(
        &self,
        snapshot: &catalog::Snapshot,
        op: &Operation<'_>,
    ) -> Result<(), Error> {
        self.refuse_pinned(snapshot)?;
        self.refuse_exchanging(snapshot.dev_id)?;
        let doing = || format!("deleting snapshot {}", snapshot.name);
        self.refuse_unhealthy(doing)?;
        // The kernel's proof that nobody has it; nothing is changed yet.
        self.pool.deactivate_thin(snapshot.uuid).doing(doing)?;
        let doomed = catalog::Snapshot {
            state: catalog::SnapshotState::Deleting,
            ..snapshot.clone()
        };
        self.catalog
            .apply(&[Change::PutSnapshot(doomed)])
            .doing(doing)?;
        op.phase(Phase::Discarding);
        self.empty(&snapshot.name, snapshot_spec(snapshot, false));
        self.delete_device(snapshot.dev_id, "delete a snapshot", op)
    }

    /// Refuses to take away a snapshot that a running backup reads or compares with. What a backup could not unpin
    /// is unpinned.
    pub(crate) fn refuse_pinned(&self, snapshot: &catalog::Snapshot) -> Result<(), Error> {
        let pins = self.catalog.pins().doing(|| "reading pins")?;
        for pin in pins.into_iter().filter(|pin| pin.snapshot == snapshot.uuid) {
            if self.is_pinning(pin.op) {
                let what = format!("snapshot {} is in use: {}", snapshot.name, pin.why);
                return Err(Error::new(Kind::Busy, what).hinting("try again when that is done"));
            }
            self.catalog
                .apply(&[Change::RemovePins { op: pin.op }])
                .doing(|| format!("removing a leftover pin of snapshot {}", snapshot.name))?;
        }
        Ok(())
    }

    /// Whether the operation that pinned something runs still.
    fn is_pinning(&self, op: Uuid) -> bool {
        let pinning = self.pinning.lock().unwrap_or_else(PoisonError::into_inner);
        pinning.contains(&op)
    }

    /// Brings a snapshot's device up, read-only.
    pub(crate) fn activate_snapshot(
        &self,
        snapshot: &catalog::Snapshot,
    ) -> Result<ThinDevice, Error> {
        self.pool
            .activate_thin(&snapshot_spec(snapshot, true))
            .doing(|| format!("activating snapshot {}", snapshot.name))
    }

    /// The snapshots of one volume, or of all, oldest first.
    ///
    /// # Errors
    /// `NotFound` for the volume.
    pub fn snapshots(&self, volume: Option<&VolumeName>) -> Result<Vec<SnapshotInfo>, Error> {
        let volumes = if let Some(name) = volume {
            vec![self.find_volume(name)?]
        } else {
            let trashed = self.trashed_uuids()?;
            let mut all = self.catalog.volumes().doing(|| "reading volumes")?;
            all.retain(|volume| !trashed.contains(&volume.uuid));
            all
        };
        let mut all = Vec::new();
        for volume in volumes {
            let snapshots = self
                .catalog
                .snapshots_of(volume.uuid)
                .doing(|| format!("reading the snapshots of volume {}", volume.name))?;
            all.extend(
                snapshots
                    .into_iter()
                    .map(|snapshot| describe_snapshot(&volume, snapshot)),
            );
        }
        // Identities of version 7 sort by the time they were made, which clocks set back cannot confuse
        // within a process.
        all.sort_by_key(|snapshot| snapshot.uuid);
        Ok(all)
    }

    /// One snapshot.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn snapshot(&self, reference: &SnapshotRef) -> Result<SnapshotInfo, Error> {
        let (volume, snapshot) = self.find_snapshot(reference)?;
        Ok(describe_snapshot(&volume, snapshot))
    }
}

/// A snapshot's device as the kernel is asked for it.
pub(crate) fn snapshot_spec(snapshot: &catalog::Snapshot, read_only: bool) -> ThinSpec {
    ThinSpec {
        uuid: snapshot.uuid,
        dev_id: snapshot.dev_id,
        size: snapshot.size.sectors_floor(),
        read_only,
    }
}
