//! Long operations as jobs, restores in place, the pool's commands, holders in other namespaces, many clients.

mod holders;
mod many;
mod pool;

use crate::world::World;
use convoy_tests::daemon::Daemon;
use convoy_tests::disk::Direct;
use convoy_tests::noise::fill;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

const MIB: usize = 1 << 20;

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_else(|| panic!("no {pointer} in {value}"))
}

/// Noise over so many MiB of a volume, in each of them another.
fn write(daemon: &Daemon, volume: &str, mebibytes: u64, seed: u64) {
    let inspected = daemon.json(&["inspect", volume]);
    let device = text(&inspected, "/DriverInfo/Device");
    let file = fs::OpenOptions::new().write(true).open(device).unwrap();
    let mut bytes = vec![0; MIB];
    for at in 0..mebibytes {
        fill(seed * 1000 + at, &mut bytes);
        file.write_all_at(&bytes, at * MIB as u64).unwrap();
    }
    file.sync_all().unwrap();
}

/// The job, once this is true of it.
#[track_caller]
fn until(daemon: &Daemon, job: &str, is: impl Fn(&Value) -> bool) -> Value {
    let begin = Instant::now();
    loop {
        let now = daemon.json(&["job", "inspect", job]);
        if is(&now) {
            return now;
        }
        assert!(begin.elapsed() < Duration::from_mins(1), "{now}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Detached, queued, cancelled, waited for; a cancelled backup leaves nothing and the next one goes on.
#[test]
fn jobs_are_detached_queued_cancelled_and_waited_for() {
    let world = World::new("jobs");
    let daemon = Daemon::start(&world.root(), &[]);
    daemon.ok(&["create", "v", "--size", "512M"]);
    write(&daemon, "v", 320, 1);
    daemon.ok(&["snapshot", "create", "v", "--name", "s"]);
    let dest = world.dest();
    daemon.fails(
        &["backup", "create", "no", "--dest", &dest, "--detach"],
        10,
        "no",
    );
    let first = daemon.ok(&["backup", "create", "s", "--dest", &dest, "--detach"]);
    let second = daemon.ok(&["backup", "create", "s", "--dest", &dest, "--detach"]);
    until(&daemon, &first, |job| job["Phase"] == "backing-up");
    let waiting = daemon.json(&["job", "inspect", &second]);
    assert_eq!(text(&waiting, "/State"), "waiting", "{waiting}");
    assert_eq!(text(&waiting, "/WaitingFor"), first);
    // The one that waits is let go at once; the one that runs at its next chunk.
    daemon.ok(&["job", "cancel", &second]);
    daemon.fails(&["job", "wait", &second], 130, "");
    until(&daemon, &first, |job| {
        job["DoneBytes"].as_u64() > Some(64 << 20)
    });
    daemon.ok(&["job", "cancel", &first[..13]]);
    daemon.fails(&["job", "wait", &first], 130, "");
    let cancelled = daemon.json(&["job", "inspect", &first]);
    assert_eq!(text(&cancelled, "/State"), "cancelled", "{cancelled}");
    assert_eq!(
        daemon.json(&["backup", "list", &dest]),
        serde_json::json!({})
    );
    let sent: Vec<_> = world.packs();
    assert!(
        !sent.is_empty(),
        "it was cancelled too early to show anything"
    );
    // Nothing keeps the snapshot: no pin and no device; and what was sent is not sent again.
    let third = daemon.ok(&["backup", "create", "s", "--dest", &dest, "--detach"]);
    let url = daemon.ok(&["job", "wait", &third]);
    let total: u64 = world
        .packs()
        .iter()
        .map(|pack| fs::metadata(pack).unwrap().len())
        .sum();
    assert!(total < 340 << 20, "{total} bytes of packs for 320 MiB");
    daemon.ok(&["backup", "verify", &url]);
    daemon.ok(&["snapshot", "delete", "s"]);
    let jobs = daemon.json(&["job", "list"]);
    assert_eq!(jobs.as_object().unwrap().len(), 4, "{jobs}");
    assert_eq!(daemon.stop(), Some(0));
}

/// The daemon is killed in the midst of a backup: the job is shown as interrupted, and the next backup sends what
/// was not sent.
#[test]
fn a_killed_backup_is_shown_and_gone_on_with() {
    let world = World::new("interrupted");
    let daemon = Daemon::start(&world.root(), &[]);
    daemon.ok(&["create", "v", "--size", "1G"]);
    write(&daemon, "v", 640, 2);
    daemon.ok(&["snapshot", "create", "v", "--name", "s"]);
    let dest = world.dest();
    let job = daemon.ok(&["backup", "create", "s", "--dest", &dest, "--detach"]);
    // Past the first eight packs, which are what is noted at once.
    until(&daemon, &job, |job| {
        job["DoneBytes"].as_u64() > Some(400 << 20)
    });
    daemon.kill();
    let daemon = Daemon::start(&world.root(), &[]);
    let shown = daemon.json(&["job", "inspect", &job]);
    assert_eq!(text(&shown, "/State"), "interrupted", "{shown}");
    let info = daemon.json(&["info"]);
    assert!(info.to_string().contains("was interrupted"), "{info}");
    let before: u64 = world
        .packs()
        .iter()
        .map(|pack| fs::metadata(pack).unwrap().len())
        .sum();
    let url = daemon.ok(&["backup", "create", "s", "--dest", &dest]);
    let after: u64 = world
        .packs()
        .iter()
        .map(|pack| fs::metadata(pack).unwrap().len())
        .sum();
    println!(
        "MEASURED {} MiB sent before the kill, {} MiB in the end",
        before >> 20,
        after >> 20
    );
    assert!(after < (640 + 200) << 20, "{after}");
    daemon.ok(&["backup", "verify", &url]);
    assert_eq!(daemon.stop(), Some(0));
}

/// Only what differs is written; cut short, the volume is nobody's until it is restored or rolled back.
#[test]
fn a_volume_is_restored_in_place() {
    let world = World::new("in-place");
    let daemon = Daemon::start(&world.root(), &[]);
    daemon.ok(&["create", "v", "--size", "256M"]);
    let place = daemon.ok(&["mount", "v"]);
    let big: Vec<u8> = (0..24).flat_map(noise).collect();
    fs::write(Path::new(&place).join("kept"), &big).unwrap();
    fs::write(Path::new(&place).join("text"), "as it was backed up").unwrap();
    daemon.ok(&["snapshot", "create", "v", "--name", "s"]);
    let url = daemon.ok(&["backup", "create", "s", "--dest", &world.dest()]);
    fs::write(Path::new(&place).join("text"), "as it is now").unwrap();
    fs::write(Path::new(&place).join("new"), noise(99)).unwrap();
    let restore = ["backup", "restore", &url, "--to", "v"];
    daemon.fails(&restore, 2, "--yes");
    let restore = ["backup", "restore", &url, "--to", "v", "--yes"];
    daemon.fails(&restore, 12, "mounted");
    daemon.ok(&["umount", "v"]);
    let done = daemon.json(&[&["--output", "json"], &restore[..]].concat());
    let written = done["WrittenBytes"].as_u64().unwrap();
    assert!(written < 16 << 20, "{done}");
    let safety = text(&done, "/SafetySnapshot").to_owned();
    daemon.ok(&["mount", "v"]);
    let read = |name: &str| fs::read(Path::new(&place).join(name));
    assert_eq!(read("text").unwrap(), b"as it was backed up");
    assert!(read("kept").unwrap() == big);
    assert!(read("new").is_err());
    daemon.ok(&["umount", "v"]);
    // Damage to the backup ends the restore in the middle.
    let pack = world.packs().remove(0);
    write(&daemon, "v", 200, 3);
    crate::world::damage(&pack);
    daemon.fails(&restore, 14, "snapshot rollback");
    daemon.fails(&["mount", "v"], 12, "holds parts of both");
    daemon.fails(&["snapshot", "create", "v"], 12, "holds parts of both");
    assert_eq!(text(&daemon.json(&["inspect", "v"]), "/State"), "restoring");
    daemon.kill();
    let daemon = Daemon::start(&world.root(), &[]);
    daemon.fails(&["mount", "v"], 12, "holds parts of both");
    // Back to what was there before the first restore.
    daemon.ok(&["snapshot", "rollback", &safety, "--yes"]);
    daemon.ok(&["mount", "v"]);
    assert_eq!(read("text").unwrap(), b"as it is now");
    assert!(read("new").unwrap() == noise(99));
    assert_eq!(daemon.stop(), Some(0));
}

fn noise(seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; MIB];
    fill(seed, &mut bytes);
    bytes
}

/// Every byte of two devices.
#[track_caller]
fn same(one: &Path, other: &Path, mebibytes: u64) {
    let mut devices = [one, other].map(|path| Direct::open(path, MIB));
    for at in 0..mebibytes {
        let [left, right] = devices
            .each_mut()
            .map(|device| device.read(at * MIB as u64, MIB).to_vec());
        assert!(left == right, "MiB {at}");
    }
}

/// Over noise and from a backup with holes: what the backup has not is zeros afterwards.
#[test]
fn what_the_backup_does_not_have_is_cleared() {
    let world = World::new("cleared");
    let daemon = Daemon::start(&world.root(), &[]);
    daemon.ok(&["create", "v", "--size", "64M"]);
    daemon.ok(&["snapshot", "create", "v", "--name", "s"]);
    let url = daemon.ok(&["backup", "create", "s", "--dest", &world.dest()]);
    write(&daemon, "v", 64, 4);
    daemon.ok(&["backup", "restore", &url, "--to", "v", "--yes"]);
    daemon.ok(&["create", "w", "--backup", &url]);
    let device = |name: &str| {
        let inspected = daemon.json(&["inspect", name]);
        text(&inspected, "/DriverInfo/Device").to_owned()
    };
    same(Path::new(&device("v")), Path::new(&device("w")), 64);
    assert_eq!(daemon.stop(), Some(0));
}
