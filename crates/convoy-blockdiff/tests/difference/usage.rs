//! What devices take up, against counting in plain maps; every node read once.

use crate::answer::Counting;
use convoy_blockdiff::{Error, Usage, usage};
use convoy_testkit::thin::random::{history, play};
use convoy_testkit::thin::{ImageOptions, PoolModel};
use convoy_thin_metadata::{Error as MetadataError, MemorySource, View};
use convoy_units::{Bytes, DevId};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

/// Bytes of a data block of these images.
const BLOCK: u64 = 128 * 512;

fn id(n: u32) -> DevId {
    DevId::new(u64::from(n)).unwrap()
}

/// By the definition: how many blocks a device maps, and how many data blocks it has alone.
fn naive(pool: &PoolModel) -> Vec<Usage> {
    let mut mappers: BTreeMap<u64, BTreeSet<u32>> = BTreeMap::new();
    for n in pool.ids() {
        for (data, _) in pool.device(n).map().values() {
            mappers.entry(*data).or_default().insert(n);
        }
    }
    let count = |n: u32| {
        let alone = mappers.values().filter(|ids| ids.len() == 1);
        alone.filter(|ids| ids.contains(&n)).count() as u64
    };
    let of = |n: u32| Usage {
        dev_id: id(n),
        mapped: Bytes(pool.device(n).map().len() as u64 * BLOCK),
        exclusive: Bytes(count(n) * BLOCK),
    };
    pool.ids().into_iter().map(of).collect()
}

/// Blocks that one pass reads: the mapping trees' nodes once, the way to the first leaf of each tree whose root is
/// new, and what is read beside them.
fn expected_reads(pool: &PoolModel) -> u64 {
    let mut nodes = BTreeSet::new();
    let mut probes = 0;
    for n in pool.ids() {
        let levels = pool.levels(n);
        if !nodes.contains(&pool.device(n).root()) {
            probes += levels.len() as u64;
        }
        nodes.extend(levels.into_iter().flatten());
    }
    // Device and details tree are one leaf each for so few devices: each is probed and read, and the
    // device tree once for each root. The superblock is read again after each of the two.
    let roots = pool.ids().len() as u64;
    nodes.len() as u64 + probes + 2 * 2 + roots + 2
}

#[track_caller]
fn check(pool: &PoolModel) {
    let (source, reads) = Counting::new(pool.image(ImageOptions::fitting(pool)).bytes);
    let view = View::live(source).unwrap();
    reads.store(0, Ordering::SeqCst);
    let expected = naive(pool);
    assert_eq!(usage(&view, None).unwrap(), expected);
    assert_eq!(reads.load(Ordering::SeqCst), expected_reads(pool));
    // Asked about some, in any order and one twice: the same answers.
    let some: Vec<&Usage> = expected.iter().rev().step_by(2).collect();
    let ids: Vec<DevId> = some.iter().chain(&some).map(|usage| usage.dev_id).collect();
    let found = usage(&view, Some(&ids)).unwrap();
    assert_eq!(
        found.iter().collect::<Vec<_>>(),
        [&some[..], &some].concat()
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]
    #[test]
    fn equals_counting(
        history in history(40, 300),
        fanout in prop_oneof![Just(3_usize), Just(6), Just(12), Just(252)],
        crossed in proptest::collection::vec((0..8_usize, 0..8_usize, 0..300_u64, 0..300_u64), 0..4),
    ) {
        let mut pool = PoolModel::new(20_000, fanout);
        play(&mut pool, &history, 300);
        // What no kernel makes and tools may: one data block at two places, of one device or of two.
        let ids = pool.ids();
        for (from, to, source, target) in crossed {
            let (from, to) = (ids[from % ids.len()], ids[to % ids.len()]);
            if let Some((data, time)) = pool.device(from).map().get(&source).copied() {
                pool.map(to, target, data, time);
            }
        }
        check(&pool);
    }
}

#[test]
fn shapes() {
    // Nothing mapped; a snapshot that shares the root; a root that is part of a higher tree of others.
    let mut pool = PoolModel::new(5000, 6);
    pool.create_thin(1);
    check(&pool);
    (0..5).for_each(|thin| assert!(pool.write(1, thin)));
    check(&pool);
    pool.create_snap(2, 1);
    check(&pool);
    (0..500).for_each(|thin| assert!(pool.write(2, thin)));
    pool.create_snap(3, 2);
    pool.create_snap(4, 3);
    pool.delete(3);
    check(&pool);
    pool.discard(4, 0, 1000);
    check(&pool);
}

/// More devices than a byte can tell apart, and more than one leaf of the device tree.
#[test]
fn three_hundred_snapshots() {
    let mut pool = PoolModel::new(20_000, 6);
    pool.create_thin(1);
    (0..200).for_each(|thin| assert!(pool.write(1, thin)));
    for n in 2..=300 {
        pool.create_snap(n, 1);
        assert!(pool.write(1, u64::from(n) % 200));
    }
    let view = View::live(MemorySource::new(
        pool.image(ImageOptions::fitting(&pool)).bytes,
    ))
    .unwrap();
    assert_eq!(usage(&view, None).unwrap(), naive(&pool));
    let found = usage(&view, Some(&[id(300)])).unwrap();
    assert_eq!(found, naive(&pool)[299..]);
}

#[test]
fn the_held_state_is_measured_as_it_was() {
    let mut pool = PoolModel::new(5000, 6);
    pool.create_thin(1);
    (0..100).for_each(|thin| assert!(pool.write(1, thin)));
    pool.create_snap(2, 1);
    (0..10).for_each(|thin| assert!(pool.write(1, thin)));
    let expected = naive(&pool);
    pool.reserve();
    pool.delete(2);
    let image = pool.image(ImageOptions::fitting(&pool));
    let root = convoy_units::MetadataBlock(image.held_root.unwrap());
    let held = View::held(MemorySource::new(image.bytes.clone()), root).unwrap();
    assert_eq!(usage(&held, None).unwrap(), expected);
    let live = View::live(MemorySource::new(image.bytes)).unwrap();
    assert_eq!(usage(&live, None).unwrap(), naive(&pool));
}

#[test]
fn a_device_that_is_not_there() {
    let mut pool = PoolModel::new(1000, 6);
    pool.create_thin(1);
    let view = View::live(MemorySource::new(
        pool.image(ImageOptions::fitting(&pool)).bytes,
    ))
    .unwrap();
    let error = usage(&view, Some(&[id(1), id(7)])).unwrap_err();
    assert!(
        matches!(&error, Error::Usage { source: MetadataError::NoDevice { dev_id } } if *dev_id == id(7)),
        "{error:?}"
    );
    assert_eq!(usage(&view, Some(&[])).unwrap(), []);
}
