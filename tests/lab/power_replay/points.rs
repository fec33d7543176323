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

/// What was told before the next flush is held against a point; what was told after it is not.
#[test]
fn a_point_answers_for_what_was_told_before_the_next() {
    let entry = |kind, len, barrier| Entry {
        kind,
        offset: 0,
        len,
        barrier,
    };
    let mark = |text: &str| entry(Kind::Mark(text.to_owned()), 0, false);
    let write = |barrier| entry(Kind::Write { at: 0 }, 512, barrier);
    let flush = || entry(Kind::Write { at: 0 }, 0, true);
    let log = [
        write(true),
        mark(READY),
        mark("begin,a"),
        write(false),
        flush(),
        mark("done,a"),
        flush(),
        flush(),
        write(false),
        mark(END),
        write(true),
    ];
    let (points, lines) = of(&log);
    assert_eq!(lines, ["ready", "begin a", "done a", "end"]);
    let found: Vec<_> = points.iter().map(|p| (p.entry, p.next, p.told)).collect();
    // The flush after `done` is a point of its own for what was told; the next one adds nothing.
    assert_eq!(found, [(4, 6, 3), (6, 10, 4), (10, 11, 4)]);
    assert_eq!(sample(points.clone(), 9, 1).len(), 3);
    assert_eq!(sample(points, 2, 1).len(), 2);
}
