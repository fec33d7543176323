//! A metadata snapshot torn by hand, as a power cut tears it: block 0 names one that the space map does not count.
//!
//! The release at the next opening used to free the roots of the live trees, and the first things made after it
//! were written over them.

use crate::verbs::{SIZE, name, volume};
use crate::world::{World, read_device, sweep, write_device};
use convoy_testkit::thin::crc32c;
use convoy_tests::command::{tool, word};
use convoy_tests::noise::noise;
use convoy_thin_metadata::{FileSource, Space, View};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

const BLOCK: usize = 4096;
/// What tells a superblock's checksum from others, and where things are in it (`docs/formats/thin-metadata.md`).
const SALT: u32 = 160_774;
const NUMBER: usize = 8;
const HELD_ROOT: usize = 56;
const SPACE_MAPS: Range<usize> = 64..320;

#[test]
fn a_torn_snapshot_is_mended_at_the_next_opening() {
    let (world, engine) = World::opened("torn");
    let made = volume(&engine, "v", SIZE);
    let content = noise(1, 1 << 20);
    write_device(&made.device, 16 << 20, &content);
    let metadata = engine.info().unwrap().pool.metadata_device;
    engine.stop().unwrap();
    name_a_snapshot(&metadata, free_block(&metadata));

    let engine = world.open(&[]);

    let told = engine.info().unwrap().recovered;
    assert!(
        told.iter().any(|line| line.contains("metadata snapshot")),
        "{told:?}"
    );
    for more in ["a", "b", "c"] {
        volume(&engine, more, SIZE);
    }
    engine.stop().unwrap();
    tool("thin_check", &[word(&metadata)]);
    let engine = world.open(&[]);
    let device = engine.volume(&name("v")).unwrap().device;
    assert!(read_device(&device, 16 << 20, 1 << 20) == content);
    engine.stop().unwrap();
    sweep();
}

fn free_block(metadata: &Path) -> u64 {
    let view = View::live(FileSource::open(metadata).unwrap()).unwrap();
    let mut runs = view.ref_counts(Space::Metadata).unwrap().unwrap();
    let free = runs.find(|run| run.as_ref().unwrap().count == 0);
    free.unwrap().unwrap().begin
}

/// Writes what the kernel writes one flush before it commits: the snapshot's copy of block 0, which has no space
/// maps, and block 0 with nothing new but the name.
fn name_a_snapshot(metadata: &Path, root: u64) {
    let options = File::options().read(true).write(true).open(metadata);
    let file = options.unwrap();
    let mut block = [0; BLOCK];
    file.read_exact_at(&mut block, 0).unwrap();
    let mut copy = block;
    copy[NUMBER..NUMBER + 8].copy_from_slice(&root.to_le_bytes());
    copy[SPACE_MAPS].fill(0);
    block[HELD_ROOT..HELD_ROOT + 8].copy_from_slice(&root.to_le_bytes());
    for (place, mut block) in [(root, copy), (0, block)] {
        let sum = crc32c(&block[4..]) ^ SALT;
        block[..4].copy_from_slice(&sum.to_le_bytes());
        file.write_all_at(&block, place * BLOCK as u64).unwrap();
    }
    file.sync_all().unwrap();
}
