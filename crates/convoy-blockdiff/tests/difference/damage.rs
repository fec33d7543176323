//! Damaged metadata: an error or an untouched answer, never a wrong one; bounded reads whatever it says.

use crate::answer::{Answer, Counting, naive};
use convoy_blockdiff::{Change, ChangeList, Error, changes, usage};
use convoy_testkit::thin::{BlockType, Image, ImageOptions, PoolModel};
use convoy_thin_metadata::{
    Block, BlockSource, Damage, Error as MetadataError, MemorySource, Rule, Tree, View,
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
    // The last leaf too, so that the ways to it are apart.
    assert!(pool.write(2, 199 * 3));
    pool.discard(2, 400, 20);
    pool
}

fn image(pool: &PoolModel) -> Image {
    pool.image(ImageOptions::fitting(pool))
}

fn ask<S: BlockSource>(source: S) -> Result<Vec<Change>, MetadataError> {
    let view = View::live(source)?;
    whole(changes(&view, Some(id(1)), id(2)))
}

fn whole(found: Result<ChangeList, Error>) -> Result<Vec<Change>, MetadataError> {
    match found {
        Ok(list) => Ok(list.iter().collect()),
        Err(Error::Metadata { source, .. }) => Err(source),
        Err(other) => panic!("{other}"),
    }
}

/// Damages the newer tree, then the older one, and compares the two both ways, and each with nothing where it is the
/// damaged one: every answer must be the error expected, naming the device and a block, after few reads.
#[track_caller]
fn check(harm: impl Fn(&mut Image, u64), expected: impl Fn(Rule) -> bool) {
    let pool = pool();
    let healthy = image(&pool);
    let limit = (healthy.bytes.len() / 4096) as u64;
    for device in [1, 2] {
        let mut image = healthy.clone();
        harm(&mut image, pool.device(device).root());
        let damaged = id(u64::from(device));
        let other = id(u64::from(3 - device));
        for (left, right) in [
            (Some(other), damaged),
            (Some(damaged), other),
            (None, damaged),
        ] {
            let (source, reads) = Counting::new(image.bytes.clone());
            let view = View::live(source).unwrap();
            match whole(changes(&view, left, right)) {
                Err(MetadataError::Damaged(Damage { rule, tree, .. })) => {
                    assert!(expected(rule), "another rule: {rule}");
                    let named = [Tree::Mappings(damaged), Tree::Mappings(other)];
                    assert!(named.contains(&tree), "{tree} of {left:?} and {right}");
                }
                found => panic!("not noticed in {left:?} and {right}: {found:?}"),
            }
            let reads = reads.load(Ordering::SeqCst);
            assert!(reads <= 2 * limit + 64, "{reads} reads of {limit} blocks");
        }
    }
}

fn children(image: &Image, block: u64) -> Vec<u64> {
    let count = image.peek_u32(block, 16) as usize;
    (0..count)
        .map(|index| image.peek_u64(block, image.value_offset(block, index)))
        .collect()
}

/// The node reached from `block` by last children, `depth` levels down.
fn last_of(image: &Image, block: u64, depth: usize) -> u64 {
    (0..depth).fold(block, |node, _| *children(image, node).last().unwrap())
}

fn last_index(image: &Image, block: u64) -> usize {
    children(image, block).len() - 1
}

/// The matrix that existing tools fail: a valid checksum over a wrong child pointer.
#[test]
fn wrong_child_pointers() {
    let point_last = |image: &mut Image, block: u64, target: u64| {
        image.point(block, last_index(image, block), target);
    };
    // A cycle of one, two and three nodes, and one reference more to a sibling.
    check(
        |image, root| point_last(image, root, root),
        |rule| rule == Rule::Revisited,
    );
    check(
        |image, root| point_last(image, last_of(image, root, 1), root),
        |rule| rule == Rule::Revisited,
    );
    check(
        |image, root| point_last(image, last_of(image, root, 2), root),
        |rule| rule == Rule::Revisited,
    );
    check(
        |image, root| point_last(image, root, children(image, root)[0]),
        |rule| rule == Rule::Revisited,
    );
    check(
        |image, root| point_last(image, root, 1 << 33),
        |rule| matches!(rule, Rule::BlockRange { .. }),
    );
    check(
        |image, root| point_last(image, root, 0),
        |rule| rule == Rule::PointsAtSuperblock,
    );
    // A leaf two levels too high.
    check(
        |image, root| point_last(image, root, last_of(image, root, 3)),
        |rule| matches!(rule, Rule::Height { leaf: true }),
    );
}

/// Every pointer of every node at the target of its first one: 6^3 ways to one leaf, each read once at most.
#[test]
fn a_bomb_of_references() {
    check(
        |image, root| {
            let mut node = root;
            while image.peek_u32(node, 4) == 1 {
                let children = children(image, node);
                (1..children.len()).for_each(|index| image.point(node, index, children[0]));
                node = children[0];
            }
        },
        |rule| rule == Rule::Revisited,
    );
}

/// Makes one node of another's content.
fn copy(image: &mut Image, from: u64, to: u64) {
    let at = |block: u64| usize::try_from(block).unwrap() * 4096;
    image.bytes.copy_within(at(from)..at(from + 1), at(to));
    image.poke_u64(to, BlockType::Node, 8, to);
}

/// The path to the last leaf leads on through twenty levels that each have one child.
#[test]
fn a_tree_without_end() {
    let pool = pool();
    let mut image = image(&pool);
    let root = pool.device(2).root();
    let shared = last_of(&image, root, 3);
    let free = image.bytes.len() as u64 / 4096 - 30;
    // Copies of the root, each with the next one as its only child; the first takes the root's place.
    for number in (0..20).rev() {
        let target = if number == 19 {
            shared
        } else {
            free + number + 1
        };
        let block = if number == 0 { root } else { free + number };
        if number > 0 {
            copy(&mut image, root, block);
        }
        image.poke_u32(block, BlockType::Node, 16, 1);
        image.point(block, 0, target);
    }
    let (source, reads) = Counting::new(image.bytes);
    let error = ask(source).unwrap_err();
    assert!(
        matches!(error, MetadataError::Damaged(Damage { rule: Rule::TooDeep, tree: Tree::Mappings(dev_id), .. }) if dev_id == id(2)),
        "{error}"
    );
    assert!(reads.load(Ordering::SeqCst) < 40);
}

/// What is wrong with a node itself, in the root and in the last leaf's parent.
#[test]
fn malformed_nodes() {
    let field = |depth: usize, offset: usize, value: u32| {
        move |image: &mut Image, root: u64| {
            let node = last_of(image, root, depth);
            image.poke_u32(node, BlockType::Node, offset, value);
        }
    };
    for depth in [0, 2] {
        check(field(depth, 4, 3), |rule| {
            matches!(rule, Rule::NodeKind { .. })
        });
        check(field(depth, 16, 0), |rule| rule == Rule::EmptyInternal);
        check(field(depth, 16, 100), |rule| {
            matches!(rule, Rule::EntryCount { .. })
        });
        check(field(depth, 20, 4000), |rule| {
            matches!(rule, Rule::MaxEntries { .. })
        });
        check(field(depth, 24, 24), |rule| {
            matches!(rule, Rule::ValueSize { .. })
        });
        check(field(depth, 8, 7), |rule| {
            matches!(rule, Rule::BlockNumber { .. })
        });
        check(
            |image, root| {
                let node = last_of(image, root, depth);
                image.poke_u64(node, BlockType::Node, Image::key_offset(1), 0);
            },
            |rule| matches!(rule, Rule::KeyOrder { .. } | Rule::KeyRange { .. }),
        );
        check(
            |image, root| image.flip_bit(last_of(image, root, depth), 4000),
            |rule| matches!(rule, Rule::Checksum { .. }),
        );
        // A block of another type, intact by itself.
        check(
            |image, root| image.reseal(last_of(image, root, depth), BlockType::Bitmap),
            |rule| matches!(rule, Rule::Checksum { .. }),
        );
    }
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
        |image, root| {
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

/// What is asked of an image whose every bit is flipped in turn.
type Question = dyn Fn(&dyn BlockSource) -> Result<String, MetadataError>;

/// Flips every bit of every block that `question` reads, one at a time: each is an error that names the block, its
/// tree and the checksum. A few bits of each other block: no influence on the answer. Returns how many were flipped.
fn flip_all(image: &Image, question: &Question) -> usize {
    let source = MemorySource::new(image.bytes.clone());
    let healthy = question(&source).unwrap();
    let remembering = Remembering(&source, std::sync::Mutex::default());
    question(&remembering).unwrap();
    let read = remembering.1.into_inner().unwrap();
    let mut flips = 0;
    for block in 0..source.nr_blocks() {
        let step = if read.contains(&block) { 1 } else { 1009 };
        for bit in (0..32_768).step_by(step) {
            flips += 1;
            let flipped = Flipped {
                image: &source,
                block,
                bit,
            };
            match question(&flipped) {
                Ok(found) => {
                    assert!(
                        !read.contains(&block),
                        "block {block} bit {bit} went unnoticed"
                    );
                    assert_eq!(found, healthy, "block {block} bit {bit}");
                }
                Err(error) => {
                    assert!(read.contains(&block), "block {block} bit {bit}: {error}");
                    assert!(
                        names(image, &error, block),
                        "block {block} bit {bit}: {error}"
                    );
                }
            }
        }
    }
    flips
}

/// Whether the error tells the block, what it is part of, and that its checksum is wrong.
fn names(image: &Image, error: &MetadataError, block: u64) -> bool {
    let damage = match error {
        MetadataError::Damaged(damage) => damage,
        // Without its magic number, a superblock might be anybody's block.
        MetadataError::Foreign(_) => return block == 0 || Some(block) == image.held_root,
        _ => return false,
    };
    let tree = match damage.tree {
        Tree::Superblock => block == 0 || Some(block) == image.held_root,
        // Single leaves in these images.
        Tree::Devices => image.peek_u32(block, 16) == 2 && image.peek_u32(block, 24) == 8,
        Tree::Details => image.peek_u32(block, 24) == 24,
        Tree::Mappings(dev_id) => [1, 2].contains(&dev_id.get()),
        _ => false,
    };
    tree && damage.block.0 == block && matches!(damage.rule, Rule::Checksum { .. })
}

/// Three levels of a tree, and a snapshot that differs in one leaf.
fn small(reserve: bool) -> Image {
    let mut pool = PoolModel::new(2000, 6);
    pool.create_thin(1);
    (0..30).for_each(|thin| assert!(pool.write(1, thin * 3)));
    pool.create_snap(2, 1);
    assert!(pool.write(2, 45));
    assert_eq!(pool.levels(1).len(), 3);
    if reserve {
        pool.reserve();
        assert!(pool.write(1, 3));
    }
    pool.image(ImageOptions {
        metadata_blocks: 40,
        ..ImageOptions::default()
    })
}

#[test]
fn every_single_bit_of_what_a_difference_reads() {
    let flips = flip_all(&small(false), &|source| {
        ask(source).map(|found| format!("{found:?}"))
    });
    // Superblock, details leaf, device leaf, both trees' paths to the changed leaf, and the first leaf that the
    // probes for the height end at.
    let read = 3 + 2 * 3 + 1;
    assert_eq!(flips, read * 32_768 + (40 - read) * 33);
}

#[test]
fn every_single_bit_of_what_a_held_difference_reads() {
    let image = small(true);
    let root = MetadataBlock(image.held_root.unwrap());
    flip_all(&image, &move |source| {
        let view = View::held(source, root)?;
        whole(changes(&view, Some(id(1)), id(2))).map(|found| format!("{found:?}"))
    });
}

#[test]
fn every_single_bit_of_what_a_measurement_reads() {
    flip_all(&small(false), &|source| {
        let view = View::live(source)?;
        match usage(&view, None) {
            Ok(found) => Ok(format!("{found:?}")),
            Err(Error::Usage { source }) => Err(source),
            Err(other) => panic!("{other}"),
        }
    });
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
