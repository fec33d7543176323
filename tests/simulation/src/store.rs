//! A destination as a process sees it: what a dead process sends arrives nowhere.

use crate::planted::Planted;
use crate::world::World;
use convoy_objectstore::{
    Counters, Deletion, Error, ErrorKind, Key, MemoryStore, ObjectStore, Page, Put, PutMode, Verb,
};
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Weak};

pub(crate) struct SimStore {
    pub(crate) world: Weak<World>,
    pub(crate) host: usize,
    pub(crate) store: Arc<MemoryStore>,
}

impl SimStore {
    fn alive(&self, verb: Verb, object: &str) -> Result<(), Error> {
        let alive = self
            .world
            .upgrade()
            .is_some_and(|world| !world.is_dead(self.host));
        if alive {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Unclear,
            verb,
            object,
            "the simulation",
        ))
    }

    fn planted(&self, planted: Planted) -> bool {
        self.world
            .upgrade()
            .is_some_and(|world| world.planted == Some(planted))
    }
}

impl fmt::Debug for SimStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimStore")
    }
}

impl ObjectStore for SimStore {
    fn put(&self, key: &Key, bytes: &[u8], mode: PutMode) -> Result<Put, Error> {
        self.alive(Verb::Put, key.as_str())?;
        if self.planted(Planted::AppendWithoutLooking) && key.as_str().starts_with("log/") {
            return self.store.put(key, bytes, PutMode::Overwrite);
        }
        self.store.put(key, bytes, mode)
    }

    fn put_deferred(&self, key: &Key, bytes: &[u8]) -> Result<Put, Error> {
        self.alive(Verb::PutDeferred, key.as_str())?;
        self.store.put_deferred(key, bytes)
    }

    fn sync(&self) -> Result<(), Error> {
        self.alive(Verb::Sync, "")?;
        if self.planted(Planted::SyncForgotten) {
            return Ok(());
        }
        self.store.sync()
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
        self.alive(Verb::Delete, key.as_str())?;
        self.store.delete(key)
    }

    fn counters(&self) -> Counters {
        self.store.counters()
    }
}
