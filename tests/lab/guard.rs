//! The guard: a volume that is held for a snapshot runs again when whoever holds it is killed, stopped or too
//! slow.
//!
//! The daemon's part is played by this very program in a process of its own, with a real guard (`convoyd`'s):
//! it comes to a stop inside the suspension, at a point of its choice. What needs no such point is done with
//! the real daemon.

use crate::verbs::{SIZE, mount, name, refusal, silent, snapshot, thin_ids, unmount, volume};
use crate::world::World;
use convoy_engine::guard::GuardProcess;
use convoy_engine::{Engine, Failpoints, Point, Seams};
use convoy_fault::Kind;
use convoy_tests::command::{run as ran, tool as run, word};
use convoy_tests::daemon::Daemon;
use convoy_tests::disk::disks;
use convoy_tests::programs;
use convoy_thinpool::{Control, DmName, KernelControl, thin_name};
use convoy_units::Bytes;
use nix::sys::signal::{Signal, kill, raise};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Tells a process of this program which part it plays, and where.
const PART: &str = "CONVOY_GUARD_PART";
const PLACE: &str = "CONVOY_GUARD_PLACE";
/// Short, so that a test is; the default is tried with the slow device.
const LIMIT: Duration = Duration::from_millis(1500);

// -- the part of the daemon

/// What happens inside the suspension.
struct Inside(String);

impl Failpoints for Inside {
    fn reached(&self, point: &Point) -> bool {
        if point.to_string() != "after dm.create_snap" {
            return false;
        }
        println!("\n@inside");
        match self.0.as_str() {
            "stop" => raise(Signal::SIGSTOP).unwrap(),
            "eat" => eat(),
            _ => loop {
                std::thread::sleep(Duration::from_mins(1));
            },
        }
        false
    }
}

/// Takes memory until there is none.
fn eat() {
    let mut eaten: Vec<Vec<u8>> = Vec::new();
    loop {
        eaten.push(vec![1; 1 << 20]);
        std::hint::black_box(&eaten);
    }
}

/// Plays the daemon if this process was started to; says whether it was.
fn plays_a_part() -> bool {
    let Ok(part) = std::env::var(PART) else {
        return false;
    };
    if part == "eat" {
        fs::write("/sys/fs/cgroup/eater/cgroup.procs", "0").unwrap();
    }
    let mut config = convoy_engine::Config::new(std::env::var(PLACE).unwrap());
    config.hold_limit = LIMIT;
    let mut seams = Seams::kernel().unwrap();
    let program = programs().join("convoyd");
    seams.guard = Arc::new(GuardProcess::new(move || {
        let mut command = Command::new(&program);
        command.arg("--suspend-guard").env_clear();
        command
    }));
    seams.failpoints = Some(Arc::new(Inside(part)));
    let engine = Engine::open_with(&config, seams).unwrap();
    match engine.create_snapshot(&name("v"), Some(&name("s")), &silent()) {
        Ok(_) => println!("\n@taken"),
        Err(error) => println!("\n@{}", convoy_fault::chain(&error).replace('\n', " ")),
    }
    true
}

/// A process that plays the daemon.
struct Player {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Player {
    /// Starts one and waits until it holds the volume.
    #[track_caller]
    fn inside(world: &World, test: &str, part: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([&format!("guard::{test}"), "--exact", "--nocapture"])
            .env(PART, part)
            .env(PLACE, world.root())
            .process_group(0)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut player = Self { child, lines };
        assert_eq!(player.says(), "inside");
        player
    }

    /// What it says next.
    #[track_caller]
    fn says(&mut self) -> String {
        let line = self
            .lines
            .by_ref()
            .map(Result::unwrap)
            .find(|line| line.starts_with('@'));
        line.expect("it says something").split_off(1)
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    fn signal_all(&self, signal: Signal) {
        kill(Pid::from_raw(-self.pid().as_raw()), signal).unwrap();
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

// -- who watches

/// A world with a mounted volume, and nobody who has an engine open.
struct Stage {
    world: World,
    control: KernelControl,
    device: DmName,
    target: PathBuf,
}

impl Stage {
    fn new(test: &str) -> Self {
        let world = World::new(test);
        let engine = world.open(&[("dm.thinpoolblocksize", "128")]);
        let made = volume(&engine, "v", SIZE);
        let target = mount(&engine, "v");
        let pool = engine.info().unwrap().pool.name;
        Self {
            world,
            control: KernelControl::open().unwrap(),
            device: thin_name(&pool, made.uuid).unwrap(),
            target,
        }
    }

    fn suspended(&self) -> bool {
        self.control.info(&self.device).unwrap().unwrap().suspended
    }

    /// How long it takes until the volume runs.
    #[track_caller]
    fn runs_after(&self, patience: Duration) -> Duration {
        let begin = Instant::now();
        while self.suspended() {
            assert!(begin.elapsed() < patience, "it is held still");
            std::thread::sleep(Duration::from_millis(5));
        }
        begin.elapsed()
    }

    /// Writes to the volume, durably, in a thread.
    fn writer(&self) -> JoinHandle<()> {
        let file = self.target.join("written");
        std::thread::spawn(move || {
            let mut file = File::create(file).unwrap();
            file.write_all(&[7; 8192]).unwrap();
            file.sync_all().unwrap();
        })
    }

    /// The next daemon's view: the snapshot is undone, another can be taken, and nothing is left.
    #[track_caller]
    fn next_daemon_settles(&self, told: &[&str]) {
        let engine = self.world.open(&[]);
        let said = engine.info().unwrap().recovered;
        println!("recovered: {said:?}");
        assert_eq!(said.len(), told.len(), "{said:?}");
        for (said, told) in said.iter().zip(told) {
            assert!(said.starts_with(told), "{said}");
        }
        let dev_id = engine.volume(&name("v")).unwrap().dev_id;
        assert_eq!(thin_ids(&engine), [dev_id.to_string()]);
        assert_eq!(refusal(engine.snapshot(&name("s"))).0, Kind::NotFound);
        snapshot(&engine, "v", "s");
        unmount(&engine, "v");
        let node = engine.volume(&name("v")).unwrap().device;
        run("e2fsck", &["-fn", word(&node)]);
        engine.stop().unwrap();
    }
}

/// The guards that run, by process id.
fn guards() -> Vec<i32> {
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        words
            .split(|byte| *byte == 0)
            .any(|word| word == b"--suspend-guard")
    })
    .collect()
}

#[track_caller]
fn no_guard_within(patience: Duration) {
    let begin = Instant::now();
    while !guards().is_empty() {
        assert!(begin.elapsed() < patience, "a guard stays");
        std::thread::sleep(Duration::from_millis(10));
    }
}

const A_SECOND: Duration = Duration::from_secs(1);

/// The original left a volume frozen whenever its daemon died here; containers hung until a person ran
/// `dmsetup resume`.
#[test]
fn killed_inside_the_volume_runs_within_a_second() {
    if plays_a_part() {
        return;
    }
    for signal in [None, Some(Signal::SIGTERM)] {
        let stage = Stage::new("killed");
        let mut player = Player::inside(
            &stage.world,
            "killed_inside_the_volume_runs_within_a_second",
            "wait",
        );
        assert!(stage.suspended(), "it is held");
        let writer = stage.writer();
        if let Some(signal) = signal {
            // As a service manager ends everybody, the guard too, before it kills.
            for guard in guards() {
                kill(Pid::from_raw(guard), signal).unwrap();
            }
        }
        std::thread::sleep(Duration::from_millis(100));
        assert!(stage.suspended() && !writer.is_finished(), "writers wait");
        // The whole group of it: the guard is in another.
        player.signal_all(Signal::SIGKILL);
        let took = stage.runs_after(A_SECOND);
        println!("killed: the volume ran after {took:?}");
        player.child.wait().unwrap();
        writer.join().unwrap();
        assert_eq!(fs::read(stage.target.join("written")).unwrap(), [7; 8192]);
        no_guard_within(A_SECOND);
        stage.next_daemon_settles(&["undid an interrupted attempt to take a snapshot"]);
    }
}

#[test]
fn stopped_inside_the_volume_runs_at_the_limit_and_there_is_no_snapshot() {
    if plays_a_part() {
        return;
    }
    let stage = Stage::new("stopped");
    let begin = Instant::now();
    let mut player = Player::inside(
        &stage.world,
        "stopped_inside_the_volume_runs_at_the_limit_and_there_is_no_snapshot",
        "stop",
    );
    assert!(stage.suspended(), "it is held");
    let writer = stage.writer();
    stage.runs_after(LIMIT + A_SECOND);
    let held = begin.elapsed();
    writer.join().unwrap();
    println!("stopped: the volume ran {held:?} after the daemon was started");
    // What it would have taken for a snapshot is older than what was written meanwhile.
    kill(player.pid(), Signal::SIGCONT).unwrap();
    let said = player.says();
    println!("{said}");
    assert!(
        said.contains("did not stay suspended") && said.contains("held longer than 1.5 s"),
        "{said}"
    );
    assert!(player.child.wait().unwrap().success());
    no_guard_within(A_SECOND);
    // It was undone at once.
    stage.next_daemon_settles(&[]);
}

#[test]
fn out_of_memory_inside_the_volume_runs_within_a_second() {
    if plays_a_part() {
        return;
    }
    let group = Path::new("/sys/fs/cgroup/eater");
    fs::write("/sys/fs/cgroup/cgroup.subtree_control", "+memory").unwrap();
    fs::create_dir_all(group).unwrap();
    fs::write(group.join("memory.max"), "200M").unwrap();
    // As for a service whose manager wants all of it to end: the guard is in the same group.
    fs::write(group.join("memory.oom.group"), "1").unwrap();
    let stage = Stage::new("eaten");
    let mut player = Player::inside(
        &stage.world,
        "out_of_memory_inside_the_volume_runs_within_a_second",
        "eat",
    );
    let ended = player.child.wait().unwrap();
    assert!(!ended.success(), "{ended}");
    let took = stage.runs_after(A_SECOND);
    let events = fs::read_to_string(group.join("memory.events")).unwrap();
    println!("out of memory: the volume ran {took:?} after that\n{events}");
    assert!(events.contains("oom_group_kill 1"), "{events}");
    stage.writer().join().unwrap();
    no_guard_within(A_SECOND);
    stage.next_daemon_settles(&["undid an interrupted attempt to take a snapshot"]);
}

/// A guard that cannot be had: snapshots are refused, and nothing is held.
#[test]
fn without_a_guard_nothing_is_held() {
    let stage = Stage::new("unguarded");
    let mut seams = Seams::kernel().unwrap();
    seams.guard = Arc::new(GuardProcess::new(|| Command::new("/nonexistent")));
    let engine = Engine::open_with(&stage.world.config(&[]), seams).unwrap();
    let taken = engine.create_snapshot(&name("v"), Some(&name("s")), &silent());
    let (kind, words) = refusal(taken);
    assert_eq!(kind, Kind::Failed);
    assert!(words.contains("was not suspended"), "{words}");
    drop(engine);
    stage.next_daemon_settles(&[]);
}

// -- the daemon itself

fn link(pid: i32, of: &str) -> String {
    let link = fs::read_link(format!("/proc/{pid}/{of}")).unwrap();
    link.to_str().unwrap().to_owned()
}

fn session(pid: i32) -> i32 {
    let session = nix::unistd::getsid(Some(Pid::from_raw(pid)));
    session.unwrap().as_raw()
}

#[test]
fn a_daemon_has_a_guard_that_holds_nothing_and_is_replaced() {
    let world = World::new("daemon");
    let daemon = Daemon::start(&world.root(), &[]);
    let [first] = guards()[..] else {
        panic!("{:?}", guards())
    };
    assert_eq!(session(first), first, "a session of its own");
    assert_eq!(link(first, "cwd"), "/");
    let files: Vec<String> = fs::read_dir(format!("/proc/{first}/fd"))
        .unwrap()
        .map(|entry| {
            link(
                first,
                &format!("fd/{}", entry.unwrap().file_name().display()),
            )
        })
        .collect();
    let known = |file: &String| {
        file.starts_with("socket:") || file == "/dev/null" || file == "/dev/mapper/control"
    };
    assert!(files.iter().all(known), "{files:?}");
    let score = fs::read_to_string(format!("/proc/{first}/oom_score_adj")).unwrap();
    assert_eq!(score.trim(), "-1000");
    daemon.ok(&["create", "v", "--size", "64M"]);
    daemon.ok(&["mount", "v"]);
    daemon.ok(&["snapshot", "create", "v", "--name", "a"]);
    assert_eq!(guards(), [first], "it serves all");
    // Whatever ends services does not end it; what ends everything does, and there is another.
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        kill(Pid::from_raw(first), signal).unwrap();
    }
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(guards(), [first]);
    kill(Pid::from_raw(first), Signal::SIGKILL).unwrap();
    daemon.ok(&["snapshot", "create", "v", "--name", "b"]);
    let [second] = guards()[..] else {
        panic!("{:?}", guards())
    };
    assert_ne!(first, second);
    // One that hangs is replaced as well.
    kill(Pid::from_raw(second), Signal::SIGSTOP).unwrap();
    daemon.ok(&["snapshot", "create", "v", "--name", "c"]);
    let [third] = guards()[..] else {
        panic!("{:?}", guards())
    };
    assert_ne!(second, third);
    // Idle, it ends with its daemon; the next daemon finds nothing held.
    daemon.kill();
    let daemon = Daemon::start(&world.root(), &[]);
    no_guard_within_but(&[third], A_SECOND);
    assert_eq!(daemon.stop(), Some(0));
    no_guard_within(A_SECOND);
}

/// Of these guards none is left.
#[track_caller]
fn no_guard_within_but(gone: &[i32], patience: Duration) {
    let begin = Instant::now();
    while guards().iter().any(|guard| gone.contains(guard)) {
        assert!(begin.elapsed() < patience, "a guard stays");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Tables of the device under the pool: as it is, and with every write late.
fn table(disk: &Path, sectors: u64, slow: bool) -> String {
    let disk = disk.display();
    if slow {
        format!("0 {sectors} delay {disk} 0 0 {disk} 0 4000")
    } else {
        format!("0 {sectors} linear {disk} 0")
    }
}

#[track_caller]
fn swap(disk: &Path, sectors: u64, slow: bool) {
    run(
        "dmsetup",
        &["load", "below", "--table", &table(disk, sectors, slow)],
    );
    run("dmsetup", &["suspend", "--noflush", "--nolockfs", "below"]);
    run("dmsetup", &["resume", "below"]);
}

/// A suspend over a slow device cannot be interrupted, and writers wait for all of it.
#[test]
fn a_flush_that_takes_too_long_gives_up_before_anything_is_held() {
    let world = World::new("slow");
    let disk = &disks()[1];
    run("wipefs", &["-a", word(disk)]);
    let metadata = world.disk("metadata", Bytes::mib(16));
    let sectors = Bytes::gib(1).0 / 512;
    run(
        "dmsetup",
        &["create", "below", "--table", &table(disk, sectors, false)],
    );
    run(
        "dd",
        &[
            "if=/dev/zero",
            "of=/dev/mapper/below",
            "bs=1M",
            "count=8",
            "conv=fsync",
        ],
    );
    let options = [
        "--driver-opts",
        "dm.datadev=/dev/mapper/below",
        "--driver-opts",
        &format!("dm.metadatadev={metadata}"),
    ];
    let daemon = Daemon::start(&world.root(), &options);
    daemon.ok(&["create", "v", "--size", "256M"]);
    let target = daemon.ok(&["mount", "v"]);
    let shown = daemon.json(&["inspect", "v"]);
    let device = shown["DriverInfo"]["Device"].as_str().unwrap();
    let device = device.rsplit('/').next().unwrap().to_owned();
    run("sync", &[]);
    swap(disk, sectors, true);
    fs::write(Path::new(&target).join("dirty"), vec![3; 16 << 20]).unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let watcher = {
        let (done, device) = (Arc::clone(&done), DmName::new(device).unwrap());
        std::thread::spawn(move || {
            let control = KernelControl::open().unwrap();
            let (mut looks, mut seen) = (0, 0);
            while !done.load(Ordering::SeqCst) {
                looks += 1;
                seen += u32::from(control.info(&device).unwrap().unwrap().suspended);
                std::thread::sleep(Duration::from_millis(2));
            }
            (looks, seen)
        })
    };
    let begin = Instant::now();
    let said = daemon.fails(
        &["snapshot", "create", "v", "--name", "s"],
        12,
        "could not be flushed",
    );
    let took = begin.elapsed();
    println!(
        "slow device: gave up after {took:?}: {}",
        said.stderr.trim()
    );
    assert!(took < Duration::from_secs(8), "{took:?}");
    // While that flush goes on, the next one is refused as well, and others are served.
    daemon.fails(
        &["snapshot", "create", "v", "--name", "s"],
        12,
        "could not be flushed",
    );
    done.store(true, Ordering::SeqCst);
    let (looks, seen) = watcher.join().unwrap();
    println!("{looks} looks, suspended in {seen}");
    assert!(
        looks > 100 && seen == 0,
        "{looks} looks, suspended in {seen}"
    );
    swap(disk, sectors, false);
    // The flush that was left behind comes to its end.
    let begin = Instant::now();
    while ran(daemon
        .command()
        .args(["snapshot", "create", "v", "--name", "s"]))
    .code
        != Some(0)
    {
        assert!(begin.elapsed() < Duration::from_mins(1), "{}", daemon.log());
        std::thread::sleep(Duration::from_millis(500));
    }
    let hold = &daemon.json(&["snapshot", "inspect", "s"])["HoldMicroseconds"];
    println!("held for {hold} us");
    daemon.ok(&["umount", "v"]);
    assert_eq!(daemon.stop(), Some(0));
}
