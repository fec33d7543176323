//! A repository opened: its backups, its volumes, and the ways to change them.

mod backups;
mod change;
mod create;
mod open;
mod options;

pub use options::{CreateOptions, OpenOptions};

use crate::cache::Cache;
use crate::codec::Sealer;
use crate::config::Config;
use crate::distrust::Distrust;
use crate::error::Error;
use crate::fold::Fold;
use crate::id::BlobId;
use crate::index::Index;
use crate::keys::{BlobKind, Keys};
use crate::log::Log;
use crate::pack::ObjectName;
use crate::patience::Patience;
use convoy_objectstore::{Key, ObjectStore};
use convoy_units::Bytes;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use uuid::Uuid;

/// Whether a verb changed anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It did, durably.
    Changed,
    /// It was so already.
    Unchanged,
}

/// A repository, open. Clones share everything; any number of threads may use it concurrently.
///
/// What it tells is the log as far as it was read: `refresh` reads on.
#[derive(Clone)]
pub struct Repository {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) config: Config,
    pub(crate) keys: Keys,
    pub(crate) log: Log,
    pub(crate) cache: Option<Cache>,
    pub(crate) distrust: Distrust,
    pub(crate) patience: Arc<dyn Patience>,
    pub(crate) host: Uuid,
    read_only: Option<String>,
    index: Mutex<Index>,
}

impl std::fmt::Debug for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Repository({} in {:?})",
            self.inner.config.id, self.inner.store
        )
    }
}

impl Repository {
    /// Its identity.
    pub fn id(&self) -> Uuid {
        self.inner.config.id
    }

    /// What was decided when it was made.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// Bytes of a chunk.
    pub fn chunk_size(&self) -> Bytes {
        self.inner.config.chunk_size
    }

    /// Why it cannot be written to by this process, if so.
    pub fn read_only(&self) -> Option<String> {
        let strange = || {
            self.inner
                .log
                .with_fold(|fold| fold.strange().map(|(_, why)| format!("its log has {why}")))
        };
        self.inner.read_only.clone().or_else(strange)
    }

    /// Reads the log on to its end. At least one request.
    pub fn refresh(&self) -> Result<(), Error> {
        self.inner.log.catch_up().map(|_| ())
    }

    /// Slots of the log read so far.
    pub fn slots(&self) -> u64 {
        self.inner.log.with_fold(Fold::slots)
    }

    /// Requests and bytes of the store behind, since it was opened.
    pub fn counters(&self) -> convoy_objectstore::Counters {
        self.inner.store.counters()
    }

    /// The id of a blob's plain bytes.
    pub fn blob_id(&self, kind: BlobKind, plain: &[u8]) -> BlobId {
        self.inner.keys.id(kind, plain)
    }

    /// A compressor with the repository's settings; one per thread.
    pub fn sealer(&self) -> Result<Sealer, Error> {
        Sealer::new(self.inner.config.compression).map_err(|e| Error::Compress(BlobId([0; 32]), e))
    }

    /// Notes that a pack does not hold what it should: no session reuses anything of it from now on, nor
    /// does a later process that has the same cache folder.
    pub fn distrust(&self, pack: &ObjectName) {
        self.inner.distrust.add(pack);
    }

    /// How much of what the index names is known to be damaged or gone. Not 0: what a backup is to be
    /// built on needs a closer look.
    pub fn known_damage(&self) -> usize {
        self.inner.distrust.len() + self.inner.index().broken().len()
    }

    /// Whether new backups may rely on a place of this blob: its pack is not known to be damaged.
    pub fn is_trusted(&self, id: &BlobId) -> Result<bool, Error> {
        let places = self.inner.locate(id)?;
        Ok(places
            .iter()
            .any(|place| !self.inner.distrust.contains(&place.pack.name)))
    }
}

impl Inner {
    pub(crate) fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Random bytes from the kernel.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::Invalid(format!("the system gives no random bytes: {error}")))?;
    Ok(bytes)
}

fn config_key() -> Key {
    crate::pack::key("config".to_owned())
}
