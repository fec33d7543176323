//! Where volumes are mounted, and who holds them.

use crate::verbs::{SIZE, delete_volume, mount, name, refusal, silent, unmount, volume};
use crate::world::World;
use convoy_engine::VolumeState;
use convoy_fault::Kind;
use convoy_tests::command::tool as run;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

#[test]
fn a_mounted_volume_is_not_deleted() {
    let (world, engine) = World::opened("mounted");
    volume(&engine, "v", SIZE);
    let target = mount(&engine, "v");
    fs::write(target.join("file"), "kept").unwrap();
    let (kind, words) = refusal(engine.delete_volume(&name("v"), &silent()));
    assert_eq!(kind, Kind::Busy, "{words}");
    assert!(
        words.contains("Cannot delete volume v, it hasn't been umounted"),
        "{words}"
    );
    assert!(words.contains(target.to_str().unwrap()), "{words}");
    assert_eq!(fs::read(target.join("file")).unwrap(), b"kept");
    // A place that we did not choose and do not know of counts as well.
    unmount(&engine, "v");
    let beside = world.path("beside");
    fs::create_dir(&beside).unwrap();
    let device = engine.volume(&name("v")).unwrap().device;
    run(
        "mount",
        &[device.to_str().unwrap(), beside.to_str().unwrap()],
    );
    assert_eq!(
        refusal(engine.delete_volume(&name("v"), &silent())).0,
        Kind::Busy
    );
    assert_eq!(fs::read(beside.join("file")).unwrap(), b"kept");
    run("umount", &[beside.to_str().unwrap()]);
    delete_volume(&engine, "v");
    engine.stop().unwrap();
}

#[test]
fn a_volume_is_mounted_at_one_place() {
    let (world, engine) = World::opened("places");
    volume(&engine, "v", SIZE);
    volume(&engine, "w", SIZE);
    let (here, there) = (world.path("here"), world.path("there with space"));
    for place in [&here, &there] {
        fs::create_dir(place).unwrap();
    }
    let at =
        |volume: &str, place: &Path| engine.mount_volume(&name(volume), Some(place), &silent());
    let first = at("v", &there).unwrap();
    assert_eq!(first.mountpoint.as_deref(), Some(there.as_path()));
    assert_eq!(
        at("v", &there).unwrap().mountpoint,
        first.mountpoint,
        "again is no change"
    );
    let entries = |place: &Path| {
        let mounts = convoy_mount::mounts().unwrap();
        mounts
            .into_iter()
            .filter(|mount| mount.target == place)
            .count()
    };
    assert_eq!(entries(&there), 1);
    let (kind, words) = refusal(at("v", &here));
    assert_eq!(kind, Kind::Conflict, "{words}");
    assert!(words.contains("was already mounted at"), "{words}");
    let (kind, words) = refusal(engine.mount_volume(&name("v"), None, &silent()));
    assert_eq!(
        kind,
        Kind::Conflict,
        "the default place is another one too: {words}"
    );
    let (kind, words) = refusal(at("w", &there));
    assert_eq!(kind, Kind::Conflict, "{words}");
    // Through a symbolic link it is the same place.
    std::os::unix::fs::symlink(&there, world.path("link")).unwrap();
    assert_eq!(
        at("v", &world.path("link")).unwrap().mountpoint,
        first.mountpoint
    );
    for (wrong, why) in [
        (Path::new("relative"), "absolute"),
        (&world.path("no"), "No such file"),
    ] {
        let (kind, words) = refusal(at("w", wrong));
        assert_eq!(
            (kind, words.contains(why)),
            (Kind::Invalid, true),
            "{words}"
        );
    }
    fs::write(world.path("file"), "").unwrap();
    assert_eq!(refusal(at("w", &world.path("file"))).0, Kind::Invalid);
    assert_eq!(engine.volume(&name("w")).unwrap().mountpoint, None);
    engine.stop().unwrap();
    assert_eq!(entries(&there), 0);
}

/// The original looked for a volume's device name anywhere in the lines of the mount table: with `vol10`
/// mounted, `vol1` counted as mounted, could not be deleted, and was "unmounted" from the other's place.
#[test]
fn a_volume_whose_name_begins_anothers_is_itself() {
    let (_, engine) = World::opened("prefix");
    volume(&engine, "vol1", SIZE);
    volume(&engine, "vol10", SIZE);
    let target = mount(&engine, "vol10");
    fs::write(target.join("file"), "kept").unwrap();
    assert_eq!(engine.volume(&name("vol1")).unwrap().mountpoint, None);
    unmount(&engine, "vol1");
    assert_eq!(
        engine.volume(&name("vol10")).unwrap().mountpoint.as_deref(),
        Some(target.as_path())
    );
    let other = mount(&engine, "vol1");
    assert_ne!(other, target);
    assert!(!other.join("file").exists());
    unmount(&engine, "vol1");
    delete_volume(&engine, "vol1");
    assert_eq!(fs::read(target.join("file")).unwrap(), b"kept");
    engine.stop().unwrap();
}

#[test]
fn who_holds_a_volume_is_named_and_it_stays() {
    let (_, engine) = World::opened("held");
    let made = volume(&engine, "v", SIZE);
    let mut sleeper = Command::new("sleep")
        .arg("600")
        .stdin(fs::File::open(&made.device).unwrap())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let named = format!("sleep (pid {}", sleeper.id());
    let (kind, words) = refusal(engine.delete_volume(&name("v"), &silent()));
    assert_eq!(
        (kind, words.contains(&named)),
        (Kind::Busy, true),
        "{words}"
    );
    assert_eq!(engine.volume(&name("v")).unwrap().state, VolumeState::Ready);
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();

    let target = mount(&engine, "v");
    let mut sleeper = Command::new("sleep")
        .arg("600")
        .current_dir(&target)
        .spawn()
        .unwrap();
    let named = format!("sleep (pid {}", sleeper.id());
    let (kind, words) = refusal(engine.unmount_volume(&name("v"), &silent()));
    assert_eq!(
        (kind, words.contains(&named)),
        (Kind::Busy, true),
        "{words}"
    );
    assert_eq!(engine.volume(&name("v")).unwrap().mountpoint, Some(target));
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    unmount(&engine, "v");
    delete_volume(&engine, "v");
    engine.stop().unwrap();
}

/// A filesystem that somebody mounted over a volume's own place is not ours to take away.
#[test]
fn what_lies_over_a_volume_is_not_unmounted() {
    let (_, engine) = World::opened("covered");
    volume(&engine, "v", SIZE);
    let target = mount(&engine, "v");
    let place = target.to_str().unwrap();
    run("mount", &["-t", "tmpfs", "over", place]);
    fs::write(target.join("theirs"), "kept").unwrap();
    let (kind, words) = refusal(engine.unmount_volume(&name("v"), &silent()));
    assert_eq!(kind, Kind::Busy, "{words}");
    assert_eq!(fs::read(target.join("theirs")).unwrap(), b"kept");
    assert_eq!(
        refusal(engine.delete_volume(&name("v"), &silent())).0,
        Kind::Busy
    );
    run("umount", &[place]);
    unmount(&engine, "v");
    engine.stop().unwrap();
}
