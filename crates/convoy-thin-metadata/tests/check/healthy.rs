//! Nothing is wrong with healthy metadata, of whatever shape, and the report says what is there.

use super::*;
use convoy_testkit::thin::Space;
use convoy_testkit::thin::random::{history, play};
use proptest::prelude::*;

#[track_caller]
fn assert_clean(report: &CheckReport) {
    assert!(report.is_clean(), "{}", lines(&report.findings));
    assert_eq!((report.findings.len(), report.uncounted), (0, 0));
    assert!(report.counts_complete && report.damaged_devices.is_empty());
}

#[test]
fn kernel_made_metadata() {
    let source = Counting::new(MemorySource::new(KERNEL.to_vec()));
    let report = check(&source, &CheckOptions::default()).unwrap();
    assert_clean(&report);
    assert_eq!((report.devices, report.mapped_blocks), (4, 2128));
    assert_eq!((report.data_blocks_used, report.data_blocks), (730, 4096));
    assert_eq!(report.metadata_blocks, 64);
    assert_eq!(report.transaction_id, 7);
    assert_eq!(report.held_root, Some(MetadataBlock(12)));
    assert!(!report.needs_check);
}

#[test]
fn the_report_counts_what_the_model_has() {
    let pool = pool();
    let report = checked(&pool.image(ImageOptions::fitting(&pool)));
    assert_clean(&report);
    let mapped: usize = pool
        .ids()
        .iter()
        .map(|id| pool.device(*id).map().len())
        .sum();
    assert_eq!(report.mapped_blocks, mapped as u64);
    assert_eq!(report.devices, pool.ids().len() as u64);
}

/// Device and details trees of several levels, several bitmaps for either device, and a tree of counts of
/// several levels: no leaf of the snapshots is shared any more, so that every old data block has a user in each.
#[test]
fn a_pool_too_large_for_single_blocks() {
    let mut pool = PoolModel::new(40_000, 252);
    pool.create_thin(1);
    for thin in 0..4000 {
        pool.write(1, thin * 2);
    }
    for snapshot in 2..=300 {
        pool.create_snap(snapshot, 1);
    }
    for snapshot in 2..=4 {
        for thin in (0..4000).step_by(50) {
            pool.write(snapshot, thin * 2 + 1);
        }
    }
    let image = pool.image(ImageOptions {
        metadata_blocks: 17_000,
        ..ImageOptions::default()
    });
    assert_eq!(image.peek_u32(image.devices_root, 4), 1, "not one leaf");
    assert_eq!(image.peek_u32(image.details_root, 4), 1, "not one leaf");
    let counts = image.counts_root(Space::Data);
    assert_eq!(image.peek_u32(counts, 4), 1, "not one leaf");
    let report = checked(&image);
    assert_clean(&report);
    assert_eq!(report.devices, 300);
}

/// A pool as the kernel makes it, before its first device and even before its first data block.
#[test]
fn empty_pools() {
    for data_blocks in [0, 1, 16_320, 16_321] {
        let pool = PoolModel::new(data_blocks, 252);
        let report = checked(&pool.image(ImageOptions::default()));
        assert_clean(&report);
        assert_eq!((report.devices, report.data_blocks_used), (0, 0));
    }
}

#[test]
fn a_metadata_snapshot_alone_and_a_superblock_alone() {
    let pool = pool();
    let image = pool.image(ImageOptions::fitting(&pool));
    let source = MemorySource::new(image.bytes.clone());
    let root = MetadataBlock(image.held_root.unwrap());
    let options = CheckOptions {
        metadata_snapshot: Some(root),
        ..CheckOptions::default()
    };
    let report = check(&source, &options).unwrap();
    assert_clean(&report);
    assert_eq!(report.devices, 5);
    assert_eq!(
        (report.data_blocks_used, report.metadata_blocks_used),
        (0, 0)
    );
    let options = CheckOptions {
        metadata_snapshot: Some(MetadataBlock(root.0 + 1)),
        ..CheckOptions::default()
    };
    let error = check(&source, &options).unwrap_err();
    assert!(
        matches!(error, convoy_thin_metadata::Error::NotHeld { found: Some(found), .. } if found == root),
        "{error}"
    );

    let counting = Counting::new(source);
    let options = CheckOptions {
        super_block_only: true,
        ..CheckOptions::default()
    };
    assert!(check(&counting, &options).unwrap().is_clean());
    assert_eq!(counting.reads(), 1);
}

/// A pool that commits while it is checked: what was read is no one state.
#[test]
fn a_pool_in_use_is_noticed() {
    struct Turning {
        before: MemorySource,
        after: MemorySource,
        reads: AtomicU64,
    }
    impl BlockSource for Turning {
        fn nr_blocks(&self) -> u64 {
            self.before.nr_blocks()
        }
        fn read(&self, block: MetadataBlock, into: &mut Block) -> io::Result<()> {
            match self.reads.fetch_add(1, Ordering::Relaxed) {
                0..5 => self.before.read(block, into),
                _ => self.after.read(block, into),
            }
        }
    }
    let mut pool = pool();
    let source =
        |pool: &PoolModel| MemorySource::new(pool.image(ImageOptions::fitting(pool)).bytes);
    let before = source(&pool);
    pool.transaction += 1;
    let turning = Turning {
        before,
        after: source(&pool),
        reads: AtomicU64::new(0),
    };
    let error = check(&turning, &CheckOptions::default()).unwrap_err();
    assert!(
        matches!(error, convoy_thin_metadata::Error::Changed),
        "{error}"
    );
}

#[test]
fn without_mappings_no_mapping_node_is_read() {
    let image = image();
    let source = Counting::new(MemorySource::new(image.bytes.clone()));
    let options = CheckOptions {
        skip_mappings: true,
        ..CheckOptions::default()
    };
    let report = check(&source, &options).unwrap();
    assert!(report.is_clean(), "{}", lines(&report.findings));
    assert!(!report.counts_complete);
    assert_eq!((report.devices, report.mapped_blocks), (5, 0));
    let whole = checked(&image);
    assert_eq!(report.data_blocks_used, whole.data_blocks_used);
    assert_eq!(report.metadata_blocks_used, whole.metadata_blocks_used);
    // Superblock twice; copy; device and details trees live and held; index, bitmap and counts of each map.
    assert!(source.reads() <= 15, "{} reads", source.reads());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Splits, merges, growth, collapse, sharing at every level, deleted origins, metadata snapshots.
    #[test]
    fn generated_pools(
        history in history(40, 200),
        fanout in 1..5_usize,
        reserve in any::<bool>(),
        needs_check in any::<bool>(),
    ) {
        let mut pool = PoolModel::new(5_000, fanout * 3);
        let (before, after) = history.split_at(history.len() / 2);
        play(&mut pool, before, 200);
        if reserve {
            pool.reserve();
        }
        play(&mut pool, after, 200);
        let image = pool.image(ImageOptions { needs_check, ..ImageOptions::fitting(&pool) });
        let report = checked(&image);
        prop_assert!(report.is_clean(), "{}", lines(&report.findings));
        prop_assert!(report.counts_complete);
        prop_assert_eq!(report.needs_check, needs_check);
        let mapped: usize = pool.ids().iter().map(|id| pool.device(*id).map().len()).sum();
        prop_assert_eq!(report.mapped_blocks, mapped as u64);
    }
}
