//! xfs volumes: made, backed up, restored beside one another, checked when they are suspect.

use super::{XFS, entry, words};
use crate::verbs::{
    back_up, delete_volume, mount, name, refusal, restore, silent, snapshot, unmount,
    volume_request,
};
use crate::world::{World, write_device};
use convoy_catalog::{Change, Suspect};
use convoy_engine::{CreateVolume, Owner};
use convoy_fault::Kind;
use convoy_tests::noise::noise;
use jiff::Timestamp;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;

/// A backup's restored volumes hold the same filesystem as what it was made of, UUID and all.
#[test]
fn an_xfs_and_what_was_restored_of_it_are_used_side_by_side() {
    let world = World::new("xfs");
    let engine = world.open(&[("dm.fs", "xfs")]);
    let request = CreateVolume {
        mount_options: words(&["noatime", "logbufs=8"]),
        mkfs_options: words(&["inode-size=1024", "label=data"]),
        owner: Some(Owner { uid: 7, gid: 8 }),
        mode: Some("1777".parse().unwrap()),
        ..volume_request("v", XFS)
    };
    let made = engine.create_volume(&request, &silent()).unwrap();
    assert_eq!(made.into_inner().filesystem, "xfs");
    let target = mount(&engine, "v");
    let found = entry(&target);
    assert_eq!(found.fs_type, "xfs");
    for option in ["noatime", "logbufs=8", "nodev", "nosuid"] {
        assert!(found.options.iter().any(|one| one == option), "{found:?}");
    }
    let root = fs::metadata(&target).unwrap();
    assert_eq!(
        (root.uid(), root.gid(), root.mode() & 0o7777),
        (7, 8, 0o1777)
    );

    let bytes = noise(3, 9 << 20);
    fs::write(target.join("one"), &bytes).unwrap();
    snapshot(&engine, "v", "s1");
    let first = back_up(&engine, "s1", &world.dest());
    fs::write(target.join("two"), &bytes[..1 << 20]).unwrap();
    snapshot(&engine, "v", "s2");
    let second = back_up(&engine, "s2", &world.dest());
    assert_eq!(second.backup.base, Some(first.backup.uuid));
    assert!(second.backup.changed < first.backup.changed);

    // Taken while it was mounted: its log is replayed by the mount, beside its twin.
    for (volume, url, has_two) in [
        ("a", &first.backup.url, false),
        ("b", &second.backup.url, true),
    ] {
        assert_eq!(restore(&engine, volume, url).filesystem, "xfs");
        let target = mount(&engine, volume);
        assert_eq!(fs::read(target.join("one")).unwrap(), bytes);
        assert_eq!(target.join("two").exists(), has_two);
        fs::write(target.join("three"), volume).unwrap();
    }
    for volume in ["v", "a", "b"] {
        unmount(&engine, volume);
        delete_volume(&engine, volume);
    }
    engine.stop().unwrap();
}

/// What may have lost writes is checked whole before it is mounted, an xfs as an ext4.
#[test]
fn a_suspect_xfs_is_mounted_only_when_it_checks_clean() {
    let world = World::new("suspect-xfs");
    let engine = world.open(&[("dm.fs", "xfs")]);
    let made = engine.create_volume(&volume_request("v", XFS), &silent());
    let made = made.unwrap().into_inner();
    let target = mount(&engine, "v");
    for n in 0..50 {
        fs::write(target.join(format!("file-{n}")), "kept").unwrap();
    }
    unmount(&engine, "v");
    drop(engine);
    let suspect = || {
        let suspect = Suspect {
            volume: made.uuid,
            why: "a test says so".to_owned(),
            since: Timestamp::now(),
        };
        world
            .catalog()
            .apply(&[Change::PutSuspect(suspect)])
            .unwrap();
        world.open(&[])
    };
    let engine = suspect();
    mount(&engine, "v");
    assert_eq!(fs::read(target.join("file-49")).unwrap(), b"kept");
    assert_eq!(engine.volume(&name("v")).unwrap().suspect, None);
    unmount(&engine, "v");
    drop(engine);
    let engine = suspect();
    // The free space and inode headers of the second quarter, behind the superblock's copy.
    let quarter = made.size.0 / 4;
    write_device(&made.device, quarter + 512, &[0x5a; 1024]);
    let (kind, words) = refusal(engine.mount_volume(&name("v"), None, &silent()));
    assert_eq!(kind, Kind::Integrity, "{words}");
    assert!(words.contains("xfs_repair /dev/"), "{words}");
    let volume = engine.volume(&name("v")).unwrap();
    assert!(volume.suspect.is_some() && volume.mountpoint.is_none());
    // What was said to do helps.
    let device = made.device.to_str().unwrap();
    convoy_tests::command::tool("xfs_repair", &[device]);
    mount(&engine, "v");
    assert!(File::open(&target).is_ok());
    engine.stop().unwrap();
}
