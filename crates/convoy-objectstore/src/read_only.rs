//! A store as who may only read it sees it.

use std::sync::Arc;

use crate::{CloudStore, Counters, Error, Key, Location, ObjectStore, Page, S3Options, VfsStore};

/// A store without the methods that change something: whoever holds one cannot write, by its type.
///
/// The promises are those of [`ObjectStore`], which it asks. Any number of threads may call concurrently.
#[derive(Debug, Clone)]
pub struct ReadOnlyStore(Arc<dyn ObjectStore>);

impl ReadOnlyStore {
    /// The reading half of a store.
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self(store)
    }

    /// As [`ObjectStore::get_at_most`].
    pub fn get_at_most(&self, key: &Key, limit: u64) -> Result<Vec<u8>, Error> {
        self.0.get_at_most(key, limit)
    }

    /// As [`ObjectStore::size`].
    pub fn size(&self, key: &Key) -> Result<Option<u64>, Error> {
        self.0.size(key)
    }

    /// As [`ObjectStore::list`].
    pub fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Page, Error> {
        self.0.list(prefix, after, limit)
    }

    /// As [`ObjectStore::counters`].
    pub fn counters(&self) -> Counters {
        self.0.counters()
    }
}

/// Opens what the original Convoy wrote at a destination, below its `convoy-objectstore/`. Keys are those of
/// [`Key::of_original`]. Whether there is anything is not asked.
///
/// Errors: as of [`open`](crate::open).
pub fn open_original(location: &Location, s3: &S3Options) -> Result<ReadOnlyStore, Error> {
    let store: Arc<dyn ObjectStore> = match location {
        Location::Vfs { path } => Arc::new(VfsStore::open_original(path)?),
        Location::S3 {
            bucket,
            region,
            prefix,
        } => Arc::new(CloudStore::s3(bucket, region.as_deref(), prefix, s3)?.of_original()),
    };
    Ok(ReadOnlyStore::new(store))
}
