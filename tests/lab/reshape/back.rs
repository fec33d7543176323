//! A volume rolled back.

use super::{BLOCK, write};
use crate::verbs::{
    SIZE, back_up, delete_snapshot, delete_volume, done, mount, name, refusal, restore, silent,
    snapshot, thin_ids, unmount, volume,
};
use crate::world::{World, write_device};
use convoy_engine::{Created, Engine, Operation, RolledBack};
use convoy_fault::Kind;
use convoy_tests::command::{tool as run, word};
use convoy_tests::disk::digest;
use convoy_tests::noise::noise;
use convoy_units::Bytes;
use std::fs;

#[track_caller]
fn roll_back(engine: &Engine, snapshot: &str) -> RolledBack {
    done(engine.roll_back(&name(snapshot), &silent())).into_inner()
}

#[test]
fn a_volume_becomes_what_its_snapshot_was_and_can_go_forth_again() {
    let (world, engine) = World::opened("rollback");
    let made = volume(&engine, "v", SIZE);
    let at = mount(&engine, "v");
    write(&at.join("file"), b"then");
    snapshot(&engine, "v", "s");
    write(&at.join("file"), b"now");
    let said = refusal(engine.roll_back(&name("s"), &silent()));
    assert_eq!(said.0, Kind::Busy, "{}", said.1);
    assert!(said.1.contains("convoy umount v"), "{}", said.1);
    unmount(&engine, "v");
    let held = fs::File::open(&made.device).unwrap();
    let said = refusal(engine.roll_back(&name("s"), &silent()));
    assert_eq!(said.0, Kind::Busy, "{}", said.1);
    drop(held);
    assert_eq!(engine.snapshots(None).unwrap().len(), 1, "refused whole");

    let op = Operation::silent();
    let back = done(engine.roll_back(&name("s"), &op));
    let Created::New(back) = back else {
        panic!("{back:?}")
    };
    assert_eq!(
        (back.volume.uuid, &back.volume.name, &back.volume.device),
        (made.uuid, &made.name, &made.device),
        "nothing that finds it knows of it"
    );
    assert_eq!(back.safety.dev_id, made.dev_id, "nothing was copied");
    assert!(back.safety.name.as_str().starts_with("before-rollback-"));
    let again = done(engine.roll_back(&name("s"), &op));
    assert!(matches!(again, Created::Unchanged(_)), "{again:?}");
    let at = mount(&engine, "v");
    assert_eq!(fs::read(at.join("file")).unwrap(), b"then");
    unmount(&engine, "v");
    run("e2fsck", &["-fn", word(&made.device)]);
    // After a restart too, and forth again.
    engine.stop().unwrap();
    let engine = world.open(&[]);
    let safety = back.safety.name.to_string();
    roll_back(&engine, &safety);
    let at = mount(&engine, "v");
    assert_eq!(fs::read(at.join("file")).unwrap(), b"now");
    unmount(&engine, "v");
    assert_eq!(engine.snapshots(None).unwrap().len(), 3);
    delete_snapshot(&engine, "s");
    delete_snapshot(&engine, &safety);
    let at = mount(&engine, "v");
    assert_eq!(fs::read(at.join("file")).unwrap(), b"now");
    unmount(&engine, "v");
    delete_volume(&engine, "v");
    assert_eq!(thin_ids(&engine), Vec::<String>::new());
    engine.stop().unwrap();
}

/// A base is chosen by identity, and compared by what the pool's metadata says of two devices: how a volume came to
/// its device does not count. Its size may have shrunk meanwhile, too.
#[test]
fn increments_across_a_rollback_are_right() {
    let (world, engine) = World::opened("rollback-backup");
    let made = volume(&engine, "v", SIZE);
    write_device(&made.device, 10 * BLOCK, &noise(1, 1 << 20));
    snapshot(&engine, "v", "one");
    let one = digest(&made.device);
    let first = back_up(&engine, "one", &world.dest());
    let large = Bytes(SIZE.0 + 5 * BLOCK);
    done(engine.resize_volume(&name("v"), large, &silent()));
    write_device(&made.device, 10 * BLOCK, &noise(2, 1 << 20));
    write_device(&made.device, SIZE.0 + BLOCK, &noise(3, 1 << 20));
    snapshot(&engine, "v", "two");
    let second = back_up(&engine, "two", &world.dest());
    assert_eq!(second.backup.base, Some(first.backup.uuid));

    let back = roll_back(&engine, "one");
    assert_eq!((back.volume.size, back.safety.size), (SIZE, large));
    assert_eq!(digest(&made.device), one);
    write_device(&made.device, 20 * BLOCK, &noise(4, 1 << 20));
    snapshot(&engine, "v", "three");
    let three = digest(&made.device);
    let third = back_up(&engine, "three", &world.dest());
    assert_eq!(third.backup.base, Some(second.backup.uuid), "an increment");
    let restored = restore(&engine, "back-three", &third.backup.url);
    assert_eq!((restored.size, digest(&restored.device)), (SIZE, three));

    // And larger again: what lay beyond is not come back to.
    done(engine.resize_volume(&name("v"), large, &silent()));
    snapshot(&engine, "v", "four");
    let four = digest(&made.device);
    let fourth = back_up(&engine, "four", &world.dest());
    assert_eq!(fourth.backup.base, Some(third.backup.uuid), "an increment");
    let restored = restore(&engine, "back-four", &fourth.backup.url);
    assert_eq!((restored.size, digest(&restored.device)), (large, four));
    engine.stop().unwrap();
}
