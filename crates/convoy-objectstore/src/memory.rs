//! Objects in memory: the store of tests, under the same rules as the real ones.
//!
//! It also remembers what was not synced, so that a test can cut the power.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Bound, Range};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::counters::Meter;
use crate::store::{MAX_OBJECT, Verb, too_large};
use crate::{Counters, Deletion, Entry, Error, ErrorKind, Key, ObjectStore, Page, Put, PutMode};

const DESTINATION: &str = "memory";

/// A store that lives as long as the value; `Arc` it to share it.
#[derive(Default)]
pub struct MemoryStore {
    objects: Mutex<BTreeMap<Key, Object>>,
    meter: Meter,
    dear: bool,
}

struct Object {
    bytes: Arc<[u8]>,
    durable: bool,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store that says that listings are dear.
    pub fn with_dear_listings() -> Self {
        Self {
            dear: true,
            ..Self::default()
        }
    }

    /// What a power cut leaves: each object put since the last `sync` by `put_deferred` is kept, cut
    /// short, zeroed or lost, as `seed` decides; the others are untouched.
    pub fn power_cut(&self, seed: u64) {
        let mut random = seed;
        self.objects().retain(|_, object| {
            if object.durable {
                return true;
            }
            object.durable = true;
            random = scramble(random);
            let half = object.bytes.len() / 2;
            match random % 4 {
                0 => {}
                1 => object.bytes = object.bytes.iter().copied().take(half).collect(),
                2 => object.bytes = vec![0; object.bytes.len()].into(),
                _ => return false,
            }
            true
        });
    }

    fn objects(&self) -> MutexGuard<'_, BTreeMap<Key, Object>> {
        // No step leaves the map half changed, so a panic elsewhere does not matter.
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, verb: Verb, key: &Key) -> Result<Arc<[u8]>, Error> {
        self.meter.request(verb);
        let objects = self.objects();
        let object = objects
            .get(key)
            .ok_or_else(|| Error::new(ErrorKind::NotFound, verb, key.as_str(), DESTINATION))?;
        Ok(Arc::clone(&object.bytes))
    }

    fn store(&self, key: &Key, bytes: &[u8], mode: PutMode, durable: bool) -> Result<Put, Error> {
        self.meter.request(Verb::Put);
        self.meter.written(bytes);
        let failed =
            |kind, why: &str| Error::new(kind, Verb::Put, key.as_str(), DESTINATION).because(why);
        if bytes.len() as u64 > MAX_OBJECT {
            return Err(failed(ErrorKind::Invalid, "the object is too large"));
        }
        let mut objects = self.objects();
        if let (PutMode::Create, Some(object)) = (mode, objects.get_mut(key)) {
            object.durable |= durable;
            return Ok(Put::Exists);
        }
        if is_directory_of(&objects, key) {
            return Err(failed(
                ErrorKind::Permanent,
                "a key is a directory of another",
            ));
        }
        let bytes = bytes.into();
        objects.insert(key.clone(), Object { bytes, durable });
        Ok(Put::Stored)
    }
}

/// Whether `key` is a directory of a stored key, or the other way round.
fn is_directory_of(objects: &BTreeMap<Key, Object>, key: &Key) -> bool {
    let text = key.as_str();
    let above = text
        .match_indices('/')
        .filter_map(|(at, _)| text.get(..at)?.parse().ok())
        .any(|directory: Key| objects.contains_key(&directory));
    let inside = format!("{text}/");
    // Keys between `text` and `text/…` may exist (`text-1`), so skip to those after the slash.
    let below = objects
        .range::<Key, _>((Bound::Excluded(key), Bound::Unbounded))
        .find(|(other, _)| other.as_str() >= inside.as_str())
        .is_some_and(|(other, _)| other.as_str().starts_with(&inside));
    above || below
}

/// One step of a small generator: good enough to vary tests.
fn scramble(seed: u64) -> u64 {
    let mixed = (seed ^ (seed >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ (mixed >> 29)).wrapping_add(0x9e37_79b9_7f4a_7c15)
}

impl ObjectStore for MemoryStore {
    fn put(&self, key: &Key, bytes: &[u8], mode: PutMode) -> Result<Put, Error> {
        self.store(key, bytes, mode, true)
    }

    fn put_deferred(&self, key: &Key, bytes: &[u8]) -> Result<Put, Error> {
        self.store(key, bytes, PutMode::Create, false)
    }

    fn sync(&self) -> Result<(), Error> {
        self.meter.request(Verb::Sync);
        self.objects()
            .values_mut()
            .for_each(|object| object.durable = true);
        Ok(())
    }

    fn get(&self, key: &Key) -> Result<Vec<u8>, Error> {
        self.get_at_most(key, MAX_OBJECT)
    }

    fn get_at_most(&self, key: &Key, limit: u64) -> Result<Vec<u8>, Error> {
        let bytes = self.read(Verb::Get, key)?;
        let size = bytes.len() as u64;
        if size > limit {
            let damaged = Error::new(ErrorKind::Damaged, Verb::Get, key.as_str(), DESTINATION);
            return Err(damaged.because(too_large(size, limit)));
        }
        self.meter.read(&bytes);
        Ok(bytes.to_vec())
    }

    fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Vec<u8>, Error> {
        let failed = |kind| Error::new(kind, Verb::GetRange, key.as_str(), DESTINATION);
        if range.start > range.end {
            return Err(failed(ErrorKind::Invalid).because("the range ends before it begins"));
        }
        let bytes = self.read(Verb::GetRange, key)?;
        let part = usize::try_from(range.start)
            .ok()
            .zip(usize::try_from(range.end).ok())
            .and_then(|(start, end)| bytes.get(start..end))
            .ok_or_else(|| failed(ErrorKind::Damaged).because("the object is shorter"))?;
        self.meter.read(part);
        Ok(part.to_vec())
    }

    fn size(&self, key: &Key) -> Result<Option<u64>, Error> {
        self.meter.request(Verb::Size);
        Ok(self
            .objects()
            .get(key)
            .map(|object| object.bytes.len() as u64))
    }

    fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Page, Error> {
        self.meter.request(Verb::List);
        let objects = self.objects();
        let begin = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut entries: Vec<Entry> = objects
            .range::<Key, _>((begin, Bound::Unbounded))
            .filter(|(key, _)| key.as_str().starts_with(prefix))
            .take(limit.max(1).saturating_add(1))
            .map(|(key, object)| Entry {
                key: key.clone(),
                size: object.bytes.len() as u64,
            })
            .collect();
        let more = entries.len() > limit.max(1);
        entries.truncate(limit.max(1));
        Ok(Page { entries, more })
    }

    fn delete(&self, key: &Key) -> Result<Deletion, Error> {
        self.meter.request(Verb::Delete);
        let removed = self.objects().remove(key);
        Ok(removed.map_or(Deletion::Absent, |_| Deletion::Deleted))
    }

    fn counters(&self) -> Counters {
        self.meter.counters()
    }

    fn listing_is_dear(&self) -> bool {
        self.dear
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryStore({} objects)", self.objects().len())
    }
}

#[cfg(test)]
mod tests {
    //! The conformance suite, and what a power cut may take.

    use super::*;

    #[test]
    fn conforms() {
        crate::conformance::check(&|| Arc::new(MemoryStore::new()));
    }

    #[test]
    fn a_power_cut_spares_what_was_put_or_synced() {
        let key = |n: u64| Key::new(format!("k/{n}")).unwrap();
        let mut harmed = 0;
        for seed in 0..50 {
            let store = MemoryStore::new();
            store.put_deferred(&key(0), b"synced").unwrap();
            store.sync().unwrap();
            store.put(&key(1), b"put", PutMode::Create).unwrap();
            store.put_deferred(&key(2), b"deferred").unwrap();
            store.put_deferred(&key(3), b"then created").unwrap();
            assert_eq!(
                store.put(&key(3), b"", PutMode::Create).unwrap(),
                Put::Exists
            );
            store.power_cut(seed);
            assert_eq!(store.get(&key(0)).unwrap(), b"synced");
            assert_eq!(store.get(&key(1)).unwrap(), b"put");
            assert_eq!(store.get(&key(3)).unwrap(), b"then created");
            harmed += usize::from(store.get(&key(2)).ok().as_deref() != Some(b"deferred"));
        }
        assert!((20..50).contains(&harmed), "{harmed} of 50");
    }
}
