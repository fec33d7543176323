//! Reference counts of kernel-made and generated metadata, and broken space maps.

use super::*;
use crate::MemorySource;
use crate::error::Damage;
use convoy_testkit::thin::random::{history, play};
use convoy_testkit::thin::{BlockType, Image, ImageOptions, PoolModel, Space as Counted};
use proptest::prelude::*;

fn view(image: &Image) -> View<MemorySource> {
    View::live(MemorySource::new(image.bytes.clone())).unwrap()
}

fn counts(view: &View<MemorySource>, space: Space) -> Result<Vec<CountRun>, Error> {
    view.ref_counts(space)?.unwrap().collect()
}

/// The runs leave no gap, no two neighbours are alike, and the sums are the superblock's.
#[track_caller]
fn check_runs(runs: &[CountRun], nr_blocks: u64, allocated: u64) {
    let mut next = 0;
    for run in runs {
        assert_eq!(run.begin, next);
        assert!(run.len > 0);
        next += run.len;
    }
    assert_eq!(next, nr_blocks);
    assert!(runs.windows(2).all(|pair| pair[0].count != pair[1].count));
    let used: u64 = runs
        .iter()
        .filter(|run| run.count > 0)
        .map(|run| run.len)
        .sum();
    assert_eq!(used, allocated);
}

#[test]
fn kernel_made_counts() {
    let image = include_bytes!("../../tests/fixtures/kernel-6.1.img").to_vec();
    let view = View::live(MemorySource::new(image.clone())).unwrap();
    let superblock = view.superblock().clone();
    for (space, map) in [
        (Space::Data, superblock.data_space_map.unwrap()),
        (Space::Metadata, superblock.metadata_space_map.unwrap()),
    ] {
        check_runs(
            &counts(&view, space).unwrap(),
            map.nr_blocks,
            map.nr_allocated,
        );
    }
    let held = superblock.held_root.unwrap();
    let held = View::held(MemorySource::new(image), held).unwrap();
    assert!(held.ref_counts(Space::Data).unwrap().is_none());
}

proptest! {
    #[test]
    fn counts_equal_the_models(history in history(40, 200), fanout in 1..5_usize) {
        let mut pool = PoolModel::new(17_000, fanout * 3);
        play(&mut pool, &history, 200);
        let image = pool.image(ImageOptions::fitting(&pool));
        let view = view(&image);
        for (space, counted) in [(Space::Data, Counted::Data), (Space::Metadata, Counted::Metadata)] {
            let runs = counts(&view, space).unwrap();
            let nr_blocks = image.blocks_of(counted);
            check_runs(&runs, nr_blocks, image.peek_u64(0, counted.root_offset() + 8));
            for run in runs {
                for block in run.begin..run.begin + run.len {
                    prop_assert_eq!(image.count(counted, block), run.count);
                }
            }
        }
    }
}

fn pool() -> PoolModel {
    let mut pool = PoolModel::new(20_000, 6);
    pool.create_thin(1);
    for thin in 0..100 {
        pool.write(1, thin);
    }
    for snapshot in 2..6 {
        pool.create_snap(snapshot, 1);
    }
    pool
}

#[track_caller]
fn broken(space: Space, harm: impl FnOnce(&mut Image), expected: impl Fn(Rule) -> bool) {
    let pool = pool();
    let mut image = pool.image(ImageOptions::fitting(&pool));
    harm(&mut image);
    match counts(&view(&image), space) {
        Err(Error::Damaged(Damage { rule, .. })) => assert!(expected(rule), "{rule}"),
        other => panic!("not noticed: {other:?}"),
    }
}

#[test]
fn broken_space_maps() {
    let image = pool().image(ImageOptions::fitting(&pool()));
    let root = image.index_root(Counted::Data);
    let index = image.index_root(Counted::Metadata);
    let bitmap = image.bitmap_of(Counted::Data, 0);
    let shared = pool().device(1).root();
    assert_eq!(image.count(Counted::Metadata, shared), 5);
    broken(
        Space::Data,
        |image| image.poke_u32(root, BlockType::Node, 16, 1),
        |rule| rule == Rule::BitmapMissing { first: 1, len: 1 },
    );
    broken(
        Space::Data,
        |image| image.poke_u64(root, BlockType::Node, Image::key_offset(1), 2),
        |rule| rule == Rule::BitmapRange { found: 2, limit: 2 },
    );
    broken(
        Space::Data,
        |image| image.poke_u64(root, BlockType::Node, 32 + 8 * 168 + 16, bitmap),
        |rule| rule == Rule::Revisited,
    );
    broken(
        Space::Data,
        |image| image.flip_bit(bitmap, 500),
        |rule| matches!(rule, Rule::Checksum { .. }),
    );
    broken(
        Space::Metadata,
        |image| image.flip_bit(index, 500),
        |rule| matches!(rule, Rule::Checksum { .. }),
    );
    broken(
        Space::Metadata,
        |image| image.forget(Counted::Metadata, shared),
        |rule| matches!(rule, Rule::CountMissing { block, .. } if block == shared),
    );
    broken(
        Space::Metadata,
        |image| image.set_two_bits(Counted::Metadata, shared, 1),
        |rule| matches!(rule, Rule::CountStray { block, count: 5, .. } if block == shared),
    );
    broken(
        Space::Metadata,
        |image| image.remember(Counted::Metadata, 0, 4),
        |rule| {
            matches!(
                rule,
                Rule::CountStray {
                    block: 0,
                    count: 4,
                    ..
                }
            )
        },
    );
    broken(
        Space::Metadata,
        |image| {
            image.forget(Counted::Metadata, shared);
            image.remember(Counted::Metadata, shared, 2);
        },
        |rule| matches!(rule, Rule::CountStray { block, count: 2, .. } if block == shared),
    );
    broken(
        Space::Data,
        |image| image.remember(Counted::Data, 20_000, 3),
        |rule| {
            matches!(
                rule,
                Rule::CountRange {
                    block: 20_000,
                    limit: 20_000
                }
            )
        },
    );
}
