//! Which chunks a backup reads, and which become holes: a pure function of the changes.
//!
//! Changes come in pool blocks, chunks are the repository's. Where blocks are whole numbers of chunks
//! (the usual case), exactly the changed blocks are read. Where they are not, as with blocks of
//! 64 KiB or 192 KiB and chunks of 256 KiB, the changed ranges grow to whole chunks: the rest of such
//! a chunk is read from the same snapshot, and each byte is read once however many changes touch it.

use convoy_blockdiff::{Change, ChangeList, Changes};
use convoy_units::{ByteRange, Bytes, DataBlockSize};
use std::iter::Peekable;
use std::ops::Range;

/// What to do with chunks `begin .. end`. Ascending and disjoint over a selection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// Read them.
    Read(Range<u64>),
    /// They are holes now; no need to read.
    Hole(Range<u64>),
}

/// The work of a backup, in ascending order of chunks.
#[derive(Debug, Clone)]
pub struct Selection<'a> {
    changes: Peekable<Changes<'a>>,
    block_size: DataBlockSize,
    chunk_size: u64,
    size: Bytes,
    /// A range to read besides the changes.
    extra: Option<ByteRange>,
    /// Everything below this chunk has been dealt with.
    next: u64,
    ready: std::collections::VecDeque<Work>,
}

/// The work that brings a tree over `base_size` bytes (none: nothing but holes) to one over `size`.
///
/// Changes beyond `size` are clipped. Where the two sizes differ and the smaller one ends inside a
/// block or chunk, that one is read again: what the base had there may have been cut off.
pub fn select(
    changes: &ChangeList,
    block_size: DataBlockSize,
    chunk_size: Bytes,
    size: Bytes,
    base_size: Option<Bytes>,
) -> Selection<'_> {
    let extra = base_size
        .filter(|base| *base != size)
        .and_then(|base| straddling(base.min(size).0, block_size.bytes().0, chunk_size.0, size.0));
    Selection {
        changes: changes.iter().peekable(),
        block_size,
        chunk_size: chunk_size.0,
        size,
        extra,
        next: 0,
        ready: std::collections::VecDeque::new(),
    }
}

/// The block or chunk, whichever reaches further, that has `edge` in its middle.
fn straddling(edge: u64, block: u64, chunk: u64, size: u64) -> Option<ByteRange> {
    let begin = (edge - edge % block).min(edge - edge % chunk);
    let up = |unit: u64| edge.checked_next_multiple_of(unit).unwrap_or(u64::MAX);
    let end = up(block).max(up(chunk)).min(size);
    (begin < edge).then_some(ByteRange { begin, end })
}

impl Selection<'_> {
    /// The next range to deal with, in order of its begin, and whether it is a hole.
    fn range(&mut self) -> Option<(ByteRange, bool)> {
        let bytes = |change: &Change| change.range().bytes(self.block_size, self.size);
        let begin = self.changes.peek().map(|change| bytes(change).begin);
        if let Some(extra) = self.extra
            && begin.is_none_or(|begin| extra.begin <= begin)
        {
            self.extra = None;
            return Some((extra, false));
        }
        let change = self.changes.next()?;
        Some((bytes(&change), matches!(change, Change::Hole(_))))
    }

    /// Splits a range into work. A hole is one only where it covers whole chunks (the last chunk of
    /// the volume ends with the volume); its ragged ends are read.
    fn take(&mut self, range: ByteRange, hole: bool) {
        let chunk = self.chunk_size;
        let (first, end) = (range.begin / chunk, range.end.div_ceil(chunk));
        if !hole {
            return self.emit(first..end, false);
        }
        let inner_first = range.begin.div_ceil(chunk);
        let inner_end = if range.end == self.size.0 {
            end
        } else {
            range.end / chunk
        };
        if inner_first >= inner_end {
            return self.emit(first..end, false);
        }
        self.emit(first..inner_first, false);
        self.emit(inner_first..inner_end, true);
        self.emit(inner_end..end, false);
    }

    fn emit(&mut self, chunks: Range<u64>, hole: bool) {
        let chunks = chunks.start.max(self.next)..chunks.end;
        if chunks.is_empty() {
            return;
        }
        self.next = chunks.end;
        match self.ready.back_mut() {
            Some(Work::Read(last)) if !hole && last.end == chunks.start => last.end = chunks.end,
            Some(Work::Hole(last)) if hole && last.end == chunks.start => last.end = chunks.end,
            _ if hole => self.ready.push_back(Work::Hole(chunks)),
            _ => self.ready.push_back(Work::Read(chunks)),
        }
    }
}

impl Iterator for Selection<'_> {
    type Item = Work;

    fn next(&mut self) -> Option<Work> {
        // The last one may still grow, so it is handed out when there is one after it.
        while self.ready.len() < 2 {
            let Some((range, hole)) = self.range() else {
                break;
            };
            if !range.is_empty() {
                self.take(range, hole);
            }
        }
        self.ready.pop_front()
    }
}

#[cfg(test)]
mod tests;
