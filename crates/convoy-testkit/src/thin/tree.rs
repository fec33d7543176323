//! Copy-on-write B+ trees with reference-counted nodes: many mapping trees in one arena of blocks.
//!
//! A node is changed in place while one parent points at it and copied otherwise, so that a snapshot, which
//! only adds a pointer to the root, shares every subtree that is not touched afterwards.

use std::collections::{BTreeMap, BTreeSet};

/// Where a mapping points: data block and pool time.
pub(super) type Mapping = (u64, u32);

#[derive(Debug, Clone)]
pub(super) enum Entries {
    Internal(Vec<u64>),
    Leaf(Vec<Mapping>),
}

#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) keys: Vec<u64>,
    pub(super) entries: Entries,
    pub(super) parents: u32,
}

/// The nodes of all mapping trees, by block number, and how often each data block is pointed at.
#[derive(Debug, Clone)]
pub(super) struct Forest {
    nodes: Vec<Option<Node>>,
    free: BTreeSet<u64>,
    data: BTreeMap<u64, u32>,
    /// Entries in a node at the most; a multiple of 3.
    fanout: usize,
    scatter: bool,
}

impl Forest {
    pub(super) fn new(fanout: usize, scatter: bool) -> Self {
        assert!(
            fanout >= 3 && fanout.is_multiple_of(3) && fanout <= 252,
            "fanout 3, 6, .. 252"
        );
        let superblock = None;
        Self {
            nodes: vec![superblock],
            free: BTreeSet::new(),
            data: BTreeMap::new(),
            fanout,
            scatter,
        }
    }

    pub(super) fn fanout(&self) -> usize {
        self.fanout
    }

    pub(super) fn data_counts(&self) -> &BTreeMap<u64, u32> {
        &self.data
    }

    pub(super) fn node(&self, block: u64) -> &Node {
        self.nodes[index(block)]
            .as_ref()
            .expect("the block holds a node")
    }

    /// Block numbers in use, with their nodes.
    pub(super) fn nodes(&self) -> impl Iterator<Item = (u64, &Node)> {
        (0..)
            .zip(&self.nodes)
            .filter_map(|(block, node)| Some((block, node.as_ref()?)))
    }

    /// The first block number that was never used.
    pub(super) fn end(&self) -> u64 {
        self.nodes.len() as u64
    }

    pub(super) fn new_tree(&mut self) -> u64 {
        self.put(Vec::new(), Entries::Leaf(Vec::new()))
    }

    pub(super) fn hold(&mut self, block: u64) {
        self.node_mut(block).parents += 1;
    }

    /// Drops one pointer to `block`, and with the last one the node and its pointers.
    pub(super) fn release(&mut self, block: u64) {
        let node = self.node_mut(block);
        node.parents -= 1;
        if node.parents > 0 {
            return;
        }
        let node = self.nodes[index(block)]
            .take()
            .expect("it was there a moment ago");
        self.free.insert(block);
        match node.entries {
            Entries::Internal(children) => {
                for child in children {
                    self.release(child);
                }
            }
            Entries::Leaf(values) => {
                for (data, _) in values {
                    self.release_data(data);
                }
            }
        }
    }

    pub(super) fn get(&self, root: u64, key: u64) -> Option<Mapping> {
        let node = self.node(root);
        match &node.entries {
            Entries::Leaf(values) => node.keys.binary_search(&key).ok().map(|at| values[at]),
            Entries::Internal(children) => {
                let after = node.keys.partition_point(|low| *low <= key);
                after
                    .checked_sub(1)
                    .and_then(|at| self.get(children[at], key))
            }
        }
    }

    /// Maps `key`; returns the tree's root from now on.
    pub(super) fn insert(&mut self, root: u64, key: u64, value: Mapping) -> u64 {
        *self.data.entry(value.0).or_insert(0) += 1;
        let (root, split) = self.insert_below(root, key, value);
        let Some((split_key, right)) = split else {
            return root;
        };
        let first = self.node(root).keys[0];
        self.put(vec![first, split_key], Entries::Internal(vec![root, right]))
    }

    /// Unmaps `key` if it is mapped; returns the tree's root from now on.
    pub(super) fn remove(&mut self, root: u64, key: u64) -> u64 {
        if self.get(root, key).is_none() {
            return root;
        }
        let mut root = self.remove_below(root, key);
        // A root with one child gives way to a copy of the child.
        while let Entries::Internal(children) = &self.node(root).entries {
            let [only] = children[..] else { break };
            self.hold(only);
            self.release(root);
            root = self.copy(only);
        }
        root
    }

    /// Block numbers of the tree by level, leaves last.
    pub(super) fn levels(&self, root: u64) -> Vec<BTreeSet<u64>> {
        let mut levels = vec![BTreeSet::from([root])];
        loop {
            let last = levels.last().expect("there is a root");
            let below: BTreeSet<u64> = last
                .iter()
                .filter_map(|block| match &self.node(*block).entries {
                    Entries::Internal(children) => Some(children.clone()),
                    Entries::Leaf(_) => None,
                })
                .flatten()
                .collect();
            if below.is_empty() {
                return levels;
            }
            levels.push(below);
        }
    }

    fn insert_below(&mut self, block: u64, key: u64, value: Mapping) -> (u64, Option<(u64, u64)>) {
        let block = self.own(block);
        let at = self.node(block).keys.partition_point(|low| *low <= key);
        let children = match &self.node(block).entries {
            Entries::Internal(children) => Some(children.clone()),
            Entries::Leaf(_) => None,
        };
        if let Some(children) = children {
            let at = at.saturating_sub(1);
            let (child, split) = self.insert_below(children[at], key, value);
            let node = self.node_mut(block);
            // A key below the first one lowers the parent's bound, as in the kernel.
            node.keys[at] = node.keys[at].min(key);
            let Entries::Internal(children) = &mut node.entries else {
                panic!("still internal")
            };
            children[at] = child;
            if let Some((split_key, right)) = split {
                children.insert(at + 1, right);
                node.keys.insert(at + 1, split_key);
            }
        } else {
            self.insert_in_leaf(block, at, key, value);
        }
        (block, self.split(block))
    }

    fn insert_in_leaf(&mut self, block: u64, at: usize, key: u64, value: Mapping) {
        let node = self.node_mut(block);
        let Entries::Leaf(values) = &mut node.entries else {
            panic!("it is a leaf")
        };
        if at > 0 && node.keys[at - 1] == key {
            let old = std::mem::replace(&mut values[at - 1], value);
            self.release_data(old.0);
        } else {
            node.keys.insert(at, key);
            values.insert(at, value);
        }
    }

    fn split(&mut self, block: u64) -> Option<(u64, u64)> {
        let fanout = self.fanout;
        let node = self.node_mut(block);
        if node.keys.len() <= fanout {
            return None;
        }
        // Appending fills nodes, anything else halves them: shapes vary with the history.
        let half = node.keys.len().div_ceil(2);
        let keys = node.keys.split_off(half);
        let entries = node.entries.split_off(half);
        let first = keys[0];
        let right = self.put(keys, entries);
        Some((first, right))
    }

    fn remove_below(&mut self, block: u64, key: u64) -> u64 {
        let block = self.own(block);
        let node = self.node_mut(block);
        let at = node.keys.partition_point(|low| *low <= key) - 1;
        match &mut node.entries {
            Entries::Leaf(values) => {
                node.keys.remove(at);
                let old = values.remove(at);
                self.release_data(old.0);
            }
            Entries::Internal(children) => {
                let child = children[at];
                let child = self.remove_below(child, key);
                let Entries::Internal(children) = &mut self.node_mut(block).entries else {
                    panic!("still internal")
                };
                children[at] = child;
                self.refill(block, at);
            }
        }
        block
    }

    /// Joins or evens out child `at` with a neighbour when less than a third of it is left, or a single entry:
    /// a lone grandchild could not be helped by its neighbours.
    fn refill(&mut self, block: u64, at: usize) {
        let node = self.node(block);
        let Entries::Internal(children) = &node.entries else {
            panic!("a parent is internal")
        };
        if self.node(children[at]).keys.len() >= (self.fanout / 3).max(2) || children.len() < 2 {
            return;
        }
        let left = at.min(children.len() - 2);
        let (left_child, right_child) = (children[left], children[left + 1]);
        let left_child = self.own(left_child);
        let right_child = self.own(right_child);
        // The parent's bound of the right child may be lower than its first key; so may an internal child's.
        let right_node = self.node_mut(right_child);
        let (mut right_keys, right_entries) = (
            std::mem::take(&mut right_node.keys),
            right_node.entries.split_off(0),
        );
        let left_node = self.node_mut(left_child);
        left_node.keys.append(&mut right_keys);
        left_node.entries.append(right_entries);
        let total = left_node.keys.len();
        let mut moved = None;
        if total > self.fanout {
            let left_node = self.node_mut(left_child);
            let keys = left_node.keys.split_off(total / 2);
            let entries = left_node.entries.split_off(total / 2);
            moved = Some(keys[0]);
            let right_node = self.node_mut(right_child);
            right_node.keys = keys;
            right_node.entries = entries;
        }
        let node = self.node_mut(block);
        let Entries::Internal(children) = &mut node.entries else {
            panic!("a parent is internal")
        };
        children[left] = left_child;
        if let Some(first) = moved {
            children[left + 1] = right_child;
            node.keys[left + 1] = first;
        } else {
            children.remove(left + 1);
            node.keys.remove(left + 1);
            self.release(right_child);
        }
    }

    /// The node under a number of its own: itself, or a copy when others point at it too. The caller's pointer
    /// moves to what is returned.
    fn own(&mut self, block: u64) -> u64 {
        if self.node(block).parents == 1 {
            block
        } else {
            self.copy(block)
        }
    }

    fn copy(&mut self, block: u64) -> u64 {
        let Node { keys, entries, .. } = self.node(block).clone();
        match &entries {
            Entries::Internal(children) => children.iter().for_each(|child| self.hold(*child)),
            Entries::Leaf(values) => {
                for (data, _) in values {
                    *self.data.entry(*data).or_insert(0) += 1;
                }
            }
        }
        let copy = self.put(keys, entries);
        self.release(block);
        copy
    }

    fn put(&mut self, keys: Vec<u64>, entries: Entries) -> u64 {
        let block = self.take_free();
        self.nodes[index(block)] = Some(Node {
            keys,
            entries,
            parents: 1,
        });
        block
    }

    fn take_free(&mut self) -> u64 {
        let next = if self.scatter {
            self.free.pop_last()
        } else {
            self.free.pop_first()
        };
        next.unwrap_or_else(|| {
            self.nodes.push(None);
            self.end() - 1
        })
    }

    fn release_data(&mut self, data: u64) {
        let count = self.data.get_mut(&data).expect("the block is counted");
        *count -= 1;
        if *count == 0 {
            self.data.remove(&data);
        }
    }

    fn node_mut(&mut self, block: u64) -> &mut Node {
        self.nodes[index(block)]
            .as_mut()
            .expect("the block holds a node")
    }
}

impl Entries {
    fn split_off(&mut self, at: usize) -> Self {
        match self {
            Self::Internal(children) => Self::Internal(children.split_off(at)),
            Self::Leaf(values) => Self::Leaf(values.split_off(at)),
        }
    }

    fn append(&mut self, other: Self) {
        match (self, other) {
            (Self::Internal(left), Self::Internal(mut right)) => left.append(&mut right),
            (Self::Leaf(left), Self::Leaf(mut right)) => left.append(&mut right),
            _ => panic!("neighbours are of one level"),
        }
    }
}

fn index(block: u64) -> usize {
    usize::try_from(block).expect("a test image is small")
}
