//! How verbs ended, counted.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The verbs of one server since it began, by name and outcome.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<BTreeMap<(&'static str, &'static str), Ended>>);

/// How many ended so, and how long they took together.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) count: u64,
    pub(crate) took: Duration,
}

impl Tally {
    /// `outcome` is `done`, `panicked` or the error's code.
    pub(crate) fn count(&self, verb: &'static str, outcome: &'static str, took: Duration) {
        let mut ended = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = ended.entry((verb, outcome)).or_default();
        ended.count += 1;
        ended.took += took;
    }

    pub(crate) fn read(&self) -> BTreeMap<(&'static str, &'static str), Ended> {
        let ended = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ended.clone()
    }
}
