//! Trees against a plain map from chunk to id.

use super::*;
use crate::keys::{BlobKind, Keys, Secret};
use proptest::prelude::*;
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};

/// Nodes in memory, counting what is read and written.
struct Memory {
    keys: Keys,
    nodes: HashMap<BlobId, Vec<u8>>,
    reads: Cell<usize>,
    writes: usize,
}

impl Memory {
    fn new() -> Self {
        let keys = Keys::derive(&Secret([0; 32]));
        Self {
            keys,
            nodes: HashMap::new(),
            reads: Cell::new(0),
            writes: 0,
        }
    }
}

impl Nodes for Memory {
    fn read(&self, id: &BlobId) -> Result<Vec<u8>, Error> {
        self.reads.set(self.reads.get() + 1);
        self.nodes.get(id).cloned().ok_or(Error::Missing {
            what: "tree node",
            id: *id,
        })
    }

    fn write(&mut self, plain: &[u8]) -> Result<BlobId, Error> {
        self.writes += 1;
        let id = self.keys.id(BlobKind::Node, plain);
        self.nodes.insert(id, plain.to_vec());
        Ok(id)
    }
}

type Map = BTreeMap<u64, BlobId>;

#[derive(Debug, Clone)]
enum Edit {
    Set(u64, u8),
    Clear(Range<u64>),
}

fn apply(memory: &mut Memory, base: (TreeRef, u64), chunks: u64, edits: &[Edit]) -> TreeRef {
    let mut editor = TreeEditor::new(memory, base.0, base.1, chunks).unwrap();
    for edit in edits {
        match edit {
            Edit::Set(at, byte) => editor.set(*at, BlobId([*byte; 32])).unwrap(),
            Edit::Clear(range) => editor.clear(range.clone()).unwrap(),
        }
    }
    editor.finish().unwrap()
}

fn apply_to_map(map: &mut Map, chunks: u64, edits: &[Edit]) {
    map.retain(|at, _| *at < chunks);
    for edit in edits {
        match edit {
            Edit::Set(at, byte) => drop(map.insert(*at, BlobId([*byte; 32]))),
            Edit::Clear(range) => map.retain(|at, _| !range.contains(at)),
        }
    }
}

fn read_all(memory: &Memory, root: &TreeRef, chunks: u64) -> Map {
    let mut map = Map::new();
    walk(
        &|id| memory.read(id),
        root,
        chunks,
        &mut |visit| match visit {
            Visit::Leaf(first, ids) => {
                map.extend(
                    (first..)
                        .zip(ids)
                        .filter_map(|(at, id)| id.map(|id| (at, id))),
                );
                Ok(())
            }
            Visit::Broken(.., error) => Err(error),
        },
    )
    .unwrap();
    map
}

/// Ascending, disjoint edits inside `chunks`, made from gaps and lengths.
fn edits(chunks: u64, plan: &[(u32, u32, u8)]) -> Vec<Edit> {
    let mut at = 0u64;
    let mut edits = Vec::new();
    for (gap, length, byte) in plan {
        let start = at + u64::from(*gap);
        let end = start + u64::from(*length).max(1);
        if end > chunks {
            break;
        }
        if byte % 3 == 0 {
            edits.push(Edit::Clear(start..end));
            at = end;
        } else {
            edits.push(Edit::Set(start, *byte));
            at = start + 1;
        }
    }
    edits
}

fn plan() -> impl Strategy<Value = Vec<(u32, u32, u8)>> {
    let gap = prop_oneof![4 => 0u32..3, 2 => 0u32..2000, 1 => 0u32..2_000_000];
    let length = prop_oneof![3 => 1u32..4, 2 => 1u32..3000, 1 => 1u32..3_000_000];
    prop::collection::vec((gap, length, 1u8..), 0..40)
}

fn size() -> impl Strategy<Value = u64> {
    prop_oneof![
        1u64..3000,
        1u64..2_000_000,
        (0u64..4).prop_map(|n| 1024 * 1024 + n),
        Just(1024u64),
        Just(1025)
    ]
}

proptest! {
    #[test]
    fn like_a_map(generations in prop::collection::vec((size(), plan()), 1..5)) {
        let mut memory = Memory::new();
        let (mut root, mut before) = (None, 1);
        let mut map = Map::new();
        for (chunks, plan) in generations {
            let edits = edits(chunks, &plan);
            root = apply(&mut memory, (root, before), chunks, &edits);
            apply_to_map(&mut map, chunks, &edits);
            prop_assert_eq!(&read_all(&memory, &root, chunks), &map);
            prop_assert_eq!(root.is_none(), map.is_empty());
            // The same content made from nothing has the same root: one encoding, whatever the history.
            let fresh: Vec<Edit> = map.iter().map(|(at, id)| Edit::Set(*at, id.0[0])).collect();
            prop_assert_eq!(apply(&mut memory, (None, 1), chunks, &fresh), root);
            before = chunks;
        }
    }
}

#[test]
fn only_changed_paths_are_read_and_written() {
    let chunks = 1 << 22; // 1 TiB at 256 KiB: 4096 leaves, four nodes above, a root
    let mut memory = Memory::new();
    let all: Vec<Edit> = (0..chunks)
        .step_by(512)
        .map(|at| Edit::Set(at, 1))
        .collect();
    let root = apply(&mut memory, (None, 1), chunks, &all);
    let count = |memory: &mut Memory, edits: &[Edit]| {
        (memory.writes, memory.reads) = (0, Cell::new(0));
        let new = apply(memory, (root, chunks), chunks, edits);
        (new == root, memory.reads.get(), memory.writes)
    };
    assert_eq!(count(&mut memory, &[]), (true, 1, 0));
    assert_eq!(
        count(&mut memory, &[Edit::Set(0, 1)]),
        (true, 3, 0),
        "the same id changes nothing"
    );
    assert_eq!(
        count(&mut memory, &[Edit::Set(0, 2), Edit::Set(9, 2)]),
        (false, 3, 3)
    );
    assert_eq!(count(&mut memory, &[Edit::Clear(0..chunks)]), (false, 1, 0));
    assert_eq!(
        count(&mut memory, &[Edit::Clear(0..1 << 21)]),
        (false, 1, 1)
    );
}

#[test]
fn a_huge_hole_costs_nothing() {
    let chunks = u64::MAX >> 12;
    let mut memory = Memory::new();
    let root = apply(
        &mut memory,
        (None, 1),
        chunks,
        &[Edit::Set(1 << 40, 1), Edit::Clear((1 << 41)..chunks)],
    );
    assert_eq!(memory.writes, 6);
    assert_eq!(read_all(&memory, &root, chunks).len(), 1);
}

#[test]
fn nodes_past_the_end_and_lost_ones_are_reported() {
    let mut memory = Memory::new();
    let root = apply(
        &mut memory,
        (None, 1),
        2048,
        &[Edit::Set(0, 1), Edit::Set(2000, 1)],
    );
    let report = |memory: &Memory, chunks: u64| {
        let mut broken = Vec::new();
        walk(&|id| memory.read(id), &root, chunks, &mut |visit| {
            if let Visit::Broken(range, ..) = visit {
                broken.push(range);
            }
            Ok::<(), ()>(())
        })
        .unwrap();
        broken
    };
    assert!(report(&memory, 2048).is_empty());
    assert_eq!(report(&memory, 1999), vec![1024..1999]);
    let leaf = memory.keys.id(
        BlobKind::Node,
        &node::encode(0, &[Some(BlobId([1; 32]))]).unwrap(),
    );
    memory.nodes.remove(&leaf);
    assert_eq!(report(&memory, 2048), vec![0..1024]);
    assert_eq!(
        walk(&|id| memory.read(id), &None, 10, &mut |_| Err(())),
        Ok(())
    );
}
