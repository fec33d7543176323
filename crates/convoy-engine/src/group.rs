//! Snapshots of several volumes at one instant.
//!
//! All volumes are held, all snapshots are made in one transaction of the pool, all volumes go on. What an
//! application wrote to one volume because of what it had written to another is in both snapshots, or in the
//! second alone is not.

use crate::claims::Claim;
use crate::engine::Engine;
use crate::error::{Doing, Error};
use crate::model::{Created, SnapshotInfo, VolumeState};
use crate::operation::{Operation, Phase};
use crate::resolve::describe_snapshot;
use crate::volume::automatic_name;
use convoy_catalog as catalog;
use convoy_catalog::{Action, Change, SnapshotState};
use convoy_fault::Kind;
use convoy_names::{InvalidName, SnapshotName, VolumeName};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// A volume, and the snapshot of it that is to be.
type Pair = (catalog::Volume, catalog::Snapshot);

impl Engine {
    /// Takes snapshots of several volumes at one instant, in the order in which they are named: with a name, each is
    /// called by it, a dash and its volume's name; without, `snapshot-` and 16 hexadecimal digits.
    ///
    /// Writes to all of them are held from the suspend of the first device to the resume of the last, for no longer
    /// than one snapshot may hold its volume. All are taken or none: killed in the middle, none remains or all do.
    /// Repeating an operation under the same id answers `Unchanged`.
    ///
    /// # Errors
    /// As [`Engine::create_snapshot`]; `Invalid` for no volume, one that is named twice, or a name that becomes too long.
    pub fn create_snapshots(
        &self,
        volumes: &[VolumeName],
        name: Option<&SnapshotName>,
        op: &Operation<'_>,
    ) -> Result<Created<Vec<SnapshotInfo>>, Error> {
        self.refuse_read_only()?;
        let (_claims, volumes) = self.claim_group(volumes)?;
        let _span =
            tracing::info_span!("snapshot", group = volumes.len(), operation = %op.id).entered();
        if let Some(taken) = self.taken_together(&volumes, op)? {
            return Ok(Created::Unchanged(taken));
        }
        let mut pairs = Vec::new();
        for volume in volumes {
            let snapshot = snapshot_to_be(&volume, name, op)?;
            pairs.push((volume, snapshot));
        }
        self.refuse_taken(&pairs)?;
        self.refuse_full(|| format!("taking snapshots of {} volumes", pairs.len()))?;
        for (_, snapshot) in &mut pairs {
            snapshot.dev_id = self
                .catalog
                .allocate_dev_id(self.pool_uuid)
                .doing(|| format!("allocating a thin device for snapshot {}", snapshot.name))?;
        }
        op.phase(Phase::Snapshotting);
        let hold = self.take_together(&pairs, op)?;
        tracing::info!(hold_micros = hold, "snapshots taken");
        self.keep_copy_if_due();
        let taken = pairs.into_iter().map(|(volume, mut snapshot)| {
            snapshot.hold_micros = Some(hold);
            describe_snapshot(&volume, snapshot)
        });
        Ok(Created::New(taken.collect()))
    }

    /// Claims all of these volumes, which must be usable and different.
    fn claim_group(
        &self,
        names: &[VolumeName],
    ) -> Result<(Vec<Claim<'_>>, Vec<catalog::Volume>), Error> {
        let mut ids = Vec::new();
        for name in names {
            let id = self.find_volume(name)?.uuid;
            if ids.contains(&id) {
                let what = format!("volume {name} is named twice");
                return Err(Error::new(Kind::Invalid, what));
            }
            ids.push(id);
        }
        if ids.is_empty() {
            let what = "no volume is named to take a snapshot of";
            return Err(Error::new(Kind::Invalid, what));
        }
        let claims = self.volumes.claim_all(&ids);
        let mut volumes = Vec::new();
        for (name, id) in names.iter().zip(ids) {
            let volume = self.find_volume(name)?;
            if volume.uuid != id {
                let what = format!("volume {name} was replaced in this moment");
                return Err(Error::new(Kind::Busy, what));
            }
            let state = self.state_of(&volume);
            if state != VolumeState::Ready {
                let what = format!("volume {name} is {}", state.as_str());
                return Err(Error::new(Kind::Busy, what));
            }
            volumes.push(self.end_rollback(volume)?);
        }
        Ok((claims, volumes))
    }

    /// What this very operation made before, if it did.
    fn taken_together(
        &self,
        volumes: &[catalog::Volume],
        op: &Operation<'_>,
    ) -> Result<Option<Vec<SnapshotInfo>>, Error> {
        let all = self.catalog.snapshots().doing(|| "reading snapshots")?;
        let ready = |snapshot: &catalog::Snapshot| {
            snapshot.op == op.id && snapshot.state == SnapshotState::Ready
        };
        let mine: BTreeMap<Uuid, catalog::Snapshot> = all
            .into_iter()
            .filter(ready)
            .map(|snapshot| (snapshot.volume, snapshot))
            .collect();
        let mut taken = Vec::new();
        for volume in volumes {
            match mine.get(&volume.uuid) {
                Some(snapshot) => taken.push(describe_snapshot(volume, snapshot.clone())),
                None => return Ok(None),
            }
        }
        Ok(Some(taken))
    }

    /// Refuses names that are taken.
    fn refuse_taken(&self, pairs: &[Pair]) -> Result<(), Error> {
        let all = self.catalog.snapshots().doing(|| "reading snapshots")?;
        let taken: BTreeSet<SnapshotName> = all.into_iter().map(|snapshot| snapshot.name).collect();
        match pairs.iter().find(|(_, new)| taken.contains(&new.name)) {
            None => Ok(()),
            Some((_, new)) => Err(Error::new(
                Kind::Conflict,
                format!("Snapshot name {} already exists", new.name),
            )
            .hinting("snapshot names are unique among all volumes: choose another")),
        }
    }

    /// For how many microseconds all were held.
    fn take_together(&self, pairs: &[Pair], op: &Operation<'_>) -> Result<u64, Error> {
        // Twice: while the last was flushed the first was written to again. What is flushed here need not be inside
        // the suspension, where everybody waits for the slowest.
        for (volume, _) in pairs.iter().chain(pairs) {
            self.steps.run("flush", || self.flush(volume))?;
        }
        let actions = pairs
            .iter()
            .map(|(volume, snapshot)| Action::CreateSnapshot {
                dev_id: snapshot.dev_id,
                origin: volume.dev_id,
            });
        let begun = pairs
            .iter()
            .map(|(_, snapshot)| Change::PutSnapshot(snapshot.clone()));
        let begun: Vec<Change> = begun.collect();
        self.transact(
            op.id,
            "take snapshots of several volumes",
            actions.collect(),
            &begun,
            || self.hold_and_take(pairs),
            |hold, changes| {
                for change in changes {
                    if let Change::PutSnapshot(row) = change {
                        row.hold_micros = Some(*hold);
                    }
                }
            },
        )
    }

    fn hold_and_take(&self, pairs: &[Pair]) -> Result<u64, Error> {
        let origins: Vec<Uuid> = pairs.iter().map(|(volume, _)| volume.uuid).collect();
        let ((), hold) = self
            .pool
            .while_all_suspended(&origins, || {
                pairs.iter().try_for_each(|(volume, snapshot)| {
                    self.pool.create_snapshot(snapshot.dev_id, volume.dev_id)
                })
            })
            .doing(|| format!("taking snapshots of {} volumes", pairs.len()))?;
        self.meters.held(hold);
        Ok(u64::try_from(hold.as_micros()).unwrap_or(u64::MAX))
    }
}

/// The record of a snapshot about to be taken; its device is allocated once all names are known to be free.
fn snapshot_to_be(
    volume: &catalog::Volume,
    name: Option<&SnapshotName>,
    op: &Operation<'_>,
) -> Result<catalog::Snapshot, Error> {
    let uuid = Uuid::now_v7();
    let name = match name {
        None => automatic_name("snapshot", uuid),
        Some(name) => format!("{name}-{}", volume.name)
            .parse()
            .map_err(|error: InvalidName| {
                Error::new(Kind::Invalid, error.to_string()).hinting("give a shorter --name")
            })?,
    };
    Ok(catalog::Snapshot {
        uuid,
        volume: volume.uuid,
        pool: volume.pool,
        name,
        dev_id: volume.dev_id,
        size: volume.size,
        state: SnapshotState::Creating,
        created: Timestamp::now(),
        labels: BTreeMap::new(),
        op: op.id,
        hold_micros: None,
    })
}
