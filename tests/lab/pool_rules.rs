//! Which devices and settings an engine accepts, and that what it refuses is as it was.

use crate::signatures::{SIGNATURES, write};
use crate::world::{World, attach, mount, name, refusal, snapshot, sweep, volume};
use convoy_engine::{Engine, Operation, pool_options};
use convoy_fault::{Fault, Kind};
use convoy_tests::command::tool as run;
use convoy_tests::disk::disks;
use convoy_tests::noise::noise;
use convoy_thinpool::blockdev;
use convoy_units::{Bytes, DataBlockSize, Sectors};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

const DATA: Bytes = Bytes::mib(64);
const METADATA: Bytes = Bytes::mib(8);

/// The options that name these two devices.
fn devices<'a>(data: &'a str, metadata: &'a str) -> [(&'static str, &'a str); 2] {
    [("dm.datadev", data), ("dm.metadatadev", metadata)]
}

/// What stands for everything that can be read from these devices.
fn bytes_of(devices: &[&str]) -> String {
    run("sync", &[]);
    run("sha256sum", devices)
}

/// What an engine may have left under its root when it was refused.
#[track_caller]
fn nothing_made(root: &Path) {
    for entry in fs::read_dir(root).into_iter().flatten() {
        let entry = entry.unwrap().file_name().into_string().unwrap();
        let known = entry == "lock" || entry.starts_with("catalog.");
        assert!(known, "{entry} was made under the root");
    }
    let listed = run("dmsetup", &["ls"]);
    assert!(listed.contains("No devices found"), "{listed}");
}

#[test]
fn a_device_that_carries_anything_is_refused_and_untouched() {
    let world = World::new("signatures");
    for (number, (what, make)) in SIGNATURES.into_iter().enumerate() {
        let dirty = world.disk(&format!("dirty-{number}"), DATA);
        let clean = world.disk(&format!("clean-{number}"), DATA);
        make(&dirty);
        let before = bytes_of(&[&dirty, &clean]);
        for options in [devices(&dirty, &clean), devices(&clean, &dirty)] {
            println!("{what}");
            let (kind, words) = world.refused(&options);
            assert_eq!(kind, Kind::Conflict, "{what}: {words}");
            assert!(words.contains(&dirty), "{what}: {words}");
            assert!(
                words.contains("not blank") || words.contains("carries"),
                "{what}: {words}"
            );
            if what != "btrfs" {
                assert!(
                    words.to_lowercase().contains(&what.to_lowercase()),
                    "{what}: {words}"
                );
            }
            nothing_made(&world.root());
        }
        assert!(
            bytes_of(&[&dirty, &clean]) == before,
            "{what}: a refused device was written"
        );
        run("losetup", &["--detach", &dirty, &clean]);
    }
}

#[test]
fn a_device_in_use_is_refused() {
    let world = World::new("in-use");
    let clean = world.disk("clean", DATA);
    // Our own scratch filesystem's disk, mounted.
    let mounted = disks().remove(0);
    let (kind, words) = world.refused(&devices(mounted.to_str().unwrap(), &clean));
    assert_eq!(kind, Kind::Conflict, "{words}");
    assert!(words.contains("in use"), "{words}");
    // A blank one that another device is made of.
    let under = world.disk("under", DATA);
    run(
        "dmsetup",
        &[
            "create",
            "over",
            "--table",
            &format!("0 1000 linear {under} 0"),
        ],
    );
    let (kind, words) = world.refused(&devices(&under, &clean));
    assert_eq!(kind, Kind::Conflict, "{words}");
    assert!(words.contains("in use"), "{words}");
    run("dmsetup", &["remove", "over"]);
    world.open(&devices(&under, &clean)).stop().unwrap();
}

#[test]
fn another_pools_devices_are_refused() {
    let world = World::new("old-pool");
    let (data, metadata) = (world.disk("data", DATA), world.disk("metadata", METADATA));
    let first = world.open(&devices(&data, &metadata));
    volume(&first, "v", Bytes::mib(64));
    // While it is up, a second daemon over another root gets neither its name nor its devices.
    let beside = World {
        dir: world.path("beside"),
    };
    fs::create_dir(&beside.dir).unwrap();
    for options in [&[][..], &devices(&data, &metadata)] {
        let (kind, words) = beside.refused(options);
        assert_eq!(kind, Kind::Conflict, "{words}");
    }
    let named = [
        ("dm.thinpoolname", "other"),
        ("dm.datadev", &data),
        ("dm.metadatadev", &metadata),
    ];
    let (kind, words) = beside.refused(&named);
    assert_eq!(kind, Kind::Conflict, "{words}");
    first.stop().unwrap();

    let before = bytes_of(&[&data, &metadata]);
    let spare = world.disk("spare", DATA);
    for options in [
        devices(&data, &metadata),
        devices(&spare, &metadata),
        devices(&metadata, &spare),
    ] {
        let (kind, words) = beside.refused(&options);
        assert_eq!(kind, Kind::Conflict, "{words}");
        assert!(
            words.contains("thin pool") || words.contains("ext4"),
            "{words}"
        );
    }
    // Bytes that nothing knows make no metadata device.
    let strange = world.disk("strange", METADATA);
    write(&strange, 1000, b"what is this");
    let (kind, words) = beside.refused(&devices(&spare, &strange));
    assert_eq!(
        (kind, words.contains("do not know")),
        (Kind::Conflict, true),
        "{words}"
    );
    assert!(
        bytes_of(&[&data, &metadata]) == before,
        "a refused pool was written"
    );
    assert_eq!(world.open(&[]).volumes().unwrap().len(), 1);
}

#[test]
fn values_that_break_a_rule_are_refused_with_it() {
    let check = |options: &[(&str, &str)], rule: &str| {
        let options: Vec<_> = options
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let error = pool_options(&options).unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid, "{options:?}");
        let words = convoy_fault::chain(&error);
        assert!(words.contains(rule), "{options:?}: {words}");
    };
    let sectors = "must between 128 and 2097152, and must be a multiple of 128";
    for wrong in ["0", "127", "129", "64", "2097280", "4294967296"] {
        check(&[("dm.thinpoolblocksize", wrong)], sectors);
    }
    for wrong in ["", "many", "-128", "1.5M"] {
        check(
            &[("dm.thinpoolblocksize", wrong)],
            "Illegal block size specified",
        );
    }
    for wrong in ["", "0", "big", "10X", "-1"] {
        check(
            &[("dm.defaultvolumesize", wrong)],
            "Illegal default volume size specified",
        );
    }
    check(&[("dm.fs", "ntfs")], "ext4 or xfs");
    for wrong in ["", "-a", ".a", "a/b", "a b"] {
        check(&[("dm.thinpoolname", wrong)], convoy_names::RULE);
    }
    check(&[("dm.datadev", "/dev/a")], "needs both");
    check(&[("dm.metadatadev", "/dev/a")], "needs both");
    check(
        &[("dm.datadev", "/dev/a"), ("dm.metadatadev", "/dev/a")],
        "same device",
    );
    check(
        &[("dm.datadev", "sdb"), ("dm.metadatadev", "/dev/a")],
        "absolute path",
    );
    check(&[("dm.blocksize", "128")], "unknown driver option");
    check(&[("dm.fs", "ext4"), ("dm.fs", "xfs")], "given twice");
}

#[test]
fn devices_that_cannot_be_a_pool_are_refused_before_anything_is_touched() {
    let world = World::new("unfit");
    let (data, metadata) = (world.disk("data", DATA), world.disk("metadata", METADATA));
    let before = bytes_of(&[&data, &metadata]);
    // One device under two names.
    let alias = world.path("alias");
    std::os::unix::fs::symlink(&data, &alias).unwrap();
    let (kind, words) = world.refused(&devices(&data, alias.to_str().unwrap()));
    assert_eq!(kind, Kind::Invalid, "{words}");
    assert!(words.contains("same device"), "{words}");
    nothing_made(&world.root());
    // Too small for one block.
    let mut options = devices(&data, &metadata).to_vec();
    options.push(("dm.thinpoolblocksize", "262144"));
    let (kind, words) = world.refused(&options);
    assert_eq!(kind, Kind::Invalid, "{words}");
    assert!(words.contains("less than one block"), "{words}");
    nothing_made(&world.root());
    // No device at all, and a file where a device should be.
    let (_, words) = world.refused(&devices("/dev/no-such-disk", &metadata));
    assert!(words.contains("/dev/no-such-disk"), "{words}");
    nothing_made(&world.root());
    let file = world.path("data");
    let (_, words) = world.refused(&devices(file.to_str().unwrap(), &metadata));
    assert!(words.contains(file.to_str().unwrap()), "{words}");
    nothing_made(&world.root());
    assert!(
        bytes_of(&[&data, &metadata]) == before,
        "a refused device was written"
    );
    // After all that the right ones are taken.
    world.open(&devices(&data, &metadata)).stop().unwrap();
}

/// The kernel formats a metadata device whose first 4 KiB are zero without a word: every volume would be
/// gone.
#[test]
fn a_zeroed_superblock_of_a_pool_in_use_is_refused() {
    let world = World::new("zeroed");
    let (data, metadata) = (world.disk("data", DATA), world.disk("metadata", METADATA));
    let engine = world.open(&devices(&data, &metadata));
    volume(&engine, "v", Bytes::mib(64));
    engine.stop().unwrap();
    let whole = fs::read(&metadata).unwrap();
    blockdev::zero_first_block(Path::new(&metadata)).unwrap();
    let before = bytes_of(&[&data, &metadata]);
    for options in [&[][..], &devices(&data, &metadata)] {
        let (kind, words) = world.refused(options);
        assert_eq!(kind, Kind::PoolUnhealthy, "{words}");
        assert!(words.contains("all zeros"), "{words}");
    }
    assert!(
        bytes_of(&[&data, &metadata]) == before,
        "a refused device was written"
    );
    write(&metadata, 0, &whole[..4096]);
    assert_eq!(world.open(&[]).volumes().unwrap().len(), 1);
}

#[test]
fn a_damaged_superblock_is_refused() {
    let world = World::new("damaged");
    let (data, metadata) = (world.disk("data", DATA), world.disk("metadata", METADATA));
    world.open(&devices(&data, &metadata)).stop().unwrap();
    let whole = fs::read(&metadata).unwrap();
    write(&metadata, 100, b"x");
    let before = bytes_of(&[&data, &metadata]);
    let (kind, words) = world.refused(&[]);
    assert_eq!(kind, Kind::Integrity, "{words}");
    assert!(
        bytes_of(&[&data, &metadata]) == before,
        "a refused device was written"
    );
    write(&metadata, 0, &whole[..4096]);
    world.open(&[]).stop().unwrap();
}

#[test]
fn other_metadata_than_the_catalogs_is_refused_unchanged() {
    let world = World::new("foreign");
    let (data, metadata) = (world.disk("data", DATA), world.disk("metadata", METADATA));
    let engine = world.open(&devices(&data, &metadata));
    volume(&engine, "one", Bytes::mib(64));
    volume(&engine, "two", Bytes::mib(64));
    engine.stop().unwrap();

    // Pools of another root: at another transaction; of other blocks; at the same one without our devices.
    let check = |number: u32, sectors: &str, make: &dyn Fn(&Engine), expected: &str| {
        let other = World {
            dir: world.path(&format!("other-{number}")),
        };
        fs::create_dir(&other.dir).unwrap();
        let data2 = world.disk(&format!("data-{number}"), DATA);
        let metadata2 = world.disk(&format!("metadata-{number}"), METADATA);
        let mut options = devices(&data2, &metadata2).to_vec();
        options.push(("dm.thinpoolblocksize", sectors));
        let engine = other.open(&options);
        make(&engine);
        engine.stop().unwrap();
        let before = bytes_of(&[&data, &metadata, &data2, &metadata2]);
        for options in [devices(&data2, &metadata2), devices(&data, &metadata2)] {
            let (kind, words) = world.refused(&options);
            assert_eq!(kind, Kind::PoolUnhealthy, "{words}");
            assert!(words.contains(expected), "{words}");
        }
        assert!(
            bytes_of(&[&data, &metadata, &data2, &metadata2]) == before,
            "refused devices were written"
        );
        other.open(&[]).stop().unwrap();
    };
    let silent = Operation::silent();
    check(
        1,
        "4096",
        &|engine| drop(volume(engine, "a", Bytes::mib(64))),
        "is at transaction 1, the catalog at 2",
    );
    check(
        2,
        "128",
        &|engine| {
            volume(engine, "a", Bytes::mib(64));
            volume(engine, "b", Bytes::mib(64));
        },
        "blocks of",
    );
    check(
        3,
        "4096",
        &|engine| {
            volume(engine, "a", Bytes::mib(64));
            engine.delete_volume(&name("a"), &silent).unwrap();
        },
        "lacks thin devices that the catalog has: 1, 2",
    );
    // The data device alone is another, smaller one.
    let small = world.disk("small", Bytes::mib(32));
    let (kind, words) = world.refused(&devices(&small, &metadata));
    assert_eq!(kind, Kind::PoolUnhealthy, "{words}");
    // And another one of the same size: every volume would show what is not its own.
    let twin = world.disk("twin", DATA);
    let before = bytes_of(&[&data, &metadata, &twin]);
    let (kind, words) = world.refused(&devices(&twin, &metadata));
    assert_eq!(kind, Kind::PoolUnhealthy, "{words}");
    assert!(words.contains(&twin), "{words}");
    assert!(bytes_of(&[&data, &metadata, &twin]) == before);
    // After all that, our own are taken, by the paths they had.
    assert_eq!(world.open(&[]).volumes().unwrap().len(), 2);
}

#[test]
fn device_paths_may_move() {
    let world = World::new("moved");
    let (data, metadata) = (world.disk("data", DATA), world.disk("metadata", METADATA));
    let engine = world.open(&devices(&data, &metadata));
    let made = volume(&engine, "v", Bytes::mib(64));
    let content = noise(1, 1 << 20);
    crate::world::write_device(&made.device, 32 << 20, &content);
    engine.stop().unwrap();
    run("losetup", &["--detach", &data, &metadata]);
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
    assert!(fs::read(&found.device).unwrap()[32 << 20..33 << 20] == content);
    assert_eq!(engine.info().unwrap().pool.data_device, Path::new(&data2));
    engine.stop().unwrap();
}

/// Two disks of one size change places between boots: the metadata fits, the data is somebody else's.
#[test]
fn another_disk_in_the_data_devices_place_is_refused_untouched() {
    let world = World::new("exchanged");
    let (data, metadata) = (world.disk("data", DATA), world.disk("metadata", METADATA));
    let other = world.disk("other", DATA);
    run("mkfs.ext4", &["-q", "-F", &other]);
    let engine = world.open(&devices(&data, &metadata));
    volume(&engine, "v", Bytes::mib(64));
    engine.stop().unwrap();
    let before = bytes_of(&[&other, &metadata]);
    let (kind, words) = world.refused(&devices(&other, &metadata));
    assert_eq!(kind, Kind::PoolUnhealthy, "{words}");
    assert!(
        words.contains("filesystem of v is not where it should be"),
        "{words}"
    );
    assert!(
        bytes_of(&[&other, &metadata]) == before,
        "refused devices were written"
    );
    // The refused path is not remembered.
    let engine = world.open(&[]);
    assert_eq!(engine.info().unwrap().pool.data_device, Path::new(&data));
    // A volume that was written over is no witness; an operator who knows may say so.
    let v = engine.volume(&name("v")).unwrap();
    crate::world::write_device(&v.device, 0, &noise(1, 1 << 20));
    engine.stop().unwrap();
    assert_eq!(world.refused(&[]).0, Kind::PoolUnhealthy);
    world.open(&[("dm.trustdatadev", "true")]).stop().unwrap();
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
    let world = World::new("second");
    let engine = world.open(&[]);
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
    let world = World::new("adopted");
    let engine = world.open(&[]);
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
    assert_eq!(engine.info().unwrap().recovered, Vec::<String>::new());
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
    let world = World::new("reboot");
    let engine = world.open(&[]);
    let pool = engine.info().unwrap().pool;
    assert!(pool.loop_backed);
    volume(&engine, "v", Bytes::mib(256));
    let target = mount(&engine, "v");
    fs::write(target.join("file"), noise(7, 1 << 20)).unwrap();
    drop(engine);
    run("sync", &[]);
    sweep();
    assert_eq!(run("losetup", &["--list", "--noheadings"]), "");
    let engine = world.open(&[]);
    let found = engine.volume(&name("v")).unwrap();
    assert_eq!(
        found.mountpoint.as_deref(),
        Some(target.as_path()),
        "{:?}",
        engine.info().unwrap().recovered
    );
    assert!(fs::read(target.join("file")).unwrap() == noise(7, 1 << 20));
    assert_eq!(engine.info().unwrap().pool.uuid, pool.uuid);
    engine.stop().unwrap();
    assert_eq!(
        run("losetup", &["--list", "--noheadings"]),
        "",
        "stopping detaches"
    );
    assert!(run("dmsetup", &["ls"]).contains("No devices found"));
}

/// The file is there and the filesystem that should hold it is not: an empty pool would take its place.
#[test]
fn a_loop_file_that_is_gone_is_refused() {
    let world = World::new("gone");
    let engine = world.open(&[]);
    volume(&engine, "v", Bytes::mib(64));
    engine.stop().unwrap();
    let folder = world.root().join("devicemapper");
    fs::rename(folder.join("metadata.img"), folder.join("elsewhere")).unwrap();
    let (kind, words) = world.refused(&[]);
    assert_eq!(kind, Kind::PoolUnhealthy, "{words}");
    assert!(words.contains("metadata.img is gone"), "{words}");
    assert!(!folder.join("metadata.img").exists());
    fs::rename(folder.join("elsewhere"), folder.join("metadata.img")).unwrap();
    assert_eq!(world.open(&[]).volumes().unwrap().len(), 1);
}
