//! Every rule of the format: broken under a valid checksum, it must be named, with tree and block.
//!
//! Each case breaks one thing in an otherwise healthy image and expects exactly that rule, of the readers that stop
//! at the first breach and of the check that goes on; take the rule's check out of either and its case fails.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops at the first thing that is not as it should be"
)]

use convoy_testkit::thin::{BlockType, Image, ImageOptions, PoolModel};
use convoy_thin_metadata::{
    BlockSource, CheckOptions, Damage, Error, Foreign, MemorySource, Rule, Severity,
    SuperblockState, Tree, View, check as check_everything, read_superblock,
};
use convoy_units::{DevId, MetadataBlock};

/// A pool of three devices; device 1 has a tree of 4 levels with 6 entries a node.
struct World {
    image: Image,
    /// Device 1: block numbers in key order, by level, the root first.
    levels: Vec<Vec<u64>>,
}

fn world() -> World {
    let mut pool = PoolModel::new(2000, 6);
    for id in 1..=3 {
        pool.create_thin(id);
    }
    for thin in 0..200 {
        pool.write(1, thin * 3 + 10);
    }
    pool.write(2, 7);
    pool.transaction = 5;
    let image = pool.image(ImageOptions::fitting(&pool));
    let mut levels = vec![vec![pool.device(1).root()]];
    while image.peek_u32(levels.last().unwrap()[0], 4) == 1 {
        let below = levels
            .last()
            .unwrap()
            .iter()
            .flat_map(|block| children(&image, *block))
            .collect();
        levels.push(below);
    }
    assert_eq!(levels.len(), 4);
    World { image, levels }
}

fn children(image: &Image, block: u64) -> Vec<u64> {
    let count = image.peek_u32(block, 16) as usize;
    (0..count)
        .map(|index| image.peek_u64(block, image.value_offset(block, index)))
        .collect()
}

/// Reads everything there is.
fn whole<S: BlockSource>(view: &View<S>) -> Result<u64, Error> {
    let mut blocks = 0;
    for device in view.devices()? {
        for run in view.mappings(device.dev_id)? {
            blocks += run?.len;
        }
    }
    Ok(blocks)
}

fn read(image: &Image) -> Result<u64, Error> {
    whole(&View::live(MemorySource::new(image.bytes.clone()))?)
}

fn device(id: u64) -> DevId {
    DevId::new(id).unwrap()
}

const ONE: fn() -> Tree = || Tree::Mappings(device(1));

/// Breaks a healthy image and expects this damage.
#[track_caller]
fn check(
    tree: Tree,
    level: Option<u8>,
    harm: impl FnOnce(&World, &mut Image) -> u64,
    expected: impl Fn(Rule) -> bool,
) {
    let world = world();
    let mut image = world.image.clone();
    let block = MetadataBlock(harm(&world, &mut image));
    check_reports(&image, |damage| {
        (damage.tree, damage.block) == (tree, block) && expected(damage.rule)
    });
    match read(&image) {
        Err(Error::Damaged(Damage {
            tree: t,
            level: l,
            block: b,
            rule,
        })) => {
            assert!(expected(rule), "another rule: {rule}");
            assert_eq!((t, l, b), (tree, level, block), "{rule}");
        }
        other => panic!("not noticed: {other:?}"),
    }
}

/// The check, which goes on after damage, must have told this among other things.
#[track_caller]
fn check_reports(image: &Image, expected: impl Fn(Damage) -> bool) {
    let source = MemorySource::new(image.bytes.clone());
    let report = check_everything(&source, &CheckOptions::default()).unwrap();
    let told = report
        .findings
        .iter()
        .any(|finding| finding.severity == Severity::Fatal && expected(finding.damage));
    let lines: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    assert!(told, "the check does not tell it: {lines:#?}");
}

#[test]
fn a_healthy_image_is_read_whole() {
    let image = world().image;
    assert_eq!(read(&image).unwrap(), 201);
    let source = MemorySource::new(image.bytes);
    let report = check_everything(&source, &CheckOptions::default()).unwrap();
    assert!(report.is_clean(), "{:?}", report.findings);
}

macro_rules! rule {
    ($name:ident, $tree:expr, $level:expr, $harm:expr, $pattern:pat) => {
        #[test]
        fn $name() {
            check($tree, $level, $harm, |rule| matches!(rule, $pattern));
        }
    };
}

fn poke32(image: &mut Image, block: u64, offset: usize, value: u32) -> u64 {
    image.poke_u32(block, BlockType::Node, offset, value);
    block
}

fn poke64(image: &mut Image, block: u64, offset: usize, value: u64) -> u64 {
    image.poke_u64(block, BlockType::Node, offset, value);
    block
}

rule!(
    child_past_the_device,
    ONE(),
    Some(2),
    |w, i| {
        i.point(w.levels[0][0], 1, 1 << 30);
        1 << 30
    },
    Rule::BlockRange { .. }
);
rule!(
    first_child_just_past_the_device,
    ONE(),
    None,
    |w, i| {
        let limit = w.image.bytes.len() as u64 / 4096;
        i.point(w.levels[0][0], 0, limit);
        limit
    },
    Rule::BlockRange { .. }
);
rule!(
    child_is_the_superblock,
    ONE(),
    Some(2),
    |w, i| {
        i.point(w.levels[0][0], 1, 0);
        0
    },
    Rule::PointsAtSuperblock
);
rule!(
    child_is_its_sibling,
    ONE(),
    Some(2),
    |w, i| {
        i.point(w.levels[0][0], 1, w.levels[1][0]);
        w.levels[1][0]
    },
    Rule::Revisited
);
rule!(
    child_is_its_own_parent,
    ONE(),
    Some(2),
    |w, i| {
        i.point(w.levels[0][0], 1, w.levels[0][0]);
        w.levels[0][0]
    },
    Rule::Revisited
);
rule!(
    leaf_twice_under_two_parents,
    ONE(),
    Some(0),
    |w, i| {
        i.point(w.levels[2][1], 0, w.levels[3][0]);
        w.levels[3][0]
    },
    Rule::Revisited
);
rule!(
    endless_first_children,
    ONE(),
    None,
    |w, i| {
        // With one entry each, the share of the keys does not shrink on the way, so nothing else ends this.
        let blocks = i.bytes.len() as u64 / 4096;
        let chain: Vec<u64> = (blocks - 20..blocks).collect();
        for pair in chain.windows(2) {
            i.put_node(pair[0], false, &[(0, pair[1])]);
        }
        i.point(w.image.devices_root, 0, chain[0]);
        chain[16]
    },
    Rule::TooDeep
);
rule!(
    one_bit_of_a_leaf,
    ONE(),
    Some(0),
    |w, i| {
        i.flip_bit(w.levels[3][5], 12_345);
        w.levels[3][5]
    },
    Rule::Checksum { .. }
);
rule!(
    leaf_sealed_as_a_bitmap,
    ONE(),
    Some(0),
    |w, i| {
        i.reseal(w.levels[3][5], BlockType::Bitmap);
        w.levels[3][5]
    },
    Rule::Checksum { .. }
);
rule!(
    two_leaves_exchanged,
    ONE(),
    Some(0),
    |w, i| {
        i.swap(w.levels[3][5], w.levels[3][6]);
        w.levels[3][5]
    },
    Rule::BlockNumber { .. }
);
rule!(
    neither_internal_nor_leaf,
    ONE(),
    Some(0),
    |w, i| poke32(i, w.levels[3][5], 4, 0),
    Rule::NodeKind { flags: 0 }
);
rule!(
    both_internal_and_leaf,
    ONE(),
    Some(2),
    |w, i| poke32(i, w.levels[1][1], 4, 3),
    Rule::NodeKind { flags: 3 }
);
rule!(
    leaf_too_early,
    ONE(),
    Some(2),
    |w, i| poke32(i, w.levels[1][1], 4, 2),
    Rule::Height { leaf: true }
);
rule!(
    internal_node_too_late,
    ONE(),
    Some(0),
    |w, i| poke32(i, w.levels[3][5], 4, 1),
    Rule::Height { leaf: false }
);
rule!(
    child_skips_a_level,
    ONE(),
    Some(1),
    |w, i| {
        let leaf = children(i, w.levels[2][1])[0];
        i.point(w.levels[1][0], 1, leaf);
        leaf
    },
    Rule::Height { leaf: true }
);
rule!(
    values_of_another_tree,
    ONE(),
    Some(0),
    |w, i| poke32(i, w.levels[3][5], 24, 24),
    Rule::ValueSize {
        found: 24,
        expected: 8
    }
);
rule!(
    internal_values_of_another_size,
    ONE(),
    Some(2),
    |w, i| poke32(i, w.levels[1][1], 24, 4),
    Rule::ValueSize {
        found: 4,
        expected: 8
    }
);
rule!(
    details_with_small_values,
    Tree::Details,
    None,
    |w, i| poke32(i, w.image.details_root, 24, 8),
    Rule::ValueSize {
        found: 8,
        expected: 24
    }
);
rule!(
    room_for_more_than_a_block,
    ONE(),
    Some(0),
    |w, i| poke32(i, w.levels[3][5], 20, 255),
    Rule::MaxEntries { max: 255 }
);
rule!(
    room_beyond_numbers,
    ONE(),
    Some(0),
    |w, i| poke32(i, w.levels[3][5], 20, u32::MAX),
    Rule::MaxEntries { .. }
);
rule!(
    more_entries_than_room,
    ONE(),
    Some(0),
    |w, i| poke32(i, w.levels[3][5], 16, 7),
    Rule::EntryCount { entries: 7, max: 6 }
);
rule!(
    internal_node_without_children,
    ONE(),
    Some(2),
    |w, i| poke32(i, w.levels[1][1], 16, 0),
    Rule::EmptyInternal
);
rule!(
    same_key_twice,
    ONE(),
    Some(0),
    |w, i| {
        let leaf = w.levels[3][5];
        let first = i.peek_u64(leaf, Image::key_offset(0));
        poke64(i, leaf, Image::key_offset(1), first)
    },
    Rule::KeyOrder { .. }
);
rule!(
    keys_descend_inside_their_share,
    ONE(),
    Some(0),
    |w, i| {
        // The last leaf's share has no end: a larger second key is inside it and above the third.
        poke64(
            i,
            *w.levels[3].last().unwrap(),
            Image::key_offset(1),
            1 << 40,
        )
    },
    Rule::KeyOrder { .. }
);
rule!(
    key_below_its_share,
    ONE(),
    Some(0),
    |w, i| {
        let leaf = w.levels[3][5];
        let first = i.peek_u64(leaf, Image::key_offset(0));
        poke64(i, leaf, Image::key_offset(0), first - 1)
    },
    Rule::KeyRange { .. }
);
rule!(
    key_above_its_share,
    ONE(),
    Some(0),
    |w, i| {
        let leaf = w.levels[3][5];
        let next = i.peek_u64(w.levels[3][6], Image::key_offset(0));
        let last = i.peek_u32(leaf, 16) as usize - 1;
        poke64(i, leaf, Image::key_offset(last), next)
    },
    Rule::KeyRange { .. }
);
rule!(
    internal_key_above_its_share,
    ONE(),
    Some(1),
    |w, i| {
        let node = w.levels[2][1];
        let last = i.peek_u32(node, 16) as usize - 1;
        poke64(i, node, Image::key_offset(last), 5_000)
    },
    Rule::KeyRange { .. }
);
rule!(
    mapping_past_the_data_device,
    ONE(),
    Some(0),
    |w, i| {
        i.point(w.levels[3][5], 1, 2000 << 24);
        w.levels[3][5]
    },
    Rule::DataRange {
        data: 2000,
        limit: 2000,
        ..
    }
);
rule!(
    thin_block_no_device_has,
    ONE(),
    Some(0),
    |w, i| {
        let leaf = *w.levels[3].last().unwrap();
        let last = i.peek_u32(leaf, 16) as usize - 1;
        poke64(i, leaf, Image::key_offset(last), 1 << 57)
    },
    Rule::ThinRange { .. }
);
rule!(
    device_id_of_25_bits,
    Tree::Devices,
    Some(0),
    |w, i| { poke64(i, w.image.devices_root, Image::key_offset(2), 1 << 24) },
    Rule::DevIdRange { id: 16_777_216 }
);
rule!(
    details_of_25_bits,
    Tree::Details,
    Some(0),
    |w, i| { poke64(i, w.image.details_root, Image::key_offset(2), 1 << 24) },
    Rule::DevIdRange { id: 16_777_216 }
);
rule!(
    mappings_without_details,
    Tree::Details,
    None,
    |w, i| { poke32(i, w.image.details_root, 16, 2) },
    Rule::KeySets {
        in_devices: true,
        ..
    }
);
rule!(
    details_without_mappings,
    Tree::Details,
    None,
    |w, i| {
        poke32(i, w.image.devices_root, 16, 2);
        w.image.details_root
    },
    Rule::KeySets {
        in_devices: false,
        ..
    }
);
rule!(
    count_in_details_is_wrong,
    ONE(),
    None,
    |w, i| {
        let offset = i.value_offset(w.image.details_root, 0);
        poke64(i, w.image.details_root, offset, 199);
        w.levels[0][0]
    },
    Rule::MappedCount {
        recorded: 199,
        found: 200
    }
);
rule!(
    mapping_root_is_zero,
    Tree::Mappings(device(2)),
    None,
    |w, i| {
        i.point(w.image.devices_root, 1, 0);
        0
    },
    Rule::PointsAtSuperblock
);
rule!(
    mapping_root_is_past_the_device,
    Tree::Mappings(device(2)),
    None,
    |w, i| {
        i.point(w.image.devices_root, 1, 1 << 40);
        1 << 40
    },
    Rule::BlockRange { .. }
);
rule!(
    mapping_root_is_a_bitmap,
    Tree::Mappings(device(2)),
    None,
    |w, i| {
        // The data space map's only bitmap: an intact block of another type.
        let index = w.image.peek_u64(0, 64 + 16);
        let bitmap = w.image.peek_u64(index, w.image.value_offset(index, 0));
        i.point(w.image.devices_root, 1, bitmap);
        bitmap
    },
    Rule::Checksum { .. }
);

fn superblock(harm: impl FnOnce(&mut Image)) -> Result<u64, Error> {
    let mut image = world().image;
    harm(&mut image);
    read(&image)
}

#[track_caller]
fn check_field(offset: usize, value: u64, expected: impl Fn(Rule) -> bool) {
    let mut image = world().image;
    image.poke_u64(0, BlockType::Superblock, offset, value);
    check_reports(&image, |damage| expected(damage.rule));
    match superblock(|image| image.poke_u64(0, BlockType::Superblock, offset, value)) {
        Err(Error::Damaged(Damage {
            tree: Tree::Superblock,
            block: MetadataBlock(0),
            rule,
            ..
        })) => {
            assert!(expected(rule), "another rule: {rule}");
        }
        other => panic!("not noticed: {other:?}"),
    }
}

#[test]
fn superblock_fields() {
    // data and metadata block size are one word each at 336 and 340
    check_field(336, 8 << 32 | 127, |rule| {
        matches!(
            rule,
            Rule::Field {
                field: "data_block_size",
                found: 127
            }
        )
    });
    check_field(336, 16 << 32 | 128, |rule| {
        matches!(
            rule,
            Rule::Field {
                field: "metadata_block_size",
                found: 16
            }
        )
    });
    check_field(320, 0, |rule| rule == Rule::PointsAtSuperblock);
    check_field(328, 0, |rule| rule == Rule::PointsAtSuperblock);
    check_field(328, 1 << 33, |rule| matches!(rule, Rule::BlockRange { .. }));
    check_field(56, 1 << 33, |rule| matches!(rule, Rule::BlockRange { .. }));
    check_field(64, (1 << 40) + 1, |rule| matches!(rule, Rule::Field { .. }));
    check_field(192, 5_000_000, |rule| matches!(rule, Rule::Field { .. }));
    check_field(192, 0, |rule| matches!(rule, Rule::Field { .. }));
    check_field(8, 4, |rule| matches!(rule, Rule::BlockNumber { found: 4 }));
}

#[test]
fn a_truncated_device_is_refused() {
    let mut image = world().image;
    image.bytes.truncate(image.bytes.len() - 4096);
    let error = read(&image).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Damaged(Damage {
                rule: Rule::Field { .. },
                ..
            })
        ),
        "{error}"
    );
}

/// A device larger than any pool can use does not make more blocks of it believable.
#[test]
fn more_blocks_than_a_pool_can_use_are_refused() {
    struct Vast(MemorySource);
    impl BlockSource for Vast {
        fn nr_blocks(&self) -> u64 {
            10_000_000
        }
        fn read(&self, block: MetadataBlock, into: &mut [u8; 4096]) -> std::io::Result<()> {
            self.0.read(block, into)
        }
    }
    let mut image = world().image;
    for (blocks, refused) in [(4_161_600, false), (4_161_601, true)] {
        image.poke_u64(0, BlockType::Superblock, 192, blocks);
        let view = View::live(Vast(MemorySource::new(image.bytes.clone())));
        let told = matches!(
            view,
            Err(Error::Damaged(Damage { rule: Rule::Field { found, .. }, .. })) if found == blocks
        );
        assert_eq!(told, refused);
    }
}

#[test]
fn newer_formats_are_refused() {
    for (offset, word) in [(40, 3), (360, 1)] {
        let error =
            superblock(|image| image.poke_u32(0, BlockType::Superblock, offset, word)).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    }
}

#[test]
fn blank_and_foreign_blocks_are_told_apart() {
    let error = superblock(|image| image.bytes[..4096].fill(0)).unwrap_err();
    assert!(matches!(error, Error::Blank), "{error}");
    let error = superblock(|image| image.bytes[..4096].fill(0x5a)).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Foreign(Foreign::MagicAndChecksum(0x5a5a_5a5a_5a5a_5a5a))
        ),
        "{error}"
    );
    let error = superblock(|image| image.poke_u64(0, BlockType::Superblock, 32, 1)).unwrap_err();
    assert!(
        matches!(error, Error::Foreign(Foreign::Magic(1))),
        "{error}"
    );
    let error = superblock(|image| image.flip_bit(0, 8 * 400)).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Damaged(Damage {
                rule: Rule::Checksum { .. },
                ..
            })
        ),
        "{error}"
    );
    let zeroed = read_superblock(&MemorySource::new(vec![0; 4096])).unwrap();
    assert_eq!(zeroed, SuperblockState::Zeroed);
    let error = read_superblock(&MemorySource::new(vec![0; 4095])).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Read {
                block: MetadataBlock(0),
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn an_error_names_block_tree_level_and_rule() {
    let world = world();
    let mut image = world.image.clone();
    let leaf = world.levels[3][5];
    poke32(&mut image, leaf, 16, 7);
    let expected = format!(
        "thin metadata is damaged in the mapping tree of device 1, level 0, block {leaf}: the node has 7 entries and room for 6"
    );
    assert_eq!(read(&image).unwrap_err().to_string(), expected);
}
