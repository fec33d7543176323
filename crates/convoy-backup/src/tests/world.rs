//! A model device with its history, a store that can lose power, and short ways to back up and restore.

use crate::{BlockReader, CreateOptions, Error, MemoryDevice, Summary, create, restore};
use convoy_blockdiff::{Change, ChangeList};
use convoy_objectstore::{
    Counters, Deletion, Error as StoreError, FaultStore, Key, MemoryStore, ObjectStore, Page, Put,
    PutMode,
};
use convoy_repository::{
    BackupFacts, BackupRecord, Impatient, OpenOptions, PoolFacts, Repository, SnapshotFacts,
    VolumeRecord,
};
use convoy_units::{Bytes, DataBlockSize, Sectors, ThinBlock, ThinRange};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use uuid::Uuid;

/// One state of a thin device: which data each block maps to. Data is named by a number that tells its
/// content; 0 is a block of zeros, and content depends on little so that chunks repeat.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) size: u64,
    /// Block → (data block, seed of its content).
    pub(crate) mapped: BTreeMap<u64, (u64, u8)>,
}

impl Device {
    pub(crate) fn image(&self, block: u64) -> Vec<u8> {
        let mut image = vec![0; usize::try_from(self.size).unwrap()];
        for (number, (_, seed)) in &self.mapped {
            for at in number * block..((number + 1) * block).min(self.size) {
                image[usize::try_from(at).unwrap()] = content(*seed, at);
            }
        }
        image
    }

    pub(crate) fn changes(&self, base: Option<&Self>) -> ChangeList {
        let none = BTreeMap::new();
        let before = base.map_or(&none, |base| &base.mapped);
        let mut blocks: Vec<u64> = before.keys().chain(self.mapped.keys()).copied().collect();
        blocks.sort_unstable();
        blocks.dedup();
        let mut list = ChangeList::new();
        for number in blocks {
            let range = ThinRange {
                begin: ThinBlock(number),
                end: ThinBlock(number + 1),
            };
            match (before.get(&number), self.mapped.get(&number)) {
                (Some(old), Some(new)) if old.0 == new.0 => {}
                (_, Some(_)) => list.push(Change::Copy(range)),
                (_, None) => list.push(Change::Hole(range)),
            }
        }
        list
    }
}

/// Seed 0 is zeros; 1 to 3 repeat every 4 KiB (so chunks repeat); others are noise by position.
fn content(seed: u8, at: u64) -> u8 {
    let byte = |n: u64| u8::try_from(n % 256).unwrap();
    match seed {
        0 => 0,
        1..=3 => byte(at % 4096 / 16) ^ seed,
        _ => byte((at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) ^ u64::from(seed)),
    }
}

/// A device to read that counts and remembers what was read.
#[derive(Debug)]
pub(crate) struct Source {
    bytes: Vec<u8>,
    pub(crate) reads: Mutex<Vec<Range<u64>>>,
}

impl Source {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            reads: Mutex::default(),
        }
    }
}

impl BlockReader for Source {
    fn len(&self) -> Bytes {
        Bytes(self.bytes.len() as u64)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> std::io::Result<()> {
        let start = usize::try_from(offset).unwrap();
        into.copy_from_slice(&self.bytes[start..start + into.len()]);
        self.reads
            .lock()
            .unwrap()
            .push(offset..offset + into.len() as u64);
        Ok(())
    }
}

/// A store in memory, with scripted faults, that loses what was not synced when the power goes.
#[derive(Debug)]
pub(crate) struct Volatile {
    pub(crate) faults: FaultStore<MemoryStore>,
    unsynced: Mutex<Vec<Key>>,
}

impl Volatile {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            faults: FaultStore::new(MemoryStore::new()),
            unsynced: Mutex::default(),
        })
    }

    /// The same, where listings are dear.
    pub(crate) fn with_dear_listings() -> Arc<Self> {
        Arc::new(Self {
            faults: FaultStore::new(MemoryStore::with_dear_listings()),
            unsynced: Mutex::default(),
        })
    }

    /// The power goes and comes back: faults are over, deferred objects are gone.
    pub(crate) fn power_cut(&self) {
        self.faults.revive();
        for key in self.unsynced.lock().unwrap().drain(..) {
            self.faults.inner().delete(&key).unwrap();
        }
    }

    pub(crate) fn keys(&self) -> Vec<Key> {
        let page = self.faults.inner().list("", None, 100_000).unwrap();
        page.entries.into_iter().map(|entry| entry.key).collect()
    }
}

impl ObjectStore for Volatile {
    fn put(&self, key: &Key, bytes: &[u8], mode: PutMode) -> Result<Put, StoreError> {
        self.faults.put(key, bytes, mode)
    }
    fn put_deferred(&self, key: &Key, bytes: &[u8]) -> Result<Put, StoreError> {
        let existed = self.faults.inner().size(key)?.is_some();
        let put = self.faults.put_deferred(key, bytes);
        if !existed {
            self.unsynced.lock().unwrap().push(key.clone());
        }
        put
    }
    fn sync(&self) -> Result<(), StoreError> {
        self.faults.sync()?;
        self.unsynced.lock().unwrap().clear();
        Ok(())
    }
    fn get(&self, key: &Key) -> Result<Vec<u8>, StoreError> {
        self.faults.get(key)
    }
    fn get_at_most(&self, key: &Key, limit: u64) -> Result<Vec<u8>, StoreError> {
        self.faults.get_at_most(key, limit)
    }
    fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Vec<u8>, StoreError> {
        self.faults.get_range(key, range)
    }
    fn size(&self, key: &Key) -> Result<Option<u64>, StoreError> {
        self.faults.size(key)
    }
    fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Page, StoreError> {
        self.faults.list(prefix, after, limit)
    }
    fn delete(&self, key: &Key) -> Result<Deletion, StoreError> {
        self.faults.delete(key)
    }
    fn counters(&self) -> Counters {
        self.faults.counters()
    }
    fn listing_is_dear(&self) -> bool {
        self.faults.listing_is_dear()
    }
}

pub(crate) fn block_size(kib: u64) -> DataBlockSize {
    DataBlockSize::new(Sectors(kib * 2)).unwrap()
}

pub(crate) fn open(store: &Arc<Volatile>) -> Result<Repository, convoy_repository::Error> {
    Repository::open(
        store.clone(),
        &OpenOptions {
            patience: Arc::new(Impatient),
            ..OpenOptions::default()
        },
    )
}

pub(crate) fn make(
    store: &Arc<Volatile>,
    chunk_size: Bytes,
) -> Result<Repository, convoy_repository::Error> {
    let options = convoy_repository::CreateOptions {
        chunk_size,
        patience: Arc::new(Impatient),
        ..convoy_repository::CreateOptions::default()
    };
    Repository::create(store.clone(), &options)
}

pub(crate) fn facts(size: u64, op: Uuid) -> BackupFacts {
    static TURN: AtomicU64 = AtomicU64::new(0);
    let time = jiff::Timestamp::from_second(1_700_000_000).unwrap();
    BackupFacts {
        op,
        volume: VolumeRecord {
            id: Uuid::from_u128(7),
            name: "v".to_owned(),
        },
        volume_size: Bytes(size),
        volume_created: time,
        snapshot: SnapshotFacts {
            id: Uuid::from_u128(u128::from(TURN.fetch_add(1, Ordering::Relaxed))),
            name: "s".to_owned(),
            created: time,
        },
        filesystem: "ext4".to_owned(),
        driver: "devicemapper".to_owned(),
        host: Uuid::from_u128(8),
        pool: PoolFacts {
            id: Uuid::from_u128(9),
            dev_id: 1,
            transaction: 1,
            block_size: Bytes::mib(2),
        },
        labels: BTreeMap::new(),
    }
}

pub(crate) fn back_up_image(
    repository: &Repository,
    image: &[u8],
    changes: &ChangeList,
    block: DataBlockSize,
    base: Option<&BackupRecord>,
    op: Uuid,
) -> Result<Summary, Error> {
    let source = MemoryDevice::new(image.to_vec());
    let options = CreateOptions {
        pack_target: Some(Bytes::kib(512)),
        ..CreateOptions::default()
    };
    create(
        repository,
        &source,
        changes,
        block,
        base,
        &facts(image.len() as u64, op),
        &options,
        &(),
    )
}

pub(crate) fn restored(repository: &Repository, backup: &BackupRecord) -> Result<Vec<u8>, Error> {
    let sink = MemoryDevice::zeroed(backup.volume_size);
    restore(repository, backup, &sink, &())?;
    Ok(sink.content())
}
