//! The wire as a promise: golden JSON, and what readers and writers must bear.

use super::*;
use convoy_fault::Kind;
use serde::{Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;
use uuid::Uuid;

const ID: Uuid = Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0001);

/// Compares with `tests/golden/NAME`; `BLESS=1 cargo test` writes it anew, for a person to look at.
#[track_caller]
fn same_text(name: &str, text: &str) {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    assert_eq!(
        text,
        std::fs::read_to_string(&path).unwrap_or_default(),
        "{path}"
    );
}

#[track_caller]
fn golden<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T, name: &str) {
    let text = serde_json::to_string_pretty(value).unwrap() + "\n";
    same_text(name, &text);
    assert_eq!(&serde_json::from_str::<T>(&text).unwrap(), value);
}

fn snapshot() -> Snapshot {
    Snapshot {
        uuid: ID,
        name: "s1".into(),
        driver: "devicemapper".into(),
        volume: ID,
        volume_name: "data".into(),
        volume_created: "2026-11-22T08:04:40Z".parse().unwrap(),
        dev_id: 2,
        size: 1 << 30,
        created: "2026-11-22T09:00:00.5Z".parse().unwrap(),
        hold_microseconds: Some(1500),
        referenced: Some(47_185_920),
        exclusive: Some(1_048_576),
        labels: [("tier".to_owned(), "gold".to_owned())].into(),
    }
}

fn volume() -> Volume {
    Volume {
        uuid: ID,
        name: "data".into(),
        driver: "devicemapper".into(),
        pool: ID,
        dev_id: 1,
        device: "/dev/mapper/convoy-pool-x".into(),
        size: 1 << 30,
        mapped: None,
        filesystem: "ext4".into(),
        mountpoint: Some("/mnt/data".into()),
        mount_options: vec!["noatime".into()],
        state: "ready".into(),
        problem: None,
        suspect: None,
        created: "2026-11-22T08:04:40Z".parse().unwrap(),
        labels: BTreeMap::new(),
        restored_from: None,
        snapshots: vec![snapshot()],
    }
}

fn backup() -> Backup {
    Backup {
        uuid: ID,
        name: "backup-0123456789abcdef".into(),
        url: "vfs:///b?backup=backup-0123456789abcdef&volume=data".into(),
        driver: "devicemapper".into(),
        created: "2026-11-22T10:00:00Z".parse().unwrap(),
        snapshot: ID,
        snapshot_name: "s1".into(),
        snapshot_created: "2026-11-22T09:00:00Z".parse().unwrap(),
        volume: ID,
        volume_name: "data".into(),
        volume_created: "2026-11-22T08:04:40Z".parse().unwrap(),
        volume_size: 1 << 30,
        filesystem: "ext4".into(),
        base: None,
        host: ID,
        operation: ID,
        changed: 30000,
        read: 30000,
        new: 20000,
        stored: 12345,
        labels: BTreeMap::new(),
        format: None,
        problem: None,
    }
}

#[test]
fn answers_are_the_promised_ones() {
    let answer = Answer {
        operation: ID,
        result: CreatedVolume {
            unchanged: false,
            volume: volume(),
        },
    };
    golden(&answer, "created_volume.json");
    let summary = Summary {
        changed: 3,
        read: 3,
        new: 2,
        stored: 1,
        requests: 7,
        duration_milliseconds: 40,
    };
    let answer = Answer {
        operation: ID,
        result: CreatedBackup {
            backup: backup(),
            summary,
        },
    };
    golden(&answer, "created_backup.json");
    let problem = BackupProblem {
        object: "packs/ab/abcd".into(),
        begin: Some(0),
        end: Some(9),
        what: "bad tag".into(),
    };
    let verification = Verification {
        backup: backup(),
        chunks: 4,
        bytes: 1 << 20,
        problems: vec![problem],
        more_problems: 2,
    };
    golden(&verification, "verification.json");
    let pool = Pool {
        uuid: ID,
        name: "convoy-pool".into(),
        driver: "devicemapper".into(),
        data_device: "/dev/vdb".into(),
        metadata_device: "/dev/vdc".into(),
        loop_backed: false,
        block_size: 2 << 20,
        default_volume_size: 100 << 30,
        filesystem: "ext4".into(),
        mode: "rw".into(),
        needs_check: false,
        transaction: 4,
        data_used: 1,
        data_total: 2,
        metadata_used: 3,
        metadata_total: 4,
        no_space: None,
        provisioned: 0,
        metadata_reserve: 0,
        alerts: Vec::new(),
        events: Vec::new(),
    };
    let info = Info {
        version: "0.1.0".into(),
        root: "/var/lib/convoy".into(),
        drivers: vec!["devicemapper".into()],
        host: ID,
        pool,
        destinations: vec![Destination {
            name: Some("nas".into()),
            url: "vfs:///mnt/nas".into(),
            repository: Uuid::from_u128(9),
        }],
        recovered: vec![],
        read_only: None,
    };
    golden(
        &Answer {
            operation: ID,
            result: info,
        },
        "info.json",
    );
}

#[test]
fn a_problem_is_the_promised_one() {
    let problem = Problem {
        hint: Some("delete something".into()),
        operation: Some(ID),
        ..Problem::new(Kind::PoolFull, "creating volume data: no space")
    };
    golden(&problem, "problem.json");
}

#[test]
fn frames_are_lines() {
    let lines: Vec<String> = [
        Frame::Started { operation: ID },
        Frame::Phase {
            phase: "comparing".into(),
        },
        Frame::Progress { done: 1, total: 2 },
        Frame::Result {
            operation: ID,
            result: Done {},
        },
        Frame::Problem {
            problem: Problem::new(Kind::Busy, "mounted"),
        },
    ]
    .iter()
    .map(|frame| serde_json::to_string(frame).unwrap() + "\n")
    .collect();
    same_text("frames.ndjson", &lines.concat());
    for line in &lines {
        let frame: Frame<Done> = serde_json::from_str(line).unwrap();
        assert_ne!(frame, Frame::Unknown, "{line}");
    }
}

#[test]
fn a_reader_bears_what_a_newer_daemon_adds() {
    let frame: Frame<Done> =
        serde_json::from_str(r#"{"event":"moonrise","colour":"red"}"#).unwrap();
    assert_eq!(frame, Frame::Unknown);
    let answer: Answer<Done> = serde_json::from_str(&format!(
        r#"{{"operation":"{ID}","result":{{"new":[1]}},"more":1}}"#
    ))
    .unwrap();
    assert_eq!(answer.result, Done {});
    let problem = Problem {
        code: "E_FROM_THE_FUTURE".into(),
        ..Problem::new(Kind::Busy, "x")
    };
    assert_eq!(convoy_fault::Fault::kind(&problem), Kind::Failed);
}

#[track_caller]
fn refused(body: &str, because: &str) {
    let error = serde_json::from_str::<CreateVolume>(body)
        .unwrap_err()
        .to_string();
    assert!(error.contains(because), "{error}");
}

#[test]
fn a_request_with_anything_odd_is_refused() {
    refused(r#"{"name":"a","colour":"red"}"#, "unknown field `colour`");
    refused(r#"{"name":"a","name":"b"}"#, "duplicate field `name`");
    refused(r#"{"size":"10"}"#, "invalid type: string");
    refused(r#"{"size":-1}"#, "invalid value");
    refused(r#"{"size":1.5}"#, "invalid type: floating point");
    refused(r#"{"size":18446744073709551616}"#, "invalid");
    refused(r#"{"labels":{"a":1}}"#, "invalid type: integer");
    refused(&("[".repeat(1_000_000)), "");
    refused(
        &format!(r#"{{"labels":{}"#, r#"{"a":"#.repeat(1_000_000)),
        "",
    );
}

#[test]
fn paths_carry_any_name() {
    assert_eq!(
        paths::with_name(paths::VOLUME_MOUNT, "a/../b c"),
        "/v1/volumes/a%2F..%2Fb%20c/mount"
    );
    assert_eq!(
        paths::with_name(paths::SNAPSHOT, "data@s1"),
        "/v1/snapshots/data%40s1"
    );
    let pairs = [("destination", Some("vfs:///b?x&y")), ("volume", None)];
    assert_eq!(
        paths::with_query(paths::BACKUPS, &pairs),
        "/v1/backups?destination=vfs%3A%2F%2F%2Fb%3Fx%26y"
    );
    assert_eq!(
        paths::with_query(paths::SNAPSHOTS, &[("volume", None)]),
        "/v1/snapshots"
    );
}
