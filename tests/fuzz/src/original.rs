//! What the original Convoy left: its texts, its names and its blocks, all of them anybody's bytes.

use crate::Target;
use convoy_objectstore::Key;
use convoy_repository::format::original;
use convoy_repository::{Checksum, ORIGINAL_BLOCK, VolumeDirectory};
use convoy_testkit::original as writer;
use serde_json::Value;

/// The text of a volume.
pub const VOLUME: Target = Target {
    name: "original-volume",
    about: "the original's volume.cfg",
    run: volume,
    seeds: volume_seeds,
    words: &["\"Name\"", "\"UUID\"", "\"Size\"", "\"FileSystem\"", "null"],
    max_len: 1000,
    weight: 1,
};

/// The text of a backup.
pub const BACKUP: Target = Target {
    name: "original-backup",
    about: "the original's text of a backup",
    run: backup,
    seeds: backup_seeds,
    words: &[
        "\"Blocks\"",
        "\"Offset\"",
        "\"BlockChecksum\"",
        "\"SingleFile\"",
        "2097152",
        "null",
    ],
    max_len: 2000,
    weight: 2,
};

/// A stored block.
pub const BLOCK: Target = Target {
    name: "original-block",
    about: "a block as the original stores it",
    run: block,
    seeds: block_seeds,
    words: &["\u{1f}\u{8b}\u{8}"],
    max_len: 4000,
    weight: 1,
};

/// Names of volumes, and keys.
pub const NAMES: Target = Target {
    name: "original-names",
    about: "names and keys of the original's",
    run: names,
    seeds: names_seeds,
    words: &["volumes/", "!!", "..", "backup_", ".cfg"],
    max_len: 400,
    weight: 1,
};

/// What is read is what the JSON says.
pub fn volume(data: &[u8]) {
    match original::volume(data) {
        Ok(read) => {
            let Some(json) = object(data) else { return };
            for (key, text) in [
                ("UUID", &read.uuid),
                ("Name", &read.name),
                ("Driver", &read.driver),
                ("FileSystem", &read.file_system),
                ("CreatedTime", &read.created_time),
            ] {
                assert_eq!(json[key].as_str().unwrap_or_default(), text);
            }
            assert_eq!(json["Size"].as_i64().unwrap_or_default(), read.size);
        }
        Err(what) => assert!(!what.is_empty() && what.len() < 4000),
    }
}

/// Blocks are in order, each at its own place, and as many as the JSON has.
pub fn backup(data: &[u8]) {
    match original::backup(data) {
        Ok(read) => {
            let Some(json) = object(data) else { return };
            let none = Vec::new();
            let listed = json["Blocks"].as_array().unwrap_or(&none);
            assert_eq!(listed.len(), read.blocks.0.len());
            for (said, block) in listed.iter().zip(&read.blocks.0) {
                assert_eq!(said["Offset"].as_u64(), Some(block.offset));
                assert_eq!(said["BlockChecksum"], block.checksum.to_string());
                assert_eq!(block.end() - block.offset, ORIGINAL_BLOCK);
            }
            let pairs = read.blocks.0.windows(2);
            assert!(pairs.clone().all(|pair| pair[0].end() <= pair[1].offset));
        }
        Err(what) => assert!(!what.is_empty() && what.len() < 4000),
    }
}

/// The text as JSON; a number past all numbers in a key that nobody reads is an error here alone.
fn object(data: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(data).expect("what was read is text");
    let json: Value = serde_json::from_str(text).ok()?;
    assert!(json.is_object());
    Some(json)
}

/// The input is the object, under the name of a block of zeros: it is given out as that, or not at all.
pub fn block(data: &[u8]) {
    let zeros = Checksum::parse("731859029215873fdac1c9f2f8bd25a334abf0f3a9e1b057cf2cacc2826d86b0")
        .expect("64 digits");
    let mut plain = Vec::new();
    match original::open_block(data, &zeros, &mut plain) {
        Ok(()) => {
            assert_eq!(plain.len() as u64, ORIGINAL_BLOCK);
            assert!(plain.iter().all(|byte| *byte == 0));
        }
        Err(what) => assert!(!what.is_empty() && plain.len() as u64 <= ORIGINAL_BLOCK + 1),
    }
}

/// No name leads out of its own directory, and a directory is found again by its name.
pub fn names(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Some(directory) = VolumeDirectory::of_name(&text) {
        let name = directory.name();
        assert!(text.trim_end_matches('!') == name && !name.is_empty());
        assert!(!name.contains(['/', '!']) && !name.starts_with('.'));
        assert_eq!(VolumeDirectory::of_name(name), Some(directory.clone()));
        assert_eq!(
            writer::directory(name).rsplit('/').next().map(str::len),
            Some(name.len().max(4))
        );
    }
    if let Ok(key) = Key::of_original(text.clone()) {
        assert_eq!(key.as_str(), text);
        assert!(text.split('/').all(|part| !matches!(part, "" | "." | "..")));
    }
}

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn volume_seeds() -> Vec<Vec<u8>> {
    texts(&[
        r#"{"Name":"vol1","Driver":"devicemapper","Size":33554432,"CreatedTime":"Sun Nov 22 08:04:40 +0000 2015","LastBackupName":"backup-0123456789abcdef"}"#,
        r#"{"UUID":"f98f9ea1-dd6e-4490-8212-6d50df1982ea","Name":"vol1","Driver":"devicemapper","Size":4194304,"FileSystem":"ext4","CreatedTime":"","LastBackupUUID":""}"#,
        r#"{"Name":null,"Size":-1}"#,
        "{}",
    ])
}

fn backup_seeds() -> Vec<Vec<u8>> {
    texts(&[
        r#"{"Name":"backup-0123456789abcdef","Driver":"","VolumeName":"vol1","SnapshotName":"s2","SnapshotCreatedAt":"","CreatedTime":"Sun Nov 22 08:04:40 +0000 2015","Blocks":[{"Offset":0,"BlockChecksum":"731859029215873fdac1c9f2f8bd25a334abf0f3a9e1b057cf2cacc2826d86b0"},{"Offset":2097152,"BlockChecksum":"731859029215873fdac1c9f2f8bd25a334abf0f3a9e1b057cf2cacc2826d86b0"}],"SingleFile":{"FilePath":""}}"#,
        r#"{"UUID":"f98f9ea1-dd6e-4490-8212-6d50df1982ea","VolumeUUID":"f98f9ea1-dd6e-4490-8212-6d50df1982ea","SnapshotUUID":"","Blocks":null,"SingleFile":null}"#,
        r#"{"Name":"b","VolumeName":"v","SingleFile":{"FilePath":"convoy-objectstore/volumes/v"}}"#,
        "{}",
    ])
}

fn block_seeds() -> Vec<Vec<u8>> {
    vec![
        writer::pack(&vec![0; writer::BLOCK]),
        writer::pack(&vec![1; writer::BLOCK - 1]),
        writer::pack(b"short"),
    ]
}

fn names_seeds() -> Vec<Vec<u8>> {
    texts(&[
        "a",
        "ab!!",
        "vol1",
        "../x",
        "volumes/ab/!!/ab!!/backups/backup_backup-0123.cfg",
    ])
}
