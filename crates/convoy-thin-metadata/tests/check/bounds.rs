//! Work stays bounded on metadata made to waste it: cycles, bombs of shared nodes, devices that do not read.

use super::*;
use convoy_testkit::thin::{BlockType, Space};
use convoy_thin_metadata::{Error, Rule, Severity, Tree, View};
use std::time::{Duration, Instant};

/// Checks `image`; asserts that there are no more reads than two for each block.
#[track_caller]
fn bounded(image: &Image) -> CheckReport {
    let source = Counting::new(MemorySource::new(image.bytes.clone()));
    let started = Instant::now();
    let report = check(&source, &CheckOptions::default()).unwrap();
    let blocks = source.nr_blocks();
    assert!(
        source.reads() <= 2 * blocks,
        "{} reads of {blocks} blocks",
        source.reads()
    );
    assert!(started.elapsed() < Duration::from_secs(20));
    report
}

fn spare(image: &Image, count: u64) -> Vec<u64> {
    let blocks = image.blocks_of(Space::Metadata);
    (blocks - count..blocks).collect()
}

/// A small pool on a roomy device, with the place in the device tree of its only device's root.
fn roomy() -> Image {
    let mut pool = PoolModel::new(300, 6);
    pool.create_thin(1);
    pool.write(1, 5);
    pool.image(ImageOptions {
        metadata_blocks: 200,
        ..ImageOptions::default()
    })
}

/// 15 levels of nodes whose 252 entries all point at the one node below: 252^15 paths.
#[test]
fn a_bomb_of_shared_nodes() {
    let mut image = roomy();
    let chain = spare(&image, 16);
    for pair in chain.windows(2) {
        let entries: Vec<(u64, u64)> = (0..252).map(|key| (key << 40, pair[1])).collect();
        image.put_node(pair[0], false, &entries);
    }
    image.put_node(*chain.last().unwrap(), true, &[(0, 0)]);
    image.point(image.devices_root, 0, chain[0]);
    let report = bounded(&image);
    let revisited = |finding: &Finding| finding.damage.rule == Rule::Revisited;
    assert!(report.findings.iter().any(revisited));
    assert_eq!(report.worst(), Some(Severity::Fatal));
}

/// The same tree under two thousand devices.
#[test]
fn devices_that_share_everything_cost_one_walk() {
    let mut pool = PoolModel::new(3000, 6);
    pool.create_thin(1);
    for thin in 0..3000 {
        pool.write(1, thin);
    }
    for snapshot in 2..=2000 {
        pool.create_snap(snapshot, 1);
    }
    let image = pool.image(ImageOptions::fitting(&pool));
    let source = Counting::new(MemorySource::new(image.bytes.clone()));
    let report = check(&source, &CheckOptions::default()).unwrap();
    assert!(report.is_clean(), "{}", lines(&report.findings));
    assert_eq!(report.mapped_blocks, 2000 * 3000);
    assert!(
        source.reads() <= source.nr_blocks() + 16,
        "{}",
        source.reads()
    );
}

#[test]
fn cycles_of_every_length() {
    for length in 1..=5 {
        let mut image = roomy();
        let ring = spare(&image, length);
        for (at, block) in ring.iter().enumerate() {
            image.put_node(*block, false, &[(0, ring[(at + 1) % ring.len()])]);
        }
        image.point(image.devices_root, 0, ring[0]);
        let report = bounded(&image);
        let told = report.findings[0].damage;
        assert_eq!(told.rule, Rule::Revisited);
        assert_eq!(
            (told.tree, told.block),
            (Tree::Mappings(id(1)), MetadataBlock(ring[0]))
        );
        assert_eq!(report.damaged_devices, [id(1)]);
    }
}

/// The readers that stop at the first breach do so soon, and name it.
#[test]
fn a_view_of_a_cycle_or_a_bomb_ends() {
    for length in 1..=5_usize {
        let mut image = roomy();
        let ring = spare(&image, length as u64);
        for (at, block) in ring.iter().enumerate() {
            let next = ring[(at + 1) % ring.len()];
            let entries: Vec<(u64, u64)> = (0..252).map(|key| (key << 40, next)).collect();
            image.put_node(*block, false, &entries);
        }
        image.point(image.devices_root, 0, ring[0]);
        let source = Counting::new(MemorySource::new(image.bytes));
        let view = View::live(&source).unwrap();
        let error = view.mappings(id(1)).unwrap_err();
        let Error::Damaged(damage) = error else {
            panic!("{error}")
        };
        assert_eq!(damage.tree, Tree::Mappings(id(1)));
        assert!(ring.contains(&damage.block.0));
        assert!(source.reads() <= 24, "{} reads", source.reads());
    }
}

#[test]
fn a_tree_deeper_than_any() {
    let mut image = roomy();
    let chain = spare(&image, 20);
    for pair in chain.windows(2) {
        image.put_node(pair[0], false, &[(0, pair[1])]);
    }
    image.put_node(*chain.last().unwrap(), true, &[(0, 0)]);
    image.point(image.devices_root, 0, chain[0]);
    let report = bounded(&image);
    let told = report.findings[0].damage;
    assert_eq!(
        (told.rule, told.block),
        (Rule::TooDeep, MetadataBlock(chain[16]))
    );
    // 16 levels are allowed.
    image.put_node(chain[15], true, &[(0, 0)]);
    let report = bounded(&image);
    assert!(
        report
            .findings
            .iter()
            .all(|finding| finding.damage.rule != Rule::TooDeep)
    );
}

/// A superblock that promises the greatest data device: its bitmaps are not looked for one by one.
#[test]
fn a_pool_that_claims_a_trillion_data_blocks() {
    let mut image = roomy();
    image.poke_u64(0, BlockType::Superblock, 64, 1 << 40);
    let report = bounded(&image);
    let missing = (1_u64 << 40).div_ceil(16_320) - 1;
    assert!(report.findings.iter().any(|finding| finding.damage.rule
        == Rule::BitmapMissing {
            first: 1,
            len: missing
        }));
}

/// A device of which one block after the other cannot be read: each is told, and the rest is checked.
#[test]
fn an_unreadable_block_costs_its_subtree_and_no_more() {
    struct Ill(MemorySource, u64);
    impl BlockSource for Ill {
        fn nr_blocks(&self) -> u64 {
            self.0.nr_blocks()
        }
        fn read(&self, block: MetadataBlock, into: &mut Block) -> io::Result<()> {
            if block.0 == self.1 {
                return Err(io::Error::other("the disk is ill"));
            }
            self.0.read(block, into)
        }
    }
    let pool = pool();
    let image = pool.image(ImageOptions::fitting(&pool));
    for block in 1..image.blocks_of(Space::Metadata) {
        let source = Ill(MemorySource::new(image.bytes.clone()), block);
        let report = check(&source, &CheckOptions::default()).unwrap();
        let used = image.count(Space::Metadata, block) > 0;
        let expected = Rule::Unreadable {
            error: io::ErrorKind::Other,
        };
        let told: Vec<Rule> = report
            .findings
            .iter()
            .map(|line| line.damage.rule)
            .collect();
        assert_eq!(
            told,
            if used { vec![expected] } else { vec![] },
            "block {block}"
        );
    }
    let error = check(
        &Ill(MemorySource::new(image.bytes.clone()), 0),
        &CheckOptions::default(),
    );
    assert!(matches!(error, Err(Error::Read { .. })));
}

/// Every way to cut the device short is told.
#[test]
fn truncated_devices() {
    let image = image();
    let blocks = image.blocks_of(Space::Metadata);
    for kept in 1..blocks {
        let mut cut = image.clone();
        cut.bytes.truncate(kept as usize * 4096);
        let report = bounded(&cut);
        let rule = report.findings[0].damage.rule;
        assert!(
            matches!(rule, Rule::Field { found, .. } if found == blocks),
            "{rule}"
        );
    }
}
