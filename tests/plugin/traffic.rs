//! What real engines sent, recorded in the lab by `tests/lab/engines`, sent again: each answer has the status and the
//! fields that it had then, and each volume is where it was.

use crate::caller::send;
use crate::desk::{Daemon, Desk};
use convoy_engine::{CreateVolume, Operation};
use serde_json::Value;
use std::time::Instant;

/// Sends a recording again, in its order.
#[track_caller]
fn replay(text: &str) {
    let desk = Desk::new();
    let daemon = desk.start();
    let begin = Instant::now();
    let mut count = 0;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let call: Value = serde_json::from_str(line).unwrap();
        if let Some(aside) = call["Aside"].as_str() {
            beside(&daemon, aside);
            continue;
        }
        let request = call["Request"].as_str().unwrap();
        let answer = send(&daemon.socket, request.as_bytes());
        assert_eq!(
            u64::from(answer.status),
            call["Status"].as_u64().unwrap(),
            "{request}\n{}",
            answer.body
        );
        assert_eq!(shape(&answer.body), shape(&call["Answer"]), "{request}");
        if request.starts_with("POST /VolumeDriver.Mount ") {
            let path = answer.body["Mountpoint"].as_str().unwrap();
            assert!(path.starts_with('/'), "{path}");
        }
        count += 1;
    }
    println!("MEASURED {count} recorded calls in {:?}", begin.elapsed());
    assert!(count > 10, "a recording has some calls");
}

/// What was done by a person between two calls.
fn beside(daemon: &Daemon, what: &str) {
    let op = Operation::silent();
    match what.split_once(' ').unwrap() {
        ("create", name) => {
            let request = CreateVolume {
                name: Some(name.parse().unwrap()),
                ..CreateVolume::default()
            };
            daemon.engine.create_volume(&request, &op).unwrap();
        }
        ("undelete", name) => {
            let name = name.parse().unwrap();
            daemon.engine.undelete_volume(&name, None, &op).unwrap();
        }
        other => panic!("{other:?}"),
    }
}

/// The fields and their types, and whether there is an error. Where something is mounted depends on how much time
/// passes between calls, but for the answer to `Mount`.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(name, _)| *name != "Status");
            fields
                .map(|(name, value)| match (name.as_str(), value.as_str()) {
                    ("Err", Some(error)) => (name.clone(), Value::from(error.is_empty())),
                    _ => (name.clone(), shape(value)),
                })
                .collect()
        }
        // How many there are besides is the lab's affair.
        Value::Array(all) => Value::from(all.iter().map(shape).next()),
        Value::String(_) => Value::from("text"),
        other => other.clone(),
    }
}

#[test]
fn docker_20_10() {
    replay(include_str!("traffic/docker-20.10.jsonl"));
}

#[test]
fn podman_4_3() {
    replay(include_str!("traffic/podman-4.3.jsonl"));
}
