//! Which fields decide, and which never do.

use super::*;
use serde_json::{Value, json};
use uuid::Uuid;

fn sample() -> Value {
    let id = Uuid::from_bytes([0xab; 16]);
    json!({
        "session": "44".repeat(16), "began": 0, "uses": [["44".repeat(16), 0, 2]], "segments": [],
        "backups": [{
            "id": id, "name": "backup-0123456789abcdef", "volume": id, "size": 4096, "root": null, "base": null,
            "volume_name": "v", "snapshot": {"id": id, "name": "s", "created": "2026-11-22T12:00:00Z"},
            "created": "2026-11-22T12:00:00Z", "volume_created": "2026-11-22T12:00:00Z", "filesystem": "ext4",
            "driver": "devicemapper", "host": id, "labels": {"a": "b"},
            "pool": {"id": id, "dev_id": 1, "transaction": 2, "block_size": 65536},
            "changed_bytes": 1, "read_bytes": 2, "new_bytes": 3, "stored_bytes": 4,
        }],
    })
}

fn parse(value: &Value) -> Option<Commit> {
    match Body::parse(3, value.to_string().as_bytes()) {
        Ok(Body::Commit(commit)) => Some(commit),
        _ => None,
    }
}

const DECIDE: [&str; 6] = ["id", "name", "volume", "size", "root", "base"];

#[test]
fn information_never_decides() {
    let whole = parse(&sample()).unwrap();
    assert_eq!(whole.backups[0].labels["a"], "b");
    let names: Vec<String> = sample()["backups"][0]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    for name in names {
        let mut absent = sample();
        absent["backups"][0].as_object_mut().unwrap().remove(&name);
        let mut wrong = sample();
        wrong["backups"][0][&name] = json!([true]);
        let decides = DECIDE.contains(&name.as_str());
        assert_eq!(parse(&absent).is_none(), decides, "{name} absent");
        assert_eq!(parse(&wrong).is_none(), decides, "{name} of a wrong type");
    }
    let mut late = sample();
    late["backups"][0]["created"] = json!("tomorrow");
    late["backups"][0]["labels"] = json!({"long": "x".repeat(300)});
    assert!(parse(&late).is_some());
}

#[test]
fn what_decides_is_strict() {
    let long = "44".repeat(16);
    for (pointer, value) in [
        ("/session", json!("AB".repeat(16))),
        ("/began", json!(-1)),
        ("/backups", json!([[1, 2]])),
        (
            "/backups/0/id",
            json!("ABABABAB-abab-abab-abab-abababababab"),
        ),
        ("/backups/0/id", json!("abababababababababababababababab")),
        ("/backups/0/base", json!("")),
        ("/backups/0/name", json!("backup-0123456789ABCDEF")),
        ("/backups/0/size", json!(0)),
        ("/backups/0/size", json!(1_u64 << 63)),
        ("/backups/0/root", json!("00")),
        ("/uses/0", json!([long, 1, 1])),
        ("/uses/0", json!([long, 0, 1_u64 << 32])),
        ("/uses/0", json!([long, 0, 1, 2])),
        ("/segments", json!(["x"])),
    ] {
        let mut body = sample();
        *body.pointer_mut(pointer).unwrap() = value;
        assert_eq!(parse(&body), None, "{pointer}");
    }
}
