//! Sets of packs as runs of sequence numbers: a first backup of a terabyte is one run.

use crate::id::SessionId;
use std::collections::BTreeMap;

/// The packs `from .. to` of one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Run {
    /// Whose.
    pub session: SessionId,
    /// First sequence number.
    pub from: u32,
    /// One past the last.
    pub to: u32,
}

/// One pack as the log knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackId {
    /// The session that made it.
    pub session: SessionId,
    /// Its number there.
    pub seq: u32,
}

impl std::fmt::Display for PackId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{:08x}", self.session, self.seq)
    }
}

/// A set of packs. Cost follows the number of runs, never that of packs: runs come from strangers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunSet {
    /// Per session: start of a run → its end; runs neither touch nor overlap.
    sessions: BTreeMap<SessionId, BTreeMap<u32, u32>>,
}

impl RunSet {
    /// The union of these runs.
    pub fn of(runs: &[Run]) -> Self {
        let mut set = Self::default();
        set.insert_all(runs);
        set
    }

    /// Whether there is no pack in it.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Whether this pack is in it.
    pub fn contains(&self, pack: PackId) -> bool {
        self.sessions
            .get(&pack.session)
            .and_then(|runs| runs.range(..=pack.seq).next_back())
            .is_some_and(|(_, end)| pack.seq < *end)
    }

    /// Adds one pack.
    pub fn insert(&mut self, pack: PackId) {
        self.insert_run(Run {
            session: pack.session,
            from: pack.seq,
            to: pack.seq.saturating_add(1),
        });
    }

    /// Adds a run; an empty one adds nothing.
    pub fn insert_run(&mut self, run: Run) {
        if run.from >= run.to {
            return;
        }
        let runs = self.sessions.entry(run.session).or_default();
        let (mut from, mut to) = (run.from, run.to);
        while let Some((&start, &end)) = runs.range(..=to).next_back() {
            if end < from {
                break;
            }
            runs.remove(&start);
            from = from.min(start);
            to = to.max(end);
        }
        runs.insert(from, to);
    }

    /// Adds several.
    pub fn insert_all(&mut self, runs: &[Run]) {
        for run in runs {
            self.insert_run(*run);
        }
    }

    /// Adds another set.
    pub fn add(&mut self, other: &Self) {
        other.runs().for_each(|run| self.insert_run(run));
    }

    /// Takes a run out.
    pub fn remove_run(&mut self, run: Run) {
        let Some(runs) = self.sessions.get_mut(&run.session) else {
            return;
        };
        if run.from >= run.to {
            return;
        }
        while let Some((&start, &end)) = runs.range(..run.to).next_back() {
            if end <= run.from {
                break;
            }
            runs.remove(&start);
            if start < run.from {
                runs.insert(start, run.from);
            }
            if end > run.to {
                runs.insert(run.to, end);
            }
        }
        if runs.is_empty() {
            self.sessions.remove(&run.session);
        }
    }

    /// Takes another set out.
    pub fn subtract(&mut self, other: &Self) {
        other.runs().for_each(|run| self.remove_run(run));
    }

    /// Takes all packs of a session out.
    pub fn remove_session(&mut self, session: SessionId) {
        self.sessions.remove(&session);
    }

    /// What both hold.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let mut missing = self.clone();
        missing.subtract(other);
        let mut both = self.clone();
        both.subtract(&missing);
        both
    }

    /// Whether they share a pack.
    pub fn intersects(&self, other: &Self) -> bool {
        other.runs().any(|run| self.touches(run))
    }

    /// Whether a pack of the run is in it.
    pub fn touches(&self, run: Run) -> bool {
        run.from < run.to
            && self
                .sessions
                .get(&run.session)
                .and_then(|runs| runs.range(..run.to).next_back())
                .is_some_and(|(_, end)| *end > run.from)
    }

    /// Its runs in order, as few as possible.
    pub fn runs(&self) -> impl Iterator<Item = Run> + '_ {
        self.sessions.iter().flat_map(|(session, runs)| {
            runs.iter().map(|(from, to)| Run {
                session: *session,
                from: *from,
                to: *to,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    //! Against a set of single packs.

    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn run() -> impl Strategy<Value = Run> {
        (0u8..3, 0u32..20, 0u32..20).prop_map(|(session, from, to)| Run {
            session: SessionId([session; 16]),
            from,
            to,
        })
    }

    fn naive(runs: &[Run]) -> BTreeSet<PackId> {
        runs.iter()
            .flat_map(|run| {
                (run.from..run.to).map(|seq| PackId {
                    session: run.session,
                    seq,
                })
            })
            .collect()
    }

    fn listed(set: &RunSet) -> BTreeSet<PackId> {
        naive(&set.runs().collect::<Vec<_>>())
    }

    proptest! {
        #[test]
        fn like_a_set_of_packs(a in prop::collection::vec(run(), 0..12), b in prop::collection::vec(run(), 0..12)) {
            let (set_a, set_b) = (RunSet::of(&a), RunSet::of(&b));
            let (packs_a, packs_b) = (naive(&a), naive(&b));
            prop_assert_eq!(listed(&set_a), packs_a.clone());
            prop_assert_eq!(listed(&set_a.intersection(&set_b)), packs_a.intersection(&packs_b).copied().collect());
            prop_assert_eq!(set_a.intersects(&set_b), !packs_a.is_disjoint(&packs_b));
            let mut rest = set_a.clone();
            rest.subtract(&set_b);
            prop_assert_eq!(listed(&rest), packs_a.difference(&packs_b).copied().collect());
            prop_assert_eq!(rest.is_empty(), packs_a.is_subset(&packs_b));
            for pack in &packs_b {
                prop_assert_eq!(set_a.contains(*pack), packs_a.contains(pack));
            }
        }
    }

    #[test]
    fn a_run_of_four_billion_costs_nothing() {
        let whole = Run {
            session: SessionId([1; 16]),
            from: 0,
            to: u32::MAX,
        };
        let mut set = RunSet::of(&[whole]);
        set.remove_run(Run {
            from: 7,
            to: 8,
            ..whole
        });
        assert_eq!(set.runs().count(), 2);
    }
}
