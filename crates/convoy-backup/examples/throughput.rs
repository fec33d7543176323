//! How fast a first backup and its restore are here: `throughput [DIRECTORY [MIB [THREADS]]]`.
//!
//! Three of four chunks hold text-like bytes, the fourth is noise. Without a directory the store is in
//! memory, so that what is measured is the pipeline alone. A benchmark, not a test: nothing depends on
//! its figures.

#![expect(clippy::print_stdout, reason = "its figures are its answer")]

use convoy_backup::{
    BlockReader, BlockWriter, CreateOptions, VerifyOptions, create, restore, verify,
};
use convoy_blockdiff::{Change, ChangeList};
use convoy_objectstore::{MemoryStore, ObjectStore, VfsStore};
use convoy_repository::{BackupFacts, PoolFacts, Repository, SnapshotFacts, VolumeRecord};
use convoy_units::{Bytes, DataBlockSize, ThinBlock, ThinRange};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Bytes that depend on their place, cheap to make.
struct Made(Bytes);

impl BlockReader for Made {
    fn len(&self) -> Bytes {
        self.0
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        for (chunk, bytes) in (offset >> 18..).zip(into.chunks_mut(1 << 18)) {
            let mut state = (chunk + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mask = if chunk % 4 == 3 {
                u64::MAX
            } else {
                0x0f03_0007_0000_0f01
            };
            for word in bytes.as_chunks_mut::<8>().0 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                *word = (state & mask).to_le_bytes();
            }
        }
        Ok(())
    }
}

/// Takes what is written and keeps nothing.
struct Nowhere(Bytes);

impl BlockWriter for Nowhere {
    fn len(&self) -> Bytes {
        self.0
    }

    fn write_at(&self, _: u64, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let store: Arc<dyn ObjectStore> = match arguments.next().filter(|path| path != "-") {
        Some(path) => Arc::new(VfsStore::open(path.as_ref())?),
        None => Arc::new(MemoryStore::new()),
    };
    let size = Bytes::mib(arguments.next().map_or(Ok(344), |mib| mib.parse())?);
    let threads = arguments.next().map_or(Ok(2), |count| count.parse())?;
    let repository = Repository::create(store, &convoy_repository::CreateOptions::default())?;
    let source = Made(size);
    let mut bytes = vec![0; 1 << 20];
    let start = Instant::now();
    for offset in (0..size.0).step_by(1 << 20) {
        source.read_at(offset, &mut bytes)?;
    }
    tell("making the bytes, one thread", size, start.elapsed());

    let block = DataBlockSize::DEFAULT;
    let mut changes = ChangeList::new();
    changes.push(Change::Copy(ThinRange {
        begin: ThinBlock(0),
        end: ThinBlock(size.0.div_ceil(block.bytes().0)),
    }));
    let options = CreateOptions {
        threads,
        ..CreateOptions::default()
    };
    let facts = facts(size, block);
    let made = create(
        &repository,
        &source,
        &changes,
        block,
        None,
        &facts,
        &options,
        &(),
    )?;
    tell("create", size, made.duration);
    println!("stored {} in {} packs", made.stored_bytes, made.packs);
    let done = restore(&repository, &made.backup, &Nowhere(size), &())?;
    tell("restore", size, done.duration);
    let start = Instant::now();
    verify(&repository, &made.backup, &VerifyOptions::default(), &())?;
    tell("verify", size, start.elapsed());
    Ok(())
}

fn tell(what: &str, size: Bytes, duration: Duration) {
    let mib = Duration::from_secs(size.0 >> 20).as_secs_f64();
    println!("{what}: {:.0} MiB/s", mib / duration.as_secs_f64());
}

fn facts(volume_size: Bytes, block: DataBlockSize) -> BackupFacts {
    let time = jiff::Timestamp::UNIX_EPOCH;
    BackupFacts {
        op: Uuid::new_v4(),
        volume: VolumeRecord {
            id: Uuid::new_v4(),
            name: "v".to_owned(),
        },
        volume_size,
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
    }
}
