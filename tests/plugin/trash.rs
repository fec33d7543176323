//! What removing a volume means, and how it is had back.

use crate::desk::{BLOCK, BLOCKS, Desk};
use convoy_engine::{CreateVolume, Operation};
use convoy_fault::{Fault, Kind};
use convoy_names::VolumeName;
use convoy_thinpool::Control;
use serde_json::json;
use std::time::{Duration, Instant};

fn name(text: &str) -> VolumeName {
    text.parse().unwrap()
}

#[test]
fn a_volume_made_anew_by_compose_is_not_lost() {
    let desk = Desk::new();
    let daemon = desk.start();
    daemon.create("db", &json!({}));
    let first = daemon.get("db")["Status"]["uuid"].clone();
    daemon.ok("Remove", &json!({ "Name": "db" }));
    // Its name is free at once.
    daemon.create("db", &json!({ "size": "640K" }));
    assert_ne!(daemon.get("db")["Status"]["uuid"], first);
    let engine = &daemon.engine;
    let trash = engine.trash().unwrap();
    assert_eq!((trash.len(), trash[0].name.as_str()), (1, "db"));
    assert!(trash[0].left > Duration::from_hours(23));
    assert_eq!(
        engine.volumes().unwrap().len(),
        1,
        "out of everybody's sight"
    );
    assert_eq!(engine.figures().unwrap().volumes.len(), 1);
    let op = Operation::silent();
    let taken = engine.undelete_volume(&name("db"), None, &op).unwrap_err();
    assert_eq!(taken.kind(), Kind::Conflict);
    assert!(taken.hint().unwrap().contains("--name"));
    let back = engine
        .undelete_volume(&name("db"), Some(&name("db-old")), &op)
        .unwrap();
    assert_eq!(json!(back.uuid.to_string()), first);
    daemon.mount("db-old", "a");
    assert!(engine.trash().unwrap().is_empty());
    let missing = engine.undelete_volume(&name("db"), None, &op).unwrap_err();
    assert_eq!(missing.kind(), Kind::NotFound);
}

#[test]
fn of_several_the_last_one_comes_back_and_a_uuid_names_any() {
    let desk = Desk::new();
    let daemon = desk.start();
    let mut uuids = Vec::new();
    for _ in 0..3 {
        daemon.create("v", &json!({}));
        uuids.push(
            daemon.get("v")["Status"]["uuid"]
                .as_str()
                .unwrap()
                .to_owned(),
        );
        daemon.ok("Remove", &json!({ "Name": "v" }));
    }
    let (engine, op) = (&daemon.engine, Operation::silent());
    let back = engine.undelete_volume(&name("v"), None, &op).unwrap();
    assert_eq!(back.uuid.to_string(), uuids[2]);
    let back = engine
        .undelete_volume(&name(&uuids[0]), Some(&name("w")), &op)
        .unwrap();
    assert_eq!(back.uuid.to_string(), uuids[0]);
    let gone = engine.empty_trash(None, &op).unwrap();
    assert_eq!(
        (gone.len(), gone[0].uuid.to_string()),
        (1, uuids[1].clone())
    );
    assert_eq!(engine.volumes().unwrap().len(), 2);
}

#[test]
fn the_trash_outlives_the_daemon_and_its_snapshots_come_back() {
    let desk = Desk::new();
    let daemon = desk.start();
    daemon.create("v", &json!({}));
    let op = Operation::silent();
    daemon
        .engine
        .create_snapshot(&name("v"), Some(&"s".parse().unwrap()), &op)
        .unwrap();
    daemon.ok("Remove", &json!({ "Name": "v" }));
    assert!(daemon.engine.snapshots(None).unwrap().is_empty());
    assert_eq!(
        daemon
            .engine
            .snapshot(&"s".parse().unwrap())
            .unwrap_err()
            .kind(),
        Kind::NotFound
    );
    daemon.stop();
    let daemon = desk.start();
    assert_eq!(daemon.engine.trash().unwrap()[0].snapshots, 1);
    daemon
        .engine
        .undelete_volume(&name("v"), None, &op)
        .unwrap();
    assert_eq!(daemon.engine.snapshots(None).unwrap().len(), 1);
    daemon.mount("v", "a");
}

#[test]
fn what_removal_means_is_said_by_the_volume() {
    let desk = Desk::new();
    let daemon = desk.start();
    for word in ["trash", "delete", "keep"] {
        daemon.create(word, &json!({ "on-remove": word }));
        assert_eq!(daemon.get(word)["Status"]["on_remove"], word);
        daemon.ok("Remove", &json!({ "Name": word }));
    }
    daemon.get("keep");
    daemon.refused("Get", &json!({ "Name": "trash" }));
    let trash = daemon.engine.trash().unwrap();
    assert_eq!((trash.len(), trash[0].name.as_str()), (1, "trash"));
}

#[test]
fn the_trash_is_emptied_when_its_time_is_over() {
    let mut desk = Desk::new();
    desk.grace = Duration::from_secs(2);
    let daemon = desk.start();
    daemon.create("v", &json!({}));
    daemon.ok("Remove", &json!({ "Name": "v" }));
    assert_eq!(daemon.engine.trash().unwrap().len(), 1);
    let begin = Instant::now();
    while !daemon.engine.trash().unwrap().is_empty() {
        assert!(begin.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(begin.elapsed() > Duration::from_secs(1));
    let told = daemon.engine.pool_events();
    assert!(
        told.iter()
            .any(|event| event.what.contains("volume v: its time")),
        "{told:?}"
    );
}

#[test]
fn a_pool_without_room_empties_the_trash_the_oldest_first() {
    let desk = Desk::new();
    let mut daemon = desk.start();
    daemon.look_away();
    for (volume, blocks) in [("old", 100), ("young", 100), ("used", 50)] {
        daemon.create(volume, &json!({ "size": format!("{}", blocks * BLOCK) }));
        let uuid = daemon.get(volume)["Status"]["uuid"]
            .as_str()
            .unwrap()
            .to_owned();
        let all = desk.table.kernel.list().unwrap();
        let device = all
            .iter()
            .find(|listed| listed.name.to_string().contains(&uuid.replace('-', "")));
        let names: Vec<String> = all.iter().map(|listed| listed.name.to_string()).collect();
        let device = device.unwrap_or_else(|| panic!("{uuid} in {names:?}"));
        for block in 0..blocks {
            desk.table
                .kernel
                .write_block(&device.name, block, None)
                .unwrap();
        }
    }
    const { assert!(BLOCKS < 257, "the three of them fill it") };
    daemon.ok("Remove", &json!({ "Name": "old" }));
    daemon.ok("Remove", &json!({ "Name": "young" }));
    let request = CreateVolume {
        name: Some(name("new")),
        ..CreateVolume::default()
    };
    daemon
        .engine
        .create_volume(&request, &Operation::silent())
        .unwrap();
    let trash = daemon.engine.trash().unwrap();
    assert_eq!(
        (trash.len(), trash[0].name.as_str()),
        (1, "young"),
        "no more than is needed"
    );
    let told = daemon.engine.pool_events();
    assert!(
        told.iter()
            .any(|event| event.what.contains("volume old: the pool is short")),
        "{told:?}"
    );
}
