//! A backup as the content of a new volume.

use crate::backup::Ears;
use crate::destination::Ask;
use crate::engine::Engine;
use crate::error::{Doing, Error};
use crate::operation::{Operation, Phase};
use crate::original::Found;
use crate::space::Bounded;
use convoy_backup::BlockWriter;
use convoy_catalog as catalog;
use convoy_fault::Kind;
use convoy_thinpool::Pool;
use convoy_units::{Bytes, SECTOR};
use std::collections::BTreeMap;

/// A backup to restore, where it lies.
pub(crate) struct Source {
    found: Found,
    pub(crate) backup: Carried,
}

/// What a volume takes over from its backup besides the content.
pub(crate) struct Carried {
    pub(crate) name: String,
    pub(crate) filesystem: String,
    pub(crate) labels: BTreeMap<String, String>,
}

impl Source {
    /// The size of the volume to restore into: the backup's, whatever the pool's block size is.
    pub(crate) fn size(&self, asked: Option<Bytes>) -> Result<Bytes, Error> {
        let size = match &self.found {
            Found::Ours(found) => found.1.volume_size,
            Found::Original(found) => return found.size(asked),
        };
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
        let found = self.find_either(url, Ask::Cache)?;
        let backup = match &found {
            Found::Ours(found) => Carried {
                name: found.1.name.clone(),
                filesystem: found.1.filesystem.clone(),
                labels: found.1.labels.clone(),
            },
            Found::Original(found) => {
                found.refuse_foreign("restored")?;
                // A volume that was never formatted is mounted as the pool's others are, or not at all.
                let filesystem = match found.filesystem()? {
                    Some(filesystem) => filesystem,
                    None => self.pool_record()?.filesystem,
                };
                Carried {
                    name: found.name().to_owned(),
                    filesystem,
                    labels: BTreeMap::new(),
                }
            }
        };
        Ok(Source { found, backup })
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
    let restored = match &source.found {
        Found::Ours(found) => {
            let (destination, backup) = &**found;
            convoy_backup::restore(&destination.repository, backup, &sink, &Ears(op))
        }
        Found::Original(found) => found.restore(&sink, op),
    };
    restored.map_err(|error| {
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
