//! Repositories in the original's layouts that stay as they are, written by a program of their own
//! (`original/write.py`), on a directory.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at what it did not expect"
)]

use convoy_objectstore::{Location, S3Options, open_original};
use convoy_repository::{Impatient, Original};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

const SIZE: usize = 8 << 20;

fn open(version: &str) -> Original {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/original")
        .join(version);
    let location: Location = format!("vfs://{}", folder.display()).parse().unwrap();
    let store = open_original(&location, &S3Options::default()).unwrap();
    Original::new(store, Arc::new(Impatient))
}

#[track_caller]
fn check(version: &str, volume: &str, backup: &str, expected: &str) {
    let original = open(version);
    let backup = original.backup(volume, backup).unwrap();
    assert_eq!(backup.facts.problem, None);
    assert_eq!(backup.facts.volume_size.unwrap().0, SIZE as u64);
    assert_eq!(
        backup.facts.created.unwrap().to_string(),
        "2015-11-22T07:04:40Z"
    );
    let (mut image, mut plain) = (vec![0; SIZE], Vec::new());
    for block in &backup.blocks {
        original
            .read_block(&backup.facts, block, &mut plain)
            .unwrap();
        let at = usize::try_from(block.offset).unwrap();
        image[at..at + plain.len()].copy_from_slice(&plain);
    }
    let mut hash = String::new();
    for byte in Sha256::digest(&image) {
        write!(hash, "{byte:02x}").unwrap();
    }
    assert_eq!(hash, expected);
}

#[test]
fn what_is_there_is_listed() {
    let names = |version: &str| -> Vec<String> {
        let listed = open(version).list(None).unwrap();
        let name = |facts: &convoy_repository::OriginalFacts| {
            format!(
                "{} {} {}",
                facts.volume_name, facts.name, facts.snapshot_name
            )
        };
        listed.iter().map(name).collect()
    };
    assert_eq!(
        names("v0.5"),
        [
            "Vol.1 backup-3333333333333333 a&b",
            "ab backup-1111111111111111 s1",
            "ab backup-2222222222222222 s2",
        ]
    );
    assert_eq!(
        names("v0.4"),
        ["data f98f9ea1-dd6e-4490-8212-6d50df1982ea "]
    );
    assert!(names("").is_empty());
}

#[test]
fn each_backup_is_what_was_written() {
    check(
        "v0.5",
        "ab",
        "backup-1111111111111111",
        "da303420e900c78cd471a893b08aff5b46fb0169221f7432eea3276cfbf18d1d",
    );
    check(
        "v0.5",
        "ab",
        "backup-2222222222222222",
        "b5e90e5f7fd76272772dab0977e85a0ec61979503db02033d3b8466b203cd53e",
    );
    check(
        "v0.5",
        "Vol.1",
        "backup-3333333333333333",
        "2daeb1f36095b44b318410b3f4e8b5d989dcc7bb023d1426c492dab0a3053e74",
    );
    check(
        "v0.4",
        "d9d6e0ac-1d0e-4b6a-9b2f-3f1e6f3c2b11",
        "f98f9ea1-dd6e-4490-8212-6d50df1982ea",
        "8219c87ade5ca2cdaaebecf505417a364161bffd546985031d1241951f8cf3ad",
    );
}
