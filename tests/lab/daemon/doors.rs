//! What is refused, how it is said, and with which exit status.

use super::text;
use crate::world::{World, damage};
use convoy_tests::command::run as ran;
use convoy_tests::command::tool as run;
use convoy_tests::daemon::Daemon;
use convoy_tests::programs;
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

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
    let pack = world.packs().remove(0);
    damage(&pack);
    let said = daemon.convoy(&["backup", "verify", &url]);
    assert_eq!(said.code, Some(14), "{said:?}");
    assert!(
        said.stdout
            .contains(pack.file_name().unwrap().to_str().unwrap()),
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
