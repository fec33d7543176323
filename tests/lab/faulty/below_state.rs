//! Faults of the filesystem that holds the state directory: every verb works or is refused in words, and nothing
//! is lost.

use super::Stage;
use super::device::Kind as Fault;
use crate::verbs::{
    SIZE, mount, name, silent, snapshot, thin_ids, unmount, volume, volume_names, volume_request,
};
use convoy_engine::Engine;
use convoy_fault::Fault as _;
use convoy_tests::command::{run, tool};
use std::fs;
use std::process::Command;

/// Every verb that changes something. Each may be refused, none may say it worked when it did not.
#[track_caller]
fn try_all(engine: &Engine, round: &str) -> Vec<String> {
    let said = |what: &str, result: Result<(), convoy_engine::Error>| match result {
        Ok(()) => format!("{what}: done"),
        Err(error) => {
            let words = convoy_fault::chain(&error);
            assert!(!words.is_empty());
            format!("{what}: {} {words}", error.kind())
        }
    };
    let volume = format!("new-{round}");
    let snapshot = format!("snap-{round}");
    vec![
        said(
            "create",
            engine
                .create_volume(&volume_request(&volume, SIZE), &silent())
                .map(drop),
        ),
        said(
            "snapshot",
            engine
                .create_snapshot(&name("keep"), Some(&name(&snapshot)), &silent())
                .map(drop),
        ),
        said("umount", engine.unmount_volume(&name("keep"), &silent())),
        said(
            "mount",
            engine
                .mount_volume(&name("keep"), None, &silent())
                .map(drop),
        ),
        said("delete", engine.delete_volume(&name("spare"), &silent())),
    ]
}

/// What was reported as done is there; catalog and pool agree, device by device.
#[track_caller]
fn agrees(engine: &Engine, said: &[String], round: &str) {
    let volumes = volume_names(engine);
    let has = |name: &str| volumes.iter().any(|volume| volume == name);
    assert!(has("keep"));
    let done = |what: &str| said.iter().any(|line| line == &format!("{what}: done"));
    if done("create") {
        assert!(has(&format!("new-{round}")), "{volumes:?} {said:?}");
    }
    if done("delete") {
        assert!(!has("spare"), "{volumes:?} {said:?}");
    }
    let snapshots = engine.snapshots(None).unwrap();
    if done("snapshot") {
        let wanted = format!("snap-{round}");
        assert!(
            snapshots.iter().any(|s| s.name.as_str() == wanted),
            "{said:?}"
        );
    }
    let known = engine.volumes().unwrap().len() + snapshots.len();
    assert_eq!(thin_ids(engine).len(), known, "{said:?}");
}

#[track_caller]
fn round(
    stage: &Stage,
    mut engine: Engine,
    name: &str,
    fault: impl FnOnce(),
    cure: impl FnOnce(),
) -> Engine {
    if !volume_names(&engine).contains(&"spare".to_owned()) {
        volume(&engine, "spare", SIZE);
    }
    fault();
    let said = try_all(&engine, name);
    println!("{name}: {said:#?}");
    // What can only be read is.
    let listed = engine.volumes();
    assert!(listed.is_ok() || name == "gone", "{listed:?}");
    cure();
    // A restart settles what was begun.
    drop(engine);
    engine = stage.open();
    println!("{name}: {:?}", engine.info().unwrap().recovered);
    agrees(&engine, &said, name);
    let after = format!("after-{name}");
    volume(&engine, &after, SIZE);
    snapshot(&engine, "keep", &after);
    mount(&engine, "keep");
    let kept = engine
        .volume(&crate::verbs::name("keep"))
        .unwrap()
        .mountpoint
        .unwrap();
    assert_eq!(fs::read_to_string(kept.join("file")).unwrap(), "is kept");
    engine
        .delete_volume(&crate::verbs::name(&after), &silent())
        .unwrap();
    engine
}

/// Full and slow: one after the other over the same pool.
#[test]
fn whatever_the_state_directory_suffers_from_nothing_is_lost() {
    let stage = Stage::new("state");
    let engine = stage.open();
    volume(&engine, "keep", SIZE);
    let target = mount(&engine, "keep");
    fs::write(target.join("file"), "is kept").unwrap();
    nix::unistd::sync();
    let root = stage.world.root();
    let ballast = root.join("ballast");
    let engine = round(
        &stage,
        engine,
        "full",
        || {
            // Until not one block more can be had.
            let words = format!("cat /dev/zero > {} 2>/dev/null; sync", ballast.display());
            tool("sh", &["-c", &format!("{words}; true")]);
        },
        || fs::remove_file(&ballast).unwrap(),
    );
    let engine = round(
        &stage,
        engine,
        "slow",
        || stage.state.becomes(Fault::Slow(40)),
        || stage.state.becomes(Fault::Sound),
    );
    unmount(&engine, "keep");
    engine.stop().unwrap();
}

/// The disk below it refuses writes, or its filesystem is read-only: the engine says so, the pool is well, and
/// after the filesystem was mounted anew all is as it was acknowledged.
#[test]
fn a_state_directory_that_takes_no_writes_loses_nothing_that_was_acknowledged() {
    let stage = Stage::new("state-stops");
    let root = stage.world.root();
    let engine = stage.open();
    volume(&engine, "keep", SIZE);
    volume(&engine, "spare", SIZE);
    nix::unistd::sync();
    stage.state.becomes(Fault::WritesFail);
    let engine = refuses_all(&stage, engine, "eio");
    // As ext4 does by itself at an error of its own metadata.
    let place = root.to_str().unwrap();
    tool("mount", &["-o", "remount,abort", place]);
    let engine = refuses_all(&stage, engine, "aborted");
    engine.stop().unwrap();
    tool("mount", &["-o", "remount,ro", place]);
    let (_, words) = stage.world.refused(&stage.options());
    assert!(words.contains("ead-only"), "{words}");
    tool("mount", &["-o", "remount,rw", place]);
    stage.open().stop().unwrap();
}

/// Nothing that needs the catalog is said to be done; then the disk is well, and all is there.
#[track_caller]
fn refuses_all(stage: &Stage, engine: Engine, round: &str) -> Engine {
    let said = try_all(&engine, round);
    println!("{said:#?}");
    assert!(
        said.iter().all(|line| !line.ends_with(": done")),
        "{said:#?}"
    );
    engine.look_after_pool();
    assert_eq!(engine.info().unwrap().pool.mode, "rw", "the pool is well");
    assert!(engine.volumes().is_ok());
    drop(engine);
    stage.state.becomes(Fault::Sound);
    let root = stage.world.root();
    let own = root.join("mounts");
    for mount in convoy_mount::mounts().unwrap() {
        if mount.target.starts_with(&own) {
            nix::mount::umount(&mount.target).unwrap();
        }
    }
    nix::mount::umount(&root).unwrap();
    // 1: what ext4 had not written of its counters is put right.
    let checked = run(Command::new("e2fsck").args(["-fy", stage.state.word()]));
    assert!(matches!(checked.code, Some(0 | 1)), "{checked:?}");
    tool("mount", &[stage.state.word(), root.to_str().unwrap()]);
    let engine = stage.open();
    println!("{round}: {:?}", engine.info().unwrap().recovered);
    agrees(&engine, &said, round);
    engine
}
