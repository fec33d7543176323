//! At which entries of a log to stop, and what had been told by then.

use convoy_tests::log_writes::{Entry, Kind};

use super::record::{END, READY};

/// One state that a cut may leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Point {
    /// Everything up to and with this entry is there.
    pub(super) entry: usize,
    /// What follows up to this entry, without it, may be there in part. Whoever was told something in between
    /// was told it before anything further was made durable.
    pub(super) next: usize,
    /// How many lines had been told.
    pub(super) told: usize,
}

/// All points, and all lines.
///
/// # Panics
///
/// When the log is not whole.
pub(super) fn of(entries: &[Entry]) -> (Vec<Point>, Vec<String>) {
    let mut lines = Vec::new();
    let mut points: Vec<Point> = Vec::new();
    let (mut ready, mut changed) = (false, true);
    for (index, entry) in entries.iter().enumerate() {
        match &entry.kind {
            Kind::Mark(text) => {
                let line = text.replace(',', " ");
                ready |= line == READY;
                lines.push(line);
                // The state is the same, but there is more to be held against it.
                changed = true;
            }
            Kind::Write { .. } | Kind::Discard => changed |= entry.len > 0,
        }
        if !entry.barrier {
            continue;
        }
        if let Some(last) = points.last_mut() {
            last.next = index;
            last.told = lines.len();
        }
        if ready && std::mem::take(&mut changed) {
            points.push(Point {
                entry: index,
                next: index + 1,
                told: lines.len(),
            });
        }
    }
    let last = lines.iter().any(|line| line == END);
    assert!(last, "the log is not whole");
    (points, lines)
}

/// So many of them, spread evenly, beginning somewhere.
pub(super) fn sample(points: Vec<Point>, most: usize, seed: u64) -> Vec<Point> {
    let count = points.len();
    if count <= most {
        return points;
    }
    let begin = usize::try_from(seed).unwrap_or(0) % (count / most).max(1);
    let picked = (0..most).map(|n| begin + n * count / most);
    picked.filter_map(|n| points.get(n).cloned()).collect()
}
