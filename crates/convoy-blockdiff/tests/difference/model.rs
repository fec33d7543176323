//! The difference against the model, by hand: shapes and edges that chance need not find.

use crate::answer::{Counting, check_pair, naive, ours, run_all};
use convoy_blockdiff::{Change, ChangeList, DeltaKind, Options, changes, diff};
use convoy_testkit::thin::{ImageOptions, PoolModel};
use convoy_thin_metadata::{MemorySource, View};
use convoy_units::{DevId, ThinBlock, ThinRange};
use std::sync::atomic::Ordering;

fn id(n: u32) -> DevId {
    DevId::new(u64::from(n)).unwrap()
}

#[test]
fn an_unchanged_snapshot_costs_two_lookups() {
    let mut pool = PoolModel::new(10_000, 6);
    pool.create_thin(1);
    (0..1000).for_each(|thin| assert!(pool.write(1, thin)));
    pool.create_snap(2, 1);
    let (source, reads) = Counting::new(pool.image(ImageOptions::fitting(&pool)).bytes);
    let view = View::live(source).unwrap();
    reads.store(0, Ordering::SeqCst);
    assert!(changes(&view, Some(id(1)), id(2)).unwrap().is_empty());
    // Details and device tree are one leaf each here; the superblock is read again at the end.
    assert_eq!(reads.load(Ordering::SeqCst), 2 * 2 + 1);
}

/// Builds a pool, changes device 1 after a snapshot of it, and compares the two both ways.
#[track_caller]
fn check(prepare: impl FnOnce(&mut PoolModel), change: impl FnOnce(&mut PoolModel)) {
    let mut pool = PoolModel::new(20_000, 6);
    pool.create_thin(1);
    prepare(&mut pool);
    pool.create_snap(2, 1);
    change(&mut pool);
    run_all(&pool);
}

fn fill(pool: &mut PoolModel, begin: u64, len: u64) {
    (begin..begin + len).for_each(|thin| assert!(pool.write(1, thin)));
}

#[test]
fn shapes() {
    // Nothing on either side; one leaf; growth by one and by three levels; collapse; everything gone.
    check(|_| {}, |_| {});
    check(|_| {}, |pool| fill(pool, 0, 1));
    check(|pool| fill(pool, 0, 5), |pool| fill(pool, 5, 10));
    check(|pool| fill(pool, 0, 5), |pool| fill(pool, 5, 2000));
    check(|pool| fill(pool, 0, 2000), |pool| pool.discard(1, 3, 5000));
    check(|pool| fill(pool, 0, 2000), |pool| pool.discard(1, 0, 5000));
    // Inserted before everything, which lowers bounds up to the root; disjoint halves.
    check(|pool| fill(pool, 1000, 1000), |pool| fill(pool, 0, 500));
    check(
        |pool| fill(pool, 0, 500),
        |pool| {
            pool.discard(1, 0, 500);
            fill(pool, 5000, 500);
        },
    );
    // Every block overwritten, every tenth block overwritten, a deleted middle snapshot.
    check(|pool| fill(pool, 0, 500), |pool| fill(pool, 0, 500));
    check(
        |pool| fill(pool, 0, 500),
        |pool| (0..50).for_each(|i| assert!(pool.write(1, i * 10))),
    );
    check(
        |pool| fill(pool, 0, 500),
        |pool| {
            fill(pool, 100, 10);
            pool.create_snap(3, 1);
            fill(pool, 200, 10);
            pool.create_snap(4, 3);
            pool.delete(3);
        },
    );
}

#[test]
fn far_keys_and_far_data() {
    let mut pool = PoolModel::new(1 << 40, 6);
    pool.create_thin(1);
    pool.map(1, 0, 0, 0);
    pool.map(1, (1 << 57) - 1, (1 << 40) - 1, 0);
    pool.create_snap(2, 1);
    pool.map(2, (1 << 57) - 1, (1 << 40) - 2, 1);
    pool.map(2, (1 << 57) - 2, (1 << 40) - 3, 1);
    let options = ImageOptions {
        data_space_map: false,
        metadata_blocks: 64,
        ..ImageOptions::default()
    };
    let view = View::live(MemorySource::new(pool.image(options).bytes)).unwrap();
    check_pair(
        &view,
        Some((1, pool.device(1).map())),
        (2, pool.device(2).map()),
    );
    check_pair(&view, None, (2, pool.device(2).map()));
}

#[test]
fn equal_data_at_another_time_is_the_same_and_is_counted() {
    let mut pool = PoolModel::new(1000, 6);
    for (device, time) in [(1, 0), (2, 3)] {
        pool.create_thin(device);
        (0..20).for_each(|thin| pool.map(device, thin, thin + 7, time));
    }
    let view = View::live(MemorySource::new(
        pool.image(ImageOptions::fitting(&pool)).bytes,
    ))
    .unwrap();
    let mut diff = diff(&view, Some(id(1)), id(2), Options { include_same: true }).unwrap();
    let found: Vec<_> = diff.by_ref().map(Result::unwrap).collect();
    assert!(
        matches!(found[..], [delta] if delta.kind == DeltaKind::Same && delta.range.len() == 20)
    );
    assert_eq!(diff.finish().unwrap().time_mismatches, 20);
    assert!(changes(&view, Some(id(1)), id(2)).unwrap().is_empty());
}

#[test]
fn changes_say_copy_and_hole() {
    let mut pool = PoolModel::new(1000, 6);
    pool.create_thin(1);
    fill(&mut pool, 0, 100);
    pool.create_snap(2, 1);
    // Overwritten, then new: one range to copy although the kinds differ.
    (95..105).for_each(|thin| assert!(pool.write(2, thin)));
    pool.discard(2, 10, 20);
    let view = View::live(MemorySource::new(
        pool.image(ImageOptions::fitting(&pool)).bytes,
    ))
    .unwrap();
    let range = |begin, end| ThinRange {
        begin: ThinBlock(begin),
        end: ThinBlock(end),
    };
    let list: ChangeList = changes(&view, Some(id(1)), id(2)).unwrap();
    let expected = [Change::Hole(range(10, 30)), Change::Copy(range(95, 105))];
    assert_eq!(list.iter().collect::<Vec<_>>(), expected);
    assert_eq!((list.blocks_to_copy(), list.blocks_in_holes()), (10, 20));
    let full = changes(&view, None, id(2)).unwrap();
    assert_eq!(
        full.iter().collect::<Vec<_>>(),
        [Change::Copy(range(0, 10)), Change::Copy(range(30, 105))]
    );
}

#[test]
fn windows_of_leaves_do_not_show() {
    // More leaves than one window holds, with changes on both sides of its end.
    let mut pool = PoolModel::new(20_000, 3);
    pool.create_thin(1);
    fill(&mut pool, 0, 2000);
    pool.create_snap(2, 1);
    fill(&mut pool, 0, 2000);
    let view = View::live(MemorySource::new(
        pool.image(ImageOptions::fitting(&pool)).bytes,
    ))
    .unwrap();
    let (left, right) = (pool.device(2).map(), pool.device(1).map());
    assert_eq!(
        ours(&view, Some(2), 1, false),
        naive(Some(left), right, false)
    );
    let deltas: Vec<_> = diff(&view, Some(id(2)), id(1), Options::default())
        .unwrap()
        .collect();
    assert_eq!(deltas.len(), 1, "one run on both sides");
}

#[test]
fn an_answer_cut_short_cannot_be_finished() {
    let mut pool = PoolModel::new(1000, 6);
    pool.create_thin(1);
    fill(&mut pool, 0, 10);
    let view = View::live(MemorySource::new(
        pool.image(ImageOptions::fitting(&pool)).bytes,
    ))
    .unwrap();
    let mut started = diff(&view, None, id(1), Options::default()).unwrap();
    started.next().unwrap().unwrap();
    assert!(started.finish().is_err());
    assert!(diff(&view, None, id(9), Options::default()).is_err());
    assert!(diff(&view, Some(id(9)), id(1), Options::default()).is_err());
}
