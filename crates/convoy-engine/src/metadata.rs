//! The pool's metadata as of one moment, and what it tells of snapshots.

use crate::engine::Engine;
use crate::error::{Doing, Error};
use crate::machine::Metadata;
use crate::model::{SnapshotInfo, SnapshotUsage};
use convoy_thin_metadata::View;
use convoy_units::DevId;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

impl Engine {
    /// Reads a metadata snapshot that is held for just this. Other readers queue, the pool goes on.
    pub(crate) fn read_metadata<T>(
        &self,
        read: impl FnOnce(&View<Metadata>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let held = self
            .pool
            .reserve_metadata_snapshot()
            .doing(|| "reserving a snapshot of the pool's metadata")?;
        let answer = self
            .machine
            .metadata(held.metadata_device())
            .and_then(|source| View::held(source, held.root()))
            .doing(|| "reading the pool's metadata")
            .and_then(|view| read(&view));
        held.release()
            .doing(|| "releasing the snapshot of the pool's metadata")?;
        answer
    }

    /// What each of these snapshots takes up of the pool at this moment, by its UUID; one that is gone by now is
    /// left out.
    ///
    /// Reads the mapping trees of the whole pool once (4 KiB for each 250 mapped blocks or fewer): on a
    /// pool of many terabytes this takes seconds. Nothing waits meanwhile but other readers of the metadata,
    /// such as the comparison at the start of a backup.
    ///
    /// # Errors
    /// `Integrity` when any of the pool's mapping trees is damaged: then nothing is known.
    pub fn snapshot_usage(
        &self,
        snapshots: &[SnapshotInfo],
    ) -> Result<BTreeMap<Uuid, SnapshotUsage>, Error> {
        if snapshots.is_empty() {
            return Ok(BTreeMap::new());
        }
        self.refuse_read_only()?;
        self.read_metadata(|view| {
            let devices = view.devices().doing(|| "reading the pool's devices")?;
            let there: BTreeSet<DevId> = devices.iter().map(|device| device.dev_id).collect();
            let ids: Vec<DevId> = snapshots
                .iter()
                .map(|snapshot| snapshot.dev_id)
                .filter(|dev_id| there.contains(dev_id))
                .collect();
            let found = convoy_blockdiff::usage(view, Some(&ids))
                .doing(|| "measuring what snapshots take up")?;
            let found: BTreeMap<DevId, SnapshotUsage> = found
                .into_iter()
                .map(|usage| (usage.dev_id, SnapshotUsage::from(usage)))
                .collect();
            let known = snapshots
                .iter()
                .filter_map(|snapshot| Some((snapshot.uuid, *found.get(&snapshot.dev_id)?)));
            Ok(known.collect())
        })
    }
}

impl From<convoy_blockdiff::Usage> for SnapshotUsage {
    fn from(usage: convoy_blockdiff::Usage) -> Self {
        Self {
            referenced: usage.mapped,
            exclusive: usage.exclusive,
        }
    }
}
