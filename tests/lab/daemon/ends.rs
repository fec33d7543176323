//! A daemon or a client that ends, of its own or by a kill.

use super::{has_keys, text};
use crate::world::{World, write_device};
use convoy_tests::command::tool as run;
use convoy_tests::daemon::Daemon;
use convoy_tests::disk::digest;
use convoy_tests::noise::noise;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Writes numbered records durably until told to stop; the count of those that are durable.
fn write_on(file: &fs::File, stop: &AtomicBool, durable: &AtomicU64) {
    for number in 0u64.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        file.write_all_at(&noise(number, 4096), number % 4096 * 4096)
            .unwrap();
        file.sync_data().unwrap();
        durable.store(number + 1, Ordering::SeqCst);
    }
}

#[track_caller]
fn more_is_written(durable: &AtomicU64) {
    let (before, begin) = (durable.load(Ordering::SeqCst), Instant::now());
    while durable.load(Ordering::SeqCst) < before + 3 {
        assert!(
            begin.elapsed() < Duration::from_secs(20),
            "the writer stands still"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_killed_daemon_harms_nobody_and_comes_back() {
    let world = World::new("killed");
    let mut daemon = Daemon::start(&world.root(), &[]);
    for volume in ["v", "w"] {
        daemon.ok(&["create", volume, "--size", "256M"]);
    }
    let target = daemon.ok(&["mount", "v"]);
    let file = fs::File::create(Path::new(&target).join("records")).unwrap();
    let (stop, durable) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| write_on(&file, &stop, &durable));
        more_is_written(&durable);
        // In the middle of whatever it does.
        for round in 0..4 {
            let mut client = daemon
                .command()
                .args(["snapshot", "create", "v", "--name", &format!("s{round}")])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            std::thread::sleep(Duration::from_millis(60 + 40 * round));
            daemon.kill();
            client.wait().unwrap();
            daemon = Daemon::start(&world.root(), &[]);
            more_is_written(&durable);
            let shown = daemon.json(&["inspect", "v"]);
            assert_eq!(
                (text(&shown, "/MountPoint"), text(&shown, "/State")),
                (target.as_str(), "ready")
            );
            println!(
                "round {round}: {}",
                daemon.json(&["info"])["General"]["Recovered"]
            );
        }
        daemon.kill();
        more_is_written(&durable);
        stop.store(true, Ordering::SeqCst);
    });
    drop(file);
    daemon = Daemon::start(&world.root(), &[]);
    assert_eq!(text(&daemon.json(&["inspect", "w"]), "/State"), "ready");
    daemon.ok(&["create", "after", "--size", "64M"]);
    daemon.ok(&["umount", "v"]);
    let device = daemon.json(&["inspect", "v"]);
    run("e2fsck", &["-f", "-n", text(&device, "/DriverInfo/Device")]);
    daemon.ok(&["delete", "v", "w", "after"]);
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_daemon_that_is_told_to_end_leaves_volumes_mounted() {
    let world = World::new("term");
    let daemon = Daemon::start(&world.root(), &[]);
    daemon.ok(&["create", "v", "--size", "64M"]);
    let target = daemon.ok(&["mount", "v"]);
    assert_eq!(daemon.stop(), Some(0));
    assert!(
        convoy_mount::mounted_at(Path::new(&target))
            .unwrap()
            .is_some()
    );
    fs::write(Path::new(&target).join("file"), "after").unwrap();
    let daemon = Daemon::start(&world.root(), &[]);
    assert_eq!(text(&daemon.json(&["inspect", "v"]), "/MountPoint"), target);
    assert_eq!(
        daemon.json(&["info"])["General"]["Recovered"],
        serde_json::json!([])
    );
    assert_eq!(daemon.stop(), Some(0));
}

/// A client that dies must not leave half a volume, nor undo what it asked for.
#[test]
fn a_dropped_connection_cancels_nothing() {
    let world = World::new("dropped");
    let daemon = Daemon::start(&world.root(), &[]);
    daemon.ok(&["create", "v", "--size", "128M"]);
    let device = daemon.json(&["inspect", "v"]);
    let device = Path::new(text(&device, "/DriverInfo/Device"));
    for at in 0..6 {
        write_device(device, (16 + 8 * at) << 20, &noise(at, 8 << 20));
    }
    daemon.ok(&["snapshot", "create", "v", "--name", "s"]);
    let url = daemon.ok(&["backup", "create", "s", "--dest", &world.dest()]);
    let mut client = daemon
        .command()
        .args(["--output", "json", "create", "back", "--backup", &url])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap();
    // As soon as it says that data moves.
    let mut heard = String::new();
    for line in BufReader::new(client.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        heard.push_str(&line);
        heard.push('\n');
        if line.contains("progress") || line.contains("restoring") {
            break;
        }
    }
    for line in heard.lines() {
        has_keys(&serde_json::from_str(line).unwrap(), &["event"]);
    }
    client.kill().unwrap();
    assert!(
        !client.wait().unwrap().success(),
        "it was killed in the middle: {heard}"
    );
    println!("the client had heard: {heard}");
    let begin = Instant::now();
    loop {
        let said = daemon.convoy(&["inspect", "back"]);
        assert_eq!(said.code, Some(0), "{said:?}\n{}", daemon.log());
        if said.stdout.contains("\"ready\"") {
            break;
        }
        assert!(begin.elapsed() < Duration::from_mins(1), "{said:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
    let back = daemon.json(&["inspect", "back"]);
    assert_eq!(
        digest(Path::new(text(&back, "/DriverInfo/Device"))),
        digest(device)
    );
    assert_eq!(daemon.stop(), Some(0));
}
