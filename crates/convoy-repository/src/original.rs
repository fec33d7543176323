//! What the original Convoy (versions 0.2 to 0.5) wrote at a destination: found, read and checked, never written.
//!
//! Its format is `docs/formats/original.md`: one JSON text for a volume, one for a backup, and blocks of 2 MiB
//! as gzip, named by what is in them. A backup lists all its blocks, so each stands alone. Nothing there is
//! trusted: names of objects are made of names that keep the rule, sizes are bounded before anything is
//! read, and a block is given out only when its bytes hash to the name it has.

mod block;
mod facts;
mod layout;
mod scan;
mod wire;

pub use block::BLOCK;
pub use facts::{OriginalBackup, OriginalBlock, OriginalFacts};
pub use layout::{Checksum, VolumeDirectory};

/// The pure parts, for fuzzers: bytes in, values out.
pub mod format {
    pub use super::block::open as open_block;
    pub use super::wire::{WireBackup, WireVolume, backup, volume};
}

use crate::error::Error;
use crate::patience::{Patience, patiently};
use crate::read::of_object;
use convoy_objectstore::{Counters, Key, ReadOnlyStore};
use std::sync::Arc;

/// The largest `volume.cfg`, in bytes: a handful of short texts.
const MAX_VOLUME: u64 = 64 << 10;
/// The largest backup's text, in bytes: that of some five tebibytes in blocks, and the largest object there is.
const MAX_BACKUP: u64 = convoy_objectstore::MAX_OBJECT;

/// What the original wrote at a destination. Threads may read concurrently.
#[derive(Debug, Clone)]
pub struct Original {
    store: ReadOnlyStore,
    patience: Arc<dyn Patience>,
}

impl Original {
    /// Over a store of [`convoy_objectstore::open_original`]. Nothing is asked yet.
    pub fn new(store: ReadOnlyStore, patience: Arc<dyn Patience>) -> Self {
        Self { store, patience }
    }

    /// One backup with its blocks, by the two names in its URL.
    ///
    /// # Errors
    /// `NoBackup`; `Damaged` for a text that is not what must be there; `Store`. That the volume's own text is
    /// damaged is no error: what it would have told is missing in the facts, and why is among them.
    pub fn backup(&self, volume: &str, backup: &str) -> Result<OriginalBackup, Error> {
        let missing = || Error::NoBackup(backup.chars().take(64).collect());
        let directory = VolumeDirectory::of_name(volume).ok_or_else(missing)?;
        let key = directory.backup_key(backup).ok_or_else(missing)?;
        let text = self.text(&key, MAX_BACKUP)?.ok_or_else(missing)?;
        let backup_text = wire::backup(&text).map_err(|what| Error::damaged(key.as_str(), what))?;
        facts::backup(&directory, backup, backup_text, &self.volume(&directory)?)
            .map_err(|what| Error::damaged(key.as_str(), what))
    }

    /// The bytes of one block, in `plain`: [`BLOCK`] of them, which hash to its checksum.
    ///
    /// # Errors
    /// `Damaged` and `Unreadable` name the object; `Store`.
    pub fn read_block(
        &self,
        backup: &OriginalFacts,
        block: &OriginalBlock,
        plain: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let key = backup.directory.block_key(&block.checksum);
        let packed = self
            .get(&key, block::MAX_PACKED)
            .map_err(|error| of_object(error, key.as_str(), "the block"))?;
        block::open(&packed, &block.checksum, plain)
            .map_err(|what| Error::damaged(key.as_str(), what))
    }

    /// Requests and bytes so far.
    pub fn counters(&self) -> Counters {
        self.store.counters()
    }

    /// A volume's own text, or why there is none to go by.
    fn volume(
        &self,
        directory: &VolumeDirectory,
    ) -> Result<Result<wire::WireVolume, String>, Error> {
        let key = directory.volume_key();
        match self.text(&key, MAX_VOLUME) {
            Ok(Some(text)) => Ok(wire::volume(&text)
                .and_then(|volume| volume.of(directory.name()))
                .map_err(|what| format!("{key} is damaged: {what}"))),
            Ok(None) => Ok(Err(format!("{key} is gone"))),
            Err(error) if error.is_of_one_object() => Ok(Err(convoy_fault::chain(&error))),
            Err(error) => Err(error),
        }
    }

    /// A text, `None` if there is no such object.
    fn text(&self, key: &Key, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        match self.get(key, limit) {
            Ok(text) => Ok(Some(text)),
            Err(error) if crate::log::is_absent(&error) => Ok(None),
            Err(error) => Err(of_object(error, key.as_str(), "what it says")),
        }
    }

    fn get(&self, key: &Key, limit: u64) -> Result<Vec<u8>, Error> {
        patiently(
            &*self.patience,
            || format!("read {key}"),
            || self.store.get_at_most(key, limit),
        )
    }
}

#[cfg(test)]
mod tests;
