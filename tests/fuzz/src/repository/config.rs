//! The `config` object is anything: an opened repository is what its config says, within the format's limits.

use super::{REPOSITORY, SECRET};
use crate::Target;
use convoy_fault::{Fault, chain};
use convoy_objectstore::{Key, MemoryStore, ObjectStore, PutMode};
use convoy_repository::format::{Body, Init, Keys, Secret, Stamp, encode_entry, slot_key};
use convoy_repository::{Compression, FullHash, Impatient, OpenOptions, Repository};
use std::sync::Arc;
use uuid::Uuid;

/// The target.
pub const TARGET: Target = Target {
    name: "config",
    about: "the config object of a repository",
    run,
    seeds,
    words: &[
        "\"features\"",
        "\"incompat\"",
        "\"read_compat\"",
        "\"chunk_size\"",
        "\"version\"",
        "\"id_key\"",
        "\"zstd\"",
        "\"level\"",
    ],
    max_len: 2000,
    weight: 2,
};

/// The input is the object. The log's first entry is made to fit it, as far as an id and a key can be found.
pub fn run(data: &[u8]) {
    let store = MemoryStore::new();
    let key = Key::new("config").expect("a plain key");
    store
        .put(&key, data, PutMode::Create)
        .expect("memory takes it");
    if let Some(first) = first_entry(data) {
        store
            .put(&slot_key(0), &first, PutMode::Create)
            .expect("memory takes it");
    }
    let options = OpenOptions {
        read_only: true,
        patience: Arc::new(Impatient),
        ..OpenOptions::default()
    };
    match Repository::open(Arc::new(store), &options) {
        Ok(repository) => check(&repository, data),
        Err(error) => {
            assert!(!chain(&error).is_empty());
            drop((error.kind(), error.hint()));
        }
    }
}

fn check(repository: &Repository, data: &[u8]) {
    let config = repository.config();
    let size = config.chunk_size.0;
    assert!(size.is_power_of_two() && (4096..=4 << 20).contains(&size));
    if let Compression::Zstd(level) = config.compression {
        assert!((1..=19).contains(&level));
    }
    let json: serde_json::Value = serde_json::from_slice(data).expect("it was read as JSON");
    assert_eq!(json["format"], "convoy-repository");
    assert_eq!(json["version"], 1);
    assert_eq!(json["chunk_size"], size);
    assert_eq!(json["features"]["incompat"], serde_json::json!([]));
    assert_eq!(repository.slots(), 1);
    assert!(repository.read_only().is_some());
}

fn first_entry(data: &[u8]) -> Option<Vec<u8>> {
    let json: serde_json::Value = serde_json::from_slice(data).ok()?;
    let id = Uuid::parse_str(json["id"].as_str()?).ok()?;
    let secret = FullHash::parse(json["id_key"].as_str()?)?;
    let stamp = Stamp {
        slot: 0,
        prev: FullHash([0; 32]),
        op: id,
        host: Uuid::nil(),
        time: 0,
    };
    let body = Body::Init(Init {
        repository: id,
        config: FullHash(*blake3::hash(data).as_bytes()),
    });
    Some(encode_entry(
        &Keys::derive(&Secret(secret.0)),
        &stamp,
        &body,
    ))
}

fn seeds() -> Vec<Vec<u8>> {
    let sample = |edit: fn(&mut serde_json::Value)| {
        let mut json = serde_json::json!({
            "format": "convoy-repository", "version": 1, "id": REPOSITORY, "created": "2026-11-22T12:00:00Z",
            "created_by": "convoy 0.1.0", "host": REPOSITORY, "chunk_size": 262_144, "tree_fanout": 1024,
            "hash": {"name": "blake3-keyed", "code": 1}, "compression": {"name": "zstd", "code": 1, "level": 1},
            "cipher": {"name": "none", "code": 0}, "id_key": FullHash(SECRET).to_string(), "grace_seconds": 86_400,
            "single_writer": false, "features": {"compat": [], "read_compat": [], "incompat": []},
        });
        edit(&mut json);
        json.to_string().into_bytes()
    };
    vec![
        sample(|_| {}),
        sample(|json| json["version"] = 2.into()),
        sample(|json| json["features"]["incompat"] = serde_json::json!(["new"])),
        sample(|json| json["features"]["read_compat"] = serde_json::json!(["new"])),
        sample(|json| json["compression"] = serde_json::json!({"name": "none", "code": 0})),
        sample(|json| json["chunk_size"] = 12_345.into()),
        sample(|json| json["chunk_size"] = 2048.into()),
        sample(|json| json["chunk_size"] = 4096.into()),
        sample(|json| json["chunk_size"] = (4 << 20).into()),
        sample(|json| json["chunk_size"] = (8 << 20).into()),
        b"{}".to_vec(),
    ]
}
