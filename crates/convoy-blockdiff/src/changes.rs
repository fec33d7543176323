//! What a backup has to do: ranges to copy and ranges that became holes, kept in few bytes.

use crate::delta::{Delta, DeltaKind};
use crate::diff::{Options, diff};
use crate::error::Error;
use convoy_thin_metadata::{BlockSource, View};
use convoy_units::{DevId, ThinBlock, ThinRange};

/// One changed range of the newer device. Neighbours of one kind are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Mapped now, and not to the data it was mapped to before: read it.
    Copy(ThinRange),
    /// Was mapped and is not any more: it reads as zeroes, or from the external origin if there is one.
    Hole(ThinRange),
}

impl Change {
    /// The range, whatever happened to it.
    pub const fn range(self) -> ThinRange {
        match self {
            Self::Copy(range) | Self::Hole(range) => range,
        }
    }

    fn of(delta: &Delta) -> Option<Self> {
        match delta.kind {
            DeltaKind::Differ | DeltaKind::RightOnly => Some(Self::Copy(delta.range)),
            DeltaKind::LeftOnly => Some(Self::Hole(delta.range)),
            DeltaKind::Same => None,
        }
    }

    const fn is_hole(self) -> bool {
        matches!(self, Self::Hole(_))
    }
}

/// Changes in ascending order, a few bytes each: 2 to 4 for ordinary volumes, so that a list of a million
/// scattered changes takes about 4 MiB and not 24.
///
/// Each is stored as two numbers of 7 bits a byte, least significant first, the top bit telling that more
/// follow: the gap from the end of the one before, and twice the length, plus one for a hole. In memory only.
#[derive(Debug, Clone, Default)]
pub struct ChangeList {
    bytes: Vec<u8>,
    /// Where the last stored change ends.
    stored_end: u64,
    /// The last change, which may still grow.
    last: Option<Change>,
    changes: usize,
    copied: u64,
    holes: u64,
}

impl ChangeList {
    /// An empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a change, or makes the last one longer if it goes on from there in kind. An empty range is nothing.
    ///
    /// # Panics
    /// If `change` begins before the last one ends: order is what the list stands on.
    pub fn push(&mut self, change: Change) {
        let range = change.range();
        if range.is_empty() {
            return;
        }
        let end = self.last.map_or(0, |last| last.range().end.0);
        assert!(
            range.begin.0 >= end,
            "changes are pushed in ascending order"
        );
        let blocks = if change.is_hole() {
            &mut self.holes
        } else {
            &mut self.copied
        };
        *blocks += range.len();
        match &mut self.last {
            Some(Change::Copy(last)) if !change.is_hole() && last.end == range.begin => {
                last.end = range.end;
            }
            Some(Change::Hole(last)) if change.is_hole() && last.end == range.begin => {
                last.end = range.end;
            }
            _ => {
                self.store_last();
                self.last = Some(change);
                self.changes += 1;
            }
        }
    }

    /// The changes, ascending; may be asked for again.
    pub fn iter(&self) -> Changes<'_> {
        Changes {
            bytes: &self.bytes,
            end: 0,
            last: self.last,
        }
    }

    /// How many changes: runs, not blocks.
    pub fn len(&self) -> usize {
        self.changes
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.changes == 0
    }

    /// Blocks to copy, over all changes.
    pub fn blocks_to_copy(&self) -> u64 {
        self.copied
    }

    /// Blocks that became holes, over all changes.
    pub fn blocks_in_holes(&self) -> u64 {
        self.holes
    }

    /// Blocks of both kinds.
    pub fn total_blocks(&self) -> u64 {
        self.copied + self.holes
    }

    /// Memory that the list holds, in bytes.
    pub fn heap_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    fn store_last(&mut self) {
        let Some(last) = self.last.take() else { return };
        let range = last.range();
        put(&mut self.bytes, u128::from(range.begin.0 - self.stored_end));
        put(
            &mut self.bytes,
            u128::from(range.len()) << 1 | u128::from(last.is_hole()),
        );
        self.stored_end = range.end.0;
    }
}

impl<'a> IntoIterator for &'a ChangeList {
    type Item = Change;
    type IntoIter = Changes<'a>;

    fn into_iter(self) -> Changes<'a> {
        self.iter()
    }
}

/// The changes of a list, ascending.
#[derive(Debug, Clone)]
pub struct Changes<'a> {
    bytes: &'a [u8],
    end: u64,
    last: Option<Change>,
}

impl Iterator for Changes<'_> {
    type Item = Change;

    fn next(&mut self) -> Option<Change> {
        let Some(gap) = take(&mut self.bytes) else {
            return self.last.take();
        };
        let tagged = take(&mut self.bytes).expect("a gap is always followed by a length");
        let begin = self.end + narrow(gap);
        self.end = begin + narrow(tagged >> 1);
        let range = ThinRange {
            begin: ThinBlock(begin),
            end: ThinBlock(self.end),
        };
        Some(if tagged & 1 == 1 {
            Change::Hole(range)
        } else {
            Change::Copy(range)
        })
    }
}

fn narrow(number: u128) -> u64 {
    u64::try_from(number).expect("it was a u64 when it was stored")
}

fn put(bytes: &mut Vec<u8>, mut number: u128) {
    loop {
        let low = u8::try_from(number & 0x7f).expect("7 bits fit");
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return;
        }
        bytes.push(low | 0x80);
    }
}

fn take(bytes: &mut &[u8]) -> Option<u128> {
    let mut number = 0;
    for shift in (0..).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u128::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// What changed from `base` (`None`: from nothing) to `new`: a whole answer or an error, never a part.
///
/// # Errors
/// As [`diff`] and [`Diff::finish`](crate::Diff::finish); whatever the error, a full comparison (`base: None`) may still work, and
/// nothing may be concluded from the failed one.
pub fn changes<S: BlockSource>(
    view: &View<S>,
    base: Option<DevId>,
    new: DevId,
) -> Result<ChangeList, Error> {
    let mut list = ChangeList::new();
    let mut diff = diff(view, base, new, Options::default())?;
    for delta in diff.by_ref() {
        if let Some(change) = Change::of(&delta?) {
            list.push(change);
        }
    }
    diff.finish()?;
    Ok(list)
}

#[cfg(test)]
mod tests;
