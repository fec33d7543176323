//! Volumes made, listed, refused and deleted.

use crate::verbs::{
    SIZE, delete_volume, dm_name, mount, name, refusal, silent, snapshot, thin_ids, unmount,
    volume, volume_request,
};
use crate::world::{World, read_device, write_device};
use convoy_engine::{CreateVolume, Created, VolumeState};
use convoy_fault::Kind;
use convoy_tests::command::tool as run;
use convoy_tests::mapper;
use convoy_tests::noise::noise;
use convoy_units::Bytes;
use std::fs;

#[test]
fn a_volume_lives_and_dies() {
    let (world, engine) = World::opened("life");
    let made = volume(&engine, "data", SIZE);
    assert_eq!(
        (made.state, made.size, made.filesystem.as_str()),
        (VolumeState::Ready, SIZE, "ext4")
    );
    assert_eq!(
        (made.driver.as_str(), made.mountpoint),
        ("devicemapper", None)
    );
    assert_eq!(made.uuid.get_version_num(), 7);
    assert_ne!(made.dev_id.get(), 0, "0 is kept back");
    let number = mapper::number(dm_name(&made.device));
    let dm_uuid = fs::read_to_string(format!("/sys/dev/block/{number}/dm/uuid")).unwrap();
    let expected = format!("CONVOY-{}-{}", made.pool.simple(), made.uuid.simple());
    assert_eq!(dm_uuid.trim(), expected);

    let target = mount(&engine, "data");
    let mounted = convoy_mount::mounted_at(&target).unwrap().unwrap();
    assert_eq!(mounted.fs_type, "ext4");
    assert_eq!(
        fs::read_dir(&target).unwrap().count(),
        0,
        "a new volume is empty: no lost+found"
    );
    fs::write(target.join("file"), "kept").unwrap();
    assert_eq!(
        engine.volume(&name("data")).unwrap().mountpoint.as_deref(),
        Some(target.as_path())
    );
    unmount(&engine, "data");
    engine
        .unmount_volume(&name("data"), &silent())
        .expect("unmounting again changes nothing");
    assert_eq!(engine.volume(&name("data")).unwrap().mountpoint, None);
    let again = mount(&engine, "data");
    assert_eq!(fs::read(again.join("file")).unwrap(), b"kept");
    unmount(&engine, "data");

    // Names of our own making, and the list by name.
    let made = engine.create_volume(
        &CreateVolume {
            size: Some(SIZE),
            ..CreateVolume::default()
        },
        &silent(),
    );
    let own = made.unwrap().into_inner().name;
    assert!(
        own.as_str().starts_with("volume-") && own.as_str().len() == 23,
        "{own}"
    );
    let names: Vec<String> = engine
        .volumes()
        .unwrap()
        .into_iter()
        .map(|v| v.name.to_string())
        .collect();
    assert_eq!(names, ["data".to_owned(), own.to_string()]);

    for gone in ["data", own.as_str()] {
        let node = engine.volume(&name(gone)).unwrap().device;
        delete_volume(&engine, gone);
        assert_eq!(refusal(engine.volume(&name(gone))).0, Kind::NotFound);
        assert!(fs::symlink_metadata(node).is_err(), "its device is gone");
    }
    assert_eq!(thin_ids(&engine), Vec::<String>::new());
    assert!(engine.volumes().unwrap().is_empty());
    assert_eq!(
        fs::read_dir(world.root().join("mounts")).unwrap().count(),
        0,
        "its own place is gone"
    );
    engine.stop().unwrap();
}

#[test]
fn what_is_not_there_is_not_found() {
    let (world, engine) = World::opened("not-found");
    let check = |said: (Kind, String), words: &str| {
        assert_eq!(said.0, Kind::NotFound, "{}", said.1);
        assert!(said.1.contains(words), "{}", said.1);
    };
    check(
        refusal(engine.volume(&name("no"))),
        "volume no doesn't exist",
    );
    check(
        refusal(engine.delete_volume(&name("no"), &silent())),
        "volume no doesn't exist",
    );
    check(
        refusal(engine.mount_volume(&name("no"), None, &silent())),
        "volume no doesn't exist",
    );
    check(
        refusal(engine.unmount_volume(&name("no"), &silent())),
        "volume no doesn't exist",
    );
    check(
        refusal(engine.create_snapshot(&name("no"), None, &silent())),
        "volume no doesn't exist",
    );
    check(
        refusal(engine.snapshots(Some(&name("no")))),
        "volume no doesn't exist",
    );
    check(refusal(engine.snapshot(&name("no"))), "snapshot no");
    check(
        refusal(engine.delete_snapshot(&name("no"), &silent())),
        "snapshot no",
    );
    check(
        refusal(engine.create_backup(&name("no"), &world.dest(), &silent())),
        "snapshot no",
    );
    engine.stop().unwrap();
}

#[test]
fn taken_names_and_wrong_sizes_are_refused_before_anything_is_touched() {
    let (_, engine) = World::opened("refused");
    let first = volume(&engine, "v", SIZE);
    snapshot(&engine, "v", "s");
    let before = (engine.info().unwrap().pool.transaction, thin_ids(&engine));
    let create = |name_of: &str, size: u64| {
        let request = CreateVolume {
            name: Some(name(name_of)),
            size: Some(Bytes(size)),
            ..CreateVolume::default()
        };
        engine.create_volume(&request, &silent())
    };
    let (kind, words) = refusal(create("v", SIZE.0));
    assert_eq!(kind, Kind::Conflict, "{words}");
    assert!(words.contains("Volume v already exists"), "{words}");
    assert_eq!(engine.volume(&name("v")).unwrap().uuid, first.uuid);
    let (kind, words) = refusal(engine.create_snapshot(&name("v"), Some(&name("s")), &silent()));
    assert_eq!(kind, Kind::Conflict, "{words}");
    assert!(words.contains("Snapshot name s already exists"), "{words}");
    // A snapshot's name is unique in the daemon, not in its volume.
    volume(&engine, "w", SIZE);
    assert_eq!(
        refusal(engine.create_snapshot(&name("w"), Some(&name("s")), &silent())).0,
        Kind::Conflict
    );
    delete_volume(&engine, "w");

    let block = 2 << 20;
    for size in [
        1,
        512,
        block - 1,
        block + 512,
        SIZE.0 + 1,
        u64::MAX,
        1 << 63,
    ] {
        let (kind, words) = refusal(create("x", size));
        assert_eq!(kind, Kind::Invalid, "{size}: {words}");
    }
    let (_, words) = refusal(create("x", block + 1));
    assert!(
        words.contains("multiple of block size, 2097152 bytes"),
        "{words}"
    );
    assert!(words.contains("the next one is 4194304"), "{words}");
    let other = |request: CreateVolume| refusal(engine.create_volume(&request, &silent()));
    let driver = CreateVolume {
        driver: Some("vfs".into()),
        ..CreateVolume::default()
    };
    let (kind, words) = other(driver);
    assert_eq!(
        (kind, words.contains("Cannot find driver vfs")),
        (Kind::Invalid, true),
        "{words}"
    );
    let fs = CreateVolume {
        filesystem: Some("ntfs".into()),
        ..CreateVolume::default()
    };
    assert_eq!(other(fs).0, Kind::Invalid);
    let after = (engine.info().unwrap().pool.transaction.0, thin_ids(&engine));
    // Volume w came and went.
    assert_eq!(after, (before.0.0 + 2, before.1));
    assert_eq!(engine.volumes().unwrap().len(), 1);
    engine.stop().unwrap();
}

#[test]
fn an_operation_repeated_is_not_done_twice() {
    let (_, engine) = World::opened("repeated");
    let op = silent();
    let request = volume_request("v", SIZE);
    let first = engine.create_volume(&request, &op).unwrap();
    assert!(matches!(first, Created::New(_)));
    let second = engine.create_volume(&request, &op).unwrap();
    assert!(matches!(second, Created::Unchanged(_)));
    assert_eq!(first.into_inner().uuid, second.into_inner().uuid);
    let op = silent();
    let snap = |op| {
        engine
            .create_snapshot(&name("v"), Some(&name("s")), op)
            .unwrap()
    };
    assert!(matches!(snap(&op), Created::New(_)));
    assert!(matches!(snap(&op), Created::Unchanged(_)));
    assert_eq!(engine.snapshots(None).unwrap().len(), 1);
    engine.stop().unwrap();
}

#[test]
fn a_default_volume_is_thin_and_its_clones_can_be_told_apart() {
    let (_, engine) = World::opened("default");
    let made = engine
        .create_volume(&CreateVolume::default(), &silent())
        .unwrap()
        .into_inner();
    assert_eq!(made.size, Bytes::gib(100));
    let mapped = engine.volume(&made.name).unwrap().mapped.unwrap();
    println!("a new ext4 volume of 100 GiB maps {mapped}");
    assert!(mapped <= Bytes::mib(50), "{mapped}");
    let features = run("dumpe2fs", &["-h", made.device.to_str().unwrap()]);
    let features = features
        .lines()
        .find(|line| line.starts_with("Filesystem features"))
        .unwrap();
    assert!(features.contains("metadata_csum_seed"), "{features}");
    engine.stop().unwrap();
}

/// A volume whose filesystem cannot be made is undone at once.
#[test]
fn a_creation_that_fails_leaves_nothing_behind() {
    let (_, engine) = World::opened("undone");
    let request = |fs: &str| CreateVolume {
        name: Some(name("v")),
        size: Some(Bytes::mib(2)),
        filesystem: Some(fs.to_owned()),
        ..CreateVolume::default()
    };
    // mke2fs takes no inodes of this size, and says so after the device was made.
    let mut odd = request("ext4");
    odd.mkfs_options = vec!["inode-size=100".to_owned()];
    let (_, words) = refusal(engine.create_volume(&odd, &silent()));
    assert!(words.contains("mke2fs"), "{words}");
    assert_eq!(refusal(engine.volume(&name("v"))).0, Kind::NotFound);
    assert_eq!(thin_ids(&engine), Vec::<String>::new());
    assert_eq!(engine.info().unwrap().pool.data_used, Bytes(0));
    engine.create_volume(&request("ext4"), &silent()).unwrap();
    engine.stop().unwrap();
}

#[test]
fn many_at_once_do_not_disturb_one_another() {
    let (_, engine) = World::opened("many");
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let engine = &engine;
            scope.spawn(move || {
                for round in 0..2 {
                    let (v, s) = (format!("v{thread}"), format!("s{thread}-{round}"));
                    let made = volume(engine, &v, Bytes::mib(64));
                    write_device(&made.device, 32 << 20, &noise(thread, 1 << 20));
                    mount(engine, &v);
                    snapshot(engine, &v, &s);
                    unmount(engine, &v);
                    if round == 0 {
                        delete_volume(engine, &v);
                    }
                }
            });
        }
    });
    assert_eq!(engine.volumes().unwrap().len(), 6);
    assert_eq!(thin_ids(&engine).len(), 12);
    for (thread, volume) in engine.volumes().unwrap().iter().enumerate() {
        let found = read_device(&volume.device, 32 << 20, 1 << 20);
        assert!(found == noise(thread as u64, 1 << 20), "{}", volume.name);
    }
    engine.stop().unwrap();
}
