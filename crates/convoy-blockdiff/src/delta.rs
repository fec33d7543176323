//! One range of a difference, and the merge of two ascending streams of mappings into such ranges.

use convoy_thin_metadata::Run;
use convoy_units::{DataBlock, ThinBlock, ThinRange};

/// How a thin block is mapped on the two sides. A block mapped on neither does not appear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeltaKind {
    /// On the left side only.
    LeftOnly,
    /// On the right side only.
    RightOnly,
    /// On both, to different data blocks; their bytes may be equal all the same.
    Differ,
    /// On both, to the same data block; their bytes are equal.
    Same,
}

/// A range of thin blocks of one kind, consecutive on the data device too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delta {
    /// How the range is mapped.
    pub kind: DeltaKind,
    /// The range; never empty.
    pub range: ThinRange,
    /// Data block of its first block on the left side, if mapped there; the next follow it.
    pub left: Option<DataBlock>,
    /// Data block of its first block on the right side, if mapped there; the next follow it.
    pub right: Option<DataBlock>,
}

impl Delta {
    /// Whether `next` goes on where this ends, of the same kind and consecutive in data blocks.
    pub(crate) fn continues_with(&self, next: &Self) -> bool {
        let len = self.range.len();
        let follows =
            |a: Option<DataBlock>, b: Option<DataBlock>| a.map(|a| a.0 + len) == b.map(|b| b.0);
        self.kind == next.kind
            && self.range.end == next.range.begin
            && follows(self.left, next.left)
            && follows(self.right, next.right)
    }
}

/// What the two streams' heads say about the least thin block in them, and for how long they say so.
///
/// Takes that much off the heads. `times_differ` tells that data blocks are equal and their times are not: no kernel
/// writes that, but some tools do.
pub(crate) struct Step {
    pub(crate) delta: Delta,
    pub(crate) times_differ: bool,
}

pub(crate) fn merge_heads(left: &mut Option<Run>, right: &mut Option<Run>) -> Option<Step> {
    let begin = [&*left, &*right]
        .into_iter()
        .flatten()
        .map(|run| run.thin.0)
        .min()?;
    // Up to the next point where either side begins or ends.
    let edges = [&*left, &*right]
        .into_iter()
        .flatten()
        .flat_map(|run| [run.thin.0, run.end()]);
    let end = edges.filter(|edge| *edge > begin).min()?;
    let range = ThinRange {
        begin: ThinBlock(begin),
        end: ThinBlock(end),
    };
    let times = (left.map(|run| run.time), right.map(|run| run.time));
    let (left, right) = (take(left, range), take(right, range));
    let kind = match (left, right) {
        (Some(a), Some(b)) if a == b => DeltaKind::Same,
        (Some(_), Some(_)) => DeltaKind::Differ,
        (Some(_), None) => DeltaKind::LeftOnly,
        (None, _) => DeltaKind::RightOnly,
    };
    let times_differ = kind == DeltaKind::Same && times.0 != times.1;
    Some(Step {
        delta: Delta {
            kind,
            range,
            left,
            right,
        },
        times_differ,
    })
}

/// Takes `range` off the front of a run that begins with it; the first data block of what was taken.
fn take(head: &mut Option<Run>, range: ThinRange) -> Option<DataBlock> {
    let run = head.filter(|run| run.thin == range.begin)?;
    let len = range.len();
    *head = (run.len > len).then(|| Run {
        thin: range.end,
        data: DataBlock(run.data.0 + len),
        len: run.len - len,
        time: run.time,
    });
    Some(run.data)
}
