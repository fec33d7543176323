//! The difference of two devices as a stream of ranges, and the end that says it is whole.

use crate::delta::{Delta, DeltaKind, Step, merge_heads};
use crate::descend::{all_leaves, own_leaves};
use crate::error::Error;
use convoy_thin_metadata::{
    BlockSource, DeviceDetails, Error as MetadataError, Rule, Run, Runs, Tree, View,
};
use convoy_units::{DevId, MetadataBlock};

/// What a difference tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Also tells the ranges mapped to the same data on both sides. Both trees are then read in full: the
    /// cost grows with the devices, not with the change.
    pub include_same: bool,
}

/// What a whole difference took, and the proof that it was whole: [`Diff::finish`] alone makes one.
///
/// ```compile_fail,E0639
/// // Nobody else can: not from its fields,
/// let summary = convoy_blockdiff::Summary { nodes_read: 0, subtrees_shared: 0, entries_read: 0, time_mismatches: 0 };
/// ```
///
/// ```compile_fail,E0599
/// // nor from nothing.
/// let summary = convoy_blockdiff::Summary::default();
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Nodes of the two mapping trees read, the probes for their heights included.
    pub nodes_read: u64,
    /// Subtrees that both sides have and that were left unread.
    pub subtrees_shared: u64,
    /// Mappings read on both sides.
    pub entries_read: u64,
    /// Blocks mapped to the same data block at different pool times: metadata edited by a tool. They count as same.
    pub time_mismatches: u64,
}

impl Summary {
    const NOTHING_YET: Self = Self {
        nodes_read: 0,
        subtrees_shared: 0,
        entries_read: 0,
        time_mismatches: 0,
    };
}

/// A running difference: ranges in ascending order, none overlapping.
///
/// After an error, or when dropped early, what came out is not the whole; only [`Diff::finish`] says that it is, and
/// it does so by a [`Summary`], which cannot be had otherwise. A caller that needs no stream asks
/// [`changes`](crate::changes), which answers whole or not at all.
#[derive(Debug)]
#[must_use = "a difference is read by iterating to its end, and whole if `finish` then says so"]
pub struct Diff<'v, S> {
    view: &'v View<S>,
    ids: (Option<DevId>, DevId),
    /// Where a disagreement about counts is reported.
    right_root: MetadataBlock,
    left: Option<Runs<'v, S>>,
    right: Option<Runs<'v, S>>,
    left_head: Option<Run>,
    right_head: Option<Run>,
    pending: Option<Delta>,
    include_same: bool,
    /// Mappings of the right device minus those of the left one, as the device details say.
    recorded: i128,
    summary: Summary,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    Ended,
    Failed,
}

/// Begins the difference of `right` against `left`, both devices of the one state of metadata `view` shows;
/// `None` is an empty device, against which everything mapped is right-only.
///
/// Reads the trees down to the leaves; the leaves follow as the iterator is driven, at most 256 a side
/// in memory. Lists of 24 bytes for each node to be read are kept meanwhile.
///
/// # Errors
/// A device the pool does not have, and damage above the leaves.
pub fn diff<S: BlockSource>(
    view: &View<S>,
    left: Option<DevId>,
    right: DevId,
    options: Options,
) -> Result<Diff<'_, S>, Error> {
    open(view, left, right, options).map_err(|source| Error::Metadata {
        left,
        right,
        source,
    })
}

fn open<S: BlockSource>(
    view: &View<S>,
    left: Option<DevId>,
    right: DevId,
    options: Options,
) -> Result<Diff<'_, S>, MetadataError> {
    let find = |dev_id: DevId| {
        view.device_with_root(dev_id)?
            .ok_or(MetadataError::NoDevice { dev_id })
    };
    let old = left.map(find).transpose()?;
    let (details, root) = find(right)?;
    let mapped = |details: &DeviceDetails| i128::from(details.mapped_blocks);
    let mut diff = Diff {
        view,
        ids: (left, right),
        right_root: root,
        left: None,
        right: None,
        left_head: None,
        right_head: None,
        pending: None,
        include_same: options.include_same,
        recorded: mapped(&details) - old.as_ref().map_or(0, |(details, _)| mapped(details)),
        summary: Summary::NOTHING_YET,
        state: State::Running,
    };
    match old {
        Some((_, old_root)) if options.include_same => {
            diff.left = left.map(|id| all_leaves(view, id, old_root)).transpose()?;
            diff.right = Some(all_leaves(view, right, root)?);
        }
        // One root is one tree: there is nothing to read.
        Some((_, old_root)) if old_root == root => diff.summary.subtrees_shared = 1,
        Some((old, old_root)) => {
            let (left, right, common) = own_leaves(view, (old.dev_id, old_root), (right, root))?;
            diff.left = Some(left);
            diff.right = Some(right);
            diff.summary.subtrees_shared = common;
        }
        None => diff.right = Some(all_leaves(view, right, root)?),
    }
    Ok(diff)
}

impl<S: BlockSource> Diff<'_, S> {
    /// The end: the answer was whole, and this is what it took.
    ///
    /// # Errors
    /// [`Error::Unfinished`] unless the iterator had returned `None` without an error before. The checks of the
    /// whole (mapping counts against the device details, the metadata unchanged meanwhile) have been made by then.
    pub fn finish(self) -> Result<Summary, Error> {
        match self.state {
            State::Ended => Ok(self.summary),
            State::Running | State::Failed => Err(Error::Unfinished {
                left: self.ids.0,
                right: self.ids.1,
            }),
        }
    }

    /// The next range as far as the heads tell it, not joined with its neighbours.
    fn step(&mut self) -> Result<Option<Step>, MetadataError> {
        fill(&mut self.left_head, &mut self.left)?;
        fill(&mut self.right_head, &mut self.right)?;
        Ok(merge_heads(&mut self.left_head, &mut self.right_head))
    }

    fn next_joined(&mut self) -> Result<Option<Delta>, MetadataError> {
        while let Some(Step {
            delta,
            times_differ,
        }) = self.step()?
        {
            if times_differ {
                self.note_times(&delta);
            }
            if delta.kind == DeltaKind::Same && !self.include_same {
                continue;
            }
            match &mut self.pending {
                Some(before) if before.continues_with(&delta) => before.range.end = delta.range.end,
                pending => {
                    if let Some(whole) = pending.replace(delta) {
                        return Ok(Some(whole));
                    }
                }
            }
        }
        if let Some(last) = self.pending.take() {
            return Ok(Some(last));
        }
        self.check_whole()?;
        Ok(None)
    }

    fn note_times(&mut self, delta: &Delta) {
        if self.summary.time_mismatches == 0 {
            tracing::warn!(
                dev_id = self.ids.1.get(),
                thin_block = delta.range.begin.0,
                "a data block is mapped at different pool times: the metadata was edited by a tool"
            );
        }
        self.summary.time_mismatches += delta.range.len();
    }

    /// What both sides share adds equally to both counts, so their difference can be checked without
    /// reading it.
    fn check_whole(&mut self) -> Result<(), MetadataError> {
        let entries = |side: &Option<Runs<'_, S>>| side.as_ref().map_or(0, Runs::entries);
        let nodes =
            |side: &Option<Runs<'_, S>>| side.as_ref().map_or(0, |runs| runs.walk().nodes_read());
        let (left, right) = (entries(&self.left), entries(&self.right));
        let (recorded, found) = (self.recorded, i128::from(right) - i128::from(left));
        if recorded != found {
            let rule = Rule::MappedDifference { recorded, found };
            return Err(rule.at(Tree::Mappings(self.ids.1), None, self.right_root));
        }
        self.summary.entries_read = left + right;
        self.summary.nodes_read = nodes(&self.left) + nodes(&self.right);
        self.view.check_unchanged()
    }
}

fn fill<S: BlockSource>(
    head: &mut Option<Run>,
    runs: &mut Option<Runs<'_, S>>,
) -> Result<(), MetadataError> {
    if let (None, Some(runs)) = (&head, runs) {
        *head = runs.next().transpose()?;
    }
    Ok(())
}

impl<S: BlockSource> Iterator for Diff<'_, S> {
    type Item = Result<Delta, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state != State::Running {
            return None;
        }
        match self.next_joined() {
            Ok(Some(delta)) => Some(Ok(delta)),
            Ok(None) => {
                self.state = State::Ended;
                None
            }
            Err(source) => {
                self.state = State::Failed;
                Some(Err(Error::Metadata {
                    left: self.ids.0,
                    right: self.ids.1,
                    source,
                }))
            }
        }
    }
}
