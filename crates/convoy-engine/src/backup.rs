//! The verbs on backups: create, delete, list, inspect, verify.

use crate::destination::{Ask, Missing, OpenDestination};
use crate::engine::Engine;
use crate::error::{Doing, Error};
use crate::failpoints::Mistake;
use crate::jobs::Task;
use crate::model::{BackupFormat, BackupInfo, BackupOutcome, BackupSummary, Problem, Verification};
use crate::operation::{Event, Operation, Phase};
use crate::original::Found;
use convoy_backup::Observer;
use convoy_blockdiff::ChangeList;
use convoy_catalog as catalog;
use convoy_catalog::{Change, KnownBackup, Pin};
use convoy_fault::{Fault, Kind};
use convoy_names::{SnapshotRef, VolumeName};
use convoy_objectstore::{BackupUrl, Location};
use convoy_repository::{
    BackupFacts, BackupRecord, PoolFacts, Repository, SnapshotFacts, VolumeRecord,
};
use convoy_units::Bytes;
use std::sync::PoisonError;
use std::time::Instant;
use uuid::Uuid;

/// What a backup is compared with: a snapshot still here, and its backup in the same repository.
struct Base {
    snapshot: catalog::Snapshot,
    backup: BackupRecord,
}

impl Engine {
    /// Backs a snapshot up to a destination (URL or name), reading only the blocks that changed since the
    /// latest backup there whose snapshot is still here, else every mapped block.
    ///
    /// When this returns the backup is durable, complete in itself, and was published last. The volume
    /// goes on being mounted, written and snapshotted meanwhile; the snapshot, and the one compared with,
    /// cannot be deleted. Backups of one volume follow one another.
    ///
    /// # Errors
    /// `NotFound` for the snapshot; `DestinationUnavailable` when the destination does not answer or is
    /// not the one it was; `Integrity` when metadata, device or repository does not verify;
    /// `Interrupted`. On an error no backup is visible, and what was sent is found again by the next; but
    /// when the destination's last answer was lost, it may have become visible (the message says so):
    /// repeating the operation under its id tells.
    pub fn create_backup(
        &self,
        reference: &SnapshotRef,
        destination: &str,
        op: &Operation<'_>,
    ) -> Result<BackupOutcome, Error> {
        self.refuse_read_only()?;
        let (volume, snapshot) = self.find_snapshot(reference)?;
        let place = self.locate(destination)?;
        let task = Task {
            verb: "backup create",
            subject: reference.to_string(),
            place: Some(place.to_string()),
            volume: Some(volume.uuid),
        };
        let url = |made: &BackupOutcome| made.backup.url.clone();
        self.run_job(task, op, url, |op| {
            self.back_up(&volume, &snapshot, &place, op)
        })
    }

    fn back_up(
        &self,
        volume: &catalog::Volume,
        snapshot: &catalog::Snapshot,
        location: &Location,
        op: &Operation<'_>,
    ) -> Result<BackupOutcome, Error> {
        let start = Instant::now();
        let _span = tracing::info_span!("backup", volume = %volume.name, snapshot = %snapshot.name, operation = %op.id)
            .entered();
        let _queue = self.backups.claim_for(volume.uuid, op)?;
        let destination = self.open_location(location, Missing::Create, Ask::Cache)?;
        if let Some(made) = destination.repository.backup_by_op(op.id) {
            if made.snapshot.id != snapshot.uuid {
                let what = format!("operation {} has backed up another snapshot", op.id);
                return Err(Error::new(Kind::Conflict, what));
            }
            let backup = describe_backup(&destination.location, made);
            return Ok(BackupOutcome {
                backup,
                summary: BackupSummary::default(),
            });
        }
        let (snapshot, base, _pins) = self.pin(volume, snapshot, &destination.repository, op)?;
        op.phase(Phase::Comparing);
        let changes = self.compare(&snapshot, base.as_ref())?;
        let carry = |base: Option<&Base>, changes: &ChangeList| {
            self.carry(volume, &snapshot, base, changes, &destination, op)
        };
        let (backup, mut summary) = match carry(base.as_ref(), &changes) {
            // A full backup needs nothing of the base, and makes anew what it has lost.
            Err(error) if error.kind() == Kind::Integrity && base.is_some() => {
                let error = convoy_fault::chain(&error);
                tracing::warn!("making a full backup instead of an incremental one: {error}");
                op.phase(Phase::Comparing);
                let changes = self.compare(&snapshot, None)?;
                carry(None, &changes)?
            }
            carried => carried?,
        };
        summary.duration = start.elapsed();
        self.meters.backed_up(&summary);
        tracing::info!(backup = %backup.name, read = summary.read.0, stored = summary.stored.0, "backup created");
        Ok(BackupOutcome { backup, summary })
    }

    /// Keeps the snapshot and its base from being deleted until the guard is dropped. The claim on the
    /// volume is held just for that: a deletion either came before, and is seen here, or finds the pins.
    fn pin<'a>(
        &'a self,
        volume: &catalog::Volume,
        snapshot: &catalog::Snapshot,
        repository: &Repository,
        op: &Operation<'_>,
    ) -> Result<(catalog::Snapshot, Option<Base>, Pins<'a>), Error> {
        let _claim = self.volumes.claim(volume.uuid);
        let snapshot = self.reread(snapshot)?;
        if snapshot.state != catalog::SnapshotState::Ready {
            let what = format!("snapshot {} is being made or deleted", snapshot.name);
            return Err(Error::new(Kind::Busy, what));
        }
        let base = self.choose_base(volume, repository)?;
        let pin = |snapshot: &catalog::Snapshot, why: &str| {
            Change::PutPin(Pin {
                snapshot: snapshot.uuid,
                op: op.id,
                why: why.to_owned(),
            })
        };
        let mut changes = vec![pin(&snapshot, "it is being backed up")];
        if let Some(base) = base
            .as_ref()
            .filter(|base| base.snapshot.uuid != snapshot.uuid)
        {
            changes.push(pin(&base.snapshot, "a backup is being compared with it"));
        }
        let pins = Pins::new(self, op.id);
        self.catalog
            .apply(&changes)
            .doing(|| format!("pinning snapshot {}", snapshot.name))?;
        Ok((snapshot, base, pins))
    }

    /// The latest live backup of this very volume (by identity, never by name) from this pool, whose
    /// snapshot is still here. Latest by the repository's log, not by any clock.
    fn choose_base(
        &self,
        volume: &catalog::Volume,
        repository: &Repository,
    ) -> Result<Option<Base>, Error> {
        let snapshots = self
            .catalog
            .snapshots_of(volume.uuid)
            .doing(|| format!("reading the snapshots of volume {}", volume.name))?;
        let by_name = self.steps.err(Mistake::BaseByName);
        let mut ours = repository.backups();
        ours.retain(|b| b.volume.id == volume.uuid && b.pool.id == self.pool_uuid || by_name);
        ours.sort_by_key(|backup| std::cmp::Reverse(backup.slot));
        for backup in ours {
            let here = snapshots.iter().find(|snapshot| {
                if by_name {
                    return snapshot.name.as_str() == backup.snapshot.name;
                }
                snapshot.uuid == backup.snapshot.id
                    && snapshot.state == catalog::SnapshotState::Ready
                    && snapshot.dev_id.get() == backup.pool.dev_id
            });
            if let Some(snapshot) = here {
                return Ok(Some(Base {
                    snapshot: snapshot.clone(),
                    backup,
                }));
            }
        }
        Ok(None)
    }

    /// Which blocks changed.
    fn compare(
        &self,
        snapshot: &catalog::Snapshot,
        base: Option<&Base>,
    ) -> Result<ChangeList, Error> {
        let base_id = base.map(|base| base.snapshot.dev_id);
        self.read_metadata(|view| {
            convoy_blockdiff::changes(view, base_id, snapshot.dev_id)
                .doing(|| format!("finding what changed in snapshot {}", snapshot.name))
        })
    }

    /// Reads, stores and publishes the changed blocks.
    fn carry(
        &self,
        volume: &catalog::Volume,
        snapshot: &catalog::Snapshot,
        base: Option<&Base>,
        changes: &ChangeList,
        destination: &OpenDestination,
        op: &Operation<'_>,
    ) -> Result<(BackupInfo, BackupSummary), Error> {
        let pool = self.pool_record()?;
        let active = ActiveSnapshot::new(self, snapshot)?;
        let source = self
            .machine
            .reader(&active.node)
            .doing(|| format!("opening snapshot {}", snapshot.name))?;
        let facts = facts(volume, snapshot, &pool, self.catalog.host(), op);
        let repository = destination.repository.id();
        let options = convoy_backup::CreateOptions {
            journal: Some(self.root.journal(repository, volume.uuid)?),
            ..convoy_backup::CreateOptions::default()
        };
        op.phase(Phase::BackingUp);
        let made = convoy_backup::create(
            &destination.repository,
            &*source,
            changes,
            pool.block_size,
            base.map(|base| &base.backup),
            &facts,
            &options,
            &Ears(op),
        )
        .doing(|| {
            format!(
                "backing up snapshot {} of volume {} to {}",
                snapshot.name, volume.name, destination.location
            )
        })?;
        op.phase(Phase::Committed);
        let known = KnownBackup {
            backup: made.backup.id,
            name: made.backup.name.clone(),
            repository: destination.repository.id(),
            volume: volume.uuid,
            snapshot: snapshot.uuid,
            created: made.backup.created,
        };
        // The backup exists whatever happens to this note of it: bases are found in the repository.
        if let Err(error) = self.catalog.apply(&[Change::PutBackup(known)]) {
            let error = convoy_fault::chain(&error);
            tracing::warn!(
                "backup {} is made but not noted in the catalog: {error}",
                made.backup.name
            );
        }
        let summary = BackupSummary {
            changed: made.changed_bytes,
            read: made.read_bytes,
            new: made.new_chunk_bytes,
            stored: made.stored_bytes,
            requests: made.requests,
            ..BackupSummary::default()
        };
        Ok((describe_backup(&destination.location, made.backup), summary))
    }

    /// Deletes a backup by its URL: one record in the repository's log. Space is given back by a later
    /// collection.
    ///
    /// # Errors
    /// `NotFound` when there is no such backup (any more); `DestinationUnavailable`.
    pub fn delete_backup(&self, url: &str, op: &Operation<'_>) -> Result<(), Error> {
        self.refuse_read_only()?;
        let (destination, backup) = match self.find_either(url, Ask::Cache)? {
            Found::Ours(found) => *found,
            Found::Original(found) => return Err(found.refuse_deletion()),
        };
        let _span = tracing::info_span!("backup delete", backup = %backup.name, operation = %op.id)
            .entered();
        destination
            .repository
            .delete(backup.id, op.id)
            .doing(|| format!("deleting backup {}", backup.name))?;
        self.catalog
            .apply(&[Change::RemoveBackup(backup.id)])
            .doing(|| format!("forgetting backup {}", backup.name))?;
        tracing::info!("backup deleted");
        Ok(())
    }

    /// The backups at a destination, oldest first; of one volume only, by the name it had. A destination
    /// that was never used has none.
    ///
    /// # Errors
    /// `NotFound` for a volume that has no backup there; `DestinationUnavailable`.
    pub fn backups(
        &self,
        destination: &str,
        volume_name: Option<&VolumeName>,
    ) -> Result<Vec<BackupInfo>, Error> {
        let location = self.locate(destination)?;
        let mut infos = Vec::new();
        match self.open_location(&location, Missing::Refuse, Ask::Cache) {
            Ok(OpenDestination {
                location,
                repository,
            }) => {
                let mut backups = repository.backups();
                backups.retain(|b| volume_name.is_none_or(|name| b.volume.name == name.as_str()));
                backups.sort_by_key(|backup| backup.slot);
                infos.extend(
                    backups
                        .into_iter()
                        .map(|backup| describe_backup(&location, backup)),
                );
            }
            Err(error) if error.kind() == Kind::NotFound => (),
            Err(error) => return Err(error),
        }
        // What the original made is older than anything of ours.
        infos.splice(0..0, self.originals(&location, volume_name)?);
        match volume_name {
            Some(name) if infos.is_empty() => Err(no_backup_of(name, destination)),
            _ => Ok(infos),
        }
    }

    /// One backup by its URL.
    ///
    /// # Errors
    /// `Invalid` for a URL that is none; `NotFound`; `DestinationUnavailable`.
    pub fn backup(&self, url: &str) -> Result<BackupInfo, Error> {
        Ok(match self.find_either(url, Ask::Cache)? {
            Found::Ours(found) => describe_backup(&found.0.location, found.1),
            Found::Original(found) => found.describe(),
        })
    }

    /// Reads a backup back, every chunk of it, without its source.
    ///
    /// # Errors
    /// As [`Engine::backup`]. What does not verify is no error but in the answer.
    pub fn verify_backup(&self, url: &str, op: &Operation<'_>) -> Result<Verification, Error> {
        let task = Task {
            verb: "backup verify",
            subject: url.to_owned(),
            place: None,
            volume: None,
        };
        let verdict = |found: &Verification| match found.problems.len() {
            0 => "every byte of it is good".to_owned(),
            some => format!("{} problems", some as u64 + found.more_problems),
        };
        self.run_job(task, op, verdict, |op| self.read_back(url, op))
    }

    fn read_back(&self, url: &str, op: &Operation<'_>) -> Result<Verification, Error> {
        let (destination, backup) = match self.find_either(url, Ask::Store)? {
            Found::Ours(found) => *found,
            Found::Original(found) => return found.verify(op),
        };
        let _span = tracing::info_span!("backup verify", backup = %backup.name, operation = %op.id)
            .entered();
        op.phase(Phase::Verifying);
        let options = convoy_backup::VerifyOptions { read_data: true };
        let report = convoy_backup::verify(&destination.repository, &backup, &options, &Ears(op))
            .doing(|| format!("verifying backup {}", backup.name))?;
        let problems = report.problems.into_iter().map(|problem| Problem {
            object: problem.object,
            range: problem.range,
            what: problem.what,
        });
        Ok(Verification {
            problems: problems.collect(),
            more_problems: report.more_problems,
            chunks: report.chunks,
            bytes: report.bytes,
            backup: describe_backup(&destination.location, backup),
        })
    }

    /// One of our own backups, by its URL, in its open repository.
    pub(crate) fn find_backup_asking(
        &self,
        url: &str,
        ask: Ask,
    ) -> Result<(OpenDestination, BackupRecord), Error> {
        let parsed: BackupUrl = url
            .parse()
            .doing(|| format!("reading backup URL {url:?}"))?;
        let destination = self.open_location(&parsed.location, Missing::Refuse, ask)?;
        let at = destination.location.clone();
        match destination.repository.backup_by_name(&parsed.backup) {
            Ok(backup) if backup.volume.name == parsed.volume => Ok((destination, backup)),
            Ok(_) => {
                let what = format!(
                    "there is no backup {} of volume {} at {at}",
                    parsed.backup, parsed.volume
                );
                Err(Error::new(Kind::NotFound, what))
            }
            Err(error) => Err(Error::of(format!("looking for the backup at {at}"), error)),
        }
        .map_err(|error: Error| {
            error.hinting(format!(
                "`convoy backup list {at}` shows the backups there are"
            ))
        })
    }
}

/// Snapshots kept from deletion while this lives.
struct Pins<'a> {
    engine: &'a Engine,
    op: Uuid,
}

impl<'a> Pins<'a> {
    fn new(engine: &'a Engine, op: Uuid) -> Self {
        let mut pinning = engine
            .pinning
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        pinning.insert(op);
        Self { engine, op }
    }
}

impl Drop for Pins<'_> {
    fn drop(&mut self) {
        let pinning = self.engine.pinning.lock();
        pinning
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.op);
        // A pin left behind is removed at the next opening; or by who deletes the snapshot.
        if let Err(error) = self
            .engine
            .catalog
            .apply(&[Change::RemovePins { op: self.op }])
        {
            tracing::error!("unpinning snapshots: {}", convoy_fault::chain(&error));
        }
    }
}

/// A snapshot's device, up while this lives.
struct ActiveSnapshot<'a> {
    engine: &'a Engine,
    uuid: Uuid,
    node: std::path::PathBuf,
}

impl<'a> ActiveSnapshot<'a> {
    fn new(engine: &'a Engine, snapshot: &catalog::Snapshot) -> Result<Self, Error> {
        let device = engine.activate_snapshot(snapshot)?;
        Ok(Self {
            engine,
            uuid: snapshot.uuid,
            node: device.node,
        })
    }
}

impl Drop for ActiveSnapshot<'_> {
    fn drop(&mut self) {
        // One left behind is taken down at the next opening.
        if let Err(error) = self.engine.pool.deactivate_thin(self.uuid) {
            tracing::warn!(
                "leaving a snapshot's device active: {}",
                convoy_fault::chain(&error)
            );
        }
    }
}

/// What the commit record says of a backup's origin.
fn facts(
    volume: &catalog::Volume,
    snapshot: &catalog::Snapshot,
    pool: &catalog::Pool,
    host: Uuid,
    op: &Operation<'_>,
) -> BackupFacts {
    let mut labels = volume.labels.clone();
    labels.extend(snapshot.labels.clone());
    BackupFacts {
        op: op.id,
        volume: VolumeRecord {
            id: volume.uuid,
            name: volume.name.to_string(),
        },
        volume_size: snapshot.size,
        volume_created: volume.created,
        snapshot: SnapshotFacts {
            id: snapshot.uuid,
            name: snapshot.name.to_string(),
            created: snapshot.created,
        },
        filesystem: volume.filesystem.clone(),
        driver: pool.driver.clone(),
        host,
        pool: PoolFacts {
            id: pool.uuid,
            dev_id: snapshot.dev_id.get(),
            transaction: pool.transaction.0,
            block_size: pool.block_size.bytes(),
        },
        labels,
    }
}

/// The pipeline's observer, told on to the operation's.
pub(crate) struct Ears<'a>(pub(crate) &'a Operation<'a>);

impl Observer for Ears<'_> {
    fn progress(&self, done: Bytes, total: Bytes) {
        self.0.observer.event(Event::Progress { done, total });
    }

    fn cancelled(&self) -> bool {
        self.0.observer.cancelled()
    }
}

/// A backup as a caller is shown it.
pub(crate) fn describe_backup(location: &Location, backup: BackupRecord) -> BackupInfo {
    let url = BackupUrl {
        location: location.clone(),
        backup: backup.name.clone(),
        volume: backup.volume.name.clone(),
    };
    BackupInfo {
        format: BackupFormat::Convoy,
        problem: None,
        uuid: backup.id,
        url: url.to_string(),
        name: backup.name,
        driver: backup.driver,
        created: backup.created,
        snapshot: backup.snapshot.id,
        snapshot_name: backup.snapshot.name,
        snapshot_created: backup.snapshot.created,
        volume: backup.volume.id,
        volume_name: backup.volume.name,
        volume_created: backup.volume_created,
        volume_size: backup.volume_size,
        filesystem: backup.filesystem,
        base: backup.base,
        host: backup.host,
        operation: backup.op,
        changed: backup.figures.changed,
        read: backup.figures.read,
        new: backup.figures.new,
        stored: backup.figures.stored,
        labels: backup.labels,
    }
}

fn no_backup_of(volume: &VolumeName, destination: &str) -> Error {
    Error::new(
        Kind::NotFound,
        format!("cannot find volume {volume} in {destination}"),
    )
}
