//! The rules that only a check can judge, each broken once under valid checksums.
//!
//! Those that every reader judges are broken in `tests/rules.rs`, where the check has to name them too.

use super::*;
use convoy_testkit::thin::{BlockType, Space as Counted};
use convoy_thin_metadata::{Damage, Rule, Severity, Space, Tree};

/// Breaks a healthy image and expects a finding, however much else is found.
#[track_caller]
fn finds(
    harm: impl FnOnce(&PoolModel, &mut Image),
    severity: Severity,
    expected: impl Fn(&Finding) -> bool,
) -> CheckReport {
    let pool = pool();
    let mut image = pool.image(ImageOptions::fitting(&pool));
    harm(&pool, &mut image);
    let report = checked(&image);
    let told = report.findings.iter().find(|finding| expected(finding));
    let Some(told) = told else {
        panic!("not told: {}", lines(&report.findings))
    };
    assert_eq!(told.severity, severity, "{told}");
    report
}

fn at(damage: Damage, tree: Tree, block: u64) -> bool {
    (damage.tree, damage.block) == (tree, MetadataBlock(block))
}

fn leaf_of(pool: &PoolModel, device: u32) -> u64 {
    *pool.levels(device).last().unwrap().first().unwrap()
}

type Harm = fn(&mut Image, u64);

#[test]
fn one_block_in_two_structures() {
    let image = image();
    let bitmap = image.bitmap_of(Counted::Data, 0);
    let counts = image.counts_root(Counted::Data);
    let details = image.details_root;
    let devices = image.devices_root;
    // Each is reached as what it is first, or as what it is not.
    let cases: [(u64, Tree, Harm); 4] = [
        (details, Tree::Mappings(id(6)), |i, block| {
            let last = i.peek_u32(i.devices_root, 16) as usize - 1;
            i.point(i.devices_root, last, block);
        }),
        (devices, Tree::Details, |i, block| {
            i.poke_u64(0, BlockType::Superblock, 328, block);
        }),
        (bitmap, Tree::RefCounts(Space::Data), |i, block| {
            i.poke_u64(0, BlockType::Superblock, 64 + 24, block);
        }),
        (counts, Tree::RefCounts(Space::Metadata), |i, block| {
            i.poke_u64(0, BlockType::Superblock, 192 + 24, block);
        }),
    ];
    for (block, tree, harm) in cases {
        finds(
            |_, image| harm(image, block),
            Severity::Fatal,
            |told| matches!(told.damage.rule, Rule::Role { .. }) && at(told.damage, tree, block),
        );
    }
}

#[test]
fn a_bitmap_for_both_devices() {
    let block = image().bitmap_of(Counted::Data, 0);
    finds(
        |_, image| {
            let index = image.index_root(Counted::Metadata);
            image.poke_u64(index, BlockType::Index, 16, block);
        },
        Severity::Fatal,
        |told| {
            matches!(told.damage.rule, Rule::Role { .. })
                && at(told.damage, Tree::Bitmaps(Space::Metadata), block)
        },
    );
}

/// A subtree that is whole where it was met first, and of the wrong height where it is met again.
#[test]
fn a_shared_subtree_in_the_wrong_place() {
    // Device 6 gets a root whose first child is a tree of height 2 and whose second one of height 1.
    let report = finds(
        |pool, image| {
            let levels = pool.levels(1);
            let spare = image.blocks_of(Counted::Metadata) - 1;
            let high = *levels[1]
                .iter()
                .max_by_key(|block| image.peek_u64(**block, 32))
                .unwrap();
            let low = levels[2]
                .iter()
                .copied()
                .min_by_key(|block| image.peek_u64(*block, 32))
                .unwrap();
            let (first, next) = (image.peek_u64(low, 32), image.peek_u64(high, 32));
            image.put_node(spare, false, &[(first, low), (next, high)]);
            image.point(image.devices_root, 4, spare);
        },
        Severity::Fatal,
        |told| matches!(told.damage.rule, Rule::SubtreeHeight { found: 2, due: 1 }),
    );
    assert_eq!(report.damaged_devices, [id(6)]);
}

#[test]
fn a_shared_leaf_outside_its_new_share() {
    finds(
        |pool, image| {
            let spare = image.blocks_of(Counted::Metadata) - 1;
            image.put_node(spare, false, &[(100_000, leaf_of(pool, 1))]);
            image.point(image.devices_root, 4, spare);
        },
        Severity::Fatal,
        |told| {
            matches!(told.damage.rule, Rule::KeyRange { low: 100_000, .. })
                && told.damage.tree == Tree::Mappings(id(6))
        },
    );
}

/// A pointer that went astray does not condemn what it leads to: in its rightful place that is read and judged.
#[test]
fn a_stray_pointer_blames_its_own_device_only() {
    let pool = pool();
    let mut image = pool.image(ImageOptions::fitting(&pool));
    let spare = image.blocks_of(Counted::Metadata) - 1;
    // Device 1 is met first; its tree now leads to a leaf of device 3, from where no key of it belongs.
    let leaf = leaf_of(&pool, 3);
    image.put_node(spare, false, &[(100_000, leaf)]);
    image.point(image.devices_root, 0, spare);
    let report = checked(&image);
    let misplaced: Vec<&Finding> = report
        .findings
        .iter()
        .filter(|told| matches!(told.damage.rule, Rule::KeyRange { .. }))
        .collect();
    assert_eq!(misplaced.len(), 1, "{}", lines(&report.findings));
    assert!(at(misplaced[0].damage, Tree::Mappings(id(1)), leaf));
    assert_eq!(report.damaged_devices, [id(1)]);

    // And no third chance: a thousand such pointers cost no thousand reads.
    for device in [1, 2] {
        image.point(image.devices_root, device, spare - device as u64);
        image.put_node(spare - device as u64, false, &[(100_000, leaf)]);
    }
    let report = checked(&image);
    let of_leaf = |told: &&Finding| told.damage.block == MetadataBlock(leaf);
    let told: Vec<Tree> = report
        .findings
        .iter()
        .filter(of_leaf)
        .map(|told| told.damage.tree)
        .collect();
    assert_eq!(told, [1, 2].map(|device| Tree::Mappings(id(device))));
}

#[test]
fn a_shared_leaf_where_an_internal_node_is_due() {
    finds(
        |pool, image| {
            let spare = image.blocks_of(Counted::Metadata) - 1;
            let levels = pool.levels(1);
            let parent = *levels[2].first().unwrap();
            let key = image.peek_u64(parent, 32);
            let leaf = *levels[3]
                .iter()
                .max_by_key(|block| image.peek_u64(**block, 32))
                .unwrap();
            let next = image.peek_u64(leaf, 32);
            image.put_node(spare, false, &[(key, parent), (next, leaf)]);
            image.point(image.devices_root, 4, spare);
        },
        Severity::Fatal,
        |told| told.damage.rule == Rule::Height { leaf: true },
    );
}

#[test]
fn a_mapping_from_the_future() {
    let held = pool();
    let leaf = leaf_of(&held, 1);
    finds(
        |_, image| image.point(leaf, 0, 5 << 24 | 4),
        Severity::Fatal,
        |told| {
            matches!(
                told.damage.rule,
                Rule::MappingTime {
                    time: 4,
                    limit: 3,
                    ..
                }
            ) && at(told.damage, Tree::Mappings(id(1)), leaf)
        },
    );
}

#[test]
fn devices_from_the_future() {
    let values = 32 + 8 * 126;
    let later = |offset: usize, field: &'static str| {
        finds(
            |_, image| {
                image.poke_u32(image.details_root, BlockType::Node, values + offset, 77);
            },
            Severity::Fatal,
            |told| matches!(told.damage.rule, Rule::DeviceTime { field: f, found: 77, .. } if f == field),
        );
    };
    later(16, "creation");
    later(20, "last snapshot");
    finds(
        |_, image| {
            image.poke_u64(image.details_root, BlockType::Node, values + 8, 6);
        },
        Severity::NonFatal,
        |told| {
            matches!(
                told.damage.rule,
                Rule::DeviceTransaction {
                    found: 6,
                    limit: 5,
                    ..
                }
            ) && told.damage.tree == Tree::Details
        },
    );
}

#[test]
fn missing_and_superfluous_bitmaps() {
    let (tree, entries) = (Tree::Index(Space::Data), 16);
    let root = image().index_root(Counted::Data);
    finds(
        |_, image| image.poke_u32(root, BlockType::Node, entries, 0),
        Severity::Fatal,
        |told| {
            told.damage.rule == Rule::BitmapMissing { first: 0, len: 1 }
                && at(told.damage, tree, root)
        },
    );
    finds(
        |_, image| image.poke_u64(root, BlockType::Node, Image::key_offset(0), 1),
        Severity::Fatal,
        |told| {
            told.damage.rule == Rule::BitmapRange { found: 1, limit: 1 }
                && at(told.damage, tree, root)
        },
    );
}

#[test]
fn one_bitmap_twice() {
    let mut pool = PoolModel::new(20_000, 6);
    pool.create_thin(1);
    let mut image = pool.image(ImageOptions::fitting(&pool));
    let (first, second) = (
        image.bitmap_of(Counted::Data, 0),
        image.bitmap_of(Counted::Data, 16_320),
    );
    assert_ne!(first, second);
    let root = image.index_root(Counted::Data);
    image.poke_u64(root, BlockType::Node, 32 + 8 * 168 + 16, first);
    let report = checked(&image);
    assert!(
        report
            .findings
            .iter()
            .any(|told| told.damage.rule == Rule::Revisited
                && at(told.damage, Tree::Bitmaps(Space::Data), first)),
        "{}",
        lines(&report.findings)
    );
}

#[test]
fn counts_of_three_and_more() {
    // Root nodes that five device trees share have counts of 3 and more.
    let pool = pool();
    let image = pool.image(ImageOptions::fitting(&pool));
    let shared = (0..image.blocks_of(Counted::Metadata))
        .find(|block| image.count(Counted::Metadata, *block) > 2)
        .unwrap();
    let space = Space::Metadata;
    let tree = Tree::RefCounts(space);
    let root = image.counts_root(Counted::Metadata);
    finds(
        |_, image| image.forget(Counted::Metadata, shared),
        Severity::Fatal,
        |told| {
            told.damage.rule
                == Rule::CountMissing {
                    space,
                    block: shared,
                }
                && at(told.damage, tree, root)
        },
    );
    let free = image.blocks_of(Counted::Metadata) - 1;
    for count in [1, 7] {
        finds(
            |_, image| image.remember(Counted::Metadata, free, count),
            Severity::Fatal,
            |told| {
                told.damage.rule
                    == Rule::CountStray {
                        space,
                        block: free,
                        count,
                    }
                    && at(told.damage, tree, root)
            },
        );
    }
    // A small count where a large one belongs: told, and compared all the same.
    let report = finds(
        |_, image| {
            image.forget(Counted::Metadata, shared);
            image.remember(Counted::Metadata, shared, 2);
        },
        Severity::Fatal,
        |told| {
            told.damage.rule
                == Rule::CountStray {
                    space,
                    block: shared,
                    count: 2,
                }
        },
    );
    assert_eq!(report.findings.len(), 2, "{}", lines(&report.findings));
    let limit = image.blocks_of(Counted::Metadata);
    finds(
        |_, image| image.remember(Counted::Metadata, limit, 3),
        Severity::Fatal,
        |told| {
            told.damage.rule
                == Rule::CountRange {
                    block: limit,
                    limit,
                }
                && at(told.damage, tree, root)
        },
    );
}

/// The metadata snapshot's copy of the superblock: zeroed, foreign, older than a release, or no copy at all.
#[test]
fn a_metadata_snapshot_that_is_none() {
    let root = image().held_root.unwrap();
    let told = |harm: &dyn Fn(&mut Image), expected: &dyn Fn(Rule) -> bool| {
        let report = finds(
            |_, image| harm(image),
            Severity::Fatal,
            |told| {
                told.held && expected(told.damage.rule) && at(told.damage, Tree::Superblock, root)
            },
        );
        assert!(
            report.damaged_devices.is_empty(),
            "the live devices are well"
        );
    };
    let field = |name: &'static str| move |rule: Rule| matches!(rule, Rule::Field { field, .. } if field == name);
    let copy = |offset: usize, value: u64| {
        move |image: &mut Image| image.poke_u64(root, BlockType::Superblock, offset, value)
    };
    let zeroed = |image: &mut Image| {
        let at = root as usize * 4096;
        image.bytes[at..at + 4096].fill(0);
    };
    told(&zeroed, &|rule| matches!(rule, Rule::Checksum { .. }));
    told(&copy(32, 1), &|rule| rule == Rule::Magic { found: 1 });
    told(&copy(56, 7), &field("held_root"));
    told(&copy(64, 7), &field("space map's nr_blocks"));
    told(&copy(336, 8 << 32 | 256), &field("data_block_size"));
    // Version and time are one word: a copy that is younger than the pool.
    told(&copy(40, 99 << 32 | 2), &field("time"));
    told(&copy(40, 3), &field("version"));
}

#[test]
fn a_held_root_that_is_a_node_or_lies_outside() {
    for (root, expected) in [
        (image().devices_root, "in use as a node of the device tree"),
        (1 << 20, "not below the metadata's"),
    ] {
        finds(
            |_, image| image.poke_u64(0, BlockType::Superblock, 56, root),
            Severity::Fatal,
            |told| {
                told.held
                    && at(told.damage, Tree::Superblock, root)
                    && told.damage.rule.to_string().contains(expected)
            },
        );
    }
}

/// What only the metadata snapshot has is checked too, and told to be of it.
#[test]
fn damage_under_the_metadata_snapshot_only() {
    let pool = pool();
    let live: Vec<u64> = pool.levels(1).into_iter().flatten().collect();
    let image = pool.image(ImageOptions::fitting(&pool));
    let held = pool.held().unwrap();
    let root = held[&4].root();
    assert!(!live.contains(&root), "device 4 was deleted since");
    let mut harmed = image;
    harmed.flip_bit(root, 999);
    let report = checked(&harmed);
    let [told] = report.findings[..] else {
        panic!("{}", lines(&report.findings))
    };
    assert!(told.held && at(told.damage, Tree::Mappings(id(4)), root));
    assert!(told.to_string().ends_with(" (in the metadata snapshot)"));
    assert!(report.damaged_devices.is_empty());
}

/// A check does not stop at the first thing: three devices, two trees and both space maps at once.
#[test]
fn everything_at_once() {
    let pool = pool();
    let mut image = pool.image(ImageOptions::fitting(&pool));
    let leaves = pool.levels(1);
    let leaves = leaves.last().unwrap();
    let (first, last) = (*leaves.first().unwrap(), *leaves.last().unwrap());
    image.flip_bit(first, 777);
    image.flip_bit(last, 777);
    image.flip_bit(pool.device(6).root(), 777);
    image.flip_bit(image.bitmap_of(Counted::Data, 0), 777);
    image.flip_bit(image.counts_root(Counted::Metadata), 777);
    let report = checked(&image);
    let told: Vec<(Tree, u64)> = report
        .findings
        .iter()
        .map(|told| (told.damage.tree, told.damage.block.0))
        .collect();
    let mut leaves = [
        (Tree::Mappings(id(1)), first),
        (Tree::Mappings(id(1)), last),
    ];
    if told[0].1 == last {
        leaves.reverse();
    }
    assert_eq!(told[..2], leaves);
    assert_eq!(
        told[2..],
        [
            (Tree::Mappings(id(6)), pool.device(6).root()),
            (
                Tree::RefCounts(Space::Metadata),
                image.counts_root(Counted::Metadata)
            ),
            (
                Tree::Bitmaps(Space::Data),
                image.bitmap_of(Counted::Data, 0)
            ),
        ]
    );
}
