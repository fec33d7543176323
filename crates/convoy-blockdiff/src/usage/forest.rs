//! The nodes of all mapping trees of a pool, each once, and who reaches it.
//!
//! A tree is walked down to nodes that an earlier tree has: inside one state of the metadata the same number is
//! the same subtree, so nothing below it is read again; it is only noted, down to its leaves, that several devices reach
//! it. Leaves are read when all trees are known, since only then it is.

use super::owners::{Owner, Owners, Pages};
use convoy_thin_metadata::{BlockSource, Error, NodeRef, Run, Runs, Tree, View, Walk};
use convoy_units::{DevId, MetadataBlock};
use std::ops::Range;

/// The trees planted so far.
pub(super) struct Forest<'v, S> {
    view: &'v View<S>,
    /// One more than the index of a block's node, 0 for none.
    by_block: Pages<u32>,
    nodes: Vec<Node>,
    /// Indices of children; each node has a range of them.
    children: Vec<u32>,
    /// The leaves that each tree was the first to have, in key order.
    leaves: Vec<(DevId, Vec<NodeRef>)>,
    roots: Vec<(MetadataBlock, u32)>,
}

struct Node {
    owner: Owner,
    height: u8,
    children: Range<u32>,
    /// Mappings below: known once the leaves have been read.
    entries: u64,
}

/// One tree's mappings, counted.
pub(super) struct Counted {
    pub(super) root: MetadataBlock,
    pub(super) entries: u64,
}

impl<'v, S: BlockSource> Forest<'v, S> {
    pub(super) fn new(view: &'v View<S>) -> Self {
        Self {
            view,
            by_block: Pages::new(),
            nodes: Vec::new(),
            children: Vec::new(),
            leaves: Vec::new(),
            roots: Vec::new(),
        }
    }

    /// Takes in a device's tree down to its leaves, reading the internal nodes that no earlier tree has.
    pub(super) fn plant(
        &mut self,
        dev_id: DevId,
        root: MetadataBlock,
        owner: Owner,
    ) -> Result<(), Error> {
        if let Some(known) = self.find(root) {
            self.share(known, owner);
            self.roots.push((root, known));
            return Ok(());
        }
        let mut walk = Walk::new(self.view, Tree::Mappings(dev_id));
        let (top, height) = walk.root(root)?;
        let index = self.add(root, height, owner);
        self.roots.push((root, index));
        let mut level = vec![top];
        for height in (0..height).rev() {
            level = self.descend(&mut walk, &level, height, owner)?;
        }
        self.leaves.push((dev_id, level));
        Ok(())
    }

    /// Reads `parents`; their children, at `height`, that no earlier tree has.
    fn descend(
        &mut self,
        walk: &mut Walk<'v, S>,
        parents: &[NodeRef],
        height: u8,
        owner: Owner,
    ) -> Result<Vec<NodeRef>, Error> {
        let children = walk.expand(parents, height + 1)?;
        let mut rest = children.as_slice();
        let mut fresh = Vec::new();
        for parent in parents {
            // Parents' shares of the keys are apart and ascend, so they tell whose child is whose.
            let count = rest.partition_point(|child| child.low <= parent.last);
            let (own, others) = rest.split_at(count);
            rest = others;
            let begin = index(self.children.len());
            for child in own {
                self.adopt(*child, height, owner, &mut fresh);
            }
            let end = index(self.children.len());
            if let Some(parent) = self.find(parent.block) {
                self.node_mut(parent).children = begin..end;
            }
        }
        Ok(fresh)
    }

    fn adopt(&mut self, child: NodeRef, height: u8, owner: Owner, fresh: &mut Vec<NodeRef>) {
        let known = self.find(child.block);
        match known {
            Some(known) if self.node(known).height == height => {
                self.share(known, owner);
                self.children.push(known);
            }
            // At another height it was found well-formed, so it cannot be so at this one: the walk on from here
            // is certain to say where.
            Some(_) => fresh.push(child),
            None => {
                let new = self.add(child.block, height, owner);
                self.children.push(new);
                fresh.push(child);
            }
        }
    }

    /// Notes that `owner` too reaches a node and all below it. A node belongs to several only once: the cost over
    /// all trees is one visit a node.
    fn share(&mut self, known: u32, owner: Owner) {
        let mut todo = vec![known];
        while let Some(next) = todo.pop() {
            let node = self.node_mut(next);
            let both = node.owner.and(owner);
            if both == node.owner {
                continue;
            }
            node.owner = both;
            let below = usize_of(node.children.start)..usize_of(node.children.end);
            todo.extend(self.children.get(below).unwrap_or_default());
        }
    }

    /// Reads every leaf once and lets its owner claim its data blocks; the trees in the order they were planted.
    pub(super) fn harvest(mut self, owners: &mut Owners) -> Result<Vec<Counted>, Error> {
        for (dev_id, leaves) in std::mem::take(&mut self.leaves) {
            self.harvest_leaves(dev_id, leaves, owners)?;
        }
        self.sum_up();
        let counted = |(root, index): &(MetadataBlock, u32)| Counted {
            root: *root,
            entries: self.node(*index).entries,
        };
        Ok(self.roots.iter().map(counted).collect())
    }

    fn harvest_leaves(
        &mut self,
        dev_id: DevId,
        leaves: Vec<NodeRef>,
        owners: &mut Owners,
    ) -> Result<(), Error> {
        let shares: Vec<(MetadataBlock, u64)> =
            leaves.iter().map(|leaf| (leaf.block, leaf.last)).collect();
        let mut shares = shares.into_iter().peekable();
        let walk = Walk::new(self.view, Tree::Mappings(dev_id));
        for run in Runs::new(walk, leaves) {
            let mut run = run?;
            // A run may go on from one leaf into the next.
            while run.len > 0 {
                while shares.next_if(|(_, last)| *last < run.thin.0).is_some() {}
                let (block, last) = *shares.peek().expect("a mapping is in one of the leaves");
                let len = run.len.min((last - run.thin.0).saturating_add(1));
                let leaf = self.find(block).expect("its leaf was added");
                self.node_mut(leaf).entries += len;
                owners.claim(run.data.0, len, self.node(leaf).owner);
                skip(&mut run, len);
            }
        }
        Ok(())
    }

    /// Adds the entries of the leaves up to the roots, level by level.
    fn sum_up(&mut self) {
        let highest = self.nodes.iter().map(|node| node.height).max().unwrap_or(0);
        for height in 1..=highest {
            for index in 0..self.nodes.len() {
                let node = self.nodes.get(index).expect("within bounds");
                if node.height != height {
                    continue;
                }
                let below = usize_of(node.children.start)..usize_of(node.children.end);
                let children = self.children.get(below).unwrap_or_default();
                let sum = children.iter().map(|child| self.node(*child).entries).sum();
                self.nodes.get_mut(index).expect("within bounds").entries = sum;
            }
        }
    }

    fn add(&mut self, block: MetadataBlock, height: u8, owner: Owner) -> u32 {
        self.nodes.push(Node {
            owner,
            height,
            children: 0..0,
            entries: 0,
        });
        let number = index(self.nodes.len());
        self.by_block.set(block.0, number);
        number - 1
    }

    fn find(&self, block: MetadataBlock) -> Option<u32> {
        self.by_block.get(block.0).checked_sub(1)
    }

    fn node(&self, index: u32) -> &Node {
        self.nodes
            .get(usize_of(index))
            .expect("an index comes from adding a node")
    }

    fn node_mut(&mut self, index: u32) -> &mut Node {
        self.nodes
            .get_mut(usize_of(index))
            .expect("an index comes from adding a node")
    }
}

fn skip(run: &mut Run, len: u64) {
    run.thin.0 += len;
    run.data.0 += len;
    run.len -= len;
}

fn index(number: usize) -> u32 {
    u32::try_from(number)
        .expect("2^32 nodes would be 16 TiB of metadata; the kernel's limit is 16 GiB")
}

fn usize_of(index: u32) -> usize {
    usize::try_from(index).expect("dm-thin pools of any size need 64 bits")
}
