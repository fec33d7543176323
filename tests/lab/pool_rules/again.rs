//! The same pool opened once more: moved, changed, adopted.

use super::{DATA, METADATA, bytes_of, devices};
use crate::verbs::{mount, name, recovered, refusal, snapshot, volume};
use crate::world::{World, attach, detach, read_device, sweep, write_device};
use convoy_fault::Kind;
use convoy_tests::command::tool as run;
use convoy_tests::mapper;
use convoy_tests::noise::noise;
use convoy_units::{Bytes, DataBlockSize, Sectors};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

#[test]
fn device_paths_may_move() {
    let world = World::new("moved");
    let (data, metadata) = (world.disk("data", DATA), world.disk("metadata", METADATA));
    let engine = world.open(&devices(&data, &metadata));
    let made = volume(&engine, "v", Bytes::mib(64));
    let content = noise(1, 1 << 20);
    write_device(&made.device, 32 << 20, &content);
    engine.stop().unwrap();
    detach(&[&data, &metadata]);
    // The same two paths, exchanged: to be refused, since the metadata is not there.
    let metadata2 = attach(&world.path("metadata"));
    let data2 = attach(&world.path("data"));
    assert_eq!((&metadata2, &data2), (&data, &metadata), "the paths moved");
    let before = bytes_of(&[&data2, &metadata2]);
    let (kind, words) = world.refused(&[]);
    assert!(
        matches!(kind, Kind::Integrity | Kind::PoolUnhealthy),
        "{kind}: {words}"
    );
    assert!(
        bytes_of(&[&data2, &metadata2]) == before,
        "refused devices were written"
    );
    // Named where they are now, they are taken, and remembered.
    world.open(&devices(&data2, &metadata2)).stop().unwrap();
    let engine = world.open(&[]);
    let found = engine.volume(&name("v")).unwrap();
    assert!(read_device(&found.device, 32 << 20, 1 << 20) == content);
    assert_eq!(engine.info().unwrap().pool.data_device, Path::new(&data2));
    engine.stop().unwrap();
}

#[test]
fn settings_are_applied_or_refused_and_never_ignored() {
    let world = World::new("settings");
    let options = [
        ("dm.thinpoolname", "tank"),
        ("dm.thinpoolblocksize", "256"),
        ("dm.defaultvolumesize", "64M"),
    ];
    world.open(&options).stop().unwrap();
    for (option, value) in [
        ("dm.thinpoolname", "other"),
        ("dm.thinpoolblocksize", "128"),
    ] {
        let (kind, words) = world.refused(&[(option, value)]);
        assert_eq!(kind, Kind::Conflict, "{words}");
        assert!(
            words.contains(option) && words.contains("cannot become"),
            "{words}"
        );
    }
    let disks = [world.disk("data", DATA), world.disk("metadata", METADATA)];
    let before = bytes_of(&[&disks[0], &disks[1]]);
    let (kind, words) = world.refused(&devices(&disks[0], &disks[1]));
    assert_eq!(kind, Kind::Conflict, "{words}");
    assert!(bytes_of(&[&disks[0], &disks[1]]) == before);

    let changed = [
        ("dm.defaultvolumesize", "128M"),
        ("dm.fs", "xfs"),
        ("dm.thinpoolblocksize", "256"),
    ];
    world.open(&changed).stop().unwrap();
    let engine = world.open(&[]);
    let pool = engine.info().unwrap().pool;
    assert_eq!(pool.default_volume_size, Bytes::mib(128));
    assert_eq!(pool.filesystem, "xfs");
    assert_eq!(pool.block_size, DataBlockSize::new(Sectors(256)).unwrap());
    assert_eq!(pool.name.as_str(), "tank");
    assert!(pool.loop_backed);
    engine.stop().unwrap();
}

#[test]
fn one_root_has_one_engine() {
    let (world, engine) = World::opened("second");
    let (kind, words) = world.refused(&[]);
    assert_eq!(kind, Kind::Busy, "{words}");
    assert!(words.contains("another daemon serves this root"), "{words}");
    engine.info().unwrap();
    engine.stop().unwrap();
    world.open(&[]).stop().unwrap();
}

/// A daemon that ends leaves everything up; the next one takes it over under the feet of who uses it.
#[test]
fn an_active_pool_is_adopted() {
    let (world, engine) = World::opened("adopted");
    volume(&engine, "v", Bytes::mib(256));
    let target = mount(&engine, "v");
    let open = fs::File::create(target.join("open")).unwrap();
    let before = engine.info().unwrap().pool;
    drop(engine);
    open.write_all_at(b"while nobody serves", 0).unwrap();
    open.sync_all().unwrap();
    let devices = run("dmsetup", &["table"]);
    let engine = world.open(&[]);
    assert_eq!(
        run("dmsetup", &["table"]),
        devices,
        "nothing was taken down or made"
    );
    let found = engine.volume(&name("v")).unwrap();
    assert_eq!(found.mountpoint.as_deref(), Some(target.as_path()));
    open.write_all_at(b"while one serves", 4096).unwrap();
    open.sync_all().unwrap();
    assert_eq!(recovered(&engine), Vec::<String>::new());
    let after = engine.info().unwrap().pool;
    assert_eq!(
        (after.uuid, after.transaction),
        (before.uuid, before.transaction)
    );
    snapshot(&engine, "v", "s");
    let busy = refusal(engine.stop());
    assert_eq!(busy.0, Kind::Busy, "{}", busy.1);
    drop(open);
    world.open(&[]).stop().unwrap();
}

#[test]
fn loop_files_are_attached_again_after_a_reboot() {
    let (world, engine) = World::opened("reboot");
    let pool = engine.info().unwrap().pool;
    assert!(pool.loop_backed);
    volume(&engine, "v", Bytes::mib(256));
    let target = mount(&engine, "v");
    fs::write(target.join("file"), noise(7, 1 << 20)).unwrap();
    drop(engine);
    nix::unistd::sync();
    sweep();
    assert!(mapper::loops().is_empty());
    let engine = world.open(&[]);
    let found = engine.volume(&name("v")).unwrap();
    assert_eq!(
        found.mountpoint.as_deref(),
        Some(target.as_path()),
        "{:?}",
        recovered(&engine)
    );
    assert!(fs::read(target.join("file")).unwrap() == noise(7, 1 << 20));
    assert_eq!(engine.info().unwrap().pool.uuid, pool.uuid);
    engine.stop().unwrap();
    assert!(mapper::loops().is_empty(), "stopping detaches");
    assert!(mapper::devices().is_empty());
}
