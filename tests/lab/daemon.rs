//! The daemon and the command line as programs: what a user types, and what a kill leaves.

use crate::world::{World, damage, digest, write_device};
use convoy_tests::command::{run as ran, tool as run};
use convoy_tests::daemon::Daemon;
use convoy_tests::noise::noise;
use convoy_tests::programs;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The keys of an object, sorted.
#[track_caller]
fn has_keys(value: &Value, keys: &[&str]) {
    let object = value.as_object().unwrap();
    for key in keys {
        assert!(object.contains_key(*key), "{key} is missing in {value}");
    }
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value
        .pointer(path)
        .and_then(Value::as_str)
        .unwrap_or_else(|| panic!("{path} in {value}"))
}

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
    let second = daemon.json(&[
        "--output",
        "json",
        "backup",
        "create",
        "vol1@snap2",
        "--dest",
        &dest,
    ]);
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

#[test]
fn each_kind_of_failure_has_its_exit_status() {
    let world = World::new("status");
    let daemon = Daemon::start(&world.root(), &[]);
    daemon.ok(&["create", "v", "--size", "64M"]);
    daemon.ok(&["snapshot", "create", "v", "--name", "s"]);
    for words in [
        &["inspect", "no"][..],
        &["mount", "no"],
        &["umount", "no"],
        &["delete", "no"],
        &["snapshot", "create", "no"],
        &["snapshot", "inspect", "no"],
        &["snapshot", "delete", "v@no"],
    ] {
        daemon.fails(words, 10, "no");
    }
    daemon.fails(&["create", "v"], 11, "already exists");
    daemon.fails(
        &["snapshot", "create", "v", "--name", "s"],
        11,
        "already exists",
    );
    for words in [
        &["create", "-x"][..],
        &["create", "../x"],
        &["create", "a b"],
        &["create", ""],
        &["inspect", "a/b"],
        &["create", &"x".repeat(129)],
        &["create", "x", "--size", "1.5G"],
        &["create", "x", "--size", "100"],
        &["create", "x", "--driver", "vfs"],
        &["create", "x", "--fs", "ntfs"],
        &["snapshot", "create", "v", "--name", ".s"],
        &["nonsense"],
        &["backup", "create", "s"],
        &["backup", "create", "s", "--dest", "ftp://x"],
        &["backup", "inspect", "nonsense"],
    ] {
        daemon.fails(words, 2, "");
    }
    let missing = world.path("missing");
    daemon.fails(
        &[
            "backup",
            "create",
            "s",
            "--dest",
            &format!("vfs://{}", missing.display()),
        ],
        16,
        "missing",
    );
    let url = daemon.ok(&["backup", "create", "s", "--dest", &world.dest()]);
    let packs = world.path("backups/convoy-repository/packs");
    let pack = run("find", &[packs.to_str().unwrap(), "-type", "f"]);
    let pack = pack.lines().next().unwrap();
    damage(Path::new(pack));
    let said = daemon.convoy(&["backup", "verify", &url]);
    assert_eq!(said.code, Some(14), "{said:?}");
    assert!(
        said.stdout
            .contains(Path::new(pack).file_name().unwrap().to_str().unwrap()),
        "{said:?}"
    );
    daemon.fails(&["create", "x", "--backup", &url], 14, "");
    daemon.fails(&["inspect", "x"], 10, "");
    // In JSON both streams are JSON, and the code is the table's.
    let said = daemon.convoy(&["--output", "json", "inspect", "no"]);
    let document: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(
        (said.code, text(&document, "/Code")),
        (Some(10), "E_NOT_FOUND")
    );
    for line in said.stderr.lines() {
        serde_json::from_str::<Value>(line).unwrap();
    }
    let mut late = daemon.command();
    daemon.kill();
    ran(late.arg("list")).expect_code(15);
}

/// Whoever does not use our client meets the same rules.
#[test]
fn names_and_bodies_are_checked_at_the_socket() {
    let world = World::new("door");
    let daemon = Daemon::start(&world.root(), &[]);
    let ask = |method: &str, path: &str, body: &str| {
        let mut stream = UnixStream::connect(world.path("root.sock")).unwrap();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: convoy\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status: u16 = answer.split_whitespace().nth(1).unwrap().parse().unwrap();
        (status, answer)
    };
    for body in [
        r#"{"name":"-a"}"#,
        r#"{"name":"../a"}"#,
        r#"{"name":"a\u0000"}"#,
        r#"{"name":""}"#,
        r#"{"name":7}"#,
        r#"{"name":"a","size":1}"#,
        "{",
        "null",
    ] {
        let (status, answer) = ask("POST", "/v1/volumes", body);
        assert!((400..500).contains(&status), "{body}: {answer}");
        assert!(answer.contains("E_INVALID"), "{body}: {answer}");
    }
    for path in [
        "/v1/volumes/..%2F..%2Fetc",
        "/v1/volumes/%00",
        "/v1/volumes/a%20b",
    ] {
        let (status, answer) = ask("GET", path, "");
        assert_eq!(status, 400, "{path}: {answer}");
    }
    assert_eq!(ask("GET", "/v1/volumes/no", "").0, 404);
    assert_eq!(ask("GET", "/v2/volumes", "").0, 404);
    assert_eq!(ask("GET", "/healthz", "").0, 200);
    assert_eq!(daemon.json(&["list"]), serde_json::json!({}));
    // Who may not be root may not ask.
    let mode = run(
        "stat",
        &["-c", "%a", world.path("root.sock").to_str().unwrap()],
    );
    assert!(["600", "660"].contains(&mode.trim()), "{mode}");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn what_a_daemon_cannot_be_started_with_is_refused() {
    let world = World::new("start");
    let root = world.root();
    let root = root.to_str().unwrap();
    let socket = world.path("root.sock");
    let start = |words: &[&str]| {
        let mut command = Command::new(programs().join("convoyd"));
        ran(command
            .args(["--root", root, "--socket", socket.to_str().unwrap()])
            .args(words))
    };
    let check = |words: &[&str], status: i32, with: &str| {
        let said = start(words);
        assert_eq!(said.code, Some(status), "{words:?}: {said:?}");
        assert!(said.stderr.contains(with), "{words:?}: {said:?}");
    };
    check(&["--drivers", "vfs"], 2, "devicemapper is the only driver");
    check(
        &["--drivers", "devicemapper,ebs"],
        2,
        "\"ebs\" is not supported",
    );
    check(&["--driver-opts", "dm.fs=ntfs"], 2, "ext4 or xfs");
    check(
        &["--driver-opts", "dm.nonsense=1"],
        2,
        "unknown driver option",
    );
    check(&["--driver-opts", "dm.datadev=/dev/null"], 2, "needs both");
    check(
        &["--driver-opts", "dm.thinpoolblocksize=100"],
        2,
        "must be a multiple of 128",
    );
    check(&["--nonsense"], 2, "--nonsense");
    let config = world.path("convoy.toml");
    check(&["--config", config.to_str().unwrap()], 2, "convoy.toml");
    fs::write(&config, "rooot = \"/x\"\n").unwrap();
    check(&["--config", config.to_str().unwrap()], 2, "rooot");
    assert!(!Path::new(root).exists(), "nothing was made");

    // Both ways to start it are the same code, the file is read, and a flag overrules it.
    let file = format!(
        "root = \"{root}\"\nsocket = \"{}\"\n[driver_opts]\n\"dm.thinpoolblocksize\" = 256\ndm.defaultvolumesize = \"32M\"\n",
        socket.display()
    );
    fs::write(&config, file).unwrap();
    let words = [
        "--config",
        config.to_str().unwrap(),
        "--driver-opts",
        "dm.defaultvolumesize=64M",
    ];
    let daemon = Daemon::start_told(&words, &socket);
    let info = daemon.json(&["info"]);
    assert_eq!(text(&info, "/devicemapper/ThinpoolBlockSize"), "131072");
    assert_eq!(text(&info, "/devicemapper/DefaultVolumeSize"), "67108864");
    // A second one over this root, or on this socket, ends; the first goes on.
    let other = world.path("other-socket");
    let mut second = Command::new(programs().join("convoy"));
    let second = ran(second.args([
        "daemon",
        "--root",
        root,
        "--socket",
        other.to_str().unwrap(),
    ]));
    assert_eq!(second.code, Some(12), "{second:?}");
    assert!(
        second.stderr.contains("Failed to lock the file at"),
        "{second:?}"
    );
    assert_eq!(daemon.json(&["info"]), info);
    // What cannot change is refused, and said.
    assert_eq!(daemon.stop(), Some(0));
    check(
        &["--driver-opts", "dm.thinpoolblocksize=128"],
        11,
        "cannot become",
    );
}

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
    daemon.ok(&["create", "v", "--size", "256M"]);
    let device = daemon.json(&["inspect", "v"]);
    let device = Path::new(text(&device, "/DriverInfo/Device"));
    for at in 0..12 {
        write_device(device, (64 + 8 * at) << 20, &noise(at, 8 << 20));
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

#[test]
fn memory_is_bounded_whatever_the_size() {
    const BLOCK: u64 = 64 << 10;
    const COUNT: u64 = 2048;
    let world = World::new("memory");
    let words = ["--driver-opts", "dm.thinpoolblocksize=128"];
    let daemon = Daemon::start(&world.root(), &words);
    let idle = daemon.peak_memory();
    daemon.ok(&["create", "huge", "--size", "1T"]);
    let device = daemon.json(&["inspect", "huge"]);
    let file = fs::OpenOptions::new()
        .write(true)
        .open(text(&device, "/DriverInfo/Device"))
        .unwrap();
    let place = |number: u64| (number * 509 + 8) * (1 << 20) / BLOCK * BLOCK;
    let bytes = usize::try_from(BLOCK).unwrap();
    for number in 0..COUNT {
        file.write_all_at(&noise(number, bytes), place(number))
            .unwrap();
    }
    file.sync_all().unwrap();
    drop(file);
    daemon.ok(&["snapshot", "create", "huge", "--name", "s"]);
    let made = daemon.json(&[
        "--output",
        "json",
        "backup",
        "create",
        "s",
        "--dest",
        &world.dest(),
    ]);
    let after_backup = daemon.peak_memory();
    let url = text(&made, "/URL");
    daemon.ok(&["create", "back", "--backup", url]);
    let after_restore = daemon.peak_memory();
    daemon.ok(&["backup", "verify", url]);
    let after = daemon.peak_memory();
    println!(
        "MEASURED peak memory, 1 TiB with {COUNT} scattered blocks of 64 KiB: {} KiB idle, {} KiB after backup, {} KiB after restore, {} KiB after verify; {}",
        idle >> 10,
        after_backup >> 10,
        after_restore >> 10,
        after >> 10,
        made["Summary"]
    );
    assert!(after < 128 << 20, "{after}");
    let back = daemon.json(&["inspect", "back"]);
    assert_eq!(back["Size"], serde_json::json!(1u64 << 40));
    let file = fs::File::open(text(&back, "/DriverInfo/Device")).unwrap();
    let mut found = vec![0; bytes];
    for number in 0..COUNT {
        file.read_exact_at(&mut found, place(number)).unwrap();
        assert!(found == noise(number, bytes), "block {number}");
        file.read_exact_at(&mut found, place(number) + BLOCK)
            .unwrap();
        assert!(found.iter().all(|byte| *byte == 0), "behind block {number}");
    }
    drop(file);
    daemon.ok(&["delete", "huge", "back"]);
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn eight_clients_at_once_are_all_served() {
    let world = World::new("eight");
    let daemon = Daemon::start(&world.root(), &[]);
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for client in 0..8 {
            let daemon = &daemon;
            scope.spawn(move || {
                let volume = format!("v{client}");
                daemon.ok(&["create", &volume, "--size", "64M"]);
                daemon.ok(&[
                    "snapshot",
                    "create",
                    &volume,
                    "--name",
                    &format!("s{client}"),
                ]);
                daemon.json(&["list"]);
                daemon.ok(&["delete", &volume]);
                daemon.ok(&["create", &volume, "--size", "64M"]);
            });
        }
    });
    println!(
        "eight clients, 16 creations, 8 snapshots, 8 deletions: {:?}",
        begin.elapsed()
    );
    assert_eq!(daemon.json(&["list"]).as_object().unwrap().len(), 8);
    assert_eq!(daemon.json(&["snapshot", "list"]), serde_json::json!({}));
    assert_eq!(daemon.stop(), Some(0));
}
