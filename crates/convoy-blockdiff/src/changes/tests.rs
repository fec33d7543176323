//! The list gives back what was put in, in little memory.

use super::*;
use proptest::prelude::*;

fn change(hole: bool, begin: u64, end: u64) -> Change {
    let range = ThinRange {
        begin: ThinBlock(begin),
        end: ThinBlock(end),
    };
    if hole {
        Change::Hole(range)
    } else {
        Change::Copy(range)
    }
}

#[test]
fn neighbours_of_one_kind_become_one() {
    let mut list = ChangeList::new();
    for (hole, begin, end) in [
        (false, 0, 1),
        (false, 1, 4),
        (true, 4, 5),
        (true, 7, 7),
        (true, 5, 6),
        (true, 8, 9),
    ] {
        list.push(change(hole, begin, end));
    }
    let found: Vec<Change> = list.iter().collect();
    assert_eq!(
        found,
        [change(false, 0, 4), change(true, 4, 6), change(true, 8, 9)]
    );
    assert_eq!(
        (
            list.len(),
            list.blocks_to_copy(),
            list.blocks_in_holes(),
            list.total_blocks()
        ),
        (3, 4, 3, 7)
    );
}

#[test]
#[should_panic(expected = "ascending")]
fn disorder_is_refused() {
    let mut list = ChangeList::new();
    list.push(change(false, 5, 9));
    list.push(change(false, 8, 10));
}

#[test]
fn a_million_scattered_changes_fit_8_mib() {
    let mut list = ChangeList::new();
    for i in 0..1_000_000 {
        list.push(change(i % 3 == 0, i * 1000, i * 1000 + 200));
    }
    assert!(list.heap_bytes() <= 8 << 20, "{} bytes", list.heap_bytes());
    assert_eq!(
        (list.iter().count(), list.total_blocks()),
        (1_000_000, 200_000_000)
    );
}

#[test]
fn the_whole_space_in_one_change() {
    let mut list = ChangeList::new();
    list.push(change(true, 0, u64::MAX - 1));
    list.push(change(false, u64::MAX - 1, u64::MAX));
    let found: Vec<Change> = list.iter().collect();
    assert_eq!(
        found,
        [
            change(true, 0, u64::MAX - 1),
            change(false, u64::MAX - 1, u64::MAX)
        ]
    );
}

proptest! {
    #[test]
    fn what_went_in_comes_out(steps in proptest::collection::vec((any::<bool>(), 1..1_u64 << 40, 1..1_u64 << 40), 0..200)) {
        // Gaps of at least 1: nothing is joined, so the list must equal what was pushed.
        let (mut list, mut pushed, mut end) = (ChangeList::new(), Vec::new(), 0);
        for (hole, gap, len) in steps {
            let next = change(hole, end + gap, end + gap + len);
            end = next.range().end.0;
            list.push(next);
            pushed.push(next);
        }
        prop_assert_eq!(list.iter().collect::<Vec<_>>(), pushed);
    }
}
