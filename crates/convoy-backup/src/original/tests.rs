//! What the original backed up comes back, and nothing else does.

use super::*;
use crate::MemoryDevice;
use convoy_fault::{Fault as _, Kind};
use convoy_objectstore::{
    ErrorKind, Fault, FaultStore, Key, MemoryStore, ObjectStore, PutMode, ReadOnlyStore, Rule,
};
use convoy_repository::Impatient;
use convoy_testkit::original::{self, Generation, Repository, Snapshot, blocks};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

const SIZE: u64 = 32 << 20;

fn snapshot(name: &str, of: &[(u64, u64)]) -> Snapshot {
    Snapshot {
        name: name.to_owned(),
        blocks: blocks(of),
    }
}

fn open(repository: &Repository) -> (Original, Arc<FaultStore<MemoryStore>>) {
    let store = MemoryStore::new();
    for (path, bytes) in &repository.objects {
        let key = Key::of_original(path).unwrap();
        store.put(&key, bytes, PutMode::Create).unwrap();
    }
    let store = Arc::new(FaultStore::new(store));
    let read_only = ReadOnlyStore::new(store.clone());
    (Original::new(read_only, Arc::new(Impatient)), store)
}

/// Remembers what was written where.
#[derive(Debug)]
struct Sink {
    device: MemoryDevice,
    written: AtomicU64,
}

impl Sink {
    fn new() -> Self {
        Self {
            device: MemoryDevice::zeroed(Bytes(SIZE)),
            written: AtomicU64::new(0),
        }
    }
}

impl BlockWriter for Sink {
    fn len(&self) -> Bytes {
        BlockWriter::len(&self.device)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
        self.written
            .fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.device.write_at(offset, bytes)
    }

    fn flush(&self) -> std::io::Result<()> {
        self.device.flush()
    }
}

/// A chain of two, with a discarded block, in both generations.
fn chain(generation: Generation) -> (Repository, String, String) {
    let volume = match generation {
        Generation::Names => "vol1".to_owned(),
        Generation::Uuids => original::uuid(1),
    };
    let mut written = Repository::new(generation);
    let s1 = snapshot("s1", &[(0, 1), (1, 2), (2, 3), (3, 4), (9, 5), (15, 6)]);
    let s2 = snapshot("s2", &[(0, 1), (1, 7), (2, 3), (9, 8), (15, 6)]);
    written.back_up(&volume, SIZE, &s1, &[&s1]);
    let last = written.back_up(&volume, SIZE, &s2, &[&s1, &s2]);
    (written, volume, last)
}

#[test]
fn a_backup_comes_back_and_its_holes_stay_holes() {
    for generation in [Generation::Names, Generation::Uuids] {
        let (written, volume, last) = chain(generation);
        let (original, _) = open(&written);
        let backup = original.backup(&volume, &last).unwrap();
        let sink = Sink::new();
        let summary = restore_original(&original, &backup, &sink, &()).unwrap();
        assert!(
            sink.device.content()
                == written.restored(&volume, &last, usize::try_from(SIZE).unwrap())
        );
        // Block 3 was discarded, which the original stores as zeros: a hole again.
        assert_eq!(backup.blocks.len(), 6);
        assert_eq!(summary.chunks, 5);
        assert_eq!(summary.written, Bytes(5 * ORIGINAL_BLOCK));
        assert_eq!(sink.written.into_inner(), 5 * ORIGINAL_BLOCK);
        assert_eq!(summary.requests, 5);
        let report = verify_original(&original, &backup, &()).unwrap();
        assert_eq!((report.problems, report.chunks), (vec![], 6));
    }
}

#[test]
fn the_mixed_up_full_backup_comes_back_as_the_original_has_it() {
    let mut written = Repository::new(Generation::Names);
    written.back_up("vol1", SIZE, &snapshot("s1", &[(0, 1), (7, 4)]), &[]);
    let merged = written.back_up("vol1", SIZE, &snapshot("s2", &[(0, 2)]), &[]);
    let (original, _) = open(&written);
    let backup = original.backup("vol1", &merged).unwrap();
    let sink = Sink::new();
    restore_original(&original, &backup, &sink, &()).unwrap();
    assert!(
        sink.device.content() == written.restored("vol1", &merged, usize::try_from(SIZE).unwrap())
    );
}

#[test]
fn damage_is_named_and_ends_a_restore() {
    let (written, volume, last) = chain(Generation::Names);
    let bad = original::block_path(&volume, &original::checksum(&original::block(8)));
    for damage in ["gone", "cut", "other"] {
        let mut written = written.clone();
        match damage {
            "gone" => drop(written.objects.remove(&bad)),
            "cut" => written.objects.get_mut(&bad).unwrap().truncate(5000),
            _ => drop(
                written
                    .objects
                    .insert(bad.clone(), original::pack(&original::block(99))),
            ),
        }
        let (original, _) = open(&written);
        let backup = original.backup(&volume, &last).unwrap();
        let report = verify_original(&original, &backup, &()).unwrap();
        assert_eq!(report.chunks, 5);
        let [problem] = &report.problems[..] else {
            panic!("{report:?}")
        };
        assert_eq!(problem.object, bad);
        let range = problem.range.unwrap();
        assert_eq!(
            (range.begin, range.end),
            (9 * ORIGINAL_BLOCK, 10 * ORIGINAL_BLOCK)
        );
        let error = restore_original(&original, &backup, &Sink::new(), &()).unwrap_err();
        assert_eq!(error.kind(), Kind::Integrity);
        assert!(convoy_fault::chain(&error).contains(&bad), "{error}");
    }
}

#[test]
fn a_file_is_never_restored_as_zeros() {
    let mut written = Repository::new(Generation::Names);
    let name = written.back_up_directory("files", b"a tar archive");
    let (original, _) = open(&written);
    let backup = original.backup("files", &name).unwrap();
    let restored = restore_original(&original, &backup, &Sink::new(), &()).map(drop);
    let verified = verify_original(&original, &backup, &()).map(drop);
    for error in [restored.unwrap_err(), verified.unwrap_err()] {
        assert_eq!(error.kind(), Kind::Invalid);
        assert!(error.to_string().contains("vfs"), "{error}");
    }
}

#[test]
fn a_lost_store_and_a_wish_to_stop_are_no_damage() {
    struct Stop;
    impl Observer for Stop {
        fn cancelled(&self) -> bool {
            true
        }
    }
    let (written, volume, last) = chain(Generation::Names);
    let (original, store) = open(&written);
    let backup = original.backup(&volume, &last).unwrap();
    let error = restore_original(&original, &backup, &Sink::new(), &Stop).unwrap_err();
    assert!(matches!(error, Error::Cancelled));
    assert!(matches!(
        verify_original(&original, &backup, &Stop),
        Err(Error::Cancelled)
    ));
    store.inject(Rule {
        nth: 3,
        times: u64::MAX,
        ..Rule::on_any(Fault::Before(ErrorKind::Transient))
    });
    for error in [
        restore_original(&original, &backup, &Sink::new(), &())
            .map(drop)
            .unwrap_err(),
        verify_original(&original, &backup, &())
            .map(drop)
            .unwrap_err(),
    ] {
        assert_eq!(error.kind(), Kind::DestinationUnavailable, "{error}");
    }
}

#[test]
fn nothing_is_written_past_a_small_target() {
    let (written, volume, last) = chain(Generation::Names);
    let (original, _) = open(&written);
    let backup = original.backup(&volume, &last).unwrap();
    let small = MemoryDevice::zeroed(Bytes(SIZE - 1));
    let error = restore_original(&original, &backup, &small, &()).unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
    assert!(small.content().iter().all(|byte| *byte == 0));
}

#[test]
fn a_doubtful_size_is_a_problem_to_verify_though_all_blocks_are_good() {
    let mut written = Repository::new(Generation::Names);
    written.back_up("vol1", 4 << 20, &snapshot("s1", &[(0, 1)]), &[]);
    let name = written.back_up("vol1", SIZE, &snapshot("s2", &[(9, 2)]), &[]);
    let (original, _) = open(&written);
    let backup = original.backup("vol1", &name).unwrap();
    let report = verify_original(&original, &backup, &()).unwrap();
    assert_eq!((report.problems.len(), report.chunks), (1, 2));
    assert!(report.problems[0].what.contains("larger"));
    let sink = Sink::new();
    restore_original(&original, &backup, &sink, &()).unwrap();
    assert!(
        sink.device.content() == written.restored("vol1", &name, usize::try_from(SIZE).unwrap())
    );
}
