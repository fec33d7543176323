//! Every planted error in a reference count is found, told with its severity, and nothing else is.

use super::*;
use convoy_testkit::thin::random::{history, play};
use convoy_testkit::thin::{BlockType, Space as Planted};
use convoy_thin_metadata::{Rule, Severity, Space, Tree};
use proptest::prelude::*;

fn space(planted: Planted) -> Space {
    match planted {
        Planted::Data => Space::Data,
        Planted::Metadata => Space::Metadata,
    }
}

/// Plants `count` for `block` and expects to be told of it and of nothing else.
#[track_caller]
fn plant(image: &Image, planted: Planted, block: u64, count: u32) {
    let old = image.count(planted, block);
    let mut harmed = image.clone();
    harmed.set_count(planted, block, count);
    let report = checked(&harmed);
    let [finding] = report.findings[..] else {
        panic!("{old} to {count}: {}", lines(&report.findings))
    };
    let space = space(planted);
    let (severity, rule) = if count < old {
        let rule = Rule::CountLow {
            space,
            first: block,
            last: block,
            recorded: count,
            found: old,
        };
        (Severity::Fatal, rule)
    } else {
        let rule = Rule::CountHigh {
            space,
            first: block,
            last: block,
            recorded: count,
            found: old,
        };
        (Severity::NonFatal, rule)
    };
    assert_eq!(finding.damage.rule, rule);
    assert_eq!(finding.severity, severity);
    assert_eq!(report.worst(), Some(severity));
    assert_eq!(finding.damage.tree, Tree::Bitmaps(space));
    let bitmap = harmed.bitmap_of(planted, block);
    assert_eq!(finding.damage.block, MetadataBlock(bitmap));
    let quiet = CheckOptions {
        ignore_non_fatal: true,
        ..CheckOptions::default()
    };
    let report = check(&MemorySource::new(harmed.bytes), &quiet).unwrap();
    assert_eq!(report.is_clean(), severity == Severity::NonFatal);
}

/// Every metadata block and a part of the data blocks, each with one user more and one less.
#[test]
fn every_block_up_and_down() {
    let image = image();
    let mut planted = 0;
    for (space, step) in [(Planted::Metadata, 1), (Planted::Data, 7)] {
        for block in (0..image.blocks_of(space)).step_by(step) {
            let count = image.count(space, block);
            plant(&image, space, block, count + 1);
            if count > 0 {
                plant(&image, space, block, count - 1);
            }
            planted += 1;
        }
    }
    assert!(planted > 300, "{planted}");
}

/// A run of leaked blocks is one line.
#[test]
fn neighbours_with_the_same_error_are_one_finding() {
    let mut image = image();
    for block in 1800..1900 {
        image.set_count(Planted::Data, block, 1);
    }
    let report = checked(&image);
    assert_eq!(report.findings.len(), 1);
    assert!(matches!(
        report.findings[0].damage.rule,
        Rule::CountHigh {
            first: 1800,
            last: 1899,
            recorded: 1,
            found: 0,
            ..
        }
    ));
    let expected = format!(
        "non-fatal: thin metadata is damaged in the data space map's bitmaps, block {}: data blocks 1800 to 1899 have a reference count of 1 and 0 users",
        image.bitmap_of(Planted::Data, 1800)
    );
    assert_eq!(lines(&report.findings), expected);
}

#[test]
fn no_more_findings_are_kept_than_asked_for_and_the_gravest_is_known() {
    let mut image = image();
    for block in 1800..1900 {
        image.set_count(Planted::Data, block, 1 + block as u32 % 2);
    }
    // Told last: the metadata space map comes after the data's.
    image.set_count(Planted::Metadata, image.devices_root, 0);
    let options = CheckOptions {
        max_findings: Some(3),
        ..CheckOptions::default()
    };
    let report = check(&MemorySource::new(image.bytes), &options).unwrap();
    assert_eq!((report.findings.len(), report.uncounted), (3, 98));
    assert_eq!(report.findings[2].severity, Severity::NonFatal);
    assert_eq!(report.worst(), Some(Severity::Fatal));
}

/// A leaf that nobody points at any more: the block and all it maps are leaked, and no more than that.
#[test]
fn a_forgotten_leaf_leaks() {
    let pool = pool();
    let mut image = pool.image(ImageOptions::fitting(&pool));
    let free = image.blocks_of(Planted::Metadata) - 1;
    image.put_node(free, true, &[(5, 1999 << 24)]);
    image.set_count(Planted::Metadata, free, 1);
    image.set_count(Planted::Data, 1999, 1);
    let report = checked(&image);
    assert_eq!(report.findings.len(), 2, "{}", lines(&report.findings));
    assert_eq!(report.worst(), Some(Severity::NonFatal));
}

/// While a subtree cannot be read, what only it uses is not called leaked.
#[test]
fn damage_is_no_leak() {
    let pool = pool();
    let mut image = pool.image(ImageOptions::fitting(&pool));
    let leaves = |device| pool.levels(device).pop().unwrap();
    let (origin, snapshot) = (leaves(1), leaves(2));
    image.flip_bit(*origin.intersection(&snapshot).next().unwrap(), 4000);
    let report = checked(&image);
    assert_eq!(report.findings.len(), 1, "{}", lines(&report.findings));
    assert!(!report.counts_complete);
    // The snapshots share the leaf, and it is read once.
    assert_eq!(report.damaged_devices, [1, 2, 3, 5].map(id));
}

/// What a mapping or a device cannot be counted for is not called leaked either.
#[test]
fn what_cannot_be_counted_is_no_leak() {
    let pool = pool();
    let mut image = pool.image(ImageOptions::fitting(&pool));
    let leaf = *pool.levels(3).last().unwrap().first().unwrap();
    image.point(leaf, 1, 2000 << 24);
    let report = checked(&image);
    assert_eq!(report.findings.len(), 1, "{}", lines(&report.findings));
    assert!(!report.counts_complete);

    let mut image = pool.image(ImageOptions::fitting(&pool));
    let last = image.peek_u32(image.devices_root, 16) as usize - 1;
    let key = Image::key_offset(last);
    image.poke_u64(image.devices_root, BlockType::Node, key, 1 << 24);
    let report = checked(&image);
    // The strange id, and details without a device.
    assert_eq!(report.findings.len(), 2, "{}", lines(&report.findings));
    assert_eq!(report.damaged_devices, [id(6)]);
}

#[test]
fn the_number_of_blocks_in_use() {
    for (planted, offset) in [(Planted::Data, 72), (Planted::Metadata, 200)] {
        let mut image = image();
        let recorded = image.peek_u64(0, offset) + 1;
        image.poke_u64(0, BlockType::Superblock, offset, recorded);
        let report = checked(&image);
        let [finding] = report.findings[..] else {
            panic!("{}", lines(&report.findings))
        };
        let rule = Rule::Allocated {
            space: space(planted),
            recorded,
            found: recorded - 1,
        };
        assert_eq!(
            (finding.damage.rule, finding.severity),
            (rule, Severity::NonFatal)
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn in_generated_pools(
        history in history(30, 200),
        fanout in 1..5_usize,
        reserve in any::<bool>(),
        data in any::<bool>(),
        seed in any::<u64>(),
        count in 0..6_u32,
    ) {
        let mut pool = PoolModel::new(600, fanout * 3);
        let (before, after) = history.split_at(history.len() / 2);
        play(&mut pool, before, 200);
        if reserve {
            pool.reserve();
        }
        play(&mut pool, after, 200);
        let image = pool.image(ImageOptions::fitting(&pool));
        let space = if data { Planted::Data } else { Planted::Metadata };
        let block = seed % image.blocks_of(space);
        let old = image.count(space, block);
        plant(&image, space, block, if count == old { count + 1 } else { count });
    }
}
