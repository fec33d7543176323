//! A device's mappings as runs: streamed from leaves, in windows, in bounded memory.

use crate::error::{Error, Rule};
use crate::node::{NodeRef, number};
use crate::source::BlockSource;
use crate::walk::Walk;
use convoy_units::{DataBlock, MetadataBlock, ThinBlock};
use std::collections::VecDeque;

/// Leaves whose entries are in memory at a time: at most 64 512 entries, 2 MiB as runs.
const WINDOW: usize = 256;
/// A device has less than 2^64 sectors and a block at least 128.
const MAX_THIN_BLOCK: u64 = 1 << 57;

/// Consecutive thin blocks mapped to consecutive data blocks at one pool time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// First thin block.
    pub thin: ThinBlock,
    /// The data block that `thin` is mapped to; the next thin block to the next data block, and so on.
    pub data: DataBlock,
    /// How many blocks; never 0.
    pub len: u64,
    /// Pool time (its low 24 bits) when the data blocks were allocated.
    pub time: u32,
}

impl Run {
    /// One past the last thin block.
    pub const fn end(self) -> u64 {
        self.thin.0 + self.len
    }

    fn continues_with(self, next: Self) -> bool {
        self.end() == next.thin.0 && self.data.0 + self.len == next.data.0 && self.time == next.time
    }
}

/// The runs of a list of leaves, in ascending order; an error ends it.
///
/// Runs are joined inside a window of leaves and may be cut at its end.
#[derive(Debug)]
pub struct Runs<'v, S> {
    walk: Walk<'v, S>,
    leaves: Vec<NodeRef>,
    next_leaf: usize,
    ready: VecDeque<Run>,
    entries: u64,
}

impl<'v, S: BlockSource> Runs<'v, S> {
    /// Streams `leaves`, which are in key order, of a mapping tree.
    pub fn new(walk: Walk<'v, S>, leaves: Vec<NodeRef>) -> Self {
        Self {
            walk,
            leaves,
            next_leaf: 0,
            ready: VecDeque::new(),
            entries: 0,
        }
    }

    /// Entries read so far: all of them once the stream has ended without an error.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// The walk underneath, for its counts.
    pub fn walk(&self) -> &Walk<'v, S> {
        &self.walk
    }

    fn load_window(&mut self) -> Result<(), Error> {
        let end = (self.next_leaf + WINDOW).min(self.leaves.len());
        let window = self.leaves.get(self.next_leaf..end).unwrap_or_default();
        self.next_leaf = end;
        let limit = self.walk.view().data_blocks();
        let (ready, entries) = (&mut self.ready, &mut self.entries);
        self.walk.read_leaves(window, |thin, value| {
            *entries += 1;
            let run = mapping(thin, number(value), limit)?;
            match ready.back_mut() {
                Some(before) if before.continues_with(run) => before.len += 1,
                _ => ready.push_back(run),
            }
            Ok(())
        })
    }
}

/// One entry of a mapping tree: the data block in the upper 40 bits, the time in the lower 24.
pub(crate) fn mapping(thin: u64, value: u64, limit: u64) -> Result<Run, Rule> {
    let data = value >> 24;
    if data >= limit {
        return Err(Rule::DataRange { thin, data, limit });
    }
    if thin >= MAX_THIN_BLOCK {
        return Err(Rule::ThinRange { thin });
    }
    let time = u32::try_from(value & 0xff_ffff).expect("24 bits fit");
    Ok(Run {
        thin: ThinBlock(thin),
        data: DataBlock(data),
        len: 1,
        time,
    })
}

impl<S: BlockSource> Iterator for Runs<'_, S> {
    type Item = Result<Run, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.ready.is_empty() && self.next_leaf < self.leaves.len() {
            if let Err(error) = self.load_window() {
                self.ready.clear();
                self.leaves = Vec::new();
                return Some(Err(error));
            }
        }
        self.ready.pop_front().map(Ok)
    }
}

/// All mappings of one device as runs, in ascending order.
///
/// An error ends it; after the last run the number of mappings is compared with the device's details, and
/// the pool with what it was when the view was opened. Only an iteration that ended with no error was whole.
#[derive(Debug)]
pub struct Mappings<'v, S> {
    runs: Runs<'v, S>,
    root: MetadataBlock,
    recorded: u64,
    pending: Option<Run>,
    done: bool,
}

impl<'v, S: BlockSource> Mappings<'v, S> {
    pub(crate) fn new(runs: Runs<'v, S>, root: MetadataBlock, recorded: u64) -> Self {
        Self {
            runs,
            root,
            recorded,
            pending: None,
            done: false,
        }
    }

    fn check_whole(&self) -> Result<(), Error> {
        let (found, recorded) = (self.runs.entries(), self.recorded);
        if found != recorded {
            let rule = Rule::MappedCount { recorded, found };
            return Err(rule.at(self.runs.walk().tree(), None, self.root));
        }
        self.runs.walk().view().check_unchanged()
    }

    /// The next run, joined across windows.
    fn next_joined(&mut self) -> Result<Option<Run>, Error> {
        loop {
            let next = self.runs.next().transpose()?;
            match (&mut self.pending, next) {
                (Some(before), Some(run)) if before.continues_with(run) => before.len += run.len,
                (pending, Some(run)) => {
                    if let Some(whole) = pending.replace(run) {
                        return Ok(Some(whole));
                    }
                }
                (pending, None) => return Ok(pending.take()),
            }
        }
    }
}

impl<S: BlockSource> Iterator for Mappings<'_, S> {
    type Item = Result<Run, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let item = match self.next_joined() {
            Ok(None) => self.check_whole().map(|()| None).transpose(),
            other => other.transpose(),
        };
        self.done = !matches!(item, Some(Ok(_)));
        item
    }
}
