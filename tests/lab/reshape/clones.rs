//! A volume of a snapshot.

use super::{BLOCK, clone, ext4, write};
use crate::verbs::{
    SIZE, back_up, delete_snapshot, delete_volume, is_sound, mount, name, refusal, restore, silent,
    snapshot, unmount, volume,
};
use crate::world::World;
use convoy_engine::CreateVolume;
use convoy_fault::Kind;
use convoy_names::SnapshotRef;
use convoy_tests::command::{tool as run, word};
use convoy_tests::disk::digest;
use convoy_units::Bytes;
use std::fs;

#[test]
fn a_clone_is_a_volume_of_its_own() {
    let (world, engine) = World::opened("clone");
    let origin = volume(&engine, "v", SIZE);
    let at = mount(&engine, "v");
    write(&at.join("file"), b"then");
    // Taken while mounted: its journal is to be replayed.
    snapshot(&engine, "v", "s");
    write(&at.join("file"), b"now");
    let copy = clone(&engine, "s", "c", None);
    assert_eq!((copy.size, copy.filesystem.as_str()), (SIZE, "ext4"));
    assert_ne!(copy.dev_id, origin.dev_id);
    assert_eq!(ext4(&copy.device).1, copy.uuid, "an identity of its own");
    assert_eq!(ext4(&origin.device).1, origin.uuid);
    run("e2fsck", &["-fn", word(&copy.device)]);
    // Both at once, and neither sees the other's writes.
    let there = mount(&engine, "c");
    assert_eq!(fs::read(there.join("file")).unwrap(), b"then");
    assert!(!there.join("lost+found").exists());
    write(&there.join("file"), b"the clone's");
    assert_eq!(fs::read(at.join("file")).unwrap(), b"now");
    // Its snapshot and its origin may go.
    unmount(&engine, "v");
    delete_snapshot(&engine, "s");
    delete_volume(&engine, "v");
    assert_eq!(fs::read(there.join("file")).unwrap(), b"the clone's");
    snapshot(&engine, "c", "cs");
    let backup = back_up(&engine, "cs", &world.dest()).backup;
    assert_eq!(backup.base, None, "it is nobody's increment");
    unmount(&engine, "c");
    is_sound(&engine, &backup.url);
    let back = restore(&engine, "back", &backup.url);
    let at = mount(&engine, "back");
    assert_eq!(fs::read(at.join("file")).unwrap(), b"the clone's");
    unmount(&engine, "back");
    run("e2fsck", &["-fn", word(&back.device)]);
    engine.stop().unwrap();
    // The data device is known again by a clone's filesystem.
    let engine = world.open(&[]);
    mount(&engine, "c");
    engine.stop().unwrap();
}

#[test]
fn a_clone_may_be_larger_and_is_never_smaller() {
    let (_, engine) = World::opened("clone-size");
    volume(&engine, "v", SIZE);
    let at = mount(&engine, "v");
    write(&at.join("file"), b"kept");
    let taken = snapshot(&engine, "v", "s");
    let large = Bytes(SIZE.0 * 4);
    let copy = clone(&engine, "s", "c", Some(large));
    assert_eq!(copy.size, large);
    let there = mount(&engine, "c");
    assert_eq!(ext4(&copy.device).0, large.0, "the filesystem follows");
    assert_eq!(fs::read(there.join("file")).unwrap(), b"kept");
    unmount(&engine, "c");
    run("e2fsck", &["-fn", word(&copy.device)]);
    let ask = |size: u64, filesystem: Option<&str>, backup: Option<&str>| {
        let request = CreateVolume {
            name: Some(name("no")),
            from_snapshot: Some(name("v@s")),
            size: Some(Bytes(size)),
            filesystem: filesystem.map(str::to_owned),
            backup: backup.map(str::to_owned),
            ..CreateVolume::default()
        };
        refusal(engine.create_volume(&request, &silent()))
    };
    let before = digest(&taken_device(&engine));
    for (size, filesystem, words) in [
        (SIZE.0 - BLOCK, None, "its filesystem takes them all"),
        (SIZE.0 + 512, None, "multiple of block size"),
        (SIZE.0, Some("xfs"), "the snapshot holds an ext4"),
    ] {
        let (kind, said) = ask(size, filesystem, None);
        assert_eq!(kind, Kind::Invalid, "{said}");
        assert!(said.contains(words), "{said}");
    }
    let missing = CreateVolume {
        from_snapshot: Some(name::<SnapshotRef>("nothing")),
        ..CreateVolume::default()
    };
    let said = refusal(engine.create_volume(&missing, &silent()));
    assert_eq!(said.0, Kind::NotFound, "{}", said.1);
    assert!(engine.volume(&name("no")).is_err());
    assert_eq!(engine.snapshot(&name("s")).unwrap().dev_id, taken.dev_id);
    assert_eq!(before, digest(&taken_device(&engine)));
    engine.stop().unwrap();
}

/// The device of the volume that the refusals are about.
fn taken_device(engine: &convoy_engine::Engine) -> std::path::PathBuf {
    unmount(engine, "v");
    engine.volume(&name("v")).unwrap().device
}
