//! What a kill leaves held: suspended volumes, metadata snapshots, pins and devices.

use super::{POOL, all_is_settled, bring_up, set_transaction};
use crate::verbs::{SIZE, delete_snapshot, dm_name, mount, name, recovered, snapshot, volume};
use crate::world::{World, sweep};
use convoy_catalog::{Change, Pin};
use convoy_fault::Kind;
use convoy_tests::command::tool as run;
use convoy_tests::mapper;
use std::fs;
use std::time::Duration;
use uuid::Uuid;

/// Killed between the suspension and the resumption: everybody who writes to the volume hangs.
#[test]
fn a_suspended_volume_is_resumed() {
    let (world, engine) = World::opened("suspended");
    let device = volume(&engine, "v", SIZE).device;
    let target = mount(&engine, "v");
    drop(engine);
    mapper::suspend(dm_name(&device));
    let writer = std::thread::spawn(move || {
        fs::write(target.join("file"), "through").unwrap();
        run("sync", &["--file-system", target.to_str().unwrap()]);
    });
    std::thread::sleep(Duration::from_millis(300));
    assert!(!writer.is_finished(), "it is held");

    let engine = world.open(&[]);

    writer.join().unwrap();
    let said = recovered(&engine);
    assert!(
        said[0].contains(dm_name(&device)) && said[0].contains("suspended"),
        "{said:?}"
    );
    engine.stop().unwrap();
}

/// Killed inside a snapshot, and then a start that is refused: whoever writes must not wait for an operator.
#[test]
fn a_suspended_volume_is_resumed_by_a_start_that_is_refused() {
    let (world, engine) = World::opened("suspended-refused");
    let device = volume(&engine, "v", SIZE).device;
    let pool = engine.info().unwrap().pool.uuid;
    drop(engine);
    set_transaction(&world, pool, 7);
    mapper::suspend(dm_name(&device));

    let (kind, words) = world.refused(&[]);

    assert_eq!(kind, Kind::PoolUnhealthy, "{words}");
    assert!(!mapper::is_suspended(dm_name(&device)));
    set_transaction(&world, pool, 1);
    world.open(&[]).stop().unwrap();
}

#[test]
fn what_an_interrupted_backup_leaves_is_cleared() {
    let (world, engine) = World::opened("backup-left");
    volume(&engine, "v", SIZE);
    let snapshot = snapshot(&engine, "v", "s");
    let pool = engine.info().unwrap().pool.uuid;
    drop(engine);
    // A pin, a metadata snapshot, the snapshot's device.
    let pin = Pin {
        snapshot: snapshot.uuid,
        op: Uuid::now_v7(),
        why: "it is being backed up".to_owned(),
    };
    world.catalog().apply(&[Change::PutPin(pin)]).unwrap();
    mapper::message(POOL, "reserve_metadata_snap");
    let device = bring_up(pool, snapshot.uuid, snapshot.dev_id, SIZE, &["--readonly"]);

    let engine = world.open(&[]);

    let said = recovered(&engine);
    assert!(
        said.iter().any(|s| s.contains("took down device")),
        "{said:?}"
    );
    assert_eq!(mapper::held_root(POOL), "-");
    assert!(!mapper::devices().contains(&device));
    delete_snapshot(&engine, "s");
    all_is_settled(&engine);
    engine.stop().unwrap();
}

/// A metadata snapshot that nobody releases keeps every metadata block it has: the pool's metadata fills.
#[test]
fn a_stale_metadata_snapshot_is_released_and_told() {
    let (world, engine) = World::opened("held-root");
    volume(&engine, "v", SIZE);
    drop(engine);
    mapper::message(POOL, "reserve_metadata_snap");
    assert_ne!(mapper::held_root(POOL), "-");
    sweep();

    let engine = world.open(&[]);

    let said = recovered(&engine);
    assert!(
        said.iter().any(|s| s.contains("metadata snapshot")),
        "{said:?}"
    );
    assert_eq!(mapper::held_root(POOL), "-");
    engine.volume(&name("v")).unwrap();
    engine.stop().unwrap();
}
