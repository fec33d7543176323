//! A volume made larger.

use super::{BLOCK, ext4, write};
use crate::verbs::{
    SIZE, back_up, dm_name, done, mount, name, refusal, restore, silent, snapshot, unmount, volume,
};
use crate::world::{World, write_device};
use convoy_engine::{Engine, ResizedVolume};
use convoy_fault::Kind;
use convoy_tests::command::{tool as run, word};
use convoy_tests::disk::digest;
use convoy_tests::noise::noise;
use convoy_thinpool::blockdev;
use convoy_units::Bytes;
use std::fs;

#[track_caller]
fn resize(engine: &Engine, volume: &str, size: Bytes) -> ResizedVolume {
    done(engine.resize_volume(&name(volume), size, &silent()))
}

#[test]
fn a_mounted_volume_grows_under_its_writers() {
    let (world, engine) = World::opened("resize");
    let made = volume(&engine, "v", SIZE);
    let at = mount(&engine, "v");
    write(&at.join("before"), &noise(1, 8 << 20));
    let old = snapshot(&engine, "v", "small");
    let large = Bytes(SIZE.0 * 2 + BLOCK);
    let resized = resize(&engine, "v", large);
    assert_eq!((resized.before, resized.volume.size), (SIZE, large));
    assert!(!resized.unchanged && !resized.grows_at_mount);
    assert_eq!(blockdev::size(&made.device).unwrap(), large);
    assert!(large.0 - ext4(&made.device).0 < BLOCK);
    // More than fitted before.
    write(&at.join("after"), &noise(2, 80 << 20));
    assert_eq!(engine.snapshot(&name("small")).unwrap().size, old.size);
    assert!(resize(&engine, "v", large).unchanged);
    for (size, words) in [
        (SIZE, "cannot be made smaller"),
        (Bytes(large.0 + 512), "multiple of block size"),
        (Bytes(0), "cannot be made smaller"),
    ] {
        let said = refusal(engine.resize_volume(&name("v"), size, &silent()));
        assert_eq!(said.0, Kind::Invalid, "{}", said.1);
        assert!(said.1.contains(words), "{}", said.1);
    }
    engine.stop().unwrap();
    let engine = world.open(&[]);
    let at = engine.volume(&name("v")).unwrap().mountpoint.unwrap();
    assert!(fs::read(at.join("after")).unwrap() == noise(2, 80 << 20));
    unmount(&engine, "v");
    run("e2fsck", &["-fn", word(&made.device)]);
    engine.stop().unwrap();
}

#[test]
fn what_is_not_mounted_grows_at_its_next_mount() {
    let (_, engine) = World::opened("resize-later");
    let made = volume(&engine, "v", SIZE);
    let large = Bytes(SIZE.0 * 2);
    assert!(resize(&engine, "v", large).grows_at_mount);
    assert_eq!(blockdev::size(&made.device).unwrap(), large);
    assert_eq!(ext4(&made.device).0, SIZE.0);
    mount(&engine, "v");
    assert_eq!(ext4(&made.device).0, large.0);
    engine.stop().unwrap();
}

/// The size is on record before anything is done about it: whoever brings the volume up makes up for the rest.
#[test]
fn a_size_on_record_is_made_up_for() {
    let (world, engine) = World::opened("resize-cut");
    let made = volume(&engine, "v", SIZE);
    mount(&engine, "v");
    drop(engine);
    let large = Bytes(SIZE.0 * 2);
    let catalog = world.catalog();
    let mut row = catalog.volumes().unwrap().remove(0);
    row.size = large;
    let put = [convoy_catalog::Change::PutVolume(row)];
    catalog.apply(&put).unwrap();
    drop(catalog);
    assert_eq!(blockdev::size(&made.device).unwrap(), SIZE);
    let engine = world.open(&[]);
    let found = engine.volume(&name("v")).unwrap();
    assert_eq!(found.problem, None);
    assert_eq!(blockdev::size(&made.device).unwrap(), large);
    assert_eq!(ext4(&made.device).0, large.0, "while mounted");
    let number = convoy_tests::mapper::number(dm_name(&made.device));
    assert!(!number.is_empty());
    engine.stop().unwrap();
}

/// The last chunk of a volume whose size is no multiple of a chunk is shorter than one, and it is another chunk once
/// the volume has grown, though none of its blocks changed.
#[test]
fn an_increment_knows_that_its_base_was_smaller() {
    let world = World::new("resize-backup");
    let small_blocks = [("dm.thinpoolblocksize", "128")];
    let engine = world.open(&small_blocks);
    let (block, chunk) = (64 << 10, 256 << 10);
    // Two chunks and a half.
    let odd = Bytes(40 * chunk + 2 * block);
    let made = volume(&engine, "v", odd);
    write_device(&made.device, odd.0 - block, &noise(1, 64 << 10));
    write_device(&made.device, 30 * chunk, &noise(2, 64 << 10));
    snapshot(&engine, "v", "one");
    let one = digest(&made.device);
    let first = back_up(&engine, "one", &world.dest());
    for (step, size) in [odd.0 + block, 44 * chunk + block, 60 * chunk]
        .into_iter()
        .enumerate()
    {
        resize(&engine, "v", Bytes(size));
        // First with nothing new in it at all.
        if step > 0 {
            write_device(
                &made.device,
                size - block,
                &noise(3 + step as u64, 64 << 10),
            );
        }
        let label = format!("step{step}");
        snapshot(&engine, "v", &label);
        let content = digest(&made.device);
        let made = back_up(&engine, &label, &world.dest());
        assert!(made.backup.base.is_some(), "it is an increment");
        assert_eq!(made.backup.volume_size, Bytes(size));
        let back = restore(&engine, &format!("back{step}"), &made.backup.url);
        assert_eq!(back.size, Bytes(size));
        assert_eq!(digest(&back.device), content, "step {step}");
    }
    let back = restore(&engine, "back-one", &first.backup.url);
    assert_eq!((back.size, digest(&back.device)), (odd, one));
    engine.stop().unwrap();
}
