//! What happened, told for whoever looks for the cause; and a digest of it, the same for the same seed.

use convoy_engine::Point;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The story of one seed.
pub(crate) struct Story {
    telling: bool,
    pub(crate) lines: Vec<String>,
    digest: DefaultHasher,
    pub(crate) violations: Vec<String>,
    pub(crate) counts: BTreeMap<&'static str, u64>,
}

impl Story {
    pub(crate) fn new(telling: bool) -> Self {
        Self {
            telling,
            lines: Vec::new(),
            digest: DefaultHasher::new(),
            violations: Vec::new(),
            counts: BTreeMap::new(),
        }
    }

    pub(crate) fn step(&mut self, host: usize, point: &Point) {
        (host, &point.step, point.done).hash(&mut self.digest);
        self.count("steps");
        if self.telling {
            self.lines.push(format!("  {host}: {point}"));
        }
    }

    pub(crate) fn event(&mut self, host: usize, what: &str) {
        if self.telling {
            self.lines.push(format!("{host}: {what}"));
        }
    }

    pub(crate) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    pub(crate) fn violation(&mut self, what: String) {
        if self.telling {
            self.lines.push(format!("VIOLATION: {what}"));
        }
        self.violations.push(what);
    }

    pub(crate) fn digest(&self) -> u64 {
        self.digest.finish()
    }
}
