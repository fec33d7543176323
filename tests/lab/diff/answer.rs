//! A difference as ranges, as long as can be, and how ours and Debian's tool tell it.

use convoy_blockdiff::{DeltaKind, Options, diff};
use convoy_tests::command::tool as run;
use convoy_thin_metadata::{BlockSource, View};
use convoy_units::DevId;
use std::path::Path;

/// How a block is mapped on two sides, in the words of `thin_delta`.
const KINDS: [(DeltaKind, &str); 4] = [
    (DeltaKind::Same, "same"),
    (DeltaKind::Differ, "different"),
    (DeltaKind::LeftOnly, "left_only"),
    (DeltaKind::RightOnly, "right_only"),
];

/// Ranges of thin blocks (begin, end) in ascending order. Where two of a kind meet they are one: who tells
/// also where the data lies cuts them there, and who does not does not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Answer(Vec<(u64, u64, DeltaKind)>);

impl Answer {
    /// Adds the next range.
    #[track_caller]
    pub(super) fn push(&mut self, begin: u64, end: u64, kind: DeltaKind) {
        assert!(begin < end, "{begin}..{end} is no range");
        match self.0.last_mut() {
            Some((_, last, same)) if *last == begin && *same == kind => *last = end,
            Some((_, last, _)) if *last > begin => {
                panic!("{begin}..{end} begins before the end of the range before, {last}")
            }
            _ => self.0.push((begin, end, kind)),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// What differs.
    pub(super) fn without_same(&self) -> Self {
        let ranges = self.0.iter().copied();
        Self(
            ranges
                .filter(|(_, _, kind)| *kind != DeltaKind::Same)
                .collect(),
        )
    }

    /// All of the right side, compared with nothing.
    pub(super) fn of_right(&self) -> Self {
        let mut answer = Self::default();
        for (begin, end, kind) in &self.0 {
            if *kind != DeltaKind::LeftOnly {
                answer.push(*begin, *end, DeltaKind::RightOnly);
            }
        }
        answer
    }
}

/// The library's.
pub(super) fn ours<S: BlockSource>(
    view: &View<S>,
    left: Option<DevId>,
    right: DevId,
    options: Options,
) -> Answer {
    let mut answer = Answer::default();
    let mut diff = diff(view, left, right, options).unwrap();
    for delta in diff.by_ref() {
        let delta = delta.unwrap();
        answer.push(delta.range.begin.0, delta.range.end.0, delta.kind);
    }
    diff.finish().unwrap();
    answer
}

/// The tool's.
pub(super) fn thin_delta(metadata: &Path, held: bool, left: u64, right: u64) -> Answer {
    let (left, right) = (left.to_string(), right.to_string());
    let mut words = vec!["--snap1", &left, "--snap2", &right];
    if held {
        words.push("--metadata-snap");
    }
    words.push(metadata.to_str().unwrap());
    let mut answer = Answer::default();
    for line in run("thin_delta", &words).lines() {
        let Some((element, attributes)) = line
            .trim()
            .strip_prefix('<')
            .and_then(|element| element.split_once(' '))
        else {
            continue;
        };
        let Some((kind, _)) = KINDS.iter().find(|(_, word)| *word == element) else {
            continue;
        };
        let number = |key: &str| -> u64 {
            let (_, rest) = attributes.split_once(&format!("{key}=\"")).unwrap();
            rest.split_once('"').unwrap().0.parse().unwrap()
        };
        answer.push(number("begin"), number("begin") + number("length"), *kind);
    }
    answer
}
