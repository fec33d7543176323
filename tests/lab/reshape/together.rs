//! Several volumes at one instant; and names.

use super::clone;
use crate::verbs::{SIZE, done, mount, name, refusal, silent, snapshot, thin_ids, unmount, volume};
use crate::world::World;
use convoy_engine::{Created, Operation};
use convoy_fault::Kind;
use convoy_names::VolumeName;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

fn number_in(path: &Path) -> u64 {
    let mut bytes = [0; 8];
    let file = File::open(path).unwrap();
    file.read_exact_at(&mut bytes, 0).unwrap();
    u64::from_le_bytes(bytes)
}

/// A writer writes a number to one volume, waits for the disk, writes it to the other, waits, and counts on. Whatever
/// the instant, the second never has a number that the first does not have.
#[test]
fn what_depends_on_another_volume_is_not_without_it() {
    let (_, engine) = World::opened("group");
    let volumes = ["log", "table"].map(|label| {
        volume(&engine, label, SIZE);
        mount(&engine, label)
    });
    let files = volumes.map(|at| File::create(at.join("number")).unwrap());
    let stop = AtomicBool::new(false);
    let names = ["log", "table"].map(name::<VolumeName>);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 1_u64.. {
                for file in &files {
                    file.write_all_at(&n.to_le_bytes(), 0).unwrap();
                    file.sync_data().unwrap();
                }
                if stop.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        for round in 0..3 {
            std::thread::sleep(Duration::from_millis(100));
            let label = name(&format!("r{round}"));
            let taken = engine.create_snapshots(&names, Some(&label), &silent());
            let taken = done(taken).into_inner();
            let called: Vec<&str> = taken.iter().map(|taken| taken.name.as_str()).collect();
            assert_eq!(called, [format!("r{round}-log"), format!("r{round}-table")]);
            assert!(taken[0].hold.is_some(), "both were held");
            assert_eq!(taken[0].hold, taken[1].hold, "in one time");
        }
        stop.store(true, Ordering::Relaxed);
    });
    drop(files);
    let mut last = 0;
    for round in 0..3 {
        let numbers = ["log", "table"].map(|label| {
            let copy = format!("c{round}-{label}");
            clone(&engine, &format!("r{round}-{label}"), &copy, None);
            let at = mount(&engine, &copy);
            let number = number_in(&at.join("number"));
            unmount(&engine, &copy);
            number
        });
        let [log, table] = numbers;
        assert!(log == table || log == table + 1, "{log} and {table}");
        assert!(table > last, "the writer went on: {table}");
        last = table;
    }
    engine.stop().unwrap();
}

#[test]
fn a_group_is_taken_whole_or_not_at_all() {
    let (_, engine) = World::opened("group-whole");
    let (a, b): (VolumeName, VolumeName) = (name("a"), name("b"));
    volume(&engine, "a", SIZE);
    volume(&engine, "b", SIZE);
    snapshot(&engine, "a", "x-b");
    let before = thin_ids(&engine);
    let check = |volumes: &[VolumeName], label: &str, kind: Kind, words: &str| {
        let said = refusal(engine.create_snapshots(volumes, Some(&name(label)), &silent()));
        assert_eq!(said.0, kind, "{}", said.1);
        assert!(said.1.contains(words), "{}", said.1);
        assert_eq!(thin_ids(&engine), before);
    };
    let both = [a.clone(), b.clone()];
    check(&both, "x", Kind::Conflict, "x-b already exists");
    check(&[a.clone(), a.clone()], "y", Kind::Invalid, "named twice");
    check(&[], "y", Kind::Invalid, "no volume");
    check(&both, &"y".repeat(127), Kind::Invalid, "shorter");
    let missing = [a, name("no")];
    check(&missing, "y", Kind::NotFound, "no");
    // The same call again is the same snapshots.
    let op = Operation::silent();
    let taken = done(engine.create_snapshots(&both, None, &op)).into_inner();
    let again = done(engine.create_snapshots(&both, None, &op));
    let Created::Unchanged(again) = again else {
        panic!("{again:?}")
    };
    let ids =
        |taken: &[convoy_engine::SnapshotInfo]| taken.iter().map(|s| s.uuid).collect::<Vec<_>>();
    assert_eq!(ids(&taken), ids(&again));
    assert_eq!(taken[0].hold, taken[1].hold);
    engine.stop().unwrap();
}

#[test]
fn a_name_is_a_label() {
    let (world, engine) = World::opened("rename");
    let made = volume(&engine, "old", SIZE);
    volume(&engine, "other", SIZE);
    snapshot(&engine, "old", "s");
    let at = mount(&engine, "old");
    let said = refusal(engine.rename_volume(&name("old"), &name("other"), &silent()));
    assert_eq!(said.0, Kind::Conflict, "{}", said.1);
    assert!(said.1.contains("Volume other already exists"), "{}", said.1);
    let renamed = done(engine.rename_volume(&name("old"), &name("new"), &silent()));
    assert_eq!((renamed.uuid, &renamed.device), (made.uuid, &made.device));
    assert_eq!(renamed.mountpoint.as_deref(), Some(at.as_path()));
    assert_eq!(
        engine.snapshot(&name("new@s")).unwrap().volume_name,
        name("new")
    );
    assert_eq!(refusal(engine.volume(&name("old"))).0, Kind::NotFound);
    let set = [
        ("tier".to_owned(), "gold".to_owned()),
        ("a".to_owned(), "1".to_owned()),
    ]
    .into();
    done(engine.label_volume(&name("new"), &set, &[], &silent()));
    let remove = ["a".to_owned(), "nothing".to_owned()];
    let labelled = done(engine.label_volume(&name("new"), &[].into(), &remove, &silent()));
    assert_eq!(
        labelled.labels,
        [("tier".to_owned(), "gold".to_owned())].into()
    );
    let said = refusal(engine.label_volume(&name("new"), &set, &remove, &silent()));
    assert_eq!(said.0, Kind::Invalid, "{}", said.1);
    engine.stop().unwrap();
    let engine = world.open(&[]);
    let found = engine.volume(&name("new")).unwrap();
    assert_eq!((found.uuid, found.labels), (made.uuid, labelled.labels));
    assert_eq!(found.mountpoint.as_deref(), Some(at.as_path()));
    engine.stop().unwrap();
}
