//! A destination with a point before and after every request that changes something.

use super::Steps;
use convoy_objectstore::{
    Counters, Deletion, Error, ErrorKind, Key, ObjectStore, Page, Put, PutMode, Verb,
};
use std::ops::Range;
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct SteppedStore {
    pub(super) steps: Steps,
    pub(super) store: Arc<dyn ObjectStore>,
}

impl SteppedStore {
    /// A step is named after the object's folder: `put.packs`, `put.log`.
    fn step<T>(
        &self,
        word: &str,
        verb: Verb,
        key: &str,
        act: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let folder = key.split('/').next().unwrap_or_default();
        let step = format!("{word}.{folder}");
        let failed = |_| Error::new(ErrorKind::Unclear, verb, key, "a test's destination");
        self.steps.around(step.trim_end_matches('.'), failed, act)
    }
}

impl ObjectStore for SteppedStore {
    fn put(&self, key: &Key, bytes: &[u8], mode: PutMode) -> Result<Put, Error> {
        self.step("put", Verb::Put, key.as_str(), || {
            self.store.put(key, bytes, mode)
        })
    }

    fn put_deferred(&self, key: &Key, bytes: &[u8]) -> Result<Put, Error> {
        self.step("put", Verb::PutDeferred, key.as_str(), || {
            self.store.put_deferred(key, bytes)
        })
    }

    fn sync(&self) -> Result<(), Error> {
        self.step("sync", Verb::Sync, "", || self.store.sync())
    }

    fn get(&self, key: &Key) -> Result<Vec<u8>, Error> {
        self.store.get(key)
    }

    fn get_at_most(&self, key: &Key, limit: u64) -> Result<Vec<u8>, Error> {
        self.store.get_at_most(key, limit)
    }

    fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Vec<u8>, Error> {
        self.store.get_range(key, range)
    }

    fn size(&self, key: &Key) -> Result<Option<u64>, Error> {
        self.store.size(key)
    }

    fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Page, Error> {
        self.store.list(prefix, after, limit)
    }

    fn delete(&self, key: &Key) -> Result<Deletion, Error> {
        self.step("delete", Verb::Delete, key.as_str(), || {
            self.store.delete(key)
        })
    }

    fn counters(&self) -> Counters {
        self.store.counters()
    }

    fn listing_is_dear(&self) -> bool {
        self.store.listing_is_dear()
    }
}
