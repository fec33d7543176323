//! `check` against worlds whose truth is known: healthy ones, ones with a planted error, and broken ones.
#![expect(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops at the first thing that is not as it should be"
)]

mod bounds;
mod flips;
mod healthy;
mod planted;
mod rules;

use convoy_testkit::thin::{Image, ImageOptions, PoolModel};
use convoy_thin_metadata::{
    Block, BlockSource, CheckOptions, CheckReport, Finding, MemorySource, check,
};
use convoy_units::{DevId, MetadataBlock};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

/// Metadata that a 6.1 kernel made: four devices, a metadata snapshot, some changes since.
const KERNEL: &[u8] = include_bytes!("../fixtures/kernel-6.1.img");

fn id(n: u64) -> DevId {
    DevId::new(n).unwrap()
}

/// Checks everything in an image.
#[track_caller]
fn checked(image: &Image) -> CheckReport {
    check(
        &MemorySource::new(image.bytes.clone()),
        &CheckOptions::default(),
    )
    .unwrap()
}

fn lines(findings: &[Finding]) -> String {
    let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
    lines.join("\n")
}

/// A pool with a tree of 4 levels, a snapshot that shares most of it, one that shares all, and a metadata snapshot
/// that has what was discarded since.
fn pool() -> PoolModel {
    let mut pool = PoolModel::new(2000, 6);
    pool.create_thin(1);
    for thin in 0..200 {
        pool.write(1, thin * 3 + 10);
    }
    pool.transaction = 3;
    pool.create_snap(2, 1);
    pool.create_snap(3, 2);
    for thin in [10, 13, 160, 400, 401] {
        pool.write(2, thin);
    }
    pool.create_thin(4);
    pool.write(4, 7);
    pool.create_snap(5, 2);
    pool.reserve();
    pool.discard(1, 0, 60);
    pool.delete(4);
    pool.create_thin(6);
    pool.transaction = 5;
    pool
}

fn image() -> Image {
    let pool = pool();
    pool.image(ImageOptions::fitting(&pool))
}

/// Counts what is read.
#[derive(Debug)]
struct Counting<S> {
    source: S,
    reads: AtomicU64,
}

impl<S> Counting<S> {
    fn new(source: S) -> Self {
        Self {
            source,
            reads: AtomicU64::new(0),
        }
    }

    fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }
}

impl<S: BlockSource> BlockSource for Counting<S> {
    fn nr_blocks(&self) -> u64 {
        self.source.nr_blocks()
    }

    fn read(&self, block: MetadataBlock, into: &mut Block) -> io::Result<()> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.source.read(block, into)
    }
}
