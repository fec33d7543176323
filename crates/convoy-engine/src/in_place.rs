//! A backup as the content of a volume that exists: only what differs is written, after a safety snapshot.
//!
//! Write order: the safety snapshot; the row that keeps the volume from being mounted; the data, flushed; the
//! row removed. Killed or failing after the row, the volume holds parts of both and is not mounted by anybody
//! until the restore is repeated, or the safety snapshot is rolled back to. No claim on the volume is held while
//! data moves: the row keeps others off.

mod differing;

use crate::engine::Engine;
use crate::error::{Doing, Error};
use crate::jobs::Task;
use crate::model::VolumeInfo;
use crate::operation::{Operation, Phase};
use crate::restore::{Source, fill};
use crate::volume::automatic_name;
use convoy_catalog as catalog;
use convoy_catalog::Change;
use convoy_fault::Kind;
use convoy_names::{SnapshotName, VolumeName};
use convoy_units::{ByteRange, Bytes};
use differing::{Differing, Tally};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// A volume that was overwritten with a backup.
#[derive(Debug, Clone)]
pub struct RestoredInPlace {
    /// The volume.
    pub volume: VolumeInfo,
    /// The snapshot that holds what was there before.
    pub safety: SnapshotName,
    /// Bytes that differed, and were written.
    pub written: Bytes,
    /// Bytes that were there already, as the backup has them.
    pub unchanged: Bytes,
}

impl Engine {
    /// Makes a volume what a backup holds, writing only what differs. A snapshot of what was there is taken
    /// first, and kept. The sizes must be the same.
    ///
    /// Durable when it returns. Killed or failing in the middle, the volume cannot be mounted until this is
    /// repeated, or its safety snapshot is rolled back to; a repetition keeps the first safety snapshot.
    ///
    /// # Errors
    /// `Busy` while the volume is mounted or open; `Invalid` for a backup of another size; what
    /// [`Engine::backup`] says of the backup; `PoolFull`, before the volume is touched or in the middle.
    pub fn restore_in_place(
        &self,
        url: &str,
        volume: &VolumeName,
        op: &Operation<'_>,
    ) -> Result<RestoredInPlace, Error> {
        self.refuse_read_only()?;
        let found = self.find_volume(volume)?;
        let task = Task {
            verb: "backup restore",
            subject: found.name.to_string(),
            place: Some(url.to_owned()),
            volume: Some(found.uuid),
        };
        let told =
            |done: &RestoredInPlace| format!("what was there is in snapshot {}", done.safety);
        self.run_job(task, op, told, |op| self.overwrite(url, volume, op))
    }

    fn overwrite(
        &self,
        url: &str,
        name: &VolumeName,
        op: &Operation<'_>,
    ) -> Result<RestoredInPlace, Error> {
        let source = self.open_source(url)?;
        let _alone = self
            .overwriting
            .claim_for(self.find_volume(name)?.uuid, op)?;
        let (volume, begun) = self.begin_overwrite(&source, url, name, op)?;
        let _span =
            tracing::info_span!("restore in place", volume = %volume.name, operation = %op.id)
                .entered();
        let tally = self.write_over(&source, &volume, op).map_err(|error| {
            let (name, safety) = (&volume.name, &begun.safety);
            error.hinting(format!(
                "volume {name} holds parts of both and is not mounted until you repeat this restore, or go back: convoy snapshot rollback {safety}"
            ))
        })?;
        // Only now: what the row vouches for is durable.
        self.catalog
            .apply(&[Change::RemoveOverwrite(volume.uuid)])
            .doing(|| format!("recording that volume {} is restored", volume.name))?;
        let (written, unchanged) = tally.bytes();
        tracing::info!(written = written.0, safety = %begun.safety, "volume restored in place");
        let safety = begun.safety.parse().map_err(|error| {
            Error::new(
                Kind::Integrity,
                format!("the safety snapshot's name: {error}"),
            )
        })?;
        Ok(RestoredInPlace {
            volume: self.describe_volume(volume, &self.kernel()?)?,
            safety,
            written,
            unchanged,
        })
    }

    /// Checks every rule, keeps what is there in a snapshot, and closes the volume to everybody else.
    fn begin_overwrite(
        &self,
        source: &Source,
        url: &str,
        name: &VolumeName,
        op: &Operation<'_>,
    ) -> Result<(catalog::Volume, catalog::Overwrite), Error> {
        let (_claim, volume) = self.claim_volume(name)?;
        let earlier = self.overwritten(volume.uuid)?;
        if volume.state != catalog::VolumeState::Ready || self.why_broken(volume.uuid).is_some() {
            let what = format!("volume {name} is {}", self.state_of(&volume).as_str());
            return Err(Error::new(Kind::Busy, what));
        }
        let size = source.size(None)?;
        if size != volume.size {
            let what = format!(
                "the backup is of a volume of {}, and volume {name} has {}",
                size, volume.size
            );
            return Err(Error::new(Kind::Invalid, what).hinting(format!(
                "make a volume of it: convoy create NAME --backup {url:?}"
            )));
        }
        if source.backup.filesystem != volume.filesystem {
            let (theirs, ours) = (&source.backup.filesystem, &volume.filesystem);
            let what =
                format!("the backup holds an {theirs} filesystem, and volume {name} is {ours}");
            return Err(Error::new(Kind::Invalid, what));
        }
        if let Some(target) = self.kernel()?.mount_of(volume.uuid, None) {
            let what = format!("volume {name} is mounted at {}", target.display());
            return Err(
                Error::new(Kind::Busy, what).hinting(format!("`convoy umount {name}` first"))
            );
        }
        self.refuse_open(&volume)?;
        let safety = match earlier {
            // What the earlier attempt left is no state to go back to.
            Some(earlier) => earlier.safety,
            None => self.keep_safe(&volume, op)?,
        };
        let begun = catalog::Overwrite {
            volume: volume.uuid,
            backup: url.to_owned(),
            safety,
            op: op.id,
            since: Timestamp::now(),
        };
        self.catalog
            .apply(&[Change::PutOverwrite(begun.clone())])
            .doing(|| format!("recording that volume {name} is being overwritten"))?;
        Ok((volume, begun))
    }

    /// A snapshot of what is there.
    fn keep_safe(&self, volume: &catalog::Volume, op: &Operation<'_>) -> Result<String, Error> {
        self.refuse_full(|| format!("taking a snapshot of volume {}", volume.name))?;
        let name: SnapshotName = automatic_name("before-restore", op.id);
        let dev_id = self
            .catalog
            .allocate_dev_id(self.pool_uuid)
            .doing(|| format!("allocating a thin device for snapshot {name}"))?;
        let snapshot = catalog::Snapshot {
            uuid: Uuid::now_v7(),
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
        self.activate(volume)?;
        Ok(self.take(volume, snapshot, op)?.name.to_string())
    }

    fn write_over(
        &self,
        source: &Source,
        volume: &catalog::Volume,
        op: &Operation<'_>,
    ) -> Result<Arc<Tally>, Error> {
        let doing = || format!("opening volume {}", volume.name);
        let device = self.activate(volume)?;
        let mapped = self.mapped_ranges(volume)?;
        let piece = self.pool_record()?.block_size.bytes();
        let tally = Arc::new(Tally::default());
        let over = || -> Result<Differing, convoy_backup::Error> {
            Ok(Differing {
                there: self.machine.reader(&device.node)?,
                inner: self.machine.writer(&device.node)?,
                piece,
                tally: Arc::clone(&tally),
            })
        };
        self.steps.run("overwrite", || {
            let sink = over().map(|sink| Box::new(sink) as Box<dyn convoy_backup::BlockWriter>);
            fill(source, volume, sink, &self.pool, op)
        })?;
        op.phase(Phase::Clearing);
        self.steps.run("clear", || {
            let sink = over().doing(doing)?;
            let cancelled = || op.observer.cancelled();
            sink.clear(&mapped, &cancelled).map_err(|error| {
                let kind = match error.kind() {
                    std::io::ErrorKind::Interrupted => Kind::Interrupted,
                    std::io::ErrorKind::StorageFull => Kind::PoolFull,
                    _ => Kind::Failed,
                };
                let what = format!(
                    "clearing what the backup does not have from volume {}",
                    volume.name
                );
                Error::of(what, error).being(kind)
            })
        })?;
        Ok(tally)
    }

    /// Where a volume has blocks of its own: everything else reads as zeros.
    fn mapped_ranges(&self, volume: &catalog::Volume) -> Result<Vec<ByteRange>, Error> {
        let block = self.pool_record()?.block_size;
        let blocks = self.read_metadata(|view| {
            convoy_blockdiff::changes(view, None, volume.dev_id)
                .doing(|| format!("finding what volume {} has", volume.name))
        })?;
        let copies = blocks.iter().filter_map(|change| match change {
            convoy_blockdiff::Change::Copy(range) => Some(range.bytes(block, volume.size)),
            convoy_blockdiff::Change::Hole(_) => None,
        });
        Ok(copies.collect())
    }

    /// What a volume is being overwritten with, if it is.
    pub(crate) fn overwritten(&self, volume: Uuid) -> Result<Option<catalog::Overwrite>, Error> {
        self.catalog
            .overwrite(volume)
            .doing(|| "reading what is being overwritten")
    }

    /// Whether it is; a catalog that cannot be read tells that elsewhere.
    pub(crate) fn is_overwritten(&self, volume: Uuid) -> bool {
        matches!(self.catalog.overwrite(volume), Ok(Some(_)))
    }

    /// Refuses the content of a volume that holds parts of two.
    pub(crate) fn refuse_overwritten(&self, volume: &catalog::Volume) -> Result<(), Error> {
        let Some(begun) = self.overwritten(volume.uuid)? else {
            return Ok(());
        };
        let (name, safety) = (&volume.name, &begun.safety);
        let what = format!(
            "a restore in place of volume {name} has not come to its end: it holds parts of both"
        );
        Err(Error::new(Kind::Busy, what).hinting(format!(
            "wait for the restore (convoy job list), repeat it: convoy backup restore {:?} --to {name}; or go back: convoy snapshot rollback {safety}",
            begun.backup
        )))
    }
}
