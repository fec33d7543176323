//! The naive answers: trees read recursively with no check but those that keep us inside the image.

use super::image::{Changed, peek, peek_u32};
use convoy_blockdiff::DeltaKind;
use convoy_thin_metadata::Block;
use std::collections::BTreeMap;

/// Thin block → data block and pool time.
pub(super) type Map = BTreeMap<u64, (u64, u32)>;

/// Thin block → how it differs, with both data blocks.
pub(super) type Answer = BTreeMap<u64, (DeltaKind, Option<u64>, Option<u64>)>;

/// A tree's entries in the order in which they lie, values as bytes. Only for a tree that the reader under
/// test accepted: a malformed one stops the fuzzer.
pub(super) fn entries<const N: usize>(source: &Changed, root: u64) -> Vec<(u64, [u8; N])> {
    let mut entries = Vec::new();
    descend(source, root, 16, &mut entries);
    entries
}

fn descend<const N: usize>(
    source: &Changed,
    number: u64,
    depth: u8,
    into: &mut Vec<(u64, [u8; N])>,
) {
    assert!(depth > 0, "an accepted tree is too deep");
    let block = source.block(number);
    let (count, room) = (peek_u32(block, 16) as usize, peek_u32(block, 20) as usize);
    let leaf = peek_u32(block, 4) == 2;
    for index in 0..count {
        let key = peek(block, 32 + 8 * index);
        if leaf {
            into.push((key, value(block, room, index)));
        } else {
            let child = u64::from_le_bytes(value(block, room, index));
            descend(source, child, depth - 1, into);
        }
    }
}

fn value<const N: usize>(block: &Block, room: usize, index: usize) -> [u8; N] {
    *block[32 + 8 * room + N * index..]
        .first_chunk()
        .expect("inside the block")
}

/// The mappings under a root.
pub(super) fn map(source: &Changed, root: u64) -> Map {
    let mut map = Map::new();
    for (thin, value) in entries::<8>(source, root) {
        let packed = u64::from_le_bytes(value);
        let time = u32::try_from(packed & 0xff_ffff).expect("24 bits");
        let old = map.insert(thin, (packed >> 24, time));
        assert_eq!(
            old, None,
            "thin block {thin} occurs twice in an accepted tree"
        );
    }
    map
}

/// The difference of two maps, block by block.
pub(super) fn difference(left: &Map, right: &Map, include_same: bool) -> Answer {
    let keys = left.keys().chain(right.keys());
    let answer = keys.map(|key| {
        let (a, b) = (left.get(key).map(|v| v.0), right.get(key).map(|v| v.0));
        let kind = match (a, b) {
            (_, None) => DeltaKind::LeftOnly,
            (None, _) => DeltaKind::RightOnly,
            (a, b) if a == b => DeltaKind::Same,
            _ => DeltaKind::Differ,
        };
        (*key, (kind, a, b))
    });
    answer
        .filter(|(_, (kind, ..))| include_same || *kind != DeltaKind::Same)
        .collect()
}

/// How often each metadata block and each data block is pointed at. Only for metadata that the check under test
/// called sound.
#[derive(Debug, Default)]
pub(super) struct References {
    pub(super) metadata: BTreeMap<u64, u32>,
    pub(super) data: BTreeMap<u64, u32>,
}

/// What a tree's leaves hold.
#[derive(Clone, Copy)]
enum Leaves {
    Roots,
    Mappings,
    Bitmaps,
    Numbers,
}

impl References {
    /// Everything that block 0 leads to.
    pub(super) fn count(source: &Changed) -> Self {
        let mut counts = Self::default();
        counts.refer(0);
        let superblock = source.block(0);
        counts.devices(source, superblock);
        counts.tree(source, peek(superblock, 64 + 16), Leaves::Bitmaps);
        counts.tree(source, peek(superblock, 64 + 24), Leaves::Numbers);
        counts.tree(source, peek(superblock, 192 + 24), Leaves::Numbers);
        let index = peek(superblock, 192 + 16);
        counts.refer(index);
        let bitmaps = peek(superblock, 192).div_ceil(16_320);
        for number in (0..).take(usize::try_from(bitmaps).expect("at most 255")) {
            counts.refer(peek(source.block(index), 16 + 16 * number));
        }
        let held = peek(superblock, 56);
        if held != 0 {
            counts.refer(held);
            counts.devices(source, source.block(held));
        }
        counts
    }

    fn devices(&mut self, source: &Changed, superblock: &Block) {
        self.tree(source, peek(superblock, 320), Leaves::Roots);
        self.tree(source, peek(superblock, 328), Leaves::Numbers);
    }

    /// Whether the block is met for the first time.
    fn refer(&mut self, block: u64) -> bool {
        let count = self.metadata.entry(block).or_default();
        *count += 1;
        *count == 1
    }

    fn tree(&mut self, source: &Changed, number: u64, leaves: Leaves) {
        if !self.refer(number) {
            return;
        }
        let block = source.block(number);
        let room = peek_u32(block, 20) as usize;
        for index in 0..peek_u32(block, 16) as usize {
            let eight = || u64::from_le_bytes(value(block, room, index));
            match (peek_u32(block, 4) == 2, leaves) {
                (false, _) => self.tree(source, eight(), leaves),
                (true, Leaves::Roots) => self.tree(source, eight(), Leaves::Mappings),
                (true, Leaves::Mappings) => *self.data.entry(eight() >> 24).or_default() += 1,
                (true, Leaves::Bitmaps) => {
                    let entry: [u8; 16] = value(block, room, index);
                    self.refer(u64::from_le_bytes(*entry.first_chunk().expect("16 bytes")));
                }
                (true, Leaves::Numbers) => {}
            }
        }
    }
}
