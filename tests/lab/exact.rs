//! A backup reads exactly the blocks that changed, by the kernel's own count, and restores every byte.

use crate::verbs::{name, restore, snapshot, volume};
use crate::world::{World, write_device};
use convoy_engine::{Engine, Event, Observer, Operation, Phase};
use convoy_tests::disk::{Direct, DiskStat, digest};
use convoy_tests::noise::noise;
use convoy_thinpool::blockdev;
use convoy_units::{ByteRange, Bytes};
use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

const SIZE: u64 = 96 << 20;
const CHUNK: u64 = 256 << 10;

/// Reads the kernel's counter when the backup is committed: the snapshot's device is still up then.
struct Counter {
    device: PathBuf,
    read: AtomicU64,
}

impl Observer for Counter {
    fn event(&self, event: Event) {
        if event == Event::Phase(Phase::Committed) {
            self.read
                .store(DiskStat::of(&self.device).read, Ordering::SeqCst);
        }
    }
}

/// Backs a snapshot up and returns what the kernel counted and what the summary says.
fn back_up(engine: &Engine, snapshot: &str, dest: &str) -> (u64, u64, String) {
    let info = engine.snapshot(&name(snapshot)).unwrap();
    let pool = engine.info().unwrap().pool;
    let device = format!("/dev/mapper/{}-{}", pool.name, info.uuid.simple());
    let counter = Counter {
        device: device.into(),
        read: AtomicU64::new(u64::MAX),
    };
    let made = engine
        .create_backup(&name(snapshot), dest, &Operation::new(&counter))
        .unwrap();
    (
        counter.read.into_inner(),
        made.summary.read.0,
        made.backup.url,
    )
}

/// Bytes of the chunks that overlap these blocks.
fn closure(blocks: &[u64], block: u64) -> u64 {
    let chunks: BTreeSet<u64> = blocks
        .iter()
        .flat_map(|b| b * block / CHUNK..((b + 1) * block).div_ceil(CHUNK))
        .collect();
    chunks
        .iter()
        .map(|chunk| CHUNK.min(SIZE - chunk * CHUNK))
        .sum()
}

fn check(test: &str, sectors: &str) {
    let world = World::new(test);
    let engine = world.open(&[("dm.thinpoolblocksize", sectors)]);
    let made = volume(&engine, "v", Bytes(SIZE));
    let block = engine.info().unwrap().pool.block_size.bytes().0;
    let put = |n: u64, seed: u64| {
        write_device(
            &made.device,
            n * block,
            &noise(seed, usize::try_from(block).unwrap()),
        );
    };
    for n in 0..24 {
        put(n, n);
    }
    snapshot(&engine, "v", "one");
    back_up(&engine, "one", &world.dest());

    let changed = [3, 10, 11, 20];
    for n in changed {
        put(n, 1000 + n);
    }
    // Linux computes the pieces of a discard with masks: of a block that is no power of two it frees none.
    let mapped = || engine.volume(&name("v")).unwrap().mapped.unwrap().0;
    let before = mapped();
    let hole = 15;
    let range = ByteRange {
        begin: hole * block,
        end: (hole + 1) * block,
    };
    blockdev::discard(&made.device, range).unwrap();
    let freed = before - mapped();
    assert_eq!(freed, if block.is_power_of_two() { block } else { 0 });
    snapshot(&engine, "v", "two");
    let (counted, said, url) = back_up(&engine, "two", &world.dest());
    // A discarded block that fills whole chunks is a hole that need not be read; where it shares a chunk
    // with others, that chunk is read.
    let mut expected = closure(&changed, block);
    if freed > 0 && !block.is_multiple_of(CHUNK) {
        let mut with_hole = changed.to_vec();
        with_hole.push(hole);
        let whole = (range.begin.next_multiple_of(CHUNK)..range.end)
            .step_by(usize::try_from(CHUNK).unwrap())
            .filter(|begin| begin + CHUNK <= range.end)
            .count() as u64;
        expected = closure(&with_hole, block) - whole * CHUNK;
    }
    assert_eq!(
        counted, expected,
        "bytes the kernel says were read of blocks of {block}"
    );
    assert_eq!(said, expected, "bytes the summary says were read");

    // The same again: nothing changed, nothing is read.
    snapshot(&engine, "v", "three");
    let (counted, said, _) = back_up(&engine, "three", &world.dest());
    assert_eq!((counted, said), (0, 0));

    let back = restore(&engine, "back", &url);
    assert_eq!(digest(&made.device), digest(&back.device));
    engine.stop().unwrap();
}

#[test]
fn with_blocks_of_2_mib_exactly_the_changed_blocks_are_read() {
    check("exact-2m", "4096");
}

#[test]
fn with_blocks_of_64_kib_exactly_their_chunks_are_read() {
    check("exact-64k", "128");
}

#[test]
fn with_blocks_of_192_kib_exactly_their_chunks_are_read() {
    check("exact-192k", "384");
}

/// The count would notice: a reader that goes through the page cache reads ahead.
#[test]
fn one_block_more_would_be_noticed() {
    let (_, engine) = World::opened("noticed");
    let made = volume(&engine, "v", Bytes(SIZE));
    let before = DiskStat::of(&made.device).read;
    let mut direct = Direct::open(&made.device, 2 << 20);
    direct.read(8 << 20, 2 << 20);
    assert_eq!(
        DiskStat::of(&made.device).read - before,
        2 << 20,
        "a direct read counts what it asks for"
    );
    let buffered = File::open(&made.device).unwrap();
    let mut buffer = vec![0; 64 << 10];
    for at in 0..32 {
        buffered
            .read_exact_at(&mut buffer, (16 << 20) + at * (64 << 10))
            .unwrap();
    }
    let read = DiskStat::of(&made.device).read - before - (2 << 20);
    assert!(
        read > 2 << 20,
        "a buffered read of 2 MiB reads ahead: {read}"
    );
    drop((direct, buffered));
    engine.stop().unwrap();
}

/// What all comparisons of devices rest on.
#[test]
fn one_byte_more_would_be_noticed() {
    let world = World::new("byte");
    // Not a whole number of the pieces that are read.
    let size = Bytes::mib(1).0 + 4096;
    let disk = PathBuf::from(world.disk("disk", Bytes(size)));
    let blank = digest(&disk);
    for at in [0, 1 << 19, size - 1] {
        write_device(&disk, at, b"x");
        assert_ne!(digest(&disk), blank, "byte {at} was overlooked");
        write_device(&disk, at, b"\0");
        assert_eq!(digest(&disk), blank);
    }
}
