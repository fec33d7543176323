//! What is remembered of a subtree once it was walked: enough to judge it again under another parent.

use crate::error::Rule;
use crate::node::NodeRef;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It is being walked.
    Open,
    /// It did not fit where it was met first. Under the next parent it gets a second chance, and no third.
    Misplaced,
    Whole,
    Damaged,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Summary {
    /// Least and greatest key in the subtree; `None` for an empty leaf.
    pub(super) keys: Option<(u64, u64)>,
    pub(super) entries: u64,
    pub(super) height: u8,
    pub(super) state: State,
    /// Whether it was misplaced once.
    pub(super) retried: bool,
    /// The last walk that met it.
    pub(super) walk: u32,
}

impl Summary {
    /// Whether all is inside what a parent allots.
    pub(super) fn check_keys(&self, node: NodeRef) -> Result<(), Rule> {
        let (low, last) = (node.low, node.last);
        let Some((first, greatest)) = self.keys else {
            return Ok(());
        };
        match [first, greatest]
            .into_iter()
            .find(|key| *key < low || *key > last)
        {
            Some(key) => Err(Rule::KeyRange { key, low, last }),
            None => Ok(()),
        }
    }

    pub(super) fn check_height(&self, due: Option<u8>) -> Result<(), Rule> {
        match due {
            Some(due) if (due == 0) != (self.height == 0) => Err(Rule::Height {
                leaf: self.height == 0,
            }),
            Some(due) if due != self.height => Err(Rule::SubtreeHeight {
                found: self.height,
                due,
            }),
            _ => Ok(()),
        }
    }
}

/// What siblings amount to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sum {
    pub(super) whole: bool,
    pub(super) entries: u64,
    pub(super) height: Option<u8>,
    pub(super) last: Option<u64>,
}

impl Summary {
    /// Takes in what an internal node's children amount to.
    pub(super) fn include(&mut self, children: Sum) {
        self.entries = children.entries;
        self.height = children.height.map_or(0, |height| height + 1);
        if !children.whole {
            self.state = State::Damaged;
        }
        if let (Some((_, last)), Some(greatest)) = (&mut self.keys, children.last) {
            *last = greatest.max(*last);
        }
    }
}

impl Sum {
    pub(super) fn add(&mut self, found: Option<Summary>) {
        let Some(summary) = found else {
            self.whole = false;
            return;
        };
        self.entries = self.entries.saturating_add(summary.entries);
        self.height = self.height.or(Some(summary.height));
        self.last = summary.keys.map(|(_, last)| last).or(self.last);
    }
}
