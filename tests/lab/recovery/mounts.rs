//! Mounts and volumes that come back, and those that cannot and stop nobody.

use crate::verbs::{SIZE, dm_name, mount, name, recovered, refusal, silent, volume};
use crate::world::{World, sweep};
use convoy_catalog::{Change, Mount};
use convoy_engine::VolumeState;
use convoy_fault::Kind;
use convoy_tests::command::tool as run;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

#[test]
fn wanted_mounts_come_back_and_a_place_that_is_gone_stops_nobody() {
    let (world, engine) = World::opened("mounts");
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
        let at = at.map(PathBuf::as_path);
        let mounted = engine.mount_volume(volume, at, &silent()).unwrap();
        targets.insert(volume.clone(), mounted.mountpoint.unwrap());
        fs::write(targets[volume].join("file"), volume.as_str()).unwrap();
    }
    engine.unmount_volume(&idle, &silent()).unwrap();
    drop(engine);
    nix::unistd::sync();
    sweep();
    fs::remove_dir(&gone).unwrap();

    let engine = world.open(&[]);

    let said = recovered(&engine);
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
    let (world, engine) = World::opened("broken");
    for label in ["a", "b", "c"] {
        volume(&engine, label, SIZE);
        mount(&engine, label);
    }
    let broken = engine.volume(&name("b")).unwrap();
    drop(engine);
    sweep();
    // Somebody else's device has the name.
    let device = dm_name(&broken.device);
    run("dmsetup", &["create", device, "--table", "0 1000 error"]);

    let engine = world.open(&[]);

    let states: Vec<VolumeState> = engine.volumes().unwrap().iter().map(|v| v.state).collect();
    let (ready, broken_now) = (VolumeState::Ready, VolumeState::Broken);
    assert_eq!(states, [ready, broken_now, ready]);
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

/// A mount that is recorded for a volume of another boot is done again, not believed.
#[test]
fn a_mount_that_is_only_recorded_is_made() {
    let (world, engine) = World::opened("recorded");
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
