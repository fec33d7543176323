//! Making a backup.

use crate::error::Error;
use crate::io::BlockReader;
use crate::observer::{Observer, Phase};
use crate::pipeline::{self, Counts, Task};
use crate::select::select;
use convoy_blockdiff::ChangeList;
use convoy_repository::{
    BackupFacts, BackupFigures, BackupRecord, BlobId, Repository, Visit, chunks_of, walk,
};
use convoy_units::{Bytes, DataBlockSize};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How a backup is made.
#[derive(Debug, Clone)]
pub struct CreateOptions {
    /// Threads that hash and compress, at least 1.
    pub threads: usize,
    /// Packs are closed at this size instead of 32 MiB. Two are in memory at a time.
    pub pack_target: Option<Bytes>,
    /// A file of this host where what is sent is noted, for a later call with the same one to go on with. Its
    /// directory must exist; one call at a time may have it.
    pub journal: Option<PathBuf>,
}

impl Default for CreateOptions {
    fn default() -> Self {
        Self {
            threads: 2,
            pack_target: None,
            journal: None,
        }
    }
}

/// What a backup did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The backup, published.
    pub backup: BackupRecord,
    /// Bytes in the changed ranges, holes included.
    pub changed_bytes: Bytes,
    /// Bytes read from the source: the changed ranges grown to whole chunks, without the holes.
    pub read_bytes: Bytes,
    /// Plain bytes of chunks that the repository did not have.
    pub new_chunk_bytes: Bytes,
    /// Bytes of packs and index segments sent.
    pub stored_bytes: Bytes,
    /// Chunks read or found to be holes by the changes.
    pub chunks_total: u64,
    /// Chunks that were stored.
    pub chunks_new: u64,
    /// Chunks that the repository had.
    pub chunks_reused: u64,
    /// Chunks that are holes now.
    pub chunks_holes: u64,
    /// Packs sent.
    pub packs: u32,
    /// Requests to the store, by anybody who shares it.
    pub requests: u64,
    /// From begin to end.
    pub duration: Duration,
}

/// Backs up what changed in `source` since `base`, and publishes the whole as one backup.
///
/// `changes` are the changes since the snapshot that `base` was made from, or, if `base` is `None`,
/// everything that is mapped: whatever is not in them is a hole then, never something an older
/// backup had. `source` stays as it is meanwhile (it is a snapshot), and reads as zeros where nothing
/// is mapped. It may never have been larger than it was at `base`, or `base` must be `None`.
///
/// When this returns the backup is durable and published. On any error, and when the observer asks to
/// stop, no backup is visible (of kind `Integrity` and called `Base`: the same call without a base makes
/// a full backup that needs nothing of it, and stores anew what was lost), except that after an error of the repository of kind `Unclear` it may
/// appear; the same call with the same `facts.op` finds out and does nothing twice. Memory: about two
/// packs, the index (31 MB at most) and 16 spans of 1 MiB, whatever the volume's size.
#[expect(
    clippy::too_many_arguments,
    reason = "each is a thing of its own, and callers have them apart"
)]
pub fn create(
    repository: &Repository,
    source: &dyn BlockReader,
    changes: &ChangeList,
    block_size: DataBlockSize,
    base: Option<&BackupRecord>,
    facts: &BackupFacts,
    options: &CreateOptions,
    observer: &dyn Observer,
) -> Result<Summary, Error> {
    let start = Instant::now();
    let requests = repository.counters().requests();
    check(source, base, facts)?;
    observer.phase(Phase::Reading);
    let mut attempt = 1;
    loop {
        match run(
            repository, source, changes, block_size, base, facts, options, observer,
        ) {
            // Packs we meant to reuse were collected: another session makes them again. A base that
            // is gone fails at its begin.
            Err(Error::Repository {
                source: convoy_repository::Error::Overtaken { what },
                ..
            }) if attempt < 3 => {
                // What is gone on with is not what lost its packs.
                drop(options.journal.as_ref().map(std::fs::remove_file));
                tracing::info!(%what, "the backup begins again");
                attempt += 1;
            }
            Err(error) => return Err(error),
            Ok(mut summary) => {
                summary.duration = start.elapsed();
                summary.requests = repository.counters().requests().saturating_sub(requests);
                return Ok(summary);
            }
        }
    }
}

fn check(
    source: &dyn BlockReader,
    base: Option<&BackupRecord>,
    facts: &BackupFacts,
) -> Result<(), Error> {
    if source.len() < facts.volume_size {
        return Err(Error::Invalid(format!(
            "the source has {}, less than the volume's {}",
            source.len(),
            facts.volume_size
        )));
    }
    match base {
        // By identity, never by name: two volumes of one name must not end up in one image.
        Some(base) if base.volume.id != facts.volume.id => Err(Error::Invalid(format!(
            "backup {} is of volume {}, not of {}",
            base.name, base.volume.id, facts.volume.id
        ))),
        _ => Ok(()),
    }
}

#[expect(clippy::too_many_arguments, reason = "those of `create`")]
fn run(
    repository: &Repository,
    source: &dyn BlockReader,
    changes: &ChangeList,
    block_size: DataBlockSize,
    base: Option<&BackupRecord>,
    facts: &BackupFacts,
    options: &CreateOptions,
    observer: &dyn Observer,
) -> Result<Summary, Error> {
    repository
        .ensure_volume(
            facts.volume.id,
            &facts.volume.name,
            Some(facts.volume_created),
        )
        .map_err(Error::repository("make the volume known to the repository"))?;
    let base_id = base.map(|base| base.id);
    let begun = match &options.journal {
        Some(journal) => repository.begin_journaled(base_id, journal),
        None => repository.begin(base_id),
    };
    // Asked before anything is made of the base: what an earlier call made may have outlived it.
    if let Some(made) = repository.backup_by_op(facts.op) {
        // Published by an earlier call whose answer was lost.
        return Ok(summary(made, Counts::default(), 0));
    }
    let mut session = begun.map_err(Error::repository("begin a backup in the repository"))?;
    if base.is_some() {
        repository
            .look_for_packs()
            .map_err(Error::repository("look for the packs of earlier backups"))?;
    }
    let known_damage = repository.known_damage();
    if let Some(base) = base.filter(|_| known_damage > 0) {
        check_base(repository, base)?;
    }
    if let Some(target) = options.pack_target {
        session = session.with_pack_target(target);
    }
    let size = facts.volume_size;
    let work = select(
        changes,
        block_size,
        repository.chunk_size(),
        size,
        base.map(|base| base.volume_size),
    );
    let task = Task {
        repository,
        session: &session,
        source,
        size,
        total: Bytes(changed(changes, block_size, size, false)),
        threads: options.threads.max(1),
        observer,
    };
    let ran = pipeline::run(&task, work, base);
    if ran.is_err() {
        // Who comes next goes on from here.
        session.checkpoint();
    }
    let (root, counts) = ran.map_err(|error| of_base(error, base))?;
    if let Some(base) = base.filter(|_| repository.known_damage() != known_damage) {
        check_base(repository, base)?;
    }
    if observer.cancelled() {
        return Err(Error::Cancelled);
    }
    observer.phase(Phase::Publishing);
    let figures = BackupFigures {
        changed: Bytes(changed(changes, block_size, size, true)),
        read: counts.read,
        new: counts.new_bytes,
        stored: session.stored(),
    };
    let backup = session
        .commit(facts, root, figures)
        .map_err(Error::repository("publish the backup"))?;
    Ok(summary(backup, counts, session.packs()))
}

/// Whether everything that the new backup would take over from its base has a place that is not known to
/// be damaged. Reads the base's whole tree, so it is asked only where damage was met.
fn check_base(repository: &Repository, base: &BackupRecord) -> Result<(), Error> {
    let damaged = |source| Error::Base {
        base: base.name.clone(),
        source,
    };
    let lost = |id: &BlobId| {
        damaged(convoy_repository::Error::Missing {
            what: "chunk",
            id: *id,
        })
    };
    let chunks = chunks_of(base.volume_size.0, repository.chunk_size().0);
    walk(
        &|id| repository.read_node(id),
        &base.root,
        chunks,
        &mut |visit| match visit {
            Visit::Broken(_, _, source) => Err(damaged(source)),
            Visit::Leaf(_, ids) => ids.iter().flatten().try_for_each(|id| {
                let trusted = repository.is_trusted(id).map_err(damaged)?;
                trusted.then_some(()).ok_or_else(|| lost(id))
            }),
        },
    )
}

/// Damage met while the base's tree was edited is the base's.
fn of_base(error: Error, base: Option<&BackupRecord>) -> Error {
    use convoy_repository::Error::{Damaged, Missing};
    match (error, base) {
        (
            Error::Repository {
                source: source @ (Damaged { .. } | Missing { .. }),
                ..
            },
            Some(base),
        ) => Error::Base {
            base: base.name.clone(),
            source,
        },
        (error, _) => error,
    }
}

/// Bytes in the changed ranges, clipped to the volume.
fn changed(changes: &ChangeList, block_size: DataBlockSize, size: Bytes, holes: bool) -> u64 {
    let counted = |change: &convoy_blockdiff::Change| {
        holes || matches!(change, convoy_blockdiff::Change::Copy(_))
    };
    changes
        .iter()
        .filter(counted)
        .map(|change| change.range().bytes(block_size, size).len().0)
        .sum()
}

fn summary(backup: BackupRecord, counts: Counts, packs: u32) -> Summary {
    Summary {
        changed_bytes: backup.figures.changed,
        read_bytes: counts.read,
        new_chunk_bytes: counts.new_bytes,
        stored_bytes: backup.figures.stored,
        chunks_total: counts.new + counts.reused + counts.holes,
        chunks_new: counts.new,
        chunks_reused: counts.reused,
        chunks_holes: counts.holes,
        packs,
        requests: 0,
        duration: Duration::ZERO,
        backup,
    }
}
