//! Devices that are not, or no longer, the catalog's pool.

use super::{DATA, METADATA, bytes_of, devices};
use crate::signatures::write;
use crate::verbs::{name, volume};
use crate::world::{World, read_device, write_device};
use convoy_engine::{Engine, Operation};
use convoy_fault::Kind;
use convoy_tests::command::tool as run;
use convoy_tests::noise::noise;
use convoy_thinpool::blockdev;
use convoy_units::Bytes;
use std::fs;
use std::path::Path;

#[test]
fn another_pools_devices_are_refused() {
    let world = World::new("old-pool");
    let (data, metadata) = (world.disk("data", DATA), world.disk("metadata", METADATA));
    let first = world.open(&devices(&data, &metadata));
    volume(&first, "v", Bytes::mib(64));
    // While it is up, a second daemon over another root gets neither its name nor its devices.
    let beside = world.beside("beside");
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

/// The kernel formats a metadata device whose first 4 KiB are zero without a word: every volume would be
/// gone.
#[test]
fn a_zeroed_superblock_of_a_pool_in_use_is_refused() {
    let world = World::new("zeroed");
    let (data, metadata) = (world.disk("data", DATA), world.disk("metadata", METADATA));
    let engine = world.open(&devices(&data, &metadata));
    volume(&engine, "v", Bytes::mib(64));
    engine.stop().unwrap();
    let superblock = read_device(Path::new(&metadata), 0, 4096);
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
    write(&metadata, 0, &superblock);
    assert_eq!(world.open(&[]).volumes().unwrap().len(), 1);
}

#[test]
fn a_damaged_superblock_is_refused() {
    let world = World::new("damaged");
    let (data, metadata) = (world.disk("data", DATA), world.disk("metadata", METADATA));
    world.open(&devices(&data, &metadata)).stop().unwrap();
    let superblock = read_device(Path::new(&metadata), 0, 4096);
    write(&metadata, 100, b"x");
    let before = bytes_of(&[&data, &metadata]);
    let (kind, words) = world.refused(&[]);
    assert_eq!(kind, Kind::Integrity, "{words}");
    assert!(
        bytes_of(&[&data, &metadata]) == before,
        "a refused device was written"
    );
    write(&metadata, 0, &superblock);
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
    write_device(&v.device, 0, &noise(1, 1 << 20));
    engine.stop().unwrap();
    assert_eq!(world.refused(&[]).0, Kind::PoolUnhealthy);
    world.open(&[("dm.trustdatadev", "true")]).stop().unwrap();
}

/// The file is there and the filesystem that should hold it is not: an empty pool would take its place.
#[test]
fn a_loop_file_that_is_gone_is_refused() {
    let (world, engine) = World::opened("gone");
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
