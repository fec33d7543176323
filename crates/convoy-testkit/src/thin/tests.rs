//! The model against itself: trees equal their maps, counts equal parents, both checksums agree.

use super::random::{history, play};
use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[test]
fn both_checksums_agree_with_the_known_answer() {
    // "123456789" has CRC-32C 0xe3069283, with the final inversion.
    assert_eq!(!crc32c_bitwise(b"123456789"), 0xe306_9283);
    let noise: Vec<u8> = (0..4092_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    assert_eq!(crc32c(&noise), crc32c_bitwise(&noise));
}

#[track_caller]
fn check_forest(pool: &PoolModel) {
    let mut parents: BTreeMap<u64, u32> = BTreeMap::new();
    let mut data: BTreeMap<u64, u32> = BTreeMap::new();
    for (_, node) in pool.forest.nodes() {
        assert!(node.keys.len() <= pool.forest.fanout());
        assert!(node.keys.is_sorted_by(|a, b| a < b));
        match &node.entries {
            tree::Entries::Internal(children) => {
                assert_eq!(children.len(), node.keys.len());
                for child in children {
                    *parents.entry(*child).or_default() += 1;
                }
            }
            tree::Entries::Leaf(values) => {
                for (block, _) in values {
                    *data.entry(*block).or_default() += 1;
                }
            }
        }
    }
    let devices = pool
        .devices
        .values()
        .chain(pool.held.iter().flat_map(BTreeMap::values));
    for device in devices {
        *parents.entry(device.root).or_default() += 1;
        for key in 0..200 {
            assert_eq!(
                pool.forest.get(device.root, key),
                device.map().get(&key).copied()
            );
        }
    }
    let counted = pool
        .forest
        .nodes()
        .map(|(block, node)| (block, node.parents))
        .collect();
    assert_eq!(parents, counted, "parents");
    assert_eq!(&data, pool.forest.data_counts(), "data references");
}

proptest! {
    #[test]
    fn trees_stand_for_their_maps(history in history(40, 200), fanout in 1..5_usize, reserve in any::<bool>()) {
        let mut pool = PoolModel::new(5_000, fanout * 3);
        let (before, after) = history.split_at(history.len() / 2);
        play(&mut pool, before, 200);
        if reserve {
            pool.reserve();
        }
        play(&mut pool, after, 200);
        check_forest(&pool);
        pool.release();
        check_forest(&pool);
    }
}
