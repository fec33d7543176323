//! Packs that were found damaged or gone: nothing is reused from them.
//!
//! An index tells where blobs were put, not that they are still there. Whatever is known to be lost must
//! be stored anew by the next backup, or damage would spread into every later one. The list is a note,
//! not the truth: an entry too many costs an upload, and a file that is lost costs one more discovery.

use crate::cache::Cache;
use crate::pack::ObjectName;
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is distrusted, by this process and (with a cache) by later ones of this host.
#[derive(Debug)]
pub(crate) struct Distrust {
    cache: Option<Cache>,
    packs: Mutex<BTreeSet<ObjectName>>,
}

impl Distrust {
    /// With what the cache remembers.
    pub(crate) fn new(cache: Option<Cache>) -> Self {
        let packs = cache.as_ref().map(Cache::distrusted).unwrap_or_default();
        Self {
            cache,
            packs: Mutex::new(packs),
        }
    }

    /// Whether nothing is to be reused from this pack.
    pub(crate) fn contains(&self, pack: &ObjectName) -> bool {
        self.packs().contains(pack)
    }

    /// How many packs are on the list.
    pub(crate) fn len(&self) -> usize {
        self.packs().len()
    }

    /// Notes a pack.
    pub(crate) fn add(&self, pack: &ObjectName) {
        if !self.packs().insert(*pack) {
            return;
        }
        tracing::warn!(pack = %pack.pack_key(), "a pack is damaged or gone: nothing of it is used for new backups");
        if let Some(cache) = &self.cache {
            cache.note_distrusted(pack);
        }
    }

    /// Notes several.
    pub(crate) fn add_all(&self, packs: &BTreeSet<ObjectName>) {
        for pack in packs {
            self.add(pack);
        }
    }

    fn packs(&self) -> MutexGuard<'_, BTreeSet<ObjectName>> {
        self.packs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
