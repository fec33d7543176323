//! Selections against a chunk-by-chunk reckoning.

use super::*;
use convoy_units::{Sectors, ThinBlock, ThinRange};
use proptest::prelude::*;

fn block(kib: u64) -> DataBlockSize {
    DataBlockSize::new(Sectors(kib * 2)).unwrap()
}

fn list(changes: &[(bool, u64, u64)]) -> ChangeList {
    let mut list = ChangeList::new();
    for (hole, begin, end) in changes {
        let range = ThinRange {
            begin: ThinBlock(*begin),
            end: ThinBlock(*end),
        };
        list.push(if *hole {
            Change::Hole(range)
        } else {
            Change::Copy(range)
        });
    }
    list
}

#[track_caller]
fn check(
    block_kib: u64,
    chunk_kib: u64,
    size_kib: u64,
    changes: &[(bool, u64, u64)],
    expected: &[Work],
) {
    let list = list(changes);
    let work = select(
        &list,
        block(block_kib),
        Bytes::kib(chunk_kib),
        Bytes::kib(size_kib),
        None,
    );
    assert_eq!(work.collect::<Vec<_>>(), expected);
}

#[test]
fn whole_blocks_are_whole_chunks() {
    check(
        2048,
        256,
        1 << 20,
        &[(false, 1, 2), (true, 3, 4)],
        &[Work::Read(8..16), Work::Hole(24..32)],
    );
    check(
        2048,
        256,
        1 << 20,
        &[(false, 1, 2), (true, 2, 3)],
        &[Work::Read(8..16), Work::Hole(16..24)],
    );
}

#[test]
fn small_and_odd_blocks_grow_to_chunks() {
    check(
        64,
        256,
        1 << 20,
        &[(false, 1, 2), (false, 3, 4), (false, 5, 6)],
        &[Work::Read(0..2)],
    );
    check(
        64,
        256,
        1 << 20,
        &[(true, 1, 9)],
        &[Work::Read(0..1), Work::Hole(1..2), Work::Read(2..3)],
    );
    check(64, 256, 1 << 20, &[(true, 1, 3)], &[Work::Read(0..1)]);
    check(
        192,
        256,
        1 << 20,
        &[(false, 1, 2), (false, 4, 5)],
        &[Work::Read(0..2), Work::Read(3..4)],
    );
}

#[test]
fn the_end_of_the_volume_clips() {
    check(2048, 256, 2100, &[(false, 1, 2)], &[Work::Read(8..9)]);
    check(2048, 256, 2100, &[(true, 1, 2)], &[Work::Hole(8..9)]);
    check(2048, 256, 2048, &[(false, 1, 2)], &[]);
    check(2048, 256, 100, &[(false, 0, 9)], &[Work::Read(0..1)]);
}

#[test]
fn other_sizes_read_the_edge_again() {
    let none = ChangeList::new();
    let work = |size, base| -> Vec<Work> {
        select(
            &none,
            block(2048),
            Bytes::kib(256),
            Bytes::kib(size),
            Some(Bytes::kib(base)),
        )
        .collect()
    };
    assert_eq!(work(4096, 4096), []);
    assert_eq!(work(8192, 4096), []);
    assert_eq!(work(8192, 4100), [Work::Read(16..24)]);
    assert_eq!(work(4100, 8192), [Work::Read(16..17)]);
    assert_eq!(work(4352, 8192), [Work::Read(16..17)]);
}

proptest! {
    #[test]
    fn like_a_chunk_by_chunk_reckoning(
        plan in prop::collection::vec((any::<bool>(), 0u64..6, 1u64..6), 0..20),
        block_units in 1u64..8, chunk_log in 2u32..10, size_kib in 1u64..3000, base_kib in prop::option::of(1u64..3000),
    ) {
        let mut at = 0;
        let changes: Vec<_> = plan.iter().map(|(hole, gap, length)| {
            let begin = at + gap;
            at = begin + length;
            (*hole, begin, at)
        }).collect();
        let (block, chunk, size) = (block(block_units * 64), 1024u64 << chunk_log, size_kib * 1024);
        let list = list(&changes);
        let work: Vec<Work> = select(&list, block, Bytes(chunk), Bytes(size), base_kib.map(Bytes::kib)).collect();
        let chunks = size.div_ceil(chunk);
        let mut last = 0;
        for item in &work {
            let (Work::Read(range) | Work::Hole(range)) = item;
            prop_assert!(range.start >= last && range.start < range.end && range.end <= chunks);
            last = range.end;
        }
        let block = block.bytes().0;
        let edge = base_kib.map(|base| base * 1024).filter(|base| *base != size).map(|base| base.min(size));
        for number in 0..chunks {
            let (from, to) = (number * chunk, ((number + 1) * chunk).min(size));
            let state = |byte: u64| changes.iter().find(|(_, b, e)| (b * block..e * block).contains(&byte)).map(|(hole, ..)| *hole);
            let bytes: Vec<_> = (from..to).step_by(1024).map(state).collect();
            let touched = bytes.iter().any(Option::is_some);
            let whole_hole = bytes.iter().all(|state| *state == Some(true));
            let read = work.iter().any(|item| matches!(item, Work::Read(range) if range.contains(&number)));
            let hole = work.iter().any(|item| matches!(item, Work::Hole(range) if range.contains(&number)));
            let near_edge = edge.is_some_and(|edge| from < edge.next_multiple_of(block).max(edge.next_multiple_of(chunk)) && to > (edge - edge % block).min(edge - edge % chunk));
            if near_edge {
                prop_assert!(!touched || read || hole);
                prop_assert!(!hole || whole_hole);
            } else {
                prop_assert_eq!(hole, whole_hole);
                prop_assert_eq!(read, touched && !whole_hole);
            }
        }
    }
}
