//! A backup as the content of a new volume.

use crate::backup::Ears;
use crate::destination::OpenDestination;
use crate::engine::Engine;
use crate::error::{Doing, Error};
use crate::machine::Machine;
use crate::operation::{Operation, Phase};
use convoy_catalog as catalog;
use convoy_fault::Kind;
use convoy_repository::BackupRecord;
use convoy_thinpool::ThinDevice;
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

/// Writes a backup into a fresh thin device, which reads as zeros: holes need no writing.
pub(crate) fn fill(
    source: &Source,
    volume: &catalog::Volume,
    device: &ThinDevice,
    machine: &dyn Machine,
    op: &Operation<'_>,
) -> Result<(), Error> {
    op.phase(Phase::Restoring);
    let doing = || {
        format!(
            "restoring backup {} to volume {}",
            source.backup.name, volume.name
        )
    };
    let sink = machine.writer(&device.node).doing(doing)?;
    convoy_backup::restore(
        &source.destination.repository,
        &source.backup,
        &*sink,
        &Ears(op),
    )
    .doing(doing)?;
    Ok(())
}
