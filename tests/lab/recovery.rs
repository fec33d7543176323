//! What an engine does at its opening about everything that a kill or a power cut can leave.
//!
//! The states are made by hand: rows by the catalog, thin devices by `dmsetup`, so that no code of the
//! engine is trusted to have made them.

use crate::world::{
    World, dm_number, mount, name, refusal, snapshot, sweep, thin_ids, volume, write_device,
};
use convoy_catalog::{
    Action, Change, Mount, NewIntent, Pin, Snapshot, SnapshotState, Volume, VolumeState,
};
use convoy_engine::{Engine, Operation};
use convoy_fault::Kind;
use convoy_tests::command::tool as run;
use convoy_tests::noise::noise;
use convoy_thinpool::{thin_name, thin_uuid};
use convoy_units::{Bytes, TransactionId};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use uuid::Uuid;

const SIZE: Bytes = Bytes::mib(64);
const POOL: &str = "convoy-pool";

fn silent() -> Operation<'static> {
    Operation::silent()
}

fn message(text: &str) {
    run("dmsetup", &["message", POOL, "0", text]);
}

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
    let pool = catalog.pools().unwrap().remove(0).uuid;
    let plan = NewIntent {
        pool,
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
        message(&match action {
            Action::CreateThin { dev_id } => format!("create_thin {dev_id}"),
            Action::CreateSnapshot { dev_id, origin } => {
                let all = run("dmsetup", &["table", "--target", "thin"]);
                let line = all
                    .lines()
                    .find(|line| line.ends_with(&format!(" {origin}")))
                    .unwrap();
                let device = line.split(':').next().unwrap();
                run("dmsetup", &["suspend", device]);
                message(&format!("create_snap {dev_id} {origin}"));
                // Whether it was resumed before the kill is for recovery to find out.
                continue;
            }
            Action::Delete { dev_id } => format!("delete {dev_id}"),
            other => panic!("{other:?}"),
        });
    }
    if reached == Reached::TransactionId {
        message(&format!("set_transaction_id {} {}", intent.from, intent.to));
    }
}

/// Everything that must hold after any opening.
#[track_caller]
fn all_is_settled(engine: &Engine) {
    let info = engine.info().unwrap();
    let mut known: Vec<u32> = engine
        .volumes()
        .unwrap()
        .iter()
        .map(|v| v.dev_id.get())
        .collect();
    known.extend(
        engine
            .snapshots(None)
            .unwrap()
            .iter()
            .map(|s| s.dev_id.get()),
    );
    known.sort_unstable();
    let known: Vec<String> = known.iter().map(ToString::to_string).collect();
    assert_eq!(
        thin_ids(engine),
        known,
        "thin devices of the pool and of the catalog"
    );
    let status = run("dmsetup", &["status", POOL]);
    let kernel = status.split_whitespace().nth(3).unwrap().to_owned();
    assert_eq!(
        kernel,
        info.pool.transaction.to_string(),
        "transaction ids of pool and catalog"
    );
    let suspended = run(
        "dmsetup",
        &["info", "--columns", "--noheadings", "-o", "suspended"],
    );
    assert!(!suspended.contains("Suspended"), "{suspended}");
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
    let world = World::new(test);
    let engine = world.open(&[]);
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
        let said = engine.info().unwrap().recovered;
        println!("{reached:?}, reboot {reboot}: {said:?}");
        assert!(!said.is_empty(), "it is told");
        check(&engine, reached, &said);
        all_is_settled(&engine);
        let mut found = vec![0; 1 << 20];
        let device = engine.volume(&name("v")).unwrap().device;
        fs::File::open(device)
            .unwrap()
            .read_exact_at(&mut found, 16 << 20)
            .unwrap();
        assert!(found == content, "the other volume");
        // And it goes on from here.
        snapshot(&engine, "v", "after");
        engine.delete_snapshot(&name("after"), &silent()).unwrap();
        drop(engine);
        // A second opening has nothing to do.
        let engine = world.open(&[]);
        assert_eq!(engine.info().unwrap().recovered, Vec::<String>::new());
    }
}

#[test]
fn a_creation_cut_short_is_undone() {
    at_every_point(
        "create",
        |world, reached| {
            let volume = volume_row(world, "new", VolumeState::Creating, false);
            let actions = [Action::CreateThin {
                dev_id: volume.dev_id,
            }];
            killed(
                world,
                reached,
                "create a volume",
                &actions,
                &[Change::PutVolume(volume)],
            );
        },
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
                assert!(
                    said.iter()
                        .any(|s| s.contains("undid the interrupted creation of volume new")),
                    "{said:?}"
                );
            }
        },
    );
}

#[test]
fn a_restore_cut_short_is_undone() {
    at_every_point(
        "restore",
        |world, reached| {
            let volume = volume_row(world, "new", VolumeState::Creating, true);
            let actions = [Action::CreateThin {
                dev_id: volume.dev_id,
            }];
            killed(
                world,
                reached,
                "create a volume",
                &actions,
                &[Change::PutVolume(volume)],
            );
        },
        |engine, reached, said| {
            assert_eq!(refusal(engine.volume(&name("new"))).0, Kind::NotFound);
            if reached == Reached::TransactionId {
                assert!(
                    said.iter()
                        .any(|s| s.contains("undid the interrupted restore to volume new")),
                    "{said:?}"
                );
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
            killed(
                world,
                reached,
                "take a snapshot",
                &actions,
                &[Change::PutSnapshot(snapshot)],
            );
        },
        |engine, reached, said| {
            let found = engine.snapshot(&name("new"));
            if reached == Reached::TransactionId {
                assert_eq!(found.unwrap().hold, None, "nobody measured it");
                engine.delete_snapshot(&name("new"), &silent()).unwrap();
            } else {
                assert_eq!(refusal(found).0, Kind::NotFound);
                assert!(
                    said.iter()
                        .any(|s| s.contains("undid an interrupted attempt to take a snapshot"))
                );
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
            let device = thin_name(&name(POOL), volume.uuid).unwrap();
            if reached == Reached::Intent {
                let up = thin_name(&name(POOL), snapshot.uuid).unwrap();
                let uuid = thin_uuid(volume.pool, snapshot.uuid);
                let (pool, id) = (dm_number(POOL), snapshot.dev_id);
                let table = format!("0 {} thin {pool} {id}", SIZE.0 / 512);
                let words = [
                    "create",
                    up.as_str(),
                    "--uuid",
                    uuid.as_str(),
                    "--table",
                    &table,
                ];
                run("dmsetup", &words);
            } else {
                run("dmsetup", &["remove", device.as_str()]);
            }
            let actions = [snapshot.dev_id, volume.dev_id].map(|dev_id| Action::Delete { dev_id });
            let begun = [
                Change::PutVolume(Volume {
                    state: VolumeState::Deleting,
                    ..volume
                }),
                Change::PutSnapshot(Snapshot {
                    state: SnapshotState::Deleting,
                    ..snapshot
                }),
            ];
            drop(catalog);
            killed(world, reached, "delete a volume", &actions, &begun);
        },
        |engine, _, said| {
            assert_eq!(refusal(engine.volume(&name("old"))).0, Kind::NotFound);
            assert_eq!(refusal(engine.snapshot(&name("old-s"))).0, Kind::NotFound);
            let told = "finished an interrupted attempt to delete a volume";
            assert!(said.iter().any(|s| s.contains(told)), "{said:?}");
        },
    );
}

/// Killed after the rows were doomed and before the intent.
#[test]
fn deletions_begun_are_finished() {
    let world = World::new("doomed");
    let engine = world.open(&[]);
    volume(&engine, "v", SIZE);
    snapshot(&engine, "v", "s");
    volume(&engine, "w", SIZE);
    snapshot(&engine, "w", "ws");
    drop(engine);
    let catalog = world.catalog();
    let doom = |label: &str| {
        let snapshot = catalog.snapshot_by_name(&name(label)).unwrap().unwrap();
        Change::PutSnapshot(Snapshot {
            state: SnapshotState::Deleting,
            ..snapshot
        })
    };
    let w = catalog.volume_by_name(&name("w")).unwrap().unwrap();
    let doomed = Change::PutVolume(Volume {
        state: VolumeState::Deleting,
        ..w
    });
    catalog.apply(&[doom("s"), doom("ws"), doomed]).unwrap();
    drop(catalog);
    let engine = world.open(&[]);
    let said = engine.info().unwrap().recovered;
    assert!(
        said.iter()
            .any(|s| s == "finished the interrupted deletion of volume w"),
        "{said:?}"
    );
    assert!(
        said.iter()
            .any(|s| s == "finished the interrupted deletion of snapshot s"),
        "{said:?}"
    );
    let left: Vec<String> = engine
        .volumes()
        .unwrap()
        .into_iter()
        .map(|v| v.name.to_string())
        .collect();
    assert_eq!(
        (left, engine.snapshots(None).unwrap().len()),
        (vec!["v".to_owned()], 0)
    );
    all_is_settled(&engine);
    engine.stop().unwrap();
}

/// Killed between the suspension and the resumption: everybody who writes to the volume hangs.
#[test]
fn a_suspended_volume_is_resumed() {
    let world = World::new("suspended");
    let engine = world.open(&[]);
    let made = volume(&engine, "v", SIZE);
    let target = mount(&engine, "v");
    drop(engine);
    let device = made
        .device
        .file_name()
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    run("dmsetup", &["suspend", &device]);
    let writer = std::thread::spawn(move || {
        fs::write(target.join("file"), "through").unwrap();
        run("sync", &["--file-system", target.to_str().unwrap()]);
    });
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(!writer.is_finished(), "it is held");
    let engine = world.open(&[]);
    writer.join().unwrap();
    let said = engine.info().unwrap().recovered;
    assert!(
        said[0].contains(&device) && said[0].contains("suspended"),
        "{said:?}"
    );
    engine.stop().unwrap();
}

/// Killed inside a snapshot, and then a start that is refused: whoever writes must not wait for an operator.
#[test]
fn a_suspended_volume_is_resumed_by_a_start_that_is_refused() {
    let world = World::new("suspended-refused");
    let engine = world.open(&[]);
    let made = volume(&engine, "v", SIZE);
    let pool = engine.info().unwrap().pool;
    drop(engine);
    let set = |transaction| {
        let change = Change::SetTransaction {
            pool: pool.uuid,
            transaction: TransactionId(transaction),
        };
        world.catalog().apply(&[change]).unwrap();
    };
    set(7);
    let device = made.device.file_name().unwrap().to_str().unwrap();
    run("dmsetup", &["suspend", device]);
    assert_eq!(world.refused(&[]).0, Kind::PoolUnhealthy);
    let state = [
        "info",
        "--columns",
        "--noheadings",
        "-o",
        "suspended",
        device,
    ];
    assert_eq!(run("dmsetup", &state).trim(), "Active");
    set(1);
    world.open(&[]).stop().unwrap();
}

#[test]
fn what_an_interrupted_backup_leaves_is_cleared() {
    let world = World::new("backup-left");
    let engine = world.open(&[]);
    volume(&engine, "v", SIZE);
    let snapshot = snapshot(&engine, "v", "s");
    let pool = engine.info().unwrap().pool;
    drop(engine);
    // A pin, a metadata snapshot, the snapshot's device.
    let pin = Pin {
        snapshot: snapshot.uuid,
        op: Uuid::now_v7(),
        why: "it is being backed up".to_owned(),
    };
    world.catalog().apply(&[Change::PutPin(pin)]).unwrap();
    message("reserve_metadata_snap");
    let device = thin_name(&pool.name, snapshot.uuid).unwrap();
    let table = format!(
        "0 {} thin {} {}",
        SIZE.0 / 512,
        dm_number(POOL),
        snapshot.dev_id
    );
    let uuid = thin_uuid(pool.uuid, snapshot.uuid);
    run(
        "dmsetup",
        &[
            "create",
            device.as_str(),
            "--uuid",
            uuid.as_str(),
            "--readonly",
            "--table",
            &table,
        ],
    );
    let engine = world.open(&[]);
    let said = engine.info().unwrap().recovered;
    assert!(
        said.iter().any(|s| s.contains("took down device")),
        "{said:?}"
    );
    let status = run("dmsetup", &["status", POOL]);
    // transaction, metadata, data, held root
    assert_eq!(status.split_whitespace().nth(6), Some("-"), "{status}");
    assert!(!run("dmsetup", &["ls"]).contains(device.as_str()));
    engine.delete_snapshot(&name("s"), &silent()).unwrap();
    all_is_settled(&engine);
    engine.stop().unwrap();
}

/// A metadata snapshot that nobody releases keeps every metadata block it has: the pool's metadata fills.
#[test]
fn a_stale_metadata_snapshot_is_released_and_told() {
    let world = World::new("held-root");
    let engine = world.open(&[]);
    volume(&engine, "v", SIZE);
    drop(engine);
    message("reserve_metadata_snap");
    sweep();
    let engine = world.open(&[]);
    let said = engine.info().unwrap().recovered;
    assert!(
        said.iter().any(|s| s.contains("metadata snapshot")),
        "{said:?}"
    );
    let status = run("dmsetup", &["status", POOL]);
    assert_eq!(status.split_whitespace().nth(6), Some("-"), "{status}");
    engine.stop().unwrap();
}

/// Killed while the filesystem was made.
#[test]
fn a_half_made_volume_is_undone() {
    let world = World::new("half");
    world.open(&[]).stop().unwrap();
    let half = volume_row(&world, "half", VolumeState::Creating, false);
    let dev_id = half.dev_id;
    let engine = world.open(&[]);
    drop(engine);
    let actions = [Action::CreateThin { dev_id }];
    killed(
        &world,
        Reached::TransactionId,
        "create a volume",
        &actions,
        &[Change::PutVolume(half.clone())],
    );
    let catalog = world.catalog();
    let intent = catalog.pending_intents().unwrap().remove(0);
    let formatting = Volume {
        state: VolumeState::Formatting,
        ..half.clone()
    };
    catalog
        .complete(&intent, &[Change::PutVolume(formatting)])
        .unwrap();
    drop(catalog);
    let table = format!("0 {} thin {} {dev_id}", SIZE.0 / 512, dm_number(POOL));
    let device = thin_name(&name(POOL), half.uuid).unwrap();
    let uuid = thin_uuid(half.pool, half.uuid);
    run(
        "dmsetup",
        &[
            "create",
            device.as_str(),
            "--uuid",
            uuid.as_str(),
            "--table",
            &table,
        ],
    );
    let engine = world.open(&[]);
    let said = engine.info().unwrap().recovered;
    assert_eq!(said, ["undid the interrupted creation of volume half"]);
    assert!(engine.volumes().unwrap().is_empty());
    all_is_settled(&engine);
    engine.stop().unwrap();
}

#[test]
fn wanted_mounts_come_back_and_a_place_that_is_gone_stops_nobody() {
    let world = World::new("mounts");
    let engine = world.open(&[]);
    let [own, placed, lost, idle] =
        ["own", "placed", "lost", "idle"].map(|v| volume(&engine, v, SIZE).name);
    let (place, gone) = (world.path("place"), world.path("gone"));
    let mut targets = BTreeMap::new();
    for (volume, at) in [
        (&own, None),
        (&placed, Some(&place)),
        (&lost, Some(&gone)),
        (&idle, None),
    ] {
        if let Some(at) = at {
            fs::create_dir(at).unwrap();
        }
        let at = at.map(std::path::PathBuf::as_path);
        let mounted = engine.mount_volume(volume, at, &silent()).unwrap();
        targets.insert(volume.clone(), mounted.mountpoint.unwrap());
        fs::write(targets[volume].join("file"), volume.as_str()).unwrap();
    }
    engine.unmount_volume(&idle, &silent()).unwrap();
    drop(engine);
    run("sync", &[]);
    sweep();
    fs::remove_dir(&gone).unwrap();
    let engine = world.open(&[]);
    let said = engine.info().unwrap().recovered;
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("volume lost is not mounted"), "{said:?}");
    for volume in [&own, &placed] {
        assert_eq!(
            engine.volume(volume).unwrap().mountpoint.as_ref(),
            Some(&targets[volume])
        );
        assert_eq!(
            fs::read(targets[volume].join("file")).unwrap(),
            volume.as_str().as_bytes()
        );
    }
    for volume in [&lost, &idle] {
        assert_eq!(engine.volume(volume).unwrap().mountpoint, None);
    }
    // The volume itself is well.
    engine.mount_volume(&lost, None, &silent()).unwrap();
    engine.stop().unwrap();
    // A wanted mount is wanted after a stop, too.
    let engine = world.open(&[]);
    assert_eq!(
        engine.volume(&own).unwrap().mountpoint.as_ref(),
        Some(&targets[&own])
    );
    engine.stop().unwrap();
}

#[test]
fn one_broken_volume_stops_no_other() {
    let world = World::new("broken");
    let engine = world.open(&[]);
    for label in ["a", "b", "c"] {
        volume(&engine, label, SIZE);
        mount(&engine, label);
    }
    let broken = engine.volume(&name("b")).unwrap();
    drop(engine);
    sweep();
    // Somebody else's device has the name.
    let device = broken.device.file_name().unwrap().to_str().unwrap();
    run("dmsetup", &["create", device, "--table", "0 1000 error"]);
    let engine = world.open(&[]);
    let states: Vec<(String, String)> = engine
        .volumes()
        .unwrap()
        .into_iter()
        .map(|volume| (volume.name.to_string(), volume.state.as_str().to_owned()))
        .collect();
    let expected = [("a", "ready"), ("b", "broken"), ("c", "ready")]
        .map(|(n, s)| (n.to_owned(), s.to_owned()));
    assert_eq!(states, expected);
    for label in ["a", "c"] {
        assert!(
            engine.volume(&name(label)).unwrap().mountpoint.is_some(),
            "{label}"
        );
    }
    let found = engine.volume(&name("b")).unwrap();
    assert!(found.problem.is_some_and(|why| why.contains(device)));
    let (kind, words) = refusal(engine.mount_volume(&name("b"), None, &silent()));
    assert_eq!(
        (kind, words.contains("broken")),
        (Kind::Conflict, true),
        "{words}"
    );
    assert_eq!(
        refusal(engine.create_snapshot(&name("b"), None, &silent())).0,
        Kind::Conflict
    );
    volume(&engine, "d", SIZE);
    engine.stop().unwrap();
    // The other's device was not touched; once it is gone, the volume is well again.
    assert!(run("dmsetup", &["table", device]).contains("error"));
    run("dmsetup", &["remove", device]);
    let engine = world.open(&[]);
    assert_eq!(engine.volume(&name("b")).unwrap().state.as_str(), "ready");
    assert!(engine.volume(&name("b")).unwrap().mountpoint.is_some());
    engine.stop().unwrap();
}

#[test]
fn a_transaction_id_that_nothing_explains_is_refused() {
    let world = World::new("rolled");
    let engine = world.open(&[]);
    let pool = engine.info().unwrap().pool;
    volume(&engine, "v", SIZE);
    snapshot(&engine, "v", "s");
    drop(engine);
    let set = |transaction| {
        let change = Change::SetTransaction {
            pool: pool.uuid,
            transaction: TransactionId(transaction),
        };
        world.catalog().apply(&[change]).unwrap();
    };
    for other in [7, 3, 1, 0] {
        set(other);
        for reboot in [false, true] {
            if reboot {
                sweep();
            }
            let before = fs::read(&pool.metadata_device).unwrap();
            let (kind, words) = world.refused(&[]);
            assert_eq!(kind, Kind::PoolUnhealthy, "{words}");
            assert!(
                words.contains(&format!("is at transaction 2, the catalog at {other}")),
                "{words}"
            );
            assert!(words.contains("nothing was changed"), "{words}");
            if reboot {
                assert!(
                    fs::read(&pool.metadata_device).unwrap() == before,
                    "the metadata was written"
                );
            }
            let catalog = world.catalog();
            assert_eq!(
                (
                    catalog.volumes().unwrap().len(),
                    catalog.snapshots().unwrap().len()
                ),
                (1, 1)
            );
            assert_eq!(
                catalog.pools().unwrap()[0].transaction,
                TransactionId(other)
            );
        }
        // As it was before the next round: active.
        set(2);
        drop(world.open(&[]));
    }
    let engine = world.open(&[]);
    assert_eq!(engine.volumes().unwrap().len(), 1);
    all_is_settled(&engine);
    engine.stop().unwrap();
}

/// A volume's thin device is gone: by no doing of ours.
#[test]
fn a_thin_device_that_is_missing_is_refused() {
    let world = World::new("missing");
    let engine = world.open(&[]);
    volume(&engine, "v", SIZE);
    let lost = snapshot(&engine, "v", "s");
    drop(engine);
    message(&format!("delete {}", lost.dev_id));
    for reboot in [false, true] {
        if reboot {
            sweep();
        }
        let (kind, words) = world.refused(&[]);
        assert_eq!(kind, Kind::PoolUnhealthy, "{words}");
        assert!(
            words.contains(&format!(
                "lacks thin devices that the catalog has: {}",
                lost.dev_id
            )),
            "{words}"
        );
    }
    assert_eq!(world.catalog().snapshots().unwrap().len(), 1);
}

/// One that the catalog does not know is somebody's: it stays.
#[test]
fn a_foreign_thin_device_is_left_alone() {
    let world = World::new("foreign-thin");
    let engine = world.open(&[]);
    let made = volume(&engine, "v", SIZE);
    drop(engine);
    message("create_thin 4711");
    for reboot in [false, true] {
        if reboot {
            sweep();
        }
        let engine = world.open(&[]);
        assert_eq!(
            thin_ids(&engine),
            [made.dev_id.to_string(), "4711".to_owned()]
        );
        drop(engine);
    }
}

#[test]
fn a_lost_catalog_formats_nothing() {
    let world = World::new("lost");
    let engine = world.open(&[]);
    volume(&engine, "v", SIZE);
    let pool = engine.info().unwrap().pool;
    engine.stop().unwrap();
    let hidden = world.path("hidden");
    fs::create_dir(&hidden).unwrap();
    let hide = |all: bool| {
        for entry in fs::read_dir(world.root()).unwrap() {
            let entry = entry.unwrap();
            let label = entry.file_name().into_string().unwrap();
            if label.starts_with("catalog.") && (all || label != "catalog.guard") {
                fs::rename(entry.path(), hidden.join(label)).unwrap();
            }
        }
    };
    let images = || [&pool.data_device, &pool.metadata_device].map(|file| head(file));
    let before = images();
    hide(false);
    let (kind, words) = world.refused(&[]);
    println!("{kind}: {words}");
    assert!(words.contains("catalog"), "{words}");
    assert!(images() == before);
    hide(true);
    let (kind, words) = world.refused(&[]);
    println!("{kind}: {words}");
    assert_eq!(kind, Kind::Conflict, "{words}");
    assert!(words.contains("thin pool"), "{words}");
    assert!(images() == before);
    // Back in its place, all is well.
    sweep();
    hide_nothing(&world, &hidden);
    assert_eq!(world.open(&[]).volumes().unwrap().len(), 1);
}

/// The first 64 MiB: sparse files of 100 GiB are not read whole.
fn head(file: &std::path::Path) -> Vec<u8> {
    let mut bytes = vec![0; 64 << 20];
    let read = fs::File::open(file)
        .unwrap()
        .read_at(&mut bytes, 0)
        .unwrap();
    bytes.truncate(read);
    bytes
}

/// Puts the true catalog back in place of the one that was begun.
fn hide_nothing(world: &World, hidden: &std::path::Path) {
    for entry in fs::read_dir(world.root()).unwrap() {
        let entry = entry.unwrap();
        if entry
            .file_name()
            .into_string()
            .unwrap()
            .starts_with("catalog.")
        {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    for entry in fs::read_dir(hidden).unwrap() {
        let entry = entry.unwrap();
        fs::rename(entry.path(), world.root().join(entry.file_name())).unwrap();
    }
}

/// Killed after the record of the pool, before or after the kernel formatted it.
#[test]
fn a_first_start_cut_short_goes_on() {
    let world = World::new("first");
    let engine = world.open(&[]);
    let pool = engine.info().unwrap().pool;
    engine.stop().unwrap();
    let unmade = || {
        let catalog = world.catalog();
        let record = catalog.pools().unwrap().remove(0);
        let record = convoy_catalog::Pool {
            initialised: false,
            ..record
        };
        catalog.apply(&[Change::PutPool(record)]).unwrap();
    };
    // Formatted, and nobody wrote that down.
    unmade();
    world.open(&[]).stop().unwrap();
    // Not formatted.
    unmade();
    convoy_thinpool::blockdev::zero_first_block(&pool.metadata_device).unwrap();
    let engine = world.open(&[]);
    assert_eq!(engine.info().unwrap().pool.uuid, pool.uuid);
    volume(&engine, "v", SIZE);
    engine.stop().unwrap();
    // A pool with a volume is not freshly formatted, whatever the record says.
    unmade();
    let before = head(&pool.metadata_device);
    let (kind, words) = world.refused(&[]);
    assert_eq!(kind, Kind::Conflict, "{words}");
    assert!(head(&pool.metadata_device) == before);
}

/// A mount that is recorded for a volume of another boot is done again, not believed.
#[test]
fn a_mount_that_is_only_recorded_is_made() {
    let world = World::new("recorded");
    let engine = world.open(&[]);
    let made = volume(&engine, "v", SIZE);
    drop(engine);
    let target = world.path("target");
    fs::create_dir(&target).unwrap();
    let mount = Mount {
        volume: made.uuid,
        target: target.clone(),
        wanted: true,
        boot: "another".to_owned(),
        created: Timestamp::now(),
    };
    world.catalog().apply(&[Change::PutMount(mount)]).unwrap();
    let engine = world.open(&[]);
    assert_eq!(engine.volume(&name("v")).unwrap().mountpoint, Some(target));
    engine.stop().unwrap();
}
