//! Metadata used up by a fast writer between snapshots: what eats it quickest.

use super::Pool;
use crate::verbs::{
    delete_snapshot, dm_name, mount, name, refusal, silent, snapshot, unmount, volume,
    volume_request,
};
use crate::world::{World, write_device};
use convoy_engine::{Engine, GrowPool, VolumeInfo};
use convoy_fault::Kind;
use convoy_tests::command::tool;
use convoy_tests::mapper;
use convoy_thinpool::{Control, DmName, KernelControl};
use convoy_units::Bytes;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Data blocks of 64 KiB that the volume maps before it begins: 50 leaves of the mapping tree.
const MAPPED: u64 = 6_300;
/// Where they begin: behind what the filesystem has of its own.
const BEGIN: u64 = 256 << 20;
const BLOCK: u64 = 64 << 10;
/// One write to each of these, after a snapshot, copies each leaf once.
const STRIDE: u64 = 126;

/// Maps all blocks of a device, in order.
fn fill(device: &Path) -> File {
    let file = File::options().write(true).open(device).unwrap();
    let chunk = vec![1; 1 << 20];
    for at in 0..MAPPED * BLOCK / chunk.len() as u64 {
        file.write_all_at(&chunk, BEGIN + at * chunk.len() as u64)
            .unwrap();
    }
    file.sync_all().unwrap();
    file
}

/// Writes a little to every leaf's part of a device; the first error.
fn scatter(file: &File, round: u64) -> std::io::Result<()> {
    for leaf in 0..MAPPED / STRIDE {
        file.write_all_at(&[2; 4096], BEGIN + (leaf * STRIDE + round % STRIDE) * BLOCK)?;
    }
    file.sync_all()
}

/// Lets every leaf be copied once more: the engine itself takes none at this fill.
fn snapshot_behind_our_back(origin: &VolumeInfo, dev_id: u64) {
    let device = dm_name(&origin.device);
    mapper::suspend(device);
    let control = KernelControl::open().unwrap();
    let pool = DmName::new("convoy-pool").unwrap();
    // Refused once the pool is read-only, which the writes after it find out too.
    drop(control.message(&pool, &format!("create_snap {dev_id} {}", origin.dev_id)));
    control.resume(&DmName::new(device).unwrap()).unwrap();
}

/// A loop-backed pool with little metadata: its file is there already, as after a start that was cut short.
fn small(test: &str) -> (World, Engine) {
    let world = World::new(test);
    let folder = world.root().join("devicemapper");
    std::fs::create_dir_all(&folder).unwrap();
    let file = File::create(folder.join("metadata.img")).unwrap();
    file.set_len(2 << 20).unwrap();
    let engine = world.open(&[("dm.thinpoolblocksize", "128")]);
    (world, engine)
}

/// Ends the looks, also when a test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// The reserve at work: while the pool is looked after, writers and snapshots that would have exhausted its
/// metadata several times over see no error.
#[test]
fn metadata_that_gets_tight_gets_more_under_a_fast_writer() {
    let (world, engine) = small("reserve");
    let before = engine.info().unwrap().pool;
    assert_eq!(before.metadata_total, Bytes::mib(2));
    assert_eq!(before.metadata_reserve, Bytes::mib(16));
    let made = volume(&engine, "v", Bytes::gib(1));
    let file = fill(&made.device);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                std::thread::sleep(engine.look_after_pool());
            }
        });
        let _ends = Over(&over);
        // Without more metadata the pool is read-only after seven of these.
        for round in 0..14 {
            snapshot(&engine, "v", &format!("s{round}"));
            scatter(&file, round).unwrap();
        }
    });
    let after = engine.info().unwrap().pool;
    println!(
        "metadata: {} of {}",
        after.metadata_used, after.metadata_total
    );
    assert_eq!(after.mode, "rw");
    assert_eq!(after.metadata_total, Bytes::mib(18));
    assert!(
        after.metadata_used > Bytes::mib(2),
        "{}",
        after.metadata_used
    );
    assert_eq!(after.metadata_reserve, Bytes::mib(16), "and the next one");
    let said: Vec<String> = after.events.into_iter().map(|event| event.what).collect();
    assert!(
        said.join("\n")
            .contains("was made larger, from 512 to 4608"),
        "{said:?}"
    );
    assert!(engine.volume(&name("v")).unwrap().suspect.is_none());
    // A restart finds it all.
    drop(engine);
    let engine = world.open(&[]);
    assert_eq!(engine.info().unwrap().pool.metadata_total, Bytes::mib(18));
    delete_snapshot(&engine, "s3");
    drop(file);
    engine.stop().unwrap();
    let engine = world.open(&[]);
    assert_eq!(engine.info().unwrap().pool.metadata_total, Bytes::mib(18));
    engine.stop().unwrap();
}

/// Nobody looks: the kernel stops the pool. What it lost is told, nothing can be deleted, and more metadata cures
/// it, even then.
#[test]
fn metadata_that_ran_out_is_cured_by_more_and_by_nothing_else() {
    // A device too small to hold a part of it back.
    let mut pool = Pool::new("exhausted", Bytes::gib(1), Bytes::mib(2));
    let engine = &pool.engine;
    volume(engine, "other", Bytes::mib(64));
    let target = mount(engine, "other");
    std::fs::write(target.join("before"), "is kept").unwrap();
    nix::unistd::sync();
    let made = volume(engine, "v", Bytes::gib(1));
    let file = fill(&made.device);
    let mut rounds = 0;
    let refused = loop {
        let taken = engine.create_snapshot(&name("v"), None, &silent());
        if let Err(error) = taken {
            break refusal::<()>(Err(error));
        }
        if let Err(error) = scatter(&file, rounds) {
            break (Kind::Failed, error.to_string());
        }
        rounds += 1;
        assert!(rounds < 40, "it never runs out");
    };
    println!("after {rounds} rounds: {refused:?}");
    // New things are refused before it is exhausted; the writer goes on, and exhausts it.
    assert_eq!(refused.0, Kind::PoolFull, "{}", refused.1);
    let mut round = rounds;
    loop {
        snapshot_behind_our_back(&made, 9000 + round);
        if scatter(&file, round).is_err() {
            break;
        }
        round += 1;
        assert!(round < 200, "it never runs out");
    }
    assert_eq!(engine.info().unwrap().pool.mode, "ro");
    let transaction = engine.info().unwrap().pool.transaction;
    for (kind, words) in [
        refusal(
            engine.delete_snapshot(
                &format!("{}", engine.snapshots(None).unwrap()[0].name)
                    .parse()
                    .unwrap(),
                &silent(),
            ),
        ),
        refusal(engine.delete_volume(&name("v"), &silent())),
        refusal(engine.create_volume(&volume_request("w", Bytes::mib(64)), &silent())),
    ] {
        assert_eq!(kind, Kind::PoolUnhealthy, "{words}");
        assert!(words.contains("metadata is full"), "{words}");
    }
    assert_eq!(engine.info().unwrap().pool.transaction, transaction);
    // What can be read is read.
    assert_eq!(
        std::fs::read_to_string(target.join("before")).unwrap(),
        "is kept"
    );
    engine.look_after_pool();
    assert!(
        pool.said()
            .contains("cannot be made larger: its device has no more"),
        "{}",
        pool.said()
    );
    assert!(pool.said().contains("it is read-only"), "{}", pool.said());
    pool.metadata.grow(Bytes::mib(18));
    pool.engine
        .grow_pool(&GrowPool::default(), &silent())
        .unwrap();
    let engine = &pool.engine;
    let pool = engine.info().unwrap().pool;
    assert_eq!(
        (pool.mode.as_str(), pool.metadata_total),
        ("rw", Bytes::mib(18))
    );
    for volume in engine.volumes().unwrap() {
        assert!(volume.suspect.is_some(), "{}", volume.name);
    }
    drop(file);
    scatter(&File::options().write(true).open(&made.device).unwrap(), 1).unwrap();
    unmount(engine, "other");
    let target = mount(engine, "other");
    assert_eq!(
        std::fs::read_to_string(target.join("before")).unwrap(),
        "is kept"
    );
    assert!(engine.volume(&name("other")).unwrap().suspect.is_none());
    // The other one is damaged beyond what is safe to repair. It is not mounted, and stays suspect.
    write_device(&made.device, 0, &vec![0xff; 64 << 20]);
    let (kind, words) = refusal(engine.mount_volume(&name("v"), None, &silent()));
    assert!(matches!(kind, Kind::Integrity | Kind::Failed), "{words}");
    assert!(
        words.contains("does not check clean") && words.contains("snapshot"),
        "{words}"
    );
    assert!(engine.volume(&name("v")).unwrap().suspect.is_some());
    engine.delete_volume(&name("v"), &silent()).unwrap();
}

/// A part of the operator's metadata device is held back, and given when it gets tight: a fast writer sees no error.
/// When the device is made larger, that is taken over in use, and a part of it held back again.
#[test]
fn a_part_of_a_metadata_device_is_held_back_and_given_under_a_fast_writer() {
    let mut pool = Pool::new("held-back", Bytes::gib(1), Bytes::mib(5));
    let shared = |engine: &Engine| {
        let pool = engine.info().unwrap().pool;
        (pool.metadata_total, pool.metadata_reserve)
    };
    let engine = &pool.engine;
    assert_eq!(shared(engine), (Bytes::mib(4), Bytes::mib(1)));
    let made = volume(engine, "v", Bytes::gib(1));
    let file = fill(&made.device);
    let mut round = 0;
    while shared(engine).1 != Bytes(0) {
        assert!(round < 40, "it is never given");
        snapshot(engine, "v", &format!("s{round}"));
        scatter(&file, round).unwrap();
        engine.look_after_pool();
        round += 1;
    }
    println!("given after {round} rounds");
    assert_eq!(shared(engine), (Bytes::mib(5), Bytes(0)));
    pool.metadata.grow(Bytes::mib(10));
    let engine = &pool.engine;
    engine.grow_pool(&GrowPool::default(), &silent()).unwrap();
    assert_eq!(shared(engine), (Bytes::mib(8), Bytes::mib(2)));
    scatter(&file, round).unwrap();
    assert!(engine.volume(&name("v")).unwrap().suspect.is_none());
    drop(file);
    let Pool {
        world,
        data,
        metadata,
        engine,
    } = pool;
    let over = [
        ("dm.datadev", data.word()),
        ("dm.metadatadev", metadata.word()),
    ];
    // Adopted by the next daemon, and brought up again by the one after it.
    drop(engine);
    let engine = world.open(&over);
    assert_eq!(shared(&engine), (Bytes::mib(8), Bytes::mib(2)));
    engine.stop().unwrap();
    let engine = world.open(&over);
    assert_eq!(shared(&engine), (Bytes::mib(8), Bytes::mib(2)));
    delete_snapshot(&engine, "s0");
    engine.stop().unwrap();
}

/// A metadata device that is made larger while the pool is down is taken over when it is brought up.
#[test]
fn a_metadata_device_that_is_made_larger_is_taken_over() {
    let Pool {
        world,
        data,
        metadata,
        engine,
    } = Pool::new("lvextend", Bytes::mib(64), Bytes::mib(16));
    drop(metadata);
    let has = |engine: &Engine| {
        let pool = engine.info().unwrap().pool;
        pool.metadata_total.0 + pool.metadata_reserve.0
    };
    assert_eq!(has(&engine), Bytes::mib(16).0);
    engine.stop().unwrap();
    // A device of the same content, longer.
    let disks = convoy_tests::disk::disks();
    tool("dmsetup", &["remove", "lab-metadata"]);
    let sectors = Bytes::mib(48).0 / 512;
    let table = format!("0 {sectors} linear {} 0", disks[2].display());
    tool("dmsetup", &["create", "lab-metadata", "--table", &table]);
    let engine = world.open(&[
        ("dm.datadev", data.word()),
        ("dm.metadatadev", "/dev/mapper/lab-metadata"),
    ]);
    assert_eq!(has(&engine), Bytes::mib(48).0);
    engine.stop().unwrap();
}
