//! A daemon under strain: stopped, frozen, out of files, asked twice to end, on a clock that jumps.

use crate::world::{World, write_device};
use convoy_tests::command::tool as run;
use convoy_tests::daemon::Daemon;
use convoy_tests::disk::digest;
use convoy_tests::noise::noise;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

fn pid(daemon: &Daemon) -> Pid {
    Pid::from_raw(i32::try_from(daemon.pid()).unwrap())
}

/// A daemon with a volume of some noise, and a snapshot of it.
fn begun(world: &World) -> Daemon {
    let daemon = Daemon::start(&world.root(), &[]);
    daemon.ok(&["create", "v", "--size", "64M"]);
    change(&daemon, 1);
    daemon.ok(&["snapshot", "create", "v", "--name", "s1"]);
    daemon
}

fn device(daemon: &Daemon, volume: &str) -> String {
    let inspected = daemon.json(&["inspect", volume]);
    let device = inspected.pointer("/DriverInfo/Device").unwrap();
    device.as_str().unwrap().to_owned()
}

/// Writes what no other `seed` writes, past the filesystem's own blocks.
fn change(daemon: &Daemon, seed: u64) {
    let device = device(daemon, "v");
    for at in 0..3 {
        let bytes = noise(seed * 100 + at, 4 << 20);
        write_device(Path::new(&device), (24 + 8 * at) << 20, &bytes);
    }
}

fn start(daemon: &Daemon, words: &[&str]) -> Child {
    let mut command = daemon.command();
    command
        .args(words)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().unwrap()
}

/// The backup of the present content restores to it.
#[track_caller]
fn is_whole(daemon: &Daemon, url: &str) {
    daemon.ok(&["backup", "verify", url]);
    daemon.ok(&["create", "back", "--backup", url]);
    let (back, origin) = (device(daemon, "back"), device(daemon, "v"));
    assert_eq!(digest(Path::new(&back)), digest(Path::new(&origin)));
    daemon.ok(&["delete", "back"]);
}

/// What is halted for a while goes on as if nothing had been; the guard minds what is held meanwhile.
#[track_caller]
fn halted(world: &World, halt: impl Fn(&Daemon, bool)) {
    let daemon = begun(world);
    let dest = world.dest();
    let verbs: [&[&str]; 3] = [
        &["backup", "create", "s1", "--dest", &dest],
        &["create", "w", "--size", "64M"],
        &["snapshot", "delete", "s1"],
    ];
    for words in verbs {
        let mut client = start(&daemon, words);
        let ended = loop {
            if let Some(ended) = client.try_wait().unwrap() {
                break ended;
            }
            halt(&daemon, true);
            std::thread::sleep(Duration::from_millis(120));
            halt(&daemon, false);
            std::thread::sleep(Duration::from_millis(100));
        };
        assert!(ended.success(), "{words:?}: {ended}\n{}", daemon.log());
    }
    let listed = daemon.json(&["backup", "list", &dest]);
    let url = listed.as_object().unwrap().keys().next().unwrap().clone();
    is_whole(&daemon, &url);
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_daemon_that_is_stopped_now_and_then_loses_nothing() {
    let world = World::new("stopped");
    halted(&world, |daemon, stop| {
        let signal = if stop {
            Signal::SIGSTOP
        } else {
            Signal::SIGCONT
        };
        kill(pid(daemon), signal).unwrap();
    });
}

#[test]
fn a_daemon_that_is_frozen_now_and_then_loses_nothing() {
    let world = World::new("frozen");
    let group = Path::new("/sys/fs/cgroup/icebox");
    fs::create_dir_all(group).unwrap();
    halted(&world, |daemon, freeze| {
        fs::write(group.join("cgroup.procs"), daemon.pid().to_string()).unwrap();
        fs::write(group.join("cgroup.freeze"), if freeze { "1" } else { "0" }).unwrap();
    });
}

/// Every descriptor that a verb opens is the one there is none for, one after the other.
#[test]
fn a_daemon_out_of_files_refuses_and_goes_on() {
    let world = World::new("files");
    let daemon = begun(&world);
    let dest = world.dest();
    let limit = |soft: usize| {
        let (pid, limit) = (daemon.pid().to_string(), format!("--nofile={soft}:4096"));
        run("prlimit", &["--pid", &pid, &limit]);
    };
    let open = || {
        fs::read_dir(format!("/proc/{}/fd", daemon.pid()))
            .unwrap()
            .count()
    };
    let is_torture = std::env::var_os("CONVOY_TORTURE").is_some();
    let most = if is_torture { 12 } else { 5 };
    let (mut refused, idle) = (0, open());
    // The first is for the connection itself. A destination that has no file to spare is asked again for a while.
    for more in 1..most {
        for words in [
            &["snapshot", "create", "v", "--name", "few"][..],
            &["backup", "create", "s1", "--dest", &dest],
        ] {
            if words[0] == "backup" && !is_torture {
                continue;
            }
            limit(idle + more);
            let ran = daemon.convoy(words);
            limit(1024);
            match ran.code {
                Some(0) if words[0] == "snapshot" => {
                    drop(daemon.ok(&["snapshot", "delete", "few"]));
                }
                Some(0) => {}
                Some(1 | 16) => refused += 1,
                _ => panic!("{more}: {ran:?}\n{}", daemon.log()),
            }
        }
    }
    let log = daemon.log();
    assert!(!log.contains("panicked"), "{log}");
    assert!(refused > 0, "{refused} were refused: files were not short");
    assert!(
        open() <= idle + 2,
        "{} of {idle}: files are left open",
        open()
    );
    let url = daemon.ok(&["backup", "create", "s1", "--dest", &dest]);
    is_whole(&daemon, &url);
    assert_eq!(daemon.stop(), Some(0));
}

/// A second SIGTERM ends the daemon at once, which is no worse than a kill.
#[test]
fn a_daemon_told_twice_to_end_ends_and_what_it_did_is_finished_or_undone() {
    let world = World::new("twice");
    let daemon = begun(&world);
    let dest = world.dest();
    let words = [
        "--output", "json", "backup", "create", "s1", "--dest", &dest,
    ];
    let mut client = daemon.command();
    client
        .args(words)
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut client = client.spawn().unwrap();
    let mut heard = BufReader::new(client.stderr.take().unwrap()).lines();
    let began = heard.find(|line| line.as_ref().is_ok_and(|line| line.contains("comparing")));
    assert!(began.is_some(), "{}", daemon.log());
    kill(pid(&daemon), Signal::SIGTERM).unwrap();
    std::thread::sleep(Duration::from_millis(30));
    let begin = std::time::Instant::now();
    let ended = daemon.stop();
    assert!(begin.elapsed() < Duration::from_secs(10), "{ended:?}");
    drop(heard);
    client.wait().unwrap();
    let daemon = Daemon::start(&world.root(), &[]);
    let url = daemon.ok(&["backup", "create", "s1", "--dest", &dest]);
    is_whole(&daemon, &url);
    daemon.ok(&["snapshot", "delete", "s1"]);
    assert_eq!(daemon.stop(), Some(0));
}

/// Bases are chosen by identity, and what is listed is in the order of the log: no clock has a say.
#[test]
fn a_clock_that_jumps_a_year_decides_nothing() {
    let is_lab = fs::read_to_string("/proc/cpuinfo").unwrap();
    if !is_lab.contains("User Mode Linux") {
        println!("left out: this machine's clock is not ours to set");
        return;
    }
    let world = World::new("clock");
    let daemon = begun(&world);
    let dest = world.dest();
    let back_up = |snapshot: &str| {
        let words = [
            "--output", "json", "backup", "create", snapshot, "--dest", &dest,
        ];
        daemon.json(&words)
    };
    let identity = |of: &serde_json::Value| of["Backup"]["BackupUUID"].clone();
    let base = |of: &serde_json::Value| of["Backup"]["BaseBackupUUID"].clone();
    let first = back_up("s1");
    // To before the first, in the end.
    let mut before = first;
    for (n, jump) in [(2, "+1 year"), (3, "-2 years")] {
        run("date", &["--set", jump]);
        change(&daemon, n);
        let snapshot = format!("s{n}");
        daemon.ok(&["snapshot", "create", "v", "--name", &snapshot]);
        let made = back_up(&snapshot);
        assert_eq!(
            base(&made),
            identity(&before),
            "the latest, whatever its time"
        );
        before = made;
    }
    is_whole(&daemon, before["URL"].as_str().unwrap());
    assert_eq!(daemon.stop(), Some(0));
    // A start on another day finds everything as it was.
    run("date", &["--set", "+2 years"]);
    let daemon = Daemon::start(&world.root(), &[]);
    assert_eq!(
        daemon.json(&["info"])["General"]["Recovered"],
        serde_json::json!([])
    );
    assert_eq!(daemon.stop(), Some(0));
    run("date", &["--set", "-1 year"]);
}
