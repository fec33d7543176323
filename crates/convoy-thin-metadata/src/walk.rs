//! One tree, walked level by level and strictly: every rule that needs more than one node.
//!
//! A walk remembers each block it was pointed at and refuses to be pointed there twice, which ends cycles
//! and exponential crossings after `nr_blocks` reads at the most.

use crate::bitmap::Bitmap;
use crate::error::{Error, Rule, Tree};
use crate::node::{MAX_HEIGHT, Node, NodeRef};
use crate::source::{Block, BlockSource};
use crate::space_map::INDEX_ENTRY;
use crate::view::View;
use crate::{BLOCK_SIZE, details};
use convoy_units::MetadataBlock;

/// Nodes read in one batch: 1 MiB.
const BATCH: usize = 256;

/// A walk over one tree of a [`View`].
///
/// Heights count from the leaves: a node of height 0 is a leaf. Nodes must be expanded in key order and
/// each at most once.
#[derive(Debug)]
pub struct Walk<'v, S> {
    view: &'v View<S>,
    tree: Tree,
    visited: Bitmap,
    nodes_read: u64,
    buffer: Vec<Block>,
}

impl<'v, S: BlockSource> Walk<'v, S> {
    /// Begins a walk; nothing is read yet.
    pub fn new(view: &'v View<S>, tree: Tree) -> Self {
        Self {
            view,
            tree,
            visited: Bitmap::new(view.metadata_blocks()),
            nodes_read: 0,
            buffer: Vec::new(),
        }
    }

    /// The tree walked.
    pub fn tree(&self) -> Tree {
        self.tree
    }

    /// The view walked.
    pub fn view(&self) -> &'v View<S> {
        self.view
    }

    /// Nodes read so far.
    pub fn nodes_read(&self) -> u64 {
        self.nodes_read
    }

    /// Takes in the tree's root and finds the tree's height by following first children.
    pub fn root(&mut self, root: MetadataBlock) -> Result<(NodeRef, u8), Error> {
        let root = NodeRef {
            block: root,
            low: 0,
            last: u64::MAX,
        };
        self.visit(root.block, None)?;
        let mut node = root;
        for height in 0..MAX_HEIGHT {
            let mut block = [0; BLOCK_SIZE];
            self.view.read_node(self.tree, node.block, &mut block)?;
            self.nodes_read += 1;
            let damaged = |rule: Rule| rule.at(self.tree, None, node.block);
            let parsed = Node::parse(&block, node, value_size(self.tree)).map_err(damaged)?;
            match parsed.children().next() {
                Some(child) => node = child,
                None => return Ok((root, height)),
            }
        }
        Err(Rule::TooDeep.at(self.tree, None, node.block))
    }

    /// The children of internal nodes of height `height`, in key order.
    pub fn expand(&mut self, nodes: &[NodeRef], height: u8) -> Result<Vec<NodeRef>, Error> {
        let mut children = Vec::new();
        self.read_batches(nodes, |walk, node, block| {
            let damaged = |rule: Rule| rule.at(walk.tree, Some(height), node.block);
            let parsed = Node::parse(block, node, value_size(walk.tree)).map_err(damaged)?;
            parsed.expect_leaf(false).map_err(damaged)?;
            for child in parsed.children() {
                walk.visit(child.block, height.checked_sub(1))?;
                children.push(child);
            }
            Ok(())
        })?;
        Ok(children)
    }

    /// Reads leaves and hands out their entries in key order.
    pub(crate) fn read_leaves(
        &mut self,
        nodes: &[NodeRef],
        mut each: impl FnMut(u64, &[u8]) -> Result<(), Rule>,
    ) -> Result<(), Error> {
        self.read_batches(nodes, |walk, node, block| {
            let damaged = |rule: Rule| rule.at(walk.tree, Some(0), node.block);
            let parsed = Node::parse(block, node, value_size(walk.tree)).map_err(damaged)?;
            parsed.expect_leaf(true).map_err(damaged)?;
            parsed
                .entries()
                .try_for_each(|(key, value)| each(key, value))
                .map_err(damaged)
        })
    }

    /// All leaves of the tree under `root`, in key order.
    pub fn leaves(&mut self, root: MetadataBlock) -> Result<Vec<NodeRef>, Error> {
        let (root, height) = self.root(root)?;
        let mut nodes = vec![root];
        for height in (1..=height).rev() {
            nodes = self.expand(&nodes, height)?;
        }
        Ok(nodes)
    }

    fn read_batches(
        &mut self,
        nodes: &[NodeRef],
        mut each: impl FnMut(&mut Self, NodeRef, &Block) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut buffer = std::mem::take(&mut self.buffer);
        for batch in nodes.chunks(BATCH) {
            if buffer.len() < batch.len() {
                buffer.resize(batch.len(), [0; BLOCK_SIZE]);
            }
            let numbers: Vec<MetadataBlock> = batch.iter().map(|node| node.block).collect();
            self.view.read_nodes(self.tree, &numbers, &mut buffer)?;
            for (node, block) in batch.iter().zip(&buffer) {
                self.nodes_read += 1;
                each(self, *node, block)?;
            }
        }
        self.buffer = buffer;
        Ok(())
    }

    pub(crate) fn visit(&mut self, block: MetadataBlock, level: Option<u8>) -> Result<(), Error> {
        let damaged = |rule: Rule| rule.at(self.tree, level, block);
        self.view.check_pointer(block).map_err(damaged)?;
        if self.visited.insert(block) {
            Ok(())
        } else {
            Err(damaged(Rule::Revisited))
        }
    }
}

/// Bytes of a value in the tree's leaves.
pub(crate) const fn value_size(tree: Tree) -> u32 {
    match tree {
        Tree::Details => details::VALUE_SIZE,
        Tree::Index(_) => INDEX_ENTRY,
        Tree::RefCounts(_) => 4,
        Tree::Devices | Tree::Mappings(_) | Tree::Superblock | Tree::Bitmaps(_) => 8,
    }
}
