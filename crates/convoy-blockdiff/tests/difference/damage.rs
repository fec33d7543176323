//! Damaged metadata: an error or an untouched answer, never a wrong one; bounded reads whatever it says.

use crate::answer::{Answer, Counting, naive};
use convoy_blockdiff::{Change, Error, changes};
use convoy_testkit::thin::{BlockType, Image, ImageOptions, PoolModel};
use convoy_thin_metadata::{
    Block, BlockSource, Damage, Error as MetadataError, MemorySource, Rule, View,
};
use convoy_units::{DevId, MetadataBlock};
use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::Ordering;

fn id(n: u64) -> DevId {
    DevId::new(n).unwrap()
}

/// Device 1 and its snapshot 2, which differ in some leaves; trees of 4 levels with 6 entries a node.
fn pool() -> PoolModel {
    let mut pool = PoolModel::new(2000, 6);
    pool.create_thin(1);
    (0..200).for_each(|thin| assert!(pool.write(1, thin * 3)));
    pool.create_snap(2, 1);
    (0..4).for_each(|i| assert!(pool.write(2, i * 150)));
    pool.discard(2, 400, 20);
    pool
}

fn image(pool: &PoolModel) -> Image {
    pool.image(ImageOptions::fitting(pool))
}

fn ask<S: BlockSource>(source: S) -> Result<Vec<Change>, MetadataError> {
    let view = View::live(source)?;
    match changes(&view, Some(id(1)), id(2)) {
        Ok(list) => Ok(list.iter().collect()),
        Err(Error::Metadata { source, .. }) => Err(source),
        Err(other) => panic!("{other}"),
    }
}

#[track_caller]
fn check(harm: impl FnOnce(&PoolModel, &mut Image), expected: impl FnOnce(Rule) -> bool) {
    let pool = pool();
    let mut image = image(&pool);
    harm(&pool, &mut image);
    match ask(MemorySource::new(image.bytes)) {
        Err(MetadataError::Damaged(Damage { rule, .. })) => {
            assert!(expected(rule), "another rule: {rule}");
        }
        other => panic!("not noticed: {other:?}"),
    }
}

fn children(image: &Image, block: u64) -> Vec<u64> {
    let count = image.peek_u32(block, 16) as usize;
    (0..count)
        .map(|index| image.peek_u64(block, image.value_offset(block, index)))
        .collect()
}

/// The matrix that existing tools fail: a valid checksum over a wrong child pointer.
#[test]
fn wrong_child_pointers_in_the_newer_tree() {
    let root = |pool: &PoolModel| pool.device(2).root();
    let last = |image: &Image, block: u64| children(image, block).len() - 1;
    check(
        |pool, image| image.point(root(pool), last(image, root(pool)), root(pool)),
        |rule| rule == Rule::Revisited,
    );
    check(
        |pool, image| {
            let first = children(image, root(pool))[0];
            image.point(root(pool), 1, first);
        },
        |rule| rule == Rule::Revisited,
    );
    check(
        |pool, image| image.point(root(pool), 1, 1 << 33),
        |rule| matches!(rule, Rule::BlockRange { .. }),
    );
    check(
        |pool, image| image.point(root(pool), 1, 0),
        |rule| rule == Rule::PointsAtSuperblock,
    );
    check(
        |pool, image| image.poke_u32(root(pool), BlockType::Node, 16, 100),
        |rule| matches!(rule, Rule::EntryCount { .. }),
    );
    check(
        |pool, image| image.poke_u64(root(pool), BlockType::Node, Image::key_offset(1), 0),
        |rule| matches!(rule, Rule::KeyOrder { .. } | Rule::KeyRange { .. }),
    );
    check(
        |pool, image| image.flip_bit(root(pool), 40_00),
        |rule| matches!(rule, Rule::Checksum { .. }),
    );
}

/// A crossed pointer into a subtree that both sides share and nobody reads: the key ranges give it away.
#[test]
fn a_pointer_into_a_shared_subtree() {
    let pool = pool();
    let mut image = image(&pool);
    let (left, right) = (pool.levels(1), pool.levels(2));
    let shared: BTreeSet<u64> = left[3].intersection(&right[3]).copied().collect();
    // A parent that only the newer tree has, and a leaf below another, shared parent.
    let parent = *right[2].difference(&left[2]).next().unwrap();
    let own: BTreeSet<u64> = children(&image, parent).into_iter().collect();
    let hidden = *shared
        .iter()
        .rev()
        .find(|leaf| !own.contains(leaf))
        .unwrap();
    let index = children(&image, parent)
        .iter()
        .position(|child| !shared.contains(child))
        .unwrap();
    image.point(parent, index, hidden);
    let error = ask(MemorySource::new(image.bytes)).unwrap_err();
    assert!(matches!(error, MetadataError::Damaged(_)), "{error}");
}

/// A leaf both sides share is dropped from one of them: nothing read is malformed, only the counts disagree.
#[test]
fn a_subtree_that_is_missing_on_one_side() {
    check(
        |pool, image| {
            let root = pool.device(2).root();
            let fewer = children(image, root).len() - 1;
            image.poke_u32(root, BlockType::Node, 16, u32::try_from(fewer).unwrap());
        },
        |rule| matches!(rule, Rule::MappedDifference { .. }),
    );
}

/// An image with one bit inverted.
struct Flipped<'a> {
    image: &'a MemorySource,
    block: u64,
    bit: usize,
}

impl BlockSource for Flipped<'_> {
    fn nr_blocks(&self) -> u64 {
        self.image.nr_blocks()
    }

    fn read(&self, block: MetadataBlock, into: &mut Block) -> io::Result<()> {
        self.image.read(block, into)?;
        if block.0 == self.block {
            into[self.bit / 8] ^= 1 << (self.bit % 8);
        }
        Ok(())
    }
}

/// Remembers which blocks were read.
struct Remembering<'a>(&'a MemorySource, std::sync::Mutex<BTreeSet<u64>>);

impl BlockSource for Remembering<'_> {
    fn nr_blocks(&self) -> u64 {
        self.0.nr_blocks()
    }

    fn read(&self, block: MetadataBlock, into: &mut Block) -> io::Result<()> {
        self.1.lock().unwrap().insert(block.0);
        self.0.read(block, into)
    }
}

/// Every bit of every block: detected where the difference reads, without influence where it does not.
#[test]
fn every_single_bit() {
    let mut pool = PoolModel::new(2000, 6);
    pool.create_thin(1);
    (0..30).for_each(|thin| assert!(pool.write(1, thin * 3)));
    pool.create_snap(2, 1);
    assert!(pool.write(2, 45));
    let image = pool.image(ImageOptions {
        metadata_blocks: 40,
        ..ImageOptions::default()
    });
    let source = MemorySource::new(image.bytes);
    let healthy = ask(&source).unwrap();
    let remembering = Remembering(&source, std::sync::Mutex::default());
    ask(&remembering).unwrap();
    let read = remembering.1.into_inner().unwrap();
    // Superblock, details leaf, device leaf, both trees' paths to the changed leaf, and the first leaf that
    // the probes for the height end at.
    assert_eq!(
        (read.len(), pool.levels(1).len()),
        (3 + 2 * 3 + 1, 3),
        "{read:?}"
    );
    for block in 0..40 {
        // Where nothing is read, a few bits stand for all.
        let step = if read.contains(&block) { 1 } else { 1009 };
        for bit in (0..32_768).step_by(step) {
            match ask(Flipped {
                image: &source,
                block,
                bit,
            }) {
                Ok(found) => {
                    assert!(
                        !read.contains(&block),
                        "block {block} bit {bit} went unnoticed"
                    );
                    assert_eq!(found, healthy, "block {block} bit {bit}");
                }
                Err(error) => assert!(read.contains(&block), "block {block} bit {bit}: {error}"),
            }
        }
    }
}

/// Bits flipped under a valid checksum, everywhere in the nodes read: no panic, bounded reads, and an answer
/// only ever from a well-formed tree.
#[test]
fn sealed_damage_is_bounded() {
    let pool = pool();
    let healthy = image(&pool);
    let limit = (healthy.bytes.len() / 4096) as u64;
    let blocks: BTreeSet<u64> = [1, 2]
        .iter()
        .flat_map(|id| pool.levels(*id))
        .flatten()
        .collect();
    let mut answers = BTreeSet::new();
    for block in blocks {
        // Header, keys and values of the entries there are, and a little beyond.
        for bit in (4 * 8..(32 + 16 * 6 + 8) * 8).filter(|bit| !(8 * 8..16 * 8).contains(bit)) {
            let mut image = healthy.clone();
            image.flip_bit(block, bit);
            image.reseal(block, BlockType::Node);
            let (source, reads) = Counting::new(image.bytes);
            if let Ok(found) = ask(source) {
                answers.insert(found.len());
            }
            // Each side visits a node once and probes one path; a batch that failed is read again one by one.
            let reads = reads.load(Ordering::SeqCst);
            assert!(
                reads <= 2 * limit + 64,
                "block {block} bit {bit}: {reads} reads"
            );
        }
    }
    assert!(!answers.is_empty());
}

/// What the naive difference says of the same pool, to be sure that these images have something to tell.
#[test]
fn the_healthy_image_has_every_kind_of_change() {
    let pool = pool();
    let expected: Answer = naive(Some(pool.device(1).map()), pool.device(2).map(), false);
    let found = ask(MemorySource::new(image(&pool).bytes)).unwrap();
    let blocks: u64 = found.iter().map(|change| change.range().len()).sum();
    assert_eq!(blocks, expected.len() as u64);
    assert!(found.iter().any(|change| matches!(change, Change::Hole(_))));
    assert!(found.iter().any(|change| matches!(change, Change::Copy(_))));
}
