//! Peak memory of a backup and a restore stays below 128 MiB, whatever the volume's size.
//!
//! In a process of its own, since a process has one peak. The store keeps what is small and forgets
//! packs of chunks, so that it is not the store that is measured.

#![expect(clippy::unwrap_used, reason = "a test: a panic is its answer")]

use convoy_backup::{BlockReader, CreateOptions, create};
use convoy_blockdiff::{Change, ChangeList};
use convoy_objectstore::{
    Counters, Deletion, Error, Key, MemoryStore, ObjectStore, Page, Put, PutMode,
};
use convoy_repository::{BackupFacts, PoolFacts, Repository, SnapshotFacts, VolumeRecord};
use convoy_units::{Bytes, DataBlockSize, ThinBlock, ThinRange};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use uuid::Uuid;

/// Forgets objects of more than 4 MiB: they are packs of chunks.
#[derive(Debug)]
struct Forgetful(MemoryStore);

impl ObjectStore for Forgetful {
    fn put(&self, key: &Key, bytes: &[u8], mode: PutMode) -> Result<Put, Error> {
        self.0.put(key, bytes, mode)
    }
    fn put_deferred(&self, key: &Key, bytes: &[u8]) -> Result<Put, Error> {
        if bytes.len() > 4 << 20 {
            Ok(Put::Stored)
        } else {
            self.0.put_deferred(key, bytes)
        }
    }
    fn sync(&self) -> Result<(), Error> {
        self.0.sync()
    }
    fn get(&self, key: &Key) -> Result<Vec<u8>, Error> {
        self.0.get(key)
    }
    fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Vec<u8>, Error> {
        self.0.get_range(key, range)
    }
    fn size(&self, key: &Key) -> Result<Option<u64>, Error> {
        self.0.size(key)
    }
    fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Page, Error> {
        self.0.list(prefix, after, limit)
    }
    fn delete(&self, key: &Key) -> Result<Deletion, Error> {
        self.0.delete(key)
    }
    fn counters(&self) -> Counters {
        self.0.counters()
    }
}

/// 64 TiB of noise that depends on its place.
struct Noise;

impl BlockReader for Noise {
    fn len(&self) -> Bytes {
        Bytes(64 << 40)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> std::io::Result<()> {
        let mut state = offset | 1;
        for word in into.as_chunks_mut::<8>().0 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *word = state.to_le_bytes();
        }
        Ok(())
    }
}

fn peak() -> Bytes {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    Bytes::kib(line.split_whitespace().nth(1).unwrap().parse().unwrap())
}

#[test]
fn a_backup_of_64_tib_stays_below_128_mib() {
    let store = Arc::new(Forgetful(MemoryStore::new()));
    let repository =
        Repository::create(store, &convoy_repository::CreateOptions::default()).unwrap();
    let block = DataBlockSize::DEFAULT;
    let size = Bytes(64 << 40);
    // 512 MiB of data in 256 places all over it: 256 leaves of the tree.
    let mut changes = ChangeList::new();
    for at in (0..size.0 / block.bytes().0).step_by(1 << 17) {
        changes.push(Change::Copy(ThinRange {
            begin: ThinBlock(at),
            end: ThinBlock(at + 1),
        }));
    }
    let time = jiff::Timestamp::from_second(0).unwrap();
    let facts = BackupFacts {
        op: Uuid::new_v4(),
        volume: VolumeRecord {
            id: Uuid::new_v4(),
            name: "v".to_owned(),
        },
        volume_size: size,
        volume_created: time,
        snapshot: SnapshotFacts {
            id: Uuid::new_v4(),
            name: "s".to_owned(),
            created: time,
        },
        filesystem: String::new(),
        driver: "devicemapper".to_owned(),
        host: Uuid::nil(),
        pool: PoolFacts {
            id: Uuid::nil(),
            dev_id: 1,
            transaction: 1,
            block_size: block.bytes(),
        },
        labels: BTreeMap::new(),
    };
    let made = create(
        &repository,
        &Noise,
        &changes,
        block,
        None,
        &facts,
        &CreateOptions::default(),
        &(),
    );
    let made = made.unwrap();
    assert_eq!(made.read_bytes, Bytes::mib(512));
    assert_eq!(made.new_chunk_bytes, Bytes::mib(512));
    assert!(made.packs > 16, "packs of 32 MiB came and went");
    let peak = peak();
    assert!(peak < Bytes::mib(128), "{peak}");
    println!("peak {peak} in {:?}", made.duration);
}
