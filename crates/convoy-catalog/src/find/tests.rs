//! Each query finds what a look at everything finds, and asks an index for it.

use super::*;
use crate::samples::{Fixture, POOL, snapshot, uuid, volume};
use crate::{Change, SnapshotState};

/// Volumes 1 and 2; snapshots 11 to 30, some of them in the middle of something.
fn filled() -> Fixture {
    let fixture = Fixture::new();
    let mut changes: Vec<Change> = (1..=2).map(|n| Change::PutVolume(volume(n))).collect();
    changes.extend((11..=30).map(|n| {
        let state = match n % 7 {
            0 => SnapshotState::Deleting,
            1 => SnapshotState::Creating,
            _ => SnapshotState::Ready,
        };
        Change::PutSnapshot(Snapshot {
            state,
            op: uuid(1000 + n),
            ..snapshot(n, 1 + n % 2)
        })
    }));
    fixture.catalog.apply(&changes).unwrap();
    fixture
}

#[test]
fn a_few_are_found_among_all() {
    let Fixture { catalog, directory } = filled();
    let all = catalog.snapshots().unwrap();
    assert_eq!(all.len(), 20);
    let filter = |keep: &dyn Fn(&Snapshot) -> bool| -> Vec<Snapshot> {
        all.iter().filter(|s| keep(s)).cloned().collect()
    };
    let name = all[3].name.clone();
    for op in [uuid(1014), all[3].op, uuid(9)] {
        let wanted = filter(&|s| s.name == name || s.op == op);
        assert_eq!(catalog.snapshots_taken(&name, op).unwrap(), wanted);
    }
    let unsettled = filter(&|s| s.state != SnapshotState::Ready);
    assert!(unsettled.len() > 3);
    assert_eq!(catalog.unsettled_snapshots().unwrap(), unsettled);
    let mut times = catalog.snapshot_times().unwrap();
    times.sort();
    let ready = filter(&|s| s.state == SnapshotState::Ready).into_iter();
    let mut wanted: Vec<_> = ready.map(|s| (s.volume, s.created)).collect();
    wanted.sort();
    assert_eq!(times, wanted);
    drop(directory);
}

#[test]
fn a_thin_device_is_one_row() {
    let Fixture { catalog, directory } = filled();
    let pool = uuid(POOL);
    for snapshot in catalog.snapshots().unwrap() {
        let on = catalog.snapshot_on(pool, snapshot.dev_id).unwrap();
        assert_eq!(on, Some(snapshot.clone()));
        assert_eq!(catalog.volume_on(pool, snapshot.dev_id).unwrap(), None);
        assert_eq!(
            catalog.snapshot_on(uuid(99), snapshot.dev_id).unwrap(),
            None
        );
    }
    for volume in catalog.volumes().unwrap() {
        let on = catalog.volume_on(pool, volume.dev_id).unwrap();
        assert_eq!(on, Some(volume.clone()));
        assert_eq!(catalog.snapshot_on(pool, volume.dev_id).unwrap(), None);
    }
    drop(directory);
}

/// Creating a snapshot read all rows of snapshots once, twice over: the ten thousandth took a second.
#[test]
fn none_of_them_reads_all() {
    let Fixture { catalog, directory } = filled();
    for condition in [
        "name = 'a' OR op = 'b'",
        "state <> 'ready'",
        "pool = 'a' AND dev_id = 1",
        "volume = 'a'",
        "name = 'a'",
    ] {
        let connection = catalog.lock();
        let plan = format!("EXPLAIN QUERY PLAN SELECT * FROM snapshots WHERE {condition}");
        let mut plan = connection.prepare(&plan).unwrap();
        let steps = plan.query_map([], |row| row.get::<_, String>("detail"));
        let steps: Vec<String> = steps.unwrap().map(Result::unwrap).collect();
        let is_whole = |step: &String| step.contains("SCAN") && !step.contains("INDEX");
        assert!(!steps.iter().any(is_whole), "{condition}: {steps:?}");
    }
    drop(directory);
}
