//! The walk of a check: every node is read once, judged wherever it is pointed at, and left out when it is damaged.
//!
//! What is remembered of a node (its least and greatest key, its entries, its height: 40 bytes) is enough to judge
//! it again under another parent, so that a subtree shared by a thousand snapshots is read once. A node that is
//! being walked or that this tree has met before is refused, which ends cycles and exponential crossings. A node is
//! read once, again when it did not fit where it was met first, and again when its tree is listed again.

mod summary;

use super::findings::{Findings, Severity};
use super::references::{Met, References};
use crate::BLOCK_SIZE;
use crate::error::{Damage, Role, Rule, Tree};
use crate::node::{MAX_HEIGHT, Node, NodeRef};
use crate::source::{Block, BlockSource};
use crate::walk::value_size;
use convoy_units::MetadataBlock;
use summary::{State, Sum, Summary};

/// How to walk a tree.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) tree: Tree,
    pub(super) role: Role,
    /// Hands out the entries of subtrees met in another tree too, instead of passing them over.
    pub(super) again: bool,
}

/// A leaf, handed out in key order.
pub(super) struct Leaf<'a> {
    pub(super) block: MetadataBlock,
    /// Whether it is met for the first time.
    pub(super) fresh: bool,
    pub(super) node: &'a Node<'a>,
}

/// Takes in leaves.
pub(super) type Each<'e> = &'e mut dyn FnMut(&Leaf<'_>, &mut Findings);

/// Where siblings hang.
#[derive(Debug, Clone, Copy)]
struct Below {
    /// Whether the pointers to them are new and so to be counted.
    fresh: bool,
    /// Their height, once it is known.
    due: Option<u8>,
    /// Levels above them.
    depth: u8,
}

/// What is to be done about a pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    /// Nothing, it is damaged and that has been told.
    Skip,
    /// It is known and need not be read.
    Use,
    /// Read it: for the first time, or to list it again.
    Read { fresh: bool },
}

/// All trees of a pool, walked one after another.
#[derive(Debug)]
pub(super) struct Trees<'s, S> {
    pub(super) source: &'s S,
    pub(super) references: References,
    pub(super) findings: Findings,
    /// For each block, the number of its summary plus 1; 0 is unknown.
    known: Vec<u32>,
    summaries: Vec<Summary>,
    walk: u32,
    buffers: Vec<Vec<Block>>,
}

impl<'s, S: BlockSource> Trees<'s, S> {
    pub(super) fn new(source: &'s S, metadata_blocks: u64, findings: Findings) -> Self {
        let references = References::new(metadata_blocks);
        let blocks = usize::try_from(metadata_blocks).expect("at most 4 161 600 blocks");
        Self {
            source,
            references,
            findings,
            known: vec![0; blocks],
            summaries: Vec::new(),
            walk: 0,
            buffers: Vec::new(),
        }
    }

    /// Walks one tree. The pointer to its root counts if it is `counted`. The number of entries, or `None` when
    /// something of the tree is damaged.
    pub(super) fn walk(
        &mut self,
        plan: Plan,
        root: MetadataBlock,
        counted: bool,
        each: Each<'_>,
    ) -> Option<u64> {
        self.walk += 1;
        let node = NodeRef {
            block: root,
            low: 0,
            last: u64::MAX,
        };
        let below = Below {
            fresh: counted,
            due: None,
            depth: 0,
        };
        let sum = self.siblings(plan, below, &[node], each);
        sum.whole.then_some(sum.entries)
    }

    /// Tells a broken rule, and that a part of the references stays unknown.
    pub(super) fn damaged(
        &mut self,
        tree: Tree,
        level: Option<u8>,
        block: MetadataBlock,
        rule: Rule,
    ) {
        self.references.complete = false;
        self.findings.add(
            Severity::Fatal,
            Damage {
                tree,
                level,
                block,
                rule,
            },
        );
    }

    /// Reads `blocks`: all at once, or one by one when that fails, so that one bad sector costs one block.
    pub(super) fn read(
        &self,
        blocks: &[MetadataBlock],
        into: &mut Vec<Block>,
    ) -> Vec<Option<Rule>> {
        read_each(self.source, blocks, into)
    }

    fn siblings(&mut self, plan: Plan, below: Below, nodes: &[NodeRef], each: Each<'_>) -> Sum {
        let actions: Vec<Action> = nodes
            .iter()
            .map(|node| self.meet(plan, below, node.block))
            .collect();
        let wanted: Vec<MetadataBlock> = nodes
            .iter()
            .zip(&actions)
            .filter(|(_, action)| matches!(action, Action::Read { .. }))
            .map(|(node, _)| node.block)
            .collect();
        let mut buffer = self.buffers.pop().unwrap_or_default();
        let errors = self.read(&wanted, &mut buffer);
        let mut contents = buffer.iter().zip(errors);
        let mut sum = Sum {
            whole: true,
            entries: 0,
            height: None,
            last: None,
        };
        for (node, action) in nodes.iter().zip(actions) {
            let below = Below {
                due: below.due.or(sum.height),
                ..below
            };
            let found = match action {
                Action::Skip => None,
                Action::Use => self.judge_known(plan, below, *node),
                Action::Read { fresh } => {
                    let (block, error) = contents.next().expect("a block for each that was wanted");
                    match error {
                        Some(rule) => self.fail(plan, below, *node, rule),
                        None => self.node(plan, Below { fresh, ..below }, *node, block, each),
                    }
                }
            };
            sum.add(found);
        }
        drop(contents);
        self.buffers.push(buffer);
        sum
    }

    /// Counts a pointer and says what to do about it.
    fn meet(&mut self, plan: Plan, below: Below, block: MetadataBlock) -> Action {
        if below.fresh {
            match self.references.refer(block, plan.role) {
                Ok(Met::First) => return self.open(block),
                Ok(Met::Again) => {}
                Err(rule) => {
                    self.damaged(plan.tree, below.due, block, rule);
                    return Action::Skip;
                }
            }
        }
        let walk = self.walk;
        let Some(summary) = self.summary_mut(block) else {
            // Met as a neighbour of damage that has been told: nothing was read below it.
            return Action::Skip;
        };
        if summary.walk == walk || summary.state == State::Open {
            if below.fresh {
                self.damaged(plan.tree, below.due, block, Rule::Revisited);
            }
            return Action::Skip;
        }
        summary.walk = walk;
        match (summary.state, plan.again) {
            (State::Damaged, _) => Action::Skip,
            (State::Misplaced, _) => {
                summary.state = State::Open;
                Action::Read { fresh: true }
            }
            (_, true) => Action::Read { fresh: false },
            (_, false) => Action::Use,
        }
    }

    fn open(&mut self, block: MetadataBlock) -> Action {
        let at = usize::try_from(block.0).expect("a counted pointer is below the limit");
        self.summaries.push(Summary {
            keys: None,
            entries: 0,
            height: 0,
            state: State::Open,
            retried: false,
            walk: self.walk,
        });
        let number = u32::try_from(self.summaries.len()).expect("fewer nodes than blocks");
        *self
            .known
            .get_mut(at)
            .expect("a counted pointer is below the limit") = number;
        Action::Read { fresh: true }
    }

    fn summary_mut(&mut self, block: MetadataBlock) -> Option<&mut Summary> {
        let at = usize::try_from(block.0).ok()?;
        let number = self.known.get(at)?.checked_sub(1)?;
        self.summaries.get_mut(number as usize)
    }

    /// A node that was read under another parent.
    fn judge_known(&mut self, plan: Plan, below: Below, node: NodeRef) -> Option<Summary> {
        let summary = *self.summary_mut(node.block)?;
        let verdict = summary
            .check_height(below.due)
            .and_then(|()| summary.check_keys(node));
        match verdict {
            Ok(()) => Some(summary),
            Err(rule) => {
                self.damaged(plan.tree, below.due, node.block, rule);
                None
            }
        }
    }

    fn fail(&mut self, plan: Plan, below: Below, node: NodeRef, rule: Rule) -> Option<Summary> {
        self.damaged(plan.tree, below.due, node.block, rule);
        if below.fresh
            && let Some(summary) = self.summary_mut(node.block)
        {
            // A pointer that went astray must not condemn the subtree in its rightful place.
            let misplaced = matches!(
                rule,
                Rule::KeyRange { .. } | Rule::Height { .. } | Rule::TooDeep
            );
            summary.state = if misplaced && !summary.retried {
                State::Misplaced
            } else {
                State::Damaged
            };
            summary.retried = true;
        }
        None
    }

    fn node(
        &mut self,
        plan: Plan,
        below: Below,
        node: NodeRef,
        block: &Block,
        each: Each<'_>,
    ) -> Option<Summary> {
        let parsed = match parse(plan, below, node, block) {
            Ok(parsed) => parsed,
            Err(rule) => return self.fail(plan, below, node, rule),
        };
        let mut summary = Summary {
            keys: parsed.first_and_last_key(),
            entries: parsed.len() as u64,
            height: 0,
            state: State::Whole,
            retried: false,
            walk: self.walk,
        };
        if parsed.is_leaf {
            let leaf = Leaf {
                block: node.block,
                fresh: below.fresh,
                node: &parsed,
            };
            each(&leaf, &mut self.findings);
        } else {
            let children: Vec<NodeRef> = parsed.children().collect();
            let deeper = Below {
                due: below.due.map(|due| due - 1),
                depth: below.depth + 1,
                ..below
            };
            let sum = self.siblings(plan, deeper, &children, each);
            summary.include(sum);
        }
        if below.fresh
            && let Some(known) = self.summary_mut(node.block)
        {
            *known = summary;
        }
        (summary.state == State::Whole).then_some(summary)
    }
}

fn parse(plan: Plan, below: Below, node: NodeRef, block: &Block) -> Result<Node<'_>, Rule> {
    let parsed = Node::parse(block, node, value_size(plan.tree))?;
    if let Some(due) = below.due {
        parsed.expect_leaf(due == 0)?;
    }
    if below.depth >= MAX_HEIGHT {
        return Err(Rule::TooDeep);
    }
    Ok(parsed)
}

/// Reads `blocks` into the first places of `into`; tells for each what went wrong.
pub(super) fn read_each<S: BlockSource>(
    source: &S,
    blocks: &[MetadataBlock],
    into: &mut Vec<Block>,
) -> Vec<Option<Rule>> {
    into.resize(blocks.len().max(into.len()), [0; BLOCK_SIZE]);
    if source.read_many(blocks, into).is_ok() {
        return vec![None; blocks.len()];
    }
    let each = blocks.iter().zip(into);
    each.map(|(block, into)| {
        let error = source.read(*block, into).err()?;
        let error = error.kind();
        Some(Rule::Unreadable { error })
    })
    .collect()
}
