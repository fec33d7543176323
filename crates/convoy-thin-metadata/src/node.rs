//! One node of a B+ tree: header, keys, values, and every check that needs no other block.
//!
//! Layout: a 32-byte header, room for `max_entries` keys of 8 bytes, then for as many values; the first
//! `nr_entries` of each are valid. Nothing in a node tells which tree it is of, so the value size its tree wants comes in.

use crate::checksum::{BlockType, verify};
use crate::error::Rule;
use crate::source::Block;
use convoy_units::MetadataBlock;
use zerocopy::byteorder::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// No tree is higher: 16 levels of 252 entries are far beyond any device; a healthy tree of 10^9
/// mappings has 5.
pub const MAX_HEIGHT: u8 = 16;

const INTERNAL: u32 = 1;
const LEAF: u32 = 2;
const HEADER: usize = 32;

/// A pointer to a node, with the keys its parent allots to it.
///
/// `low` is a lower bound and need not occur: the kernel does not raise a parent's key when the child's first
/// key is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeRef {
    /// Where the node lies.
    pub block: MetadataBlock,
    /// The least key it may hold.
    pub low: u64,
    /// The greatest key it may hold.
    pub last: u64,
}

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    _checksum: U32,
    flags: U32,
    _number: U64,
    nr_entries: U32,
    max_entries: U32,
    value_size: U32,
    _padding: U32,
}

/// A node that passed every check.
#[derive(Debug)]
pub(crate) struct Node<'a> {
    pub(crate) is_leaf: bool,
    keys: &'a [U64],
    values: &'a [u8],
    value_size: usize,
    last: u64,
}

impl<'a> Node<'a> {
    /// Checks `block` as the node that `node` points at, of a tree whose leaves hold values of
    /// `leaf_value_size` bytes.
    pub(crate) fn parse(
        block: &'a Block,
        node: NodeRef,
        leaf_value_size: u32,
    ) -> Result<Self, Rule> {
        verify(block, node.block, BlockType::Node)?;
        let (header, body) =
            Header::ref_from_prefix(block).expect("a block is longer than a header");
        let is_leaf = match header.flags.get() {
            INTERNAL => false,
            LEAF => true,
            flags => return Err(Rule::NodeKind { flags }),
        };
        let value_size = if is_leaf { leaf_value_size } else { 8 };
        let (keys, values) = layout(header, body, value_size)?;
        let parsed = Self {
            is_leaf,
            keys,
            values,
            value_size: value_size as usize,
            last: node.last,
        };
        if keys.is_empty() && !is_leaf {
            return Err(Rule::EmptyInternal);
        }
        check_keys(keys, node)?;
        Ok(parsed)
    }

    /// Fails unless the node is of the kind that its level calls for.
    pub(crate) fn expect_leaf(&self, leaf: bool) -> Result<(), Rule> {
        if self.is_leaf == leaf {
            Ok(())
        } else {
            Err(Rule::Height { leaf: self.is_leaf })
        }
    }

    /// How many entries it has.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Its least and its greatest key; `None` when it is empty.
    pub(crate) fn first_and_last_key(&self) -> Option<(u64, u64)> {
        Some((self.keys.first()?.get(), self.keys.last()?.get()))
    }

    /// Keys with the bytes of their values, ascending.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (u64, &'a [u8])> + use<'a> {
        self.keys
            .iter()
            .map(|key| key.get())
            .zip(self.values.chunks_exact(self.value_size))
    }

    /// An internal node's children, each with its share of the keys; a leaf has none.
    pub(crate) fn children(&self) -> impl Iterator<Item = NodeRef> + use<'a> {
        let (keys, last) = (self.keys, self.last);
        let count = if self.is_leaf { 0 } else { keys.len() };
        self.entries()
            .take(count)
            .enumerate()
            .map(move |(index, (low, value))| NodeRef {
                block: MetadataBlock(number(value)),
                low,
                // Keys ascend strictly, so the next one is at least 1.
                last: keys.get(index + 1).map_or(last, |next| next.get() - 1),
            })
    }

    /// The child whose share `key` falls into, if any.
    pub(crate) fn child_for(&self, key: u64) -> Option<NodeRef> {
        let after = self.keys.partition_point(|low| low.get() <= key);
        self.children().nth(after.checked_sub(1)?)
    }

    /// A leaf's value under `key`.
    pub(crate) fn value_of(&self, key: u64) -> Option<&'a [u8]> {
        let index = self
            .keys
            .binary_search_by_key(&key, |found| found.get())
            .ok()?;
        self.values.chunks_exact(self.value_size).nth(index)
    }
}

/// An 8-byte value as a number.
pub(crate) fn number(value: &[u8]) -> u64 {
    U64::read_from_bytes(value)
        .expect("the value size was checked to be 8")
        .get()
}

/// Cuts keys and values out of the body, after checking that they fit.
fn layout<'a>(
    header: &Header,
    body: &'a [u8],
    expected: u32,
) -> Result<(&'a [U64], &'a [u8]), Rule> {
    let found = header.value_size.get();
    if found != expected {
        return Err(Rule::ValueSize { found, expected });
    }
    let (max, entries) = (header.max_entries.get(), header.nr_entries.get());
    let (room, size) = (max as usize, expected as usize);
    // 2^32 × 32 fits a usize on the 64-bit machines that dm-thin pools of any size need.
    if room.saturating_mul(8 + size) > body.len() {
        return Err(Rule::MaxEntries { max });
    }
    if entries > max {
        return Err(Rule::EntryCount { entries, max });
    }
    let count = entries as usize;
    let (keys, values) =
        <[U64]>::ref_from_prefix_with_elems(body, room).map_err(|_| Rule::MaxEntries { max })?;
    Ok((
        keys.get(..count)
            .expect("the entry count was checked against the room"),
        values
            .get(..count * size)
            .expect("the room for values was checked against the body"),
    ))
}

const _: () = assert!(size_of::<Header>() == HEADER);

fn check_keys(keys: &[U64], node: NodeRef) -> Result<(), Rule> {
    let mut before = None;
    for key in keys {
        let key = key.get();
        if key < node.low || key > node.last {
            return Err(Rule::KeyRange {
                key,
                low: node.low,
                last: node.last,
            });
        }
        if let Some(previous) = before.filter(|previous| *previous >= key) {
            return Err(Rule::KeyOrder { previous, key });
        }
        before = Some(key);
    }
    Ok(())
}
