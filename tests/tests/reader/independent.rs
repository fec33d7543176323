//! A reader that was written from the format document alone restores what we wrote, byte for byte.
//!
//! `tests/reader/convoy_reader.py` shares no code with us. If it and we disagree, the document is wrong,
//! or one of the two is: all three are to agree before anything is released.

use convoy_backup::{CreateOptions, FileReader};
use convoy_blockdiff::{Change, ChangeList};
use convoy_objectstore::VfsStore;
use convoy_repository::{
    BackupFacts, BackupRecord, OpenOptions, PoolFacts, Repository, SnapshotFacts, VolumeRecord,
};
use convoy_units::{Bytes, DataBlockSize, Sectors, ThinBlock, ThinRange};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use uuid::Uuid;

const BLOCK: u64 = 64 << 10;

/// Runs the reader; what it printed, and whether it found all well.
fn reader(words: &[&str]) -> (bool, String) {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("reader/convoy_reader.py");
    let output = Command::new("python3").arg(program).args(words).output();
    let output =
        output.expect("python3, of Debian's package python3: `cargo xtask setup` installs it");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    println!(
        "{words:?}: {said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    (output.status.success(), said)
}

/// Bytes that no compressor shortens.
fn noise(seed: u64, len: u64) -> Vec<u8> {
    let mut state = seed;
    let words = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33).to_le_bytes()
    });
    words
        .flatten()
        .take(usize::try_from(len).unwrap())
        .collect()
}

/// A volume as a sparse file, and what changed in it since it was backed up.
struct Volume {
    file: PathBuf,
    size: u64,
    id: Uuid,
    name: &'static str,
    mapped: BTreeMap<u64, bool>,
    last: Option<BackupRecord>,
}

impl Volume {
    fn new(folder: &Path, name: &'static str, size: u64) -> Self {
        let file = folder.join(name);
        fs::File::create(&file).unwrap().set_len(size).unwrap();
        Self {
            file,
            size,
            id: Uuid::now_v7(),
            name,
            mapped: BTreeMap::new(),
            last: None,
        }
    }

    /// Writes one block, `true` for something that compresses well.
    fn write(&mut self, block: u64, seed: u64, soft: bool) {
        let len = BLOCK.min(self.size - block * BLOCK);
        let bytes = if soft {
            noise(seed, 64).repeat(usize::try_from(len / 64).unwrap() + 1)
        } else {
            noise(seed, len)
        };
        let bytes = &bytes[..usize::try_from(len).unwrap()];
        let file = fs::OpenOptions::new().write(true).open(&self.file).unwrap();
        file.write_all_at(bytes, block * BLOCK).unwrap();
        self.mapped.insert(block, true);
    }

    /// Makes a hole.
    fn discard(&mut self, block: u64) {
        let file = fs::OpenOptions::new().write(true).open(&self.file).unwrap();
        let len = BLOCK.min(self.size - block * BLOCK);
        file.write_all_at(&vec![0; usize::try_from(len).unwrap()], block * BLOCK)
            .unwrap();
        self.mapped.insert(block, false);
    }

    fn back_up(&mut self, repository: &Repository, full: bool) -> (BackupRecord, Vec<u8>) {
        let mut changes = ChangeList::new();
        let base = self.last.take().filter(|_| !full);
        for (block, mapped) in &self.mapped {
            let range = ThinRange {
                begin: ThinBlock(*block),
                end: ThinBlock(block + 1),
            };
            match mapped {
                true => changes.push(Change::Copy(range)),
                false if base.is_some() => changes.push(Change::Hole(range)),
                false => (),
            }
        }
        let now = Timestamp::now();
        let facts = BackupFacts {
            op: Uuid::now_v7(),
            volume: VolumeRecord {
                id: self.id,
                name: self.name.to_owned(),
            },
            volume_size: Bytes(self.size),
            volume_created: now,
            snapshot: SnapshotFacts {
                id: Uuid::now_v7(),
                name: "s".to_owned(),
                created: now,
            },
            filesystem: "ext4".to_owned(),
            driver: "devicemapper".to_owned(),
            host: Uuid::now_v7(),
            pool: PoolFacts {
                id: Uuid::nil(),
                dev_id: 1,
                transaction: 1,
                block_size: Bytes(BLOCK),
            },
            labels: BTreeMap::from([("made by".to_owned(), "a test \u{2713}".to_owned())]),
        };
        let source = FileReader::open_direct(&self.file).unwrap();
        let block_size = DataBlockSize::new(Sectors(BLOCK / 512)).unwrap();
        // Small packs, so that there are several.
        let options = CreateOptions {
            pack_target: Some(Bytes::mib(1)),
            ..CreateOptions::default()
        };
        let made = convoy_backup::create(
            repository,
            &source,
            &changes,
            block_size,
            base.as_ref(),
            &facts,
            &options,
            &(),
        );
        let made = made.unwrap().backup;
        self.last = Some(made.clone());
        (made, fs::read(&self.file).unwrap())
    }
}

#[test]
fn the_readers_own_tests_pass() {
    assert!(reader(&["selftest"]).0);
}

#[test]
fn an_independent_reader_restores_every_byte() {
    let folder = tempfile::tempdir().unwrap();
    let destination = folder.path().join("destination");
    fs::create_dir(&destination).unwrap();
    let store = Arc::new(VfsStore::open(&destination).unwrap());
    let repository =
        Repository::create(store.clone(), &convoy_repository::CreateOptions::default()).unwrap();
    // Sizes that are no whole number of chunks, one of them of no block either.
    let mut first = Volume::new(folder.path(), "first", 24 * (1 << 20) + 3 * BLOCK);
    let mut second = Volume::new(folder.path(), "second", (3 << 20) + 4608);
    let mut kept = Vec::new();
    for block in (0..40).chain([100, 200, 386]) {
        first.write(block, block, block % 3 == 0);
    }
    kept.push(first.back_up(&repository, false));
    for block in [0, 5, 48] {
        second.write(block, 900 + block, false);
    }
    kept.push(second.back_up(&repository, false));
    // An increment with holes; one that is all the same; one that begins anew.
    for block in [3, 4, 101, 202, 300] {
        first.write(block, 5000 + block, false);
    }
    for block in [8, 9, 10, 11, 100] {
        first.discard(block);
    }
    let deleted = first.back_up(&repository, false).0;
    first.mapped.retain(|_, mapped| *mapped);
    first.write(386, 7000, true);
    kept.push(first.back_up(&repository, false));
    kept.push(first.back_up(&repository, true));
    // A volume of holes only.
    let mut empty = Volume::new(folder.path(), "empty", 10 << 20);
    kept.push(empty.back_up(&repository, false));
    repository.delete(deleted.id, Uuid::now_v7()).unwrap();
    drop(repository);

    let place = destination.join("convoy-repository");
    let place = place.to_str().unwrap();
    let (good, _) = reader(&["check", place]);
    assert!(good, "the reader finds fault with what we wrote");
    let (good, listed) = reader(&["list", place]);
    assert!(good);
    let listed: Vec<serde_json::Value> = listed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let names: Vec<&str> = listed
        .iter()
        .map(|backup| backup["name"].as_str().unwrap())
        .collect();
    let expected: Vec<&str> = kept
        .iter()
        .map(|(backup, _)| backup.name.as_str())
        .collect();
    assert_eq!(names, expected, "the live backups, in the order of the log");
    let out = folder.path().join("restored");
    for (backup, content) in &kept {
        assert!(reader(&["restore", place, &backup.name, out.to_str().unwrap()]).0);
        assert!(
            fs::read(&out).unwrap() == *content,
            "{} differs",
            backup.name
        );
    }
    assert!(
        !reader(&["restore", place, &deleted.name, out.to_str().unwrap()]).0,
        "it was deleted"
    );

    // And what the reader finds damaged, so do we: one flipped bit in a pack.
    let pack = largest(&Path::new(place).join("packs"));
    let mut bytes = fs::read(&pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::remove_file(&pack).unwrap();
    fs::write(&pack, bytes).unwrap();
    assert!(!reader(&["check", place]).0, "it overlooks a flipped bit");
    let repository = Repository::open(store, &OpenOptions::default()).unwrap();
    let options = convoy_backup::VerifyOptions { read_data: true };
    let found = kept
        .iter()
        .map(|(backup, _)| convoy_backup::verify(&repository, backup, &options, &()).unwrap());
    assert!(
        found.map(|report| report.problems.len()).sum::<usize>() > 0,
        "we overlook a flipped bit"
    );
}

/// The largest file in a folder of folders.
fn largest(folder: &Path) -> PathBuf {
    let inner = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let files = inner.flat_map(|folder| {
        fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
    });
    files
        .max_by_key(|file| fs::metadata(file).unwrap().len())
        .unwrap()
}
