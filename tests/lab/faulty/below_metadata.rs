//! Faults of the metadata device: the pool stops changing, says so within seconds, and goes on when it is checked.

use super::device::Kind as Fault;
use super::{Stage, leaves};
use crate::verbs::{SIZE, mount, name, refusal, silent, snapshot, unmount, volume, volume_request};
use convoy_fault::Kind;
use convoy_tests::command::{run, tool};
use convoy_tests::daemon::Daemon;
use std::process::Command;
use std::time::{Duration, Instant};

/// A metadata write that fails: the kernel stops the pool. Noticed, told apart, everything refused that would
/// change it, everything served that can be; after a check all goes on.
#[test]
fn a_metadata_write_that_fails_is_noticed_and_every_volume_is_to_be_checked() {
    let stage = Stage::new("metadata-eio");
    let engine = stage.open();
    volume(&engine, "v", SIZE);
    volume(&engine, "w", SIZE);
    let target = mount(&engine, "v");
    std::fs::write(target.join("before"), "is kept").unwrap();
    snapshot(&engine, "v", "s");
    engine.look_after_pool();
    stage.metadata.becomes(Fault::WritesFail);
    std::fs::write(target.join("during"), vec![7; 4 << 20]).unwrap();
    nix::unistd::sync();
    let (mode, took) = leaves(&engine, &["rw"]);
    let pool = engine.info().unwrap().pool;
    println!(
        "{mode} after {took:?}, needs check: {}; {:?}",
        pool.needs_check, pool.alerts
    );
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(!pool.alerts.is_empty());
    for volume in engine.volumes().unwrap() {
        assert!(volume.suspect.is_some(), "{}", volume.name);
    }
    let transaction = pool.transaction;
    for (kind, words) in [
        refusal(engine.create_volume(&volume_request("x", SIZE), &silent())),
        refusal(engine.create_snapshot(&name("v"), Some(&name("t")), &silent())),
        refusal(engine.delete_snapshot(&name("s"), &silent())),
        refusal(engine.delete_volume(&name("w"), &silent())),
    ] {
        let wanted = if pool.needs_check {
            Kind::PoolNeedsCheck
        } else {
            Kind::PoolUnhealthy
        };
        assert_eq!(kind, wanted, "{words}");
        assert!(words.contains("convoy doctor"), "{words}");
    }
    assert_eq!(engine.info().unwrap().pool.transaction, transaction);
    assert_eq!(engine.volumes().unwrap().len(), 2);
    assert_eq!(engine.snapshots(None).unwrap().len(), 1);
    if mode == "ro" {
        assert_eq!(
            std::fs::read_to_string(target.join("before")).unwrap(),
            "is kept"
        );
    }
    // The disk is well again. The pool is not, until it was taken down and checked.
    stage.metadata.becomes(Fault::Sound);
    nix::mount::umount2(&target, nix::mount::MntFlags::MNT_DETACH).unwrap();
    engine.look_after_pool();
    engine.stop().unwrap();
    tool(
        "thin_check",
        &["--clear-needs-check-flag", stage.metadata.word()],
    );
    let engine = stage.open();
    println!("recovered: {:?}", engine.info().unwrap().recovered);
    assert_eq!(engine.info().unwrap().pool.mode, "rw");
    // It was mounted, so it was checked on the way up; the other one is when it is mounted.
    let v = engine.volume(&name("v")).unwrap();
    assert!(v.mountpoint.is_some() && v.suspect.is_none(), "{v:?}");
    assert_eq!(
        std::fs::read_to_string(target.join("before")).unwrap(),
        "is kept"
    );
    assert!(engine.volume(&name("w")).unwrap().suspect.is_some());
    mount(&engine, "w");
    assert!(engine.volume(&name("w")).unwrap().suspect.is_none());
    unmount(&engine, "w");
    engine.stop().unwrap();
}

/// A disk that acknowledges and forgets: while it is up nobody can know. When it comes up again, the pool is of
/// an older day than the catalog, and nothing is changed.
#[test]
fn metadata_that_was_never_written_is_found_at_the_next_start() {
    let stage = Stage::new("metadata-lies");
    let engine = stage.open();
    volume(&engine, "v", SIZE);
    stage.metadata.becomes(Fault::WritesVanish);
    volume(&engine, "w", SIZE);
    engine.stop().unwrap();
    stage.metadata.becomes(Fault::Sound);
    let (kind, words) = stage.world.refused(&stage.options());
    assert!(
        matches!(kind, Kind::PoolUnhealthy | Kind::Integrity),
        "{words}"
    );
    println!("{words}");
    let catalog = stage.world.catalog();
    assert_eq!(catalog.volumes().unwrap().len(), 2, "nothing was changed");
}

/// Both devices gone at once, and back: the daemon lives and answers, and the next one works.
#[test]
fn devices_that_go_away_and_come_back() {
    let stage = Stage::new("gone");
    let flags = stage.flags();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let daemon = Daemon::start(&stage.world.root(), &flags);
    daemon.ok(&["create", "v", "--size", "64M"]);
    let target = daemon.ok(&["mount", "v"]);
    std::fs::write(format!("{target}/before"), "is kept").unwrap();
    nix::unistd::sync();
    daemon.ok(&["snapshot", "create", "v", "--name", "s"]);
    stage.data.becomes(Fault::Gone);
    stage.metadata.becomes(Fault::Gone);
    // Whatever it says, it says it soon.
    let begin = Instant::now();
    let refused = run(daemon
        .command()
        .args(["snapshot", "create", "v", "--name", "t"]));
    assert_ne!(refused.code, Some(0));
    println!("{:?}: {}", begin.elapsed(), refused.stderr);
    assert!(begin.elapsed() < Duration::from_secs(30));
    let health = || {
        let begin = Instant::now();
        let socket = daemon.socket().to_str().unwrap();
        let words = ["-sS", "--unix-socket", socket, "http://convoy/healthz"];
        let ran = run(Command::new("curl").args(words));
        (ran, begin.elapsed())
    };
    if !tool("sh", &["-c", "command -v curl || true"]).is_empty() {
        let (ran, took) = health();
        assert_eq!(ran.ok(), "ok");
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
    // Nobody can know before somebody writes.
    let begin = Instant::now();
    std::fs::write(format!("{target}/during"), "nowhere").ok();
    nix::unistd::sync();
    let told = loop {
        let list = daemon.json(&["list"]);
        if !list["v"]["Suspect"].is_null() {
            break begin.elapsed();
        }
        assert!(
            begin.elapsed() < Duration::from_secs(10),
            "{}",
            daemon.log()
        );
        std::thread::sleep(Duration::from_millis(200));
    };
    let info = daemon.json(&["info"]);
    println!("told after {told:?}: {}", info["General"]["Alerts"]);
    assert!(told < Duration::from_secs(6), "{told:?}");
    stage.data.becomes(Fault::Sound);
    stage.metadata.becomes(Fault::Sound);
    daemon.kill();
    crate::world::sweep_pool(&target);
    tool(
        "thin_check",
        &["--clear-needs-check-flag", stage.metadata.word()],
    );
    let daemon = Daemon::start(&stage.world.root(), &flags);
    let list = daemon.json(&["list"]);
    assert_eq!(
        list["v"]["MountPoint"].as_str(),
        Some(target.as_str()),
        "{}",
        daemon.log()
    );
    assert_eq!(
        std::fs::read_to_string(format!("{target}/before")).unwrap(),
        "is kept"
    );
    assert!(list["v"]["Suspect"].is_null());
    daemon.ok(&["snapshot", "create", "v", "--name", "t"]);
    assert_eq!(daemon.stop(), Some(0));
}
