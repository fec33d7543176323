//! The whole of what a user of the original types.

use super::{has_keys, text};
use crate::world::World;
use convoy_tests::command::tool as run;
use convoy_tests::daemon::Daemon;
use convoy_tests::noise::noise;
use std::fs;
use std::path::Path;

#[test]
fn the_originals_walk_without_any_option() {
    let world = World::new("walk");
    let root = Path::new("/var/lib/convoy");
    fs::create_dir_all(root).unwrap();
    fs::create_dir(world.root()).unwrap();
    // The default root, on a filesystem that can do what a pool needs.
    run(
        "mount",
        &[
            "--bind",
            world.root().to_str().unwrap(),
            root.to_str().unwrap(),
        ],
    );
    let daemon = Daemon::start_told(&[], Path::new("/run/convoy/convoy.sock"));
    assert!(
        daemon.log().contains("loop (not for production)"),
        "{}",
        daemon.log()
    );
    let dest = world.dest();

    let info = daemon.json(&["info"]);
    has_keys(&info["General"], &["Root", "DriverList", "DefaultDriver"]);
    assert_eq!(text(&info, "/General/Root"), "/var/lib/convoy");
    let pool = &info["devicemapper"];
    let keys = [
        "Driver",
        "Root",
        "DataDevice",
        "MetadataDevice",
        "ThinpoolDevice",
        "ThinpoolSize",
    ];
    has_keys(pool, &keys);
    assert_eq!(text(pool, "/ThinpoolBlockSize"), "2097152");
    assert_eq!(text(pool, "/DefaultVolumeSize"), "107374182400");
    assert_eq!(text(pool, "/Filesystem"), "ext4");
    assert_eq!(text(pool, "/LoopBacked"), "loop (not for production)");

    assert_eq!(daemon.ok(&["create", "vol1", "--size", "256M"]), "vol1");
    let created = daemon.json(&["--verbose", "create", "vol2", "--size", "268435456"]);
    let keys = [
        "Name",
        "Driver",
        "MountPoint",
        "CreatedTime",
        "DriverInfo",
        "Snapshots",
        "UUID",
        "Operation",
    ];
    has_keys(&created, &keys);
    let keys = [
        "DevID",
        "Device",
        "Driver",
        "MountPoint",
        "Size",
        "VolumeCreatedAt",
        "VolumeName",
        "VolumeUUID",
    ];
    has_keys(&created["DriverInfo"], &keys);
    assert_eq!(text(&created, "/DriverInfo/Size"), "268435456");
    let unnamed = daemon.ok(&["create", "--label", "for=nobody"]);
    let labels = &daemon.json(&["inspect", &unnamed])["Labels"];
    assert_eq!(labels, &serde_json::json!({"for": "nobody"}));
    assert!(unnamed.starts_with("volume-"), "{unnamed}");

    let target = daemon.ok(&["mount", "vol1"]);
    fs::write(Path::new(&target).join("file"), noise(1, 3 << 20)).unwrap();
    assert_eq!(daemon.ok(&["mount", "vol1"]), target, "again is no change");
    let shown = daemon.json(&["inspect", "vol1"]);
    assert_eq!(
        (text(&shown, "/MountPoint"), text(&shown, "/State")),
        (target.as_str(), "ready")
    );
    let listed = daemon.json(&["list"]);
    has_keys(&listed, &["vol1", "vol2", &unnamed]);
    has_keys(
        &daemon.json(&["list", "--driver"])["vol1"],
        &["Device", "Size"],
    );
    let place = world.path("place");
    fs::create_dir(&place).unwrap();
    let place = place.to_str().unwrap();
    assert_eq!(daemon.ok(&["mount", "vol2", "--mountpoint", place]), place);

    assert_eq!(
        daemon.ok(&["snapshot", "create", "vol1", "--name", "snap1"]),
        "snap1"
    );
    let shown = daemon.json(&["snapshot", "inspect", "snap1"]);
    has_keys(
        &shown,
        &[
            "Name",
            "VolumeName",
            "VolumeCreatedAt",
            "CreatedTime",
            "DriverInfo",
        ],
    );
    assert!(shown["HoldMicroseconds"].as_u64().unwrap() > 0);
    has_keys(&daemon.json(&["snapshot", "list", "vol1"]), &["snap1"]);
    has_keys(&daemon.json(&["inspect", "vol1"])["Snapshots"], &["snap1"]);

    let url = daemon.ok(&["backup", "create", "snap1", "--dest", &dest]);
    assert!(
        url.starts_with(&format!("{dest}?backup=backup-")) && url.ends_with("&volume=vol1"),
        "{url}"
    );
    let shown = daemon.json(&["backup", "inspect", &url]);
    let keys = [
        "BackupName",
        "BackupURL",
        "CreatedTime",
        "DriverName",
        "SnapshotCreatedAt",
        "SnapshotName",
        "VolumeCreatedAt",
        "VolumeName",
        "VolumeSize",
        "BackupUUID",
        "VolumeUUID",
        "SnapshotUUID",
    ];
    has_keys(&shown, &keys);
    assert_eq!(daemon.json(&["backup", "list", &dest])[&url], shown);
    has_keys(
        &daemon.json(&["backup", "list", &dest, "--volume-name", "vol1"]),
        &[&url],
    );
    // As JSON of the original wrote it, the URL is taken too.
    daemon.ok(&["backup", "inspect", &url.replace('&', "\\u0026")]);
    fs::write(Path::new(&target).join("file"), noise(2, 3 << 20)).unwrap();
    daemon.ok(&["snapshot", "create", "vol1", "--name", "snap2"]);
    let second = daemon.back_up("vol1@snap2", &dest);
    has_keys(&second, &["URL", "Backup", "Summary", "Operation"]);
    // One operation: in the answer, in the commit record, in the log.
    let operation = text(&second, "/Operation");
    assert_eq!(text(&second, "/Backup/OperationUUID"), operation);
    assert!(daemon.log().contains(operation), "{}", daemon.log());
    assert_eq!(
        text(&second, "/Backup/BaseBackupUUID"),
        text(&shown, "/BackupUUID")
    );
    daemon.ok(&["backup", "verify", &url]);

    for (back, from, seed) in [
        ("res1", url.as_str(), 1),
        ("res2", text(&second, "/URL"), 2),
    ] {
        assert_eq!(daemon.ok(&["create", back, "--backup", from]), back);
        let target = daemon.ok(&["mount", back]);
        assert!(
            fs::read(Path::new(&target).join("file")).unwrap() == noise(seed, 3 << 20),
            "{back}"
        );
    }
    daemon.fails(
        &["create", "res3", "--backup", &url, "--size", "512M"],
        2,
        "must match with backup's size",
    );
    daemon.ok(&["backup", "delete", &url]);
    daemon.fails(&["backup", "inspect", &url], 10, "");
    daemon.ok(&["snapshot", "delete", "snap1"]);

    daemon.fails(&["delete", "vol1"], 12, "hasn't been umounted");
    for volume in ["vol1", "vol2", "res1", "res2"] {
        daemon.ok(&["umount", volume]);
    }
    // Many at once: the one that fails does not keep the others, and the status says so.
    let said = daemon.fails(
        &["delete", "vol1", "nosuch", "vol2"],
        3,
        "volume nosuch doesn't exist",
    );
    assert_eq!(said.stderr.matches("convoy:").count(), 1, "{said:?}");
    let gone = daemon.json(&["--output", "json", "delete", "res1", "res2", &unnamed]);
    assert_eq!(gone["Deleted"].as_array().unwrap().len(), 3);
    assert_eq!(daemon.json(&["list"]), serde_json::json!({}));
    assert_eq!(daemon.stop(), Some(0));
}
