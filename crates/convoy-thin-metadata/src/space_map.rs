//! Reference counts of all blocks of the data device or of the metadata device, in order.
//!
//! Two bits a block in bitmaps, with counts of 3 and more in a tree beside them. For a metadata block the count
//! is the number of its parents, for a data block the number of leaf entries in distinct leaves, so that a
//! snapshot that still shares a leaf adds nothing.

mod layout;

pub(crate) use layout::{
    INDEX_ENTRY, MANY, PER_BITMAP, bitmap_block, bitmap_of, bitmaps_for, count, index_block,
    two_bits,
};

use crate::BLOCK_SIZE;
use crate::error::{Error, Rule, Space, Tree};
use crate::node::NodeRef;
use crate::source::{Block, BlockSource};
use crate::superblock::SpaceMapRoot;
use crate::view::View;
use crate::walk::Walk;
use convoy_units::MetadataBlock;
use std::collections::VecDeque;

/// Leaves of the tree of counts in memory at a time: at most 5 376 counts.
const WINDOW: usize = 16;

/// Consecutive blocks with the same reference count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountRun {
    /// The first block.
    pub begin: u64,
    /// How many; never 0.
    pub len: u64,
    /// Their count; 0 is free.
    pub count: u32,
}

/// The reference counts of every block of a device, ascending and without gaps; an error ends it.
///
/// Memory: one bitmap, a window of the tree of counts, and a pointer for each bitmap and each leaf of that tree.
#[derive(Debug)]
pub struct RefCounts<'v, S> {
    space: Space,
    nr_blocks: u64,
    bitmaps: Walk<'v, S>,
    blocks: std::vec::IntoIter<MetadataBlock>,
    many: Walk<'v, S>,
    leaves: Vec<NodeRef>,
    next_leaf: usize,
    counts: VecDeque<(u64, u32)>,
    position: u64,
    ready: VecDeque<CountRun>,
}

impl<'v, S: BlockSource> RefCounts<'v, S> {
    pub(crate) fn new(view: &'v View<S>, space: Space, root: SpaceMapRoot) -> Result<Self, Error> {
        let mut bitmaps = Walk::new(view, Tree::Bitmaps(space));
        let blocks = match space {
            Space::Data => data_index(view, root)?,
            Space::Metadata => metadata_index(view, root)?,
        };
        for block in &blocks {
            bitmaps.visit(*block, None)?;
        }
        let mut many = Walk::new(view, Tree::RefCounts(space));
        let leaves = many.leaves(root.ref_count_root)?;
        Ok(Self {
            space,
            nr_blocks: root.nr_blocks,
            bitmaps,
            blocks: blocks.into_iter(),
            many,
            leaves,
            next_leaf: 0,
            counts: VecDeque::new(),
            position: 0,
            ready: VecDeque::new(),
        })
    }

    /// Reads the next bitmap; false when there is none.
    fn load(&mut self) -> Result<bool, Error> {
        let Some(number) = self.blocks.next() else {
            return self.check_end();
        };
        let tree = Tree::Bitmaps(self.space);
        let mut block = [0; BLOCK_SIZE];
        self.bitmaps.view().read_node(tree, number, &mut block)?;
        let bits = bitmap_block(&block, number).map_err(|rule| rule.at(tree, None, number))?;
        let end = self.nr_blocks.min(self.position + PER_BITMAP);
        for (entry, block) in (self.position..end).enumerate() {
            let count = match two_bits(bits, entry) {
                MANY => self.count_of(block)?,
                count => count,
            };
            self.push(block, count);
        }
        self.position = end;
        Ok(true)
    }

    fn push(&mut self, block: u64, count: u32) {
        match self.ready.back_mut() {
            Some(run) if run.count == count => run.len += 1,
            _ => self.ready.push_back(CountRun {
                begin: block,
                len: 1,
                count,
            }),
        }
    }

    /// The count of a block whose bitmap says 3 or more. Each count in the tree must be asked for.
    fn count_of(&mut self, block: u64) -> Result<u32, Error> {
        self.fill()?;
        let space = self.space;
        let tree = Tree::RefCounts(space);
        match self.counts.pop_front() {
            Some((found, count)) if found == block && count >= MANY => Ok(count),
            Some((found, count)) if found <= block => {
                let rule = Rule::CountStray {
                    space,
                    block: found,
                    count,
                };
                Err(rule.at(tree, Some(0), self.last_leaf()))
            }
            _ => {
                let rule = Rule::CountMissing { space, block };
                Err(rule.at(tree, None, self.last_leaf()))
            }
        }
    }

    fn last_leaf(&self) -> MetadataBlock {
        let index = self.next_leaf.saturating_sub(1);
        self.leaves
            .get(index)
            .map_or_else(MetadataBlock::default, |leaf| leaf.block)
    }

    fn fill(&mut self) -> Result<(), Error> {
        while self.counts.is_empty() && self.next_leaf < self.leaves.len() {
            let end = (self.next_leaf + WINDOW).min(self.leaves.len());
            let window = self.leaves.get(self.next_leaf..end).unwrap_or_default();
            self.next_leaf = end;
            let counts = &mut self.counts;
            self.many.read_leaves(window, |block, value| {
                counts.push_back((block, count(value)));
                Ok(())
            })?;
        }
        Ok(())
    }

    fn check_end(&mut self) -> Result<bool, Error> {
        self.fill()?;
        let Some((block, count)) = self.counts.pop_front() else {
            return Ok(false);
        };
        let (space, limit) = (self.space, self.nr_blocks);
        let rule = if block < limit {
            Rule::CountStray {
                space,
                block,
                count,
            }
        } else {
            Rule::CountRange { block, limit }
        };
        Err(rule.at(Tree::RefCounts(space), Some(0), self.last_leaf()))
    }

    /// The first run, once it is known where it ends.
    fn next_run(&mut self) -> Result<Option<CountRun>, Error> {
        while self.ready.len() < 2 {
            if !self.load()? {
                break;
            }
        }
        Ok(self.ready.pop_front())
    }
}

impl<S: BlockSource> Iterator for RefCounts<'_, S> {
    type Item = Result<CountRun, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.next_run().transpose();
        if matches!(item, Some(Err(_))) {
            self.ready.clear();
            self.counts.clear();
            self.leaves = Vec::new();
            self.blocks = Vec::new().into_iter();
        }
        item
    }
}

/// The bitmaps of the data device, from the index tree.
fn data_index<S: BlockSource>(
    view: &View<S>,
    root: SpaceMapRoot,
) -> Result<Vec<MetadataBlock>, Error> {
    let tree = Tree::Index(Space::Data);
    let limit = bitmaps_for(root.nr_blocks);
    let mut walk = Walk::new(view, tree);
    let leaves = walk.leaves(root.bitmap_root)?;
    let mut blocks = Vec::new();
    walk.read_leaves(&leaves, |found, value| {
        let next = blocks.len() as u64;
        if found >= limit {
            return Err(Rule::BitmapRange { found, limit });
        }
        if found != next {
            let len = found - next;
            return Err(Rule::BitmapMissing { first: next, len });
        }
        blocks.push(bitmap_of(value));
        Ok(())
    })?;
    let first = blocks.len() as u64;
    if first < limit {
        let len = limit - first;
        return Err(Rule::BitmapMissing { first, len }.at(tree, None, root.bitmap_root));
    }
    Ok(blocks)
}

/// The bitmaps of the metadata device, from the index block.
fn metadata_index<S: BlockSource>(
    view: &View<S>,
    root: SpaceMapRoot,
) -> Result<Vec<MetadataBlock>, Error> {
    let tree = Tree::Index(Space::Metadata);
    let mut block: Block = [0; BLOCK_SIZE];
    view.read_node(tree, root.bitmap_root, &mut block)?;
    let bitmaps = index_block(&block, root.bitmap_root, root.nr_blocks)
        .map_err(|rule| rule.at(tree, None, root.bitmap_root))?;
    Ok(bitmaps.collect())
}

#[cfg(test)]
mod tests;
