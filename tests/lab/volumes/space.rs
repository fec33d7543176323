//! Space: taken, given back, used up.

use crate::verbs::{
    SIZE, delete_snapshot, delete_volume, name, refusal, silent, snapshot, volume, volume_request,
};
use crate::world::{World, write_device};
use convoy_fault::Kind;
use convoy_tests::noise::noise;
use convoy_units::Bytes;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Deletion inside the pool alone would leave the blocks in the file under it for ever.
#[test]
fn deletion_gives_the_space_back() {
    let (_, engine) = World::opened("space");
    let file = engine.info().unwrap().pool.data_device;
    let taken = || {
        nix::unistd::sync();
        fs::metadata(&file).unwrap().blocks() * 512
    };
    let empty = taken();
    let made = volume(&engine, "v", SIZE);
    write_device(&made.device, 40 << 20, &noise(1, 16 << 20));
    snapshot(&engine, "v", "s");
    // The snapshot keeps the blocks it had, the volume has others.
    write_device(&made.device, 40 << 20, &noise(2, 8 << 20));
    let full = taken();
    assert!(full >= empty + (24 << 20), "{empty} {full}");
    delete_snapshot(&engine, "s");
    let less = taken();
    assert!(less <= full - (8 << 20), "{full} {less}");
    snapshot(&engine, "v", "s2");
    write_device(&made.device, 40 << 20, &noise(3, 4 << 20));
    delete_volume(&engine, "v");
    let end = taken();
    println!(
        "data file: {empty} empty, {full} full, {less} without the snapshot, {end} at the end"
    );
    assert!(end <= empty + (4 << 20), "{empty} {end}");
    let pool = engine.info().unwrap().pool;
    assert_eq!(pool.data_used, Bytes(0));
    assert!(
        engine.snapshots(None).unwrap().is_empty(),
        "its snapshots went with it"
    );
    engine.stop().unwrap();
}

/// A full pool must say so at once, and let itself be emptied: a verb that hangs until the kernel gives up
/// takes the whole host with it.
#[test]
fn a_full_pool_refuses_new_things_and_is_emptied_by_deletion() {
    let world = World::new("pool-full");
    let (data, metadata) = (
        world.disk("data", Bytes::mib(64)),
        world.disk("metadata", Bytes::mib(8)),
    );
    let engine = world.open(&[("dm.datadev", &data), ("dm.metadatadev", &metadata)]);
    let made = volume(&engine, "v", Bytes::mib(256));
    // Writers wait for more space for this long, then their writes fail.
    let patience = "/sys/module/dm_thin_pool/parameters/no_space_timeout";
    let before = fs::read_to_string(patience).unwrap();
    fs::write(patience, "2").unwrap();
    let of = format!("of={}", made.device.display());
    let words = ["if=/dev/zero", &of, "bs=1M", "count=128", "oflag=direct"];
    let writer = Command::new("dd")
        .args(words)
        .stderr(Stdio::null())
        .status();
    assert!(!writer.unwrap().success(), "the pool holds half of it");
    fs::write(patience, before).unwrap();
    let begin = Instant::now();
    assert_eq!(engine.info().unwrap().pool.mode, "out_of_data_space");
    let request = volume_request("w", SIZE);
    let transaction = engine.info().unwrap().pool.transaction;
    for (kind, words) in [
        refusal(engine.create_volume(&request, &silent())),
        refusal(engine.create_snapshot(&name("v"), Some(&name("s")), &silent())),
    ] {
        assert_eq!(kind, Kind::PoolFull, "{words}");
    }
    assert_eq!(engine.info().unwrap().pool.transaction, transaction);
    assert_eq!(engine.volumes().unwrap().len(), 1);
    delete_volume(&engine, "v");
    assert!(
        begin.elapsed() < Duration::from_secs(20),
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(engine.info().unwrap().pool.mode, "rw");
    engine.create_volume(&request, &silent()).unwrap();
    engine.stop().unwrap();
}

/// Snapshots share what nobody wrote to since; only what each has alone comes back by deleting it.
#[test]
fn what_a_snapshot_has_alone_is_told_and_is_what_its_deletion_gives_back() {
    let (_, engine) = World::opened("alone");
    let made = volume(&engine, "v", SIZE);
    write_device(&made.device, 40 << 20, &noise(1, 8 << 20));
    let mapped = engine.volume(&name("v")).unwrap().mapped.unwrap();
    let first = snapshot(&engine, "v", "first");
    write_device(&made.device, 40 << 20, &noise(2, 4 << 20));
    let second = snapshot(&engine, "v", "second");

    let told = engine
        .snapshot_usage(&[first.clone(), second.clone()])
        .unwrap();
    let (of_first, of_second) = (told[&first.uuid], told[&second.uuid]);
    assert_eq!(
        (of_first.referenced, of_second.referenced),
        (mapped, mapped)
    );
    assert_eq!(
        of_first.exclusive,
        Bytes::mib(4),
        "what the volume overwrote"
    );
    assert_eq!(of_second.exclusive, Bytes(0), "the volume has it all");

    let before = engine.info().unwrap().pool.data_used;
    delete_snapshot(&engine, "first");
    let after = engine.info().unwrap().pool.data_used;
    assert_eq!(before.0 - after.0, of_first.exclusive.0);
    assert!(
        engine.snapshot_usage(&[first]).unwrap().is_empty(),
        "what is gone is left out"
    );
    engine.stop().unwrap();
}
