//! A new volume's filesystem is made and mounted as asked, after a restart too, and where others see it.

use super::{entry, with, words};
use crate::verbs::{SIZE, delete_volume, mount, name, refusal, silent, unmount, volume_request};
use crate::world::World;
use convoy_engine::{CreateVolume, Owner};
use convoy_fault::Kind;
use convoy_tests::command::{runs, tool as run};
use convoy_units::Bytes;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::time::{Duration, Instant};

#[test]
fn options_owner_and_mode_hold_after_a_restart() {
    let (world, engine) = World::opened("asked");
    let request = CreateVolume {
        mount_options: words(&["noatime", "commit=30", "noexec"]),
        mkfs_options: words(&["inode-size=512", "reserved=0"]),
        owner: Some(Owner {
            uid: 1000,
            gid: 1001,
        }),
        mode: Some("2770".parse().unwrap()),
        ..volume_request("v", SIZE)
    };
    let made = engine.create_volume(&request, &silent()).unwrap();
    let made = made.into_inner();
    assert_eq!(made.mount_options, ["noatime", "commit=30", "noexec"]);
    let target = mount(&engine, "v");
    let check = || {
        let root = fs::metadata(&target).unwrap();
        assert_eq!((root.uid(), root.gid()), (1000, 1001));
        assert_eq!(root.mode() & 0o7777, 0o2770);
        let entry = entry(&target);
        for option in ["noatime", "commit=30", "noexec", "nodev", "nosuid", "rw"] {
            assert!(
                entry.options.iter().any(|found| found == option),
                "{option}: {entry:?}"
            );
        }
    };
    check();
    // What is on the volume is its users' to change, and is not put back.
    let shown = run("dumpe2fs", &["-h", made.device.to_str().unwrap()]);
    let inode_size = shown.lines().find(|line| line.starts_with("Inode size:"));
    assert!(inode_size.unwrap().ends_with("512"), "{shown}");
    // As a reboot: the mount is gone, and wanted.
    drop(engine);
    nix::mount::umount(&target).unwrap();
    let engine = world.open(&[]);
    check();
    delete_after(&engine);
    engine.stop().unwrap();
}

fn delete_after(engine: &convoy_engine::Engine) {
    unmount(engine, "v");
    delete_volume(engine, "v");
    assert_eq!(engine.volumes().unwrap().len(), 0);
}

#[test]
fn what_is_not_allowed_makes_nothing() {
    let (_, engine) = World::opened("not-allowed");
    let mut suid = volume_request("v", SIZE);
    suid.mount_options = words(&["noatime", "suid"]);
    let mut other = volume_request("v", SIZE);
    other.mkfs_options = words(&["journal-device=/dev/ubda"]);
    let small = with("xfs", "v", Bytes::mib(298));
    for (request, rule) in [
        (suid, "noexec"),
        (other, "inode-size=N"),
        (small, "300.0 MiB"),
    ] {
        let (kind, words) = refusal(engine.create_volume(&request, &silent()));
        assert_eq!(
            (kind, words.contains(rule)),
            (Kind::Invalid, true),
            "{words}"
        );
    }
    assert_eq!(engine.volumes().unwrap().len(), 0);
    assert_eq!(engine.info().unwrap().pool.data_used, Bytes(0));
    engine.stop().unwrap();
}

/// A container engine's namespaces are slaves of the host's: what is mounted later is seen there, and what is
/// unmounted is gone there, so that nothing keeps a volume from being deleted.
#[test]
fn mounts_come_and_go_in_other_namespaces() {
    let (world, engine) = World::opened("propagated");
    let dir = world.dir.to_str().unwrap();
    run("mount", &["--bind", dir, dir]);
    run("mount", &["--make-shared", dir]);
    engine
        .create_volume(&volume_request("v", SIZE), &silent())
        .unwrap();
    let mut other = Command::new("unshare")
        .args(["--mount", "--propagation", "slave", "sleep", "600"])
        .spawn()
        .unwrap();
    let begin = Instant::now();
    while runs(other.id()) != "sleep" {
        assert!(begin.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(10));
    }
    let place = world.path("place");
    fs::create_dir(&place).unwrap();
    engine
        .mount_volume(&name("v"), Some(&place), &silent())
        .unwrap();
    let device = entry(&place).device;
    let sees = || {
        let table = fs::read(format!("/proc/{}/mountinfo", other.id())).unwrap();
        let table = convoy_mount::parse_mountinfo(&table).unwrap();
        table.iter().any(|entry| entry.device == device)
    };
    assert!(sees(), "what is mounted is seen");
    unmount(&engine, "v");
    assert!(!sees(), "what is unmounted is gone");
    delete_volume(&engine, "v");
    engine.stop().unwrap();
    other.kill().unwrap();
    other.wait().unwrap();
    run("umount", &["-l", dir]);
}
