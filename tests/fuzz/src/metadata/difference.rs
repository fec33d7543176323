//! The whole difference: a healthy image with a list of changes under valid checksums.

use super::image::{Changed, KINDS, base, bases, change};
use super::naive::{self, Answer, Map};
use super::{details, tell};
use crate::Target;
use crate::input::Input;
use convoy_blockdiff::{Change, Delta, DeltaKind, Error, Options, changes, diff};
use convoy_thin_metadata::{Damage, Error as MetadataError, Rule, View};
use convoy_units::{DataBlock, DevId, MetadataBlock};
use std::collections::BTreeSet;

/// The target.
pub const TARGET: Target = Target {
    name: "diff",
    about: "the difference of two devices of a damaged image",
    run,
    seeds,
    words: &[],
    max_len: 12 * 24,
    weight: 10,
};

/// First byte: the base. Second: the two devices, and bit 7 reads the held copy. Then changes of 12 bytes each.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let base = base(input.u8());
    let what = input.u8();
    let source = Changed::from_input(base, input);
    let view = if what & 0x80 == 0 {
        View::live(&source)
    } else {
        View::held(&source, MetadataBlock(base.field(56)))
    };
    let view = match view {
        Ok(view) => view,
        Err(error) => return tell(&error),
    };
    let left = Some(u64::from(what & 3)).filter(|n| *n != 0).map(id);
    let right = id(u64::from(what >> 2 & 3).max(1));
    check_pair(&source, &view, left, right);
    if what & 0x40 != 0 {
        details::check(&source, &view);
    }
}

/// A small device id.
pub(super) fn id(n: u64) -> DevId {
    DevId::new(n).expect("a small id")
}

/// Everything that must hold between the difference of two devices and their full maps, whatever the image.
pub(super) fn check_pair(
    source: &Changed,
    view: &View<&Changed>,
    left: Option<DevId>,
    right: DevId,
) {
    source.take_reads();
    let fast = answer(view, left, right, false);
    let (read, reads) = source.take_reads();
    // Each side visits a node once and probes one path; paths to the two devices come on top.
    assert!(reads <= 2 * source.base.len() + 128, "{reads} reads");
    let slow = answer(view, left, right, true);
    let maps = (
        left.map_or_else(|| Ok(Map::new()), |left| full(source, view, left)),
        full(source, view, right),
    );
    if let (Ok(left_map), Ok(right_map)) = &maps {
        // Both devices are sound: there is an answer, and it is the naive one.
        for (found, include_same) in [(&fast, false), (&slow, true)] {
            let found = match found {
                Ok(found) => found,
                Err(error) => panic!("two sound devices cannot be compared: {error:?}"),
            };
            assert_eq!(found, &naive::difference(left_map, right_map, include_same));
        }
    }
    if let Ok(found) = &fast {
        for error in [maps.0.err(), maps.1.err()].into_iter().flatten() {
            unread(&error, &read, source.base.field(56));
        }
        let list = changes(view, left, right).expect("what was answered once is answered again");
        check_list(&list.iter().collect::<Vec<_>>(), found);
    }
    for error in [fast.err(), slow.err()].into_iter().flatten() {
        tell(&error);
    }
}

/// Damage that every reader of the block sees must lie where the difference had not looked.
fn unread(error: &MetadataError, read: &BTreeSet<u64>, held: u64) {
    let MetadataError::Damaged(Damage { block, rule, .. }) = error else {
        return;
    };
    let certain = matches!(
        rule,
        Rule::Checksum { .. }
            | Rule::BlockNumber { .. }
            | Rule::NodeKind { .. }
            | Rule::KeyOrder { .. }
            | Rule::EmptyInternal
    );
    // The held copy is a superblock to one reader and no node to the other.
    if certain && block.0 != held {
        assert!(!read.contains(&block.0), "an answer in spite of {error}");
    }
}

/// All of a device's mappings as the reader under test tells them, compared with the naive reading.
pub(super) fn full(
    source: &Changed,
    view: &View<&Changed>,
    dev_id: DevId,
) -> Result<Map, MetadataError> {
    let mut map = Map::new();
    let mut end = 0;
    for run in view.mappings(dev_id)? {
        let run = run?;
        assert!(run.len > 0 && run.thin.0 >= end, "runs ascend");
        end = run.end();
        map.extend((0..run.len).map(|n| (run.thin.0 + n, (run.data.0 + n, run.time))));
    }
    let root = view.mapping_root(dev_id)?.expect("it was just read");
    assert_eq!(map, naive::map(source, root.0));
    Ok(map)
}

fn answer(
    view: &View<&Changed>,
    left: Option<DevId>,
    right: DevId,
    include_same: bool,
) -> Result<Answer, Error> {
    let mut diff = diff(view, left, right, Options { include_same })?;
    let mut answer = Answer::new();
    let mut before: Option<Delta> = None;
    for delta in diff.by_ref() {
        let delta = delta?;
        check_delta(before.as_ref(), &delta);
        assert!(include_same || delta.kind != DeltaKind::Same);
        for offset in 0..delta.range.len() {
            let at = |first: Option<DataBlock>| first.map(|first| first.0 + offset);
            let block = (delta.kind, at(delta.left), at(delta.right));
            answer.insert(delta.range.begin.0 + offset, block);
        }
        before = Some(delta);
    }
    diff.finish()?;
    Ok(answer)
}

/// Ranges ascend, are joined as far as they can be, and name the data blocks of their kind.
fn check_delta(before: Option<&Delta>, delta: &Delta) {
    assert!(!delta.range.is_empty());
    let sides = (delta.left.is_some(), delta.right.is_some());
    let expected = match delta.kind {
        DeltaKind::LeftOnly => (true, false),
        DeltaKind::RightOnly => (false, true),
        DeltaKind::Differ | DeltaKind::Same => (true, true),
    };
    assert_eq!(sides, expected);
    assert_eq!(delta.left == delta.right, delta.kind == DeltaKind::Same);
    if let Some(before) = before {
        assert!(before.range.end <= delta.range.begin);
        let len = before.range.len();
        let follows =
            |a: Option<DataBlock>, b: Option<DataBlock>| a.map(|a| a.0 + len) == b.map(|b| b.0);
        let joined = before.kind == delta.kind
            && before.range.end == delta.range.begin
            && follows(before.left, delta.left)
            && follows(before.right, delta.right);
        assert!(!joined, "two ranges where one would do");
    }
}

/// The list for a backup says of each block what the answer says.
fn check_list(list: &[Change], answer: &Answer) {
    let mut told = Vec::new();
    for change in list {
        let hole = matches!(change, Change::Hole(_));
        let range = change.range();
        told.extend((range.begin.0..range.end.0).map(|thin| (thin, hole)));
    }
    let expected = answer
        .iter()
        .map(|(thin, (kind, ..))| (*thin, *kind == DeltaKind::LeftOnly));
    assert!(told.into_iter().eq(expected));
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for choice in 0..bases() {
        // 1 against 2, nothing against 1, 2 against 1, 1 against 3; live and held.
        for what in [0b1001, 0b0100, 0b0110, 0b1101, 0b1100_1001, 0b1000_0110] {
            seeds.push(vec![choice, what]);
        }
        // One change of each kind in a few blocks.
        for kind in 0..KINDS {
            for block in [1, 4, 9] {
                let seed = change(kind, block, u16::from(block), 0x0203);
                seeds.push([vec![choice, 0b1001], seed].concat());
            }
        }
    }
    seeds
}
