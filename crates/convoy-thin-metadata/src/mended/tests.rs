//! A pool whose power was cut while the kernel was taking a metadata snapshot, or letting one go, came up with block 0
//! of another state than its space map. Releasing what block 0 named freed the roots of the live trees, and all
//! volumes were lost with the next write. What is mended is, byte for byte, what was committed.

use super::*;
use crate::source::MemorySource;
use crate::{CheckOptions, Severity, check};
use convoy_testkit::thin::{BlockType as Kind, Image, ImageOptions, PoolModel, Space as Counted};

fn pool() -> PoolModel {
    let mut pool = PoolModel::new(500, 12);
    pool.create_thin(1);
    for thin in 0..100 {
        pool.write(1, thin);
    }
    pool.create_snap(2, 1);
    pool
}

fn image(pool: &PoolModel) -> Image {
    pool.image(ImageOptions::fitting(pool))
}

fn source(image: &Image) -> MemorySource {
    MemorySource::new(image.bytes.clone())
}

/// What block 0 becomes with another held root in it.
fn torn(image: &Image, root: u64) -> Option<Vec<u8>> {
    let mut cut = image.clone();
    cut.poke_u64(0, Kind::Superblock, HELD_ROOT.start, root);
    let mended = Mended::of(source(&cut)).unwrap();
    mended.block_0().map(|block| block.to_vec())
}

fn free_block(image: &Image) -> u64 {
    let view = View::live(source(image)).unwrap();
    let mut runs = view.ref_counts(Space::Metadata).unwrap().unwrap();
    let free = runs.find(|run| run.as_ref().unwrap().count == 0);
    free.unwrap().unwrap().begin
}

#[test]
fn what_is_whole_stays_as_it_is() {
    let mut pool = pool();
    assert_eq!(Mended::of(source(&image(&pool))).unwrap().block_0(), None);
    pool.reserve();
    assert_eq!(Mended::of(source(&image(&pool))).unwrap().block_0(), None);
    let kernel = include_bytes!("../../tests/fixtures/kernel-6.1.img").to_vec();
    assert_eq!(
        Mended::of(MemorySource::new(kernel)).unwrap().block_0(),
        None
    );
    let blank = MemorySource::new(vec![0; 64 * BLOCK_SIZE]);
    assert_eq!(Mended::of(blank).unwrap().block_0(), None);
}

#[test]
fn a_snapshot_that_is_not_counted_was_never_taken() {
    let image = image(&pool());
    let before = image.block(0).to_vec();
    assert_eq!(torn(&image, free_block(&image)), Some(before));
}

#[test]
fn a_snapshot_that_is_counted_still_was_not_let_go() {
    let mut pool = pool();
    pool.reserve();
    let mut image = image(&pool);
    // The kernel's copy shares both roots as long as nobody writes; the model's has its own.
    let held = image.held_root.unwrap();
    for root in [320, 328] {
        let (live, own) = (image.peek_u64(0, root), image.peek_u64(held, root));
        image.poke_u64(held, Kind::Superblock, root, live);
        image.set_count(Counted::Metadata, live, 2);
        image.set_count(Counted::Metadata, own, 0);
    }
    let root = |block: Vec<u8>| block[HELD_ROOT].to_vec();
    let mended = torn(&image, 0).expect("somebody is counted");
    assert_eq!(root(mended), held.to_le_bytes());
    // What names its snapshot is whole.
    assert_eq!(torn(&image, held), None);
}

/// As for who opens it: fatal before, sound after.
#[test]
fn what_is_mended_checks_as_sound() {
    let image = image(&pool());
    let mut cut = image.clone();
    let root = free_block(&image);
    cut.poke_u64(0, Kind::Superblock, HELD_ROOT.start, root);
    let options = CheckOptions::default();
    let report = check(&source(&cut), &options).unwrap();
    assert_eq!(report.worst(), Some(Severity::Fatal));
    let mended = Mended::of(source(&cut)).unwrap();
    assert!(check(&mended, &options).unwrap().is_clean());
    // Several blocks at once are read the same.
    let mut blocks = [[0; BLOCK_SIZE]; 2];
    let numbers = [MetadataBlock(1), MetadataBlock(0)];
    mended.read_many(&numbers, &mut blocks).unwrap();
    assert_eq!(blocks[0][..], *image.block(1));
    assert_eq!(blocks[1][..], *image.block(0));
    assert_eq!(mended.nr_blocks(), source(&image).nr_blocks());
}

/// A live tree that is shared for another reason, or damage, is nobody's to mend.
#[test]
fn what_is_something_else_is_left_alone() {
    let mut image = image(&pool());
    let view = View::live(source(&image)).unwrap();
    let root = view.superblock().mapping_root.0;
    image.set_count(Counted::Metadata, root, 2);
    assert_eq!(Mended::of(source(&image)).unwrap().block_0(), None);
    image.flip_bit(0, 999);
    assert!(Mended::of(source(&image)).is_err());
}
