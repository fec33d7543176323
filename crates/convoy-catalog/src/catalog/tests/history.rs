//! Whatever is cut off or damaged at the end of the write-ahead log: a prefix of the history is left.

use std::fs;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

/// A step of a history; what it cannot do in its state is refused, which is a step too.
#[derive(Debug, Clone)]
enum Step {
    Put(u64),
    Remove(u64),
    Snapshot(u64, u64),
    RemoveSnapshot(u64),
    Begin(u64),
    Complete,
    Abandon,
    Allocate,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let n = 1..5_u64;
    let step = prop_oneof![
        n.clone().prop_map(Step::Put),
        n.clone().prop_map(Step::Remove),
        (5..9_u64, n.clone()).prop_map(|(snapshot, of)| Step::Snapshot(snapshot, of)),
        (5..9_u64).prop_map(Step::RemoveSnapshot),
        n.prop_map(Step::Begin),
        Just(Step::Complete),
        Just(Step::Abandon),
        Just(Step::Allocate),
    ];
    prop::collection::vec(step, 1..25)
}

/// Whether the step was done.
fn take(catalog: &Catalog, step: &Step) -> bool {
    let pending = || catalog.pending_intents().unwrap().pop();
    match step {
        Step::Put(n) => catalog.apply(&[Change::PutVolume(volume(*n))]).is_ok(),
        Step::Remove(n) => catalog
            .apply(&[Change::RemoveVolume(volume(*n).uuid)])
            .is_ok(),
        Step::Snapshot(n, of) => catalog
            .apply(&[Change::PutSnapshot(snapshot(*n, *of))])
            .is_ok(),
        Step::RemoveSnapshot(n) => catalog
            .apply(&[Change::RemoveSnapshot(snapshot(*n, 1).uuid)])
            .is_ok(),
        Step::Begin(n) => {
            let intent = intent(vec![Action::CreateThin { dev_id: dev_id(*n) }]);
            catalog
                .begin(&intent, &[Change::PutVolume(volume(*n))])
                .is_ok()
        }
        Step::Complete => pending().is_some_and(|intent| catalog.complete(&intent, &[]).is_ok()),
        Step::Abandon => pending().is_some_and(|intent| catalog.abandon(&intent, &[]).is_ok()),
        Step::Allocate => catalog.allocate_dev_id(uuid(POOL)).is_ok(),
    }
}

/// The catalog as after a power cut that left this much of the log.
fn after_power_cut(fixture: &Fixture, log: &[u8]) -> State {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("catalog.db");
    fs::copy(fixture.path(), &path).unwrap();
    fs::write(directory.path().join("catalog.db-wal"), log).unwrap();
    State::at(&path)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn any_cut_leaves_a_prefix(
        steps in steps(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 8),
    ) {
        let fixture = Fixture::new();
        let log = fixture.directory.path().join("catalog.db-wal");
        let length = || fs::metadata(&log).unwrap().len();
        // What is acknowledged once the log has this length.
        let mut history = vec![(length(), State::of(&fixture.catalog))];
        for step in &steps {
            let before = State::of(&fixture.catalog);
            let done = take(&fixture.catalog, step);
            let state = State::of(&fixture.catalog);
            prop_assert!(done || state == before, "a refused step changes nothing");
            history.push((length(), state));
        }
        let bytes = fs::read(&log).unwrap();
        prop_assert_eq!(&after_power_cut(&fixture, &bytes), &State::of(&fixture.catalog));
        for cut in cuts {
            let length = cut.index(bytes.len());
            // The last state whose log is whole; none if the pool itself was cut off.
            let whole = history.iter().rev().find(|(whole, _)| *whole <= length as u64);
            let found = after_power_cut(&fixture, &bytes[..length]);
            match whole {
                Some((_, expected)) => prop_assert_eq!(&found, expected, "cut at {}", length),
                None => prop_assert!(found.pools.is_empty(), "cut at {}: {:?}", length, found),
            }
            let mut flipped = bytes.clone();
            flipped[length] ^= 0x10;
            let found = after_power_cut(&fixture, &flipped);
            let known = history.iter().any(|(_, state)| *state == found);
            prop_assert!(known || found.pools.is_empty(), "flipped at {}: {:?}", length, found);
        }
    }
}
