//! Trees: walking one, and making the next one from it by copy-on-write (format §8).
//!
//! Both keep one node per level in memory, whatever the volume's size.

use crate::error::Error;
use crate::id::BlobId;
use crate::node::{self, FANOUT, MAX_LEVEL, Slots, root_level, span};
use crate::record::TreeRef;
use std::ops::Range;

/// Reads and writes nodes.
pub trait Nodes {
    /// The verified plain bytes of a node.
    fn read(&self, id: &BlobId) -> Result<Vec<u8>, Error>;
    /// Stores a node, if it is not known yet; its id.
    fn write(&mut self, plain: &[u8]) -> Result<BlobId, Error>;
}

/// What a walk comes by.
#[derive(Debug)]
pub enum Visit<'a> {
    /// The chunk ids of a leaf whose first chunk has this number; slots past the end left out.
    Leaf(u64, &'a [Option<BlobId>]),
    /// A node that cannot be read, and the chunks under it.
    Broken(Range<u64>, BlobId, Error),
}

/// Chunks of a volume of this many bytes.
pub fn chunks_of(size: u64, chunk_size: u64) -> u64 {
    size.div_ceil(chunk_size)
}

/// Visits every leaf of the tree over `chunks` chunks, in order; `Err` from `visit` ends it.
pub fn walk<E>(
    read: &dyn Fn(&BlobId) -> Result<Vec<u8>, Error>,
    root: &TreeRef,
    chunks: u64,
    visit: &mut dyn FnMut(Visit<'_>) -> Result<(), E>,
) -> Result<(), E> {
    match root {
        Some(root) => Walk {
            read,
            chunks,
            visit,
        }
        .node(root_level(chunks), 0, root),
        None => Ok(()),
    }
}

struct Walk<'a, E> {
    read: &'a dyn Fn(&BlobId) -> Result<Vec<u8>, Error>,
    chunks: u64,
    visit: &'a mut dyn FnMut(Visit<'_>) -> Result<(), E>,
}

impl<E> Walk<'_, E> {
    /// Levels only descend, so no tree, however damaged, is walked for ever.
    fn node(&mut self, level: u8, first: u64, id: &BlobId) -> Result<(), E> {
        let step = to_u64(span(level));
        let slots = (self.read)(id)
            .and_then(|bytes| node::decode(level, &bytes).map_err(|what| wrong(id, what)))
            .and_then(|slots| self.none_past_the_end(slots, first, step, id));
        let slots = match slots {
            Ok(slots) => slots,
            Err(error) => {
                let end = first
                    .saturating_add(to_u64(span(level + 1)))
                    .min(self.chunks);
                return (self.visit)(Visit::Broken(first..end, *id, error));
            }
        };
        if level == 0 {
            return (self.visit)(Visit::Leaf(first, &slots));
        }
        for (number, child) in (0..).zip(&slots) {
            if let Some(child) = child {
                self.node(level - 1, first + number * step, child)?;
            }
        }
        Ok(())
    }

    fn none_past_the_end(
        &self,
        mut slots: Slots,
        first: u64,
        step: u64,
        id: &BlobId,
    ) -> Result<Slots, Error> {
        let inside = self.chunks.saturating_sub(first).div_ceil(step);
        let inside = usize::try_from(inside).unwrap_or(usize::MAX);
        if slots.iter().skip(inside).any(Option::is_some) {
            return Err(wrong(
                id,
                "it maps chunks past the end of the volume".to_owned(),
            ));
        }
        slots.truncate(inside);
        Ok(slots)
    }
}

fn wrong(id: &BlobId, what: String) -> Error {
    Error::damaged(format!("tree node {id}"), what)
}

fn to_u64(chunks: u128) -> u64 {
    u64::try_from(chunks).unwrap_or(u64::MAX)
}

/// The tree of a new backup while it is made from its base: only nodes on changed paths are read and
/// written. Edits come in ascending order of chunks.
pub struct TreeEditor<'a> {
    nodes: &'a mut dyn Nodes,
    top: u8,
    chunks: u64,
    base_chunks: u64,
    /// Up to here all is edited.
    position: u64,
    /// The open node of each level, lowest first; each is under the open one above it.
    open: Vec<Option<OpenNode>>,
}

struct OpenNode {
    index: u64,
    slots: Slots,
    /// The stored node it was read from.
    original: Option<BlobId>,
    /// Whether a slot differs from the original's.
    changed: bool,
}

impl OpenNode {
    fn empty(index: u64) -> Self {
        Self {
            index,
            slots: vec![None; FANOUT],
            original: None,
            changed: false,
        }
    }

    fn set(&mut self, slot: u64, value: Option<BlobId>) {
        let place = usize::try_from(slot)
            .ok()
            .and_then(|slot| self.slots.get_mut(slot));
        let place = place.expect("slots are counted modulo 1024");
        self.changed |= *place != value;
        *place = value;
    }
}

impl<'a> TreeEditor<'a> {
    /// Starts from the tree `base` over `base_chunks` chunks; `None` starts from holes.
    ///
    /// The new tree is over `chunks` chunks; what the base has past that is left out.
    pub fn new(
        nodes: &'a mut dyn Nodes,
        base: TreeRef,
        base_chunks: u64,
        chunks: u64,
    ) -> Result<Self, Error> {
        let top = root_level(chunks);
        let mut editor = Self {
            nodes,
            top,
            chunks,
            base_chunks,
            position: 0,
            open: (0..=MAX_LEVEL).map(|_| None).collect(),
        };
        match base {
            Some(root) => editor.open_base(root, root_level(base_chunks))?,
            None => editor.put(top, OpenNode::empty(0)),
        }
        Ok(editor)
    }

    fn open_base(&mut self, root: BlobId, base_top: u8) -> Result<(), Error> {
        if base_top >= self.top {
            // A base over more chunks: its first subtree of our height.
            let mut root = Some(root);
            for level in (self.top + 1..=base_top).rev() {
                root = match root {
                    Some(id) => self
                        .load(level, 0, Some(id))?
                        .slots
                        .first()
                        .copied()
                        .flatten(),
                    None => None,
                };
            }
            let node = self.load(self.top, 0, root)?;
            self.put(self.top, node);
            return Ok(());
        }
        // A base over fewer chunks: nodes above its root, with it in their first slots.
        for level in base_top + 1..=self.top {
            let mut node = OpenNode::empty(0);
            if level == base_top + 1 {
                node.set(0, Some(root));
            }
            self.put(level, node);
        }
        Ok(())
    }

    /// Chunk `number` is now this one. `number` is past every edit before.
    pub fn set(&mut self, number: u64, id: BlobId) -> Result<(), Error> {
        self.advance(number, number + 1);
        self.set_slot(0, number, Some(id))
    }

    /// These chunks are holes now. The range begins past every edit before.
    pub fn clear(&mut self, range: Range<u64>) -> Result<(), Error> {
        if range.is_empty() {
            return Ok(());
        }
        self.advance(range.start, range.end);
        self.clear_within(u128::from(range.start), u128::from(range.end))
    }

    fn advance(&mut self, from: u64, to: u64) {
        assert!(
            from >= self.position && to <= self.chunks,
            "edits ascend and stay inside the volume"
        );
        self.position = to;
    }

    /// Whole subtrees at a time, the largest that fit.
    fn clear_within(&mut self, mut at: u128, end: u128) -> Result<(), Error> {
        while at < end {
            let fits = |level: &u8| at.is_multiple_of(span(*level)) && at + span(*level) <= end;
            let level = (0..=self.top).rev().find(fits).unwrap_or(0);
            self.set_slot(level, to_u64(at / span(level)), None)?;
            at += span(level);
        }
        Ok(())
    }

    /// The new tree's root.
    pub fn finish(mut self) -> Result<TreeRef, Error> {
        // What a larger base had past the new end, as far as the root reaches.
        let end = u128::from(self.base_chunks).min(span(self.top + 1));
        self.clear_within(u128::from(self.chunks), end)?;
        for level in 0..self.top {
            self.close(level)?;
        }
        let root = self.take(self.top);
        self.store(self.top, &root)
    }

    /// Sets slot `number` (counted over the whole level) of a node of this level.
    fn set_slot(&mut self, level: u8, number: u64, value: Option<BlobId>) -> Result<(), Error> {
        self.ensure_open(level, number / FANOUT as u64)?;
        // Nodes open below are to the left: done.
        for below in 0..level {
            self.close(below)?;
        }
        let node = self
            .open
            .get_mut(usize::from(level))
            .and_then(Option::as_mut);
        node.expect("just opened")
            .set(number % FANOUT as u64, value);
        Ok(())
    }

    fn ensure_open(&mut self, level: u8, index: u64) -> Result<(), Error> {
        let open = self.open.get(usize::from(level)).and_then(Option::as_ref);
        if open.is_some_and(|node| node.index == index) {
            return Ok(());
        }
        for below in 0..=level {
            self.close(below)?;
        }
        self.ensure_open(level + 1, index / FANOUT as u64)?;
        let parent = self
            .open
            .get(usize::from(level) + 1)
            .and_then(Option::as_ref);
        let slot = usize::try_from(index % FANOUT as u64).expect("below 1024");
        let child = parent.and_then(|node| node.slots.get(slot).copied().flatten());
        let node = self.load(level, index, child)?;
        self.put(level, node);
        Ok(())
    }

    /// Stores the open node of this level, if any, and tells its parent.
    fn close(&mut self, level: u8) -> Result<(), Error> {
        let Some(node) = self.open.get_mut(usize::from(level)).and_then(Option::take) else {
            return Ok(());
        };
        let slot = node.index % FANOUT as u64;
        let id = self.store(level, &node)?;
        let parent = self
            .open
            .get_mut(usize::from(level) + 1)
            .and_then(Option::as_mut);
        parent
            .expect("a node is opened after its parent and closed before it")
            .set(slot, id);
        Ok(())
    }

    fn store(&mut self, level: u8, node: &OpenNode) -> Result<TreeRef, Error> {
        if !node.changed {
            return Ok(node.original);
        }
        match node::encode(level, &node.slots) {
            None => Ok(None),
            Some(bytes) => self.nodes.write(&bytes).map(Some),
        }
    }

    fn load(&self, level: u8, index: u64, id: TreeRef) -> Result<OpenNode, Error> {
        let Some(id) = id else {
            return Ok(OpenNode::empty(index));
        };
        let bytes = self.nodes.read(&id)?;
        let slots = node::decode(level, &bytes).map_err(|what| wrong(&id, what))?;
        Ok(OpenNode {
            index,
            slots,
            original: Some(id),
            changed: false,
        })
    }

    fn put(&mut self, level: u8, node: OpenNode) {
        if let Some(place) = self.open.get_mut(usize::from(level)) {
            *place = Some(node);
        }
    }

    fn take(&mut self, level: u8) -> OpenNode {
        let node = self.open.get_mut(usize::from(level)).and_then(Option::take);
        node.expect("the root is open from the start to the end")
    }
}

#[cfg(test)]
mod tests;
