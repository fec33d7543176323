//! Callers that nobody should be: refused clearly, in bounds, and nobody else notices.

use crate::caller::{read, request, send};
use crate::desk::Desk;
use serde_json::json;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

#[test]
fn names_that_are_none_reach_nothing() {
    let desk = Desk::new();
    let daemon = desk.start();
    let long = "v".repeat(1000);
    for name in [
        "../../etc",
        "a/b",
        ".",
        "..",
        "-rf",
        "%s",
        "a\nb",
        "a\u{1b}[2J",
        "a\0b",
        "\u{202e}v",
        "v\u{e9}",
        " v",
        "v@s",
        &long,
    ] {
        for verb in ["Create", "Get", "Path", "Mount", "Remove"] {
            daemon.refused(verb, &json!({ "Name": name, "ID": "a" }));
        }
        daemon.unmount(name, "a");
    }
    assert_eq!(daemon.ok("List", &json!({}))["Volumes"], json!([]));
    // Twins by case are two volumes.
    daemon.create("V", &json!({}));
    daemon.refused("Get", &json!({ "Name": "v" }));
}

#[test]
fn options_cannot_smuggle_anything_in() {
    let desk = Desk::new();
    let daemon = desk.start();
    for options in [
        json!({ "mount-opts": "suid" }),
        json!({ "mount-opts": "noatime,dev" }),
        json!({ "mount-opts": "commit=5\nsuid" }),
        json!({ "mount-opts": "context=x" }),
        json!({ "mkfs-opts": "-E root_owner=0:0" }),
        json!({ "mkfs-opts": "journal=/dev/sda" }),
        json!({ "fs": "../../x" }),
        json!({ "fs": "none" }),
        json!({ "size": "16E" }),
        json!({ "size": "-1" }),
        json!({ "mode": "99999" }),
        json!({ "nonsense": "1" }),
        json!({ "driver": "ebs" }),
        json!({ "from-snapshot": "nothing" }),
    ] {
        daemon.refused("Create", &json!({ "Name": "v", "Opts": options }));
        daemon.refused("Get", &json!({ "Name": "v" }));
    }
}

#[test]
fn a_body_is_bounded_in_size_and_depth() {
    let desk = Desk::new();
    let daemon = desk.start();
    let head = |length: usize| {
        format!("POST /VolumeDriver.Get HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n")
    };
    let long = head(1 << 30);
    assert_eq!(send(&daemon.socket, long.as_bytes()).status, 413);
    let mut chunked =
        b"POST /VolumeDriver.Get HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            .to_vec();
    for _ in 0..20 {
        chunked.extend(b"10000\r\n");
        chunked.extend(vec![b'x'; 0x10000]);
        chunked.extend(b"\r\n");
    }
    let mut stream = UnixStream::connect(&daemon.socket).unwrap();
    // Cut off while it sends, perhaps.
    stream.write_all(&chunked).ok();
    let mut said = Vec::new();
    stream.read_to_end(&mut said).ok();
    let said = String::from_utf8_lossy(&said);
    assert!(said.is_empty() || said.contains("413"), "{said}");
    let deep = "[".repeat(1 << 19);
    let answer = send(
        &daemon.socket,
        request("VolumeDriver.Get", &deep).as_bytes(),
    );
    assert_eq!(answer.status, 500);
    let answer = send(
        &daemon.socket,
        request("VolumeDriver.Get", "\u{fffd}\0{").as_bytes(),
    );
    assert_eq!(answer.status, 500);
    let answer = send(
        &daemon.socket,
        request("VolumeDriver.Frobnicate", "{}").as_bytes(),
    );
    assert_eq!(answer.status, 404);
    let get = "GET /VolumeDriver.List HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_eq!(send(&daemon.socket, get.as_bytes()).status, 404);
    daemon.ok("List", &json!({}));
}

#[test]
fn any_way_of_writing_a_request_will_do() {
    let desk = Desk::new();
    let daemon = desk.start();
    let podman = "POST /VolumeDriver.List HTTP/1.1\r\nHost: unix:///run/docker/plugins/convoy.sock\r\nContent-Type: application/vnd.docker.plugins.v1.1+json\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(send(&daemon.socket, podman.as_bytes()).status, 200);
    let old = "POST /Plugin.Activate HTTP/1.0\r\n\r\n";
    assert_eq!(send(&daemon.socket, old.as_bytes()).status, 200);
    let cased = request(
        "VolumeDriver.Create",
        r#"{"NAME":"v","opts":null,"Other":{}}"#,
    );
    assert_eq!(send(&daemon.socket, cased.as_bytes()).status, 200);
    let expecting = "POST /VolumeDriver.Get HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 12\r\n\r\n";
    let mut stream = UnixStream::connect(&daemon.socket).unwrap();
    stream.write_all(expecting.as_bytes()).unwrap();
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(br#"{"Name":"v"}"#).unwrap();
    assert_eq!(read(&mut stream).status, 200);
}

#[test]
fn slow_senders_are_given_up() {
    let mut desk = Desk::new();
    desk.limits.head = Duration::from_millis(200);
    desk.limits.body = Duration::from_millis(200);
    let daemon = desk.start();
    let mut slow_head = UnixStream::connect(&daemon.socket).unwrap();
    slow_head.write_all(b"POST /Volume").unwrap();
    let mut slow_body = UnixStream::connect(&daemon.socket).unwrap();
    slow_body
        .write_all(b"POST /VolumeDriver.Get HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        .unwrap();
    daemon.ok("List", &json!({}));
    let answer = read(&mut slow_body);
    assert!(answer.error().contains("too long"), "{}", answer.error());
    let mut rest = Vec::new();
    slow_head
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    slow_head.read_to_end(&mut rest).unwrap();
}

#[test]
fn idle_connections_make_room() {
    let mut desk = Desk::new();
    desk.limits.connections = 16;
    let daemon = desk.start();
    let begin = Instant::now();
    let mut kept = UnixStream::connect(&daemon.socket).unwrap();
    let idle: Vec<UnixStream> = (0..400)
        .map(|_| UnixStream::connect(&daemon.socket).unwrap())
        .collect();
    for _ in 0..20 {
        daemon.ok("List", &json!({}));
    }
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "{:?}",
        begin.elapsed()
    );
    // The first of them was closed long ago.
    kept.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    assert_eq!(kept.read(&mut [0]).unwrap_or(0), 0);
    drop(idle);
}
