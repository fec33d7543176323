//! Verbs killed at every step: each is finished or undone.

use super::{POOL, all_is_settled, bring_up};
use crate::verbs::{
    SIZE, delete_snapshot, name, recovered, refusal, snapshot, volume, volume_names,
};
use crate::world::{World, read_device, sweep, write_device};
use convoy_catalog::{Action, Change, NewIntent, Snapshot, SnapshotState, Volume, VolumeState};
use convoy_engine::Engine;
use convoy_fault::Kind;
use convoy_tests::command::tool as run;
use convoy_tests::mapper;
use convoy_tests::noise::noise;
use convoy_thinpool::thin_name;
use jiff::Timestamp;
use std::collections::BTreeMap;
use uuid::Uuid;

/// How far an operation came before it was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reached {
    Intent,
    SomeMessages,
    Messages,
    TransactionId,
}

/// Every point, with the pool left active (a kill) or not (a reboot).
const STAGES: [(Reached, bool); 6] = [
    (Reached::Intent, false),
    (Reached::Intent, true),
    (Reached::SomeMessages, true),
    (Reached::Messages, false),
    (Reached::TransactionId, false),
    (Reached::TransactionId, true),
];

/// Leaves catalog and pool as a kill at this point would.
fn killed(world: &World, reached: Reached, verb: &str, actions: &[Action], begun: &[Change]) {
    let catalog = world.catalog();
    let plan = NewIntent {
        pool: catalog.pools().unwrap().remove(0).uuid,
        op: Uuid::now_v7(),
        verb: verb.to_owned(),
        actions: actions.to_vec(),
    };
    let intent = catalog.begin(&plan, begun).unwrap();
    let count = match reached {
        Reached::Intent => 0,
        Reached::SomeMessages => 1,
        Reached::Messages | Reached::TransactionId => actions.len(),
    };
    for action in &actions[..count] {
        let text = match action {
            Action::CreateThin { dev_id } => format!("create_thin {dev_id}"),
            Action::CreateSnapshot { dev_id, origin } => {
                // Whether it was resumed before the kill is for recovery to find out.
                let volumes = catalog.volumes().unwrap();
                let origin_row = volumes.iter().find(|volume| volume.dev_id == *origin);
                let device = thin_name(&name(POOL), origin_row.unwrap().uuid).unwrap();
                mapper::suspend(device.as_str());
                format!("create_snap {dev_id} {origin}")
            }
            Action::Delete { dev_id } => format!("delete {dev_id}"),
            other => panic!("{other:?}"),
        };
        mapper::message(POOL, &text);
    }
    if reached == Reached::TransactionId {
        let text = format!("set_transaction_id {} {}", intent.from, intent.to);
        mapper::message(POOL, &text);
    }
}

/// A row of a volume that an operation was about to make.
fn volume_row(world: &World, label: &str, state: VolumeState, restored: bool) -> Volume {
    let catalog = world.catalog();
    let pool = catalog.pools().unwrap().remove(0).uuid;
    Volume {
        uuid: Uuid::now_v7(),
        pool,
        name: name(label),
        dev_id: catalog.allocate_dev_id(pool).unwrap(),
        size: SIZE,
        filesystem: "ext4".to_owned(),
        state,
        created: Timestamp::now(),
        labels: BTreeMap::new(),
        owner: None,
        group: None,
        restored_from: restored.then(|| "vfs:///b?backup=b&volume=v".to_owned()),
        op: Uuid::now_v7(),
    }
}

fn snapshot_row(world: &World, of: &Volume, label: &str) -> Snapshot {
    Snapshot {
        uuid: Uuid::now_v7(),
        volume: of.uuid,
        pool: of.pool,
        name: name(label),
        dev_id: world.catalog().allocate_dev_id(of.pool).unwrap(),
        size: of.size,
        state: SnapshotState::Creating,
        created: Timestamp::now(),
        labels: BTreeMap::new(),
        op: Uuid::now_v7(),
        hold_micros: None,
    }
}

/// Runs one story for every point of the kill, with the pool left active and after a reboot.
fn at_every_point(
    test: &str,
    story: impl Fn(&World, Reached),
    check: impl Fn(&Engine, Reached, &[String]),
) {
    let (world, engine) = World::opened(test);
    let made = volume(&engine, "v", SIZE);
    let content = noise(1, 1 << 20);
    write_device(&made.device, 16 << 20, &content);
    drop(engine);
    for (reached, reboot) in STAGES {
        story(&world, reached);
        if reboot {
            sweep();
        }

        let engine = world.open(&[]);

        let said = recovered(&engine);
        println!("{reached:?}, reboot {reboot}: {said:?}");
        assert!(!said.is_empty(), "it is told");
        check(&engine, reached, &said);
        all_is_settled(&engine);
        let device = engine.volume(&name("v")).unwrap().device;
        assert!(
            read_device(&device, 16 << 20, 1 << 20) == content,
            "the other volume"
        );
        // And it goes on from here.
        snapshot(&engine, "v", "after");
        delete_snapshot(&engine, "after");
        drop(engine);
        // A second opening has nothing to do.
        assert_eq!(recovered(&world.open(&[])), Vec::<String>::new());
    }
}

/// Leaves the creation of a volume at this point.
fn creation_killed(world: &World, reached: Reached, restored: bool) {
    let volume = volume_row(world, "new", VolumeState::Creating, restored);
    let actions = [Action::CreateThin {
        dev_id: volume.dev_id,
    }];
    let begun = [Change::PutVolume(volume)];
    killed(world, reached, "create a volume", &actions, &begun);
}

#[test]
fn a_creation_cut_short_is_undone() {
    at_every_point(
        "create",
        |world, reached| creation_killed(world, reached, false),
        |engine, reached, said| {
            assert_eq!(refusal(engine.volume(&name("new"))).0, Kind::NotFound);
            let done = if reached == Reached::TransactionId {
                "finished"
            } else {
                "undid"
            };
            assert!(
                said[0].contains(&format!("{done} an interrupted attempt to create a volume")),
                "{said:?}"
            );
            if reached == Reached::TransactionId {
                is_told(said, "undid the interrupted creation of volume new");
            }
        },
    );
}

#[test]
fn a_restore_cut_short_is_undone() {
    at_every_point(
        "restore",
        |world, reached| creation_killed(world, reached, true),
        |engine, reached, said| {
            assert_eq!(refusal(engine.volume(&name("new"))).0, Kind::NotFound);
            if reached == Reached::TransactionId {
                is_told(said, "undid the interrupted restore to volume new");
            }
        },
    );
}

#[test]
fn a_snapshot_cut_short_is_finished_or_undone() {
    at_every_point(
        "snapshot",
        |world, reached| {
            let volume = world.catalog().volume_by_name(&name("v")).unwrap().unwrap();
            let snapshot = snapshot_row(world, &volume, "new");
            let actions = [Action::CreateSnapshot {
                dev_id: snapshot.dev_id,
                origin: volume.dev_id,
            }];
            let begun = [Change::PutSnapshot(snapshot)];
            killed(world, reached, "take a snapshot", &actions, &begun);
        },
        |engine, reached, said| {
            let found = engine.snapshot(&name("new"));
            if reached == Reached::TransactionId {
                assert_eq!(found.unwrap().hold, None, "nobody measured it");
                delete_snapshot(engine, "new");
            } else {
                assert_eq!(refusal(found).0, Kind::NotFound);
                is_told(said, "undid an interrupted attempt to take a snapshot");
            }
        },
    );
}

#[test]
fn a_deletion_cut_short_is_finished() {
    at_every_point(
        "delete",
        |world, reached| {
            let engine = world.open(&[]);
            volume(&engine, "old", SIZE);
            snapshot(&engine, "old", "old-s");
            drop(engine);
            let catalog = world.catalog();
            let volume = catalog.volume_by_name(&name("old")).unwrap().unwrap();
            let snapshot = catalog.snapshot_by_name(&name("old-s")).unwrap().unwrap();
            // The kernel refuses to delete what is up; before the messages it may be up still, the
            // snapshot's own device too.
            if reached == Reached::Intent {
                bring_up(volume.pool, snapshot.uuid, snapshot.dev_id, SIZE, &[]);
            } else {
                let device = thin_name(&name(POOL), volume.uuid).unwrap();
                run("dmsetup", &["remove", device.as_str()]);
            }
            let actions = [snapshot.dev_id, volume.dev_id].map(|dev_id| Action::Delete { dev_id });
            let begun = [doomed_volume(volume), doomed_snapshot(snapshot)];
            drop(catalog);
            killed(world, reached, "delete a volume", &actions, &begun);
        },
        |engine, _, said| {
            assert_eq!(refusal(engine.volume(&name("old"))).0, Kind::NotFound);
            assert_eq!(refusal(engine.snapshot(&name("old-s"))).0, Kind::NotFound);
            is_told(said, "finished an interrupted attempt to delete a volume");
        },
    );
}

/// Killed after the rows were doomed and before the intent.
#[test]
fn deletions_begun_are_finished() {
    let (world, engine) = World::opened("doomed");
    volume(&engine, "v", SIZE);
    snapshot(&engine, "v", "s");
    volume(&engine, "w", SIZE);
    snapshot(&engine, "w", "ws");
    drop(engine);
    let catalog = world.catalog();
    let [s, ws] = ["s", "ws"].map(|s| catalog.snapshot_by_name(&name(s)).unwrap().unwrap());
    let w = catalog.volume_by_name(&name("w")).unwrap().unwrap();
    let doomed = [doomed_snapshot(s), doomed_snapshot(ws), doomed_volume(w)];
    catalog.apply(&doomed).unwrap();
    drop(catalog);

    let engine = world.open(&[]);

    let said = recovered(&engine);
    for told in ["volume w", "snapshot s"] {
        let told = format!("finished the interrupted deletion of {told}");
        assert!(said.contains(&told), "{said:?}");
    }
    assert_eq!(volume_names(&engine), ["v"]);
    assert_eq!(engine.snapshots(None).unwrap().len(), 0);
    all_is_settled(&engine);
    engine.stop().unwrap();
}

/// Killed while the filesystem was made.
#[test]
fn a_half_made_volume_is_undone() {
    let (world, engine) = World::opened("half");
    engine.stop().unwrap();
    let half = volume_row(&world, "half", VolumeState::Creating, false);
    let (pool, uuid, dev_id) = (half.pool, half.uuid, half.dev_id);
    drop(world.open(&[]));
    let (actions, reached) = ([Action::CreateThin { dev_id }], Reached::TransactionId);
    let begun = [Change::PutVolume(half.clone())];
    killed(&world, reached, "create a volume", &actions, &begun);
    let catalog = world.catalog();
    let intent = catalog.pending_intents().unwrap().remove(0);
    let state = VolumeState::Formatting;
    let formatting = Change::PutVolume(Volume { state, ..half });
    catalog.complete(&intent, &[formatting]).unwrap();
    drop(catalog);
    bring_up(pool, uuid, dev_id, SIZE, &[]);

    let engine = world.open(&[]);

    let told = "undid the interrupted creation of volume half";
    assert_eq!(recovered(&engine), [told]);
    assert!(engine.volumes().unwrap().is_empty());
    all_is_settled(&engine);
    engine.stop().unwrap();
}

fn doomed_volume(volume: Volume) -> Change {
    let state = VolumeState::Deleting;
    Change::PutVolume(Volume { state, ..volume })
}

fn doomed_snapshot(snapshot: Snapshot) -> Change {
    let state = SnapshotState::Deleting;
    Change::PutSnapshot(Snapshot { state, ..snapshot })
}

#[track_caller]
fn is_told(said: &[String], words: &str) {
    assert!(said.iter().any(|line| line.contains(words)), "{said:?}");
}
