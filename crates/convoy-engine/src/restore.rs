//! A backup as the content of a new volume.

use crate::backup::Ears;
use crate::destination::OpenDestination;
use crate::engine::Engine;
use crate::error::{Doing, Error};
use crate::operation::{Operation, Phase};
use crate::space::Bounded;
use convoy_backup::BlockWriter;
use convoy_catalog as catalog;
use convoy_fault::Kind;
use convoy_repository::BackupRecord;
use convoy_thinpool::Pool;
use convoy_units::{Bytes, SECTOR};

/// A backup to restore, in its open repository.
pub(crate) struct Source {
    destination: OpenDestination,
    pub(crate) backup: BackupRecord,
}

impl Source {
    /// The size of the volume to restore into: the backup's, whatever the pool's block size is.
    pub(crate) fn size(&self, asked: Option<Bytes>) -> Result<Bytes, Error> {
        let size = self.backup.volume_size;
        if let Some(asked) = asked.filter(|asked| *asked != size && asked.0 > 0) {
            let what = format!(
                "Volume size must match with backup's size: it is {} bytes, not {}",
                size.0, asked.0
            );
            return Err(Error::new(Kind::Invalid, what).hinting("leave --size out"));
        }
        if size.0 == 0 || !size.0.is_multiple_of(SECTOR) {
            let what = format!(
                "the backup is of {} bytes, which no device can hold",
                size.0
            );
            return Err(Error::new(Kind::Invalid, what));
        }
        Ok(size)
    }
}

impl Engine {
    /// Finds the backup that a new volume shall hold.
    pub(crate) fn open_source(&self, url: &str) -> Result<Source, Error> {
        let (destination, backup) = self.find_backup(url)?;
        Ok(Source {
            destination,
            backup,
        })
    }
}

/// Whether it was for want of space in the pool.
fn is_full(error: &convoy_backup::Error) -> bool {
    matches!(
        error,
        convoy_backup::Error::Write { source, .. } if source.kind() == std::io::ErrorKind::StorageFull
    )
}

/// Writes a backup into a fresh thin device, which reads as zeros: holes need no writing. Given up before the
/// pool is exhausted by it.
pub(crate) fn fill(
    source: &Source,
    volume: &catalog::Volume,
    sink: Result<Box<dyn BlockWriter>, convoy_backup::Error>,
    pool: &Pool,
    op: &Operation<'_>,
) -> Result<(), Error> {
    op.phase(Phase::Restoring);
    let doing = || {
        format!(
            "restoring backup {} to volume {}",
            source.backup.name, volume.name
        )
    };
    let sink = Bounded::new(sink.doing(doing)?, pool);
    convoy_backup::restore(
        &source.destination.repository,
        &source.backup,
        &sink,
        &Ears(op),
    )
    .map_err(|error| {
        let is_full = is_full(&error);
        let error = Error::of(doing(), error);
        if is_full {
            error.being(Kind::PoolFull).hinting(
                "delete a snapshot or a volume, or make the pool larger, then restore again",
            )
        } else {
            error
        }
    })?;
    Ok(())
}
