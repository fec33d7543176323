//! What a backup that was cut short had sent is not sent again, and is never taken for more than it is.

use super::world::{Device, Volatile, block_size, facts, make, open, restored};
use crate::{CreateOptions, Error, MemoryDevice, Observer, Summary, create};
use convoy_objectstore::{Fault, ObjectStore, Rule};
use convoy_repository::Repository;
use convoy_units::Bytes;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use uuid::Uuid;

const BLOCK_KIB: u64 = 64;
const BLOCKS: u64 = 48;

/// Noise: each chunk is new, and nothing compresses.
fn image() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let words = (0..BLOCKS * BLOCK_KIB * 128).flat_map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.collect()
}

/// All of it mapped.
fn device() -> Device {
    Device {
        size: BLOCKS * BLOCK_KIB * 1024,
        mapped: (0..BLOCKS)
            .map(|at| (at, (at, u8::try_from(at + 10).unwrap())))
            .collect(),
    }
}

fn back_up(
    repository: &Repository,
    device: &Device,
    op: u128,
    journal: &Path,
    observer: &dyn Observer,
) -> Result<Summary, Error> {
    let block = block_size(BLOCK_KIB);
    let source = MemoryDevice::new(image());
    let options = CreateOptions {
        pack_target: Some(Bytes::kib(128)),
        journal: Some(journal.to_owned()),
        threads: 1,
    };
    let facts = facts(device.size, Uuid::from_u128(op));
    let changes = device.changes(None);
    create(
        repository, &source, &changes, block, None, &facts, &options, observer,
    )
}

/// Bytes of packs in the store: none is ever deleted here, so what is sent twice is there twice.
fn packed(store: &Arc<Volatile>) -> u64 {
    let keys = store.keys().into_iter();
    let packs = keys.filter(|key| key.as_str().contains("packs/"));
    let size = |key| store.size(&key).unwrap().unwrap();
    packs.map(size).sum()
}

/// What one run sends that nothing cuts short, and how many requests that takes.
fn whole() -> (u64, u64) {
    let store = Volatile::new();
    let dir = tempfile::tempdir().unwrap();
    let repository = make(&store, Bytes::kib(64)).unwrap();
    let before = store.faults.operations() as u64;
    let journal = dir.path().join("journal");
    back_up(&repository, &device(), 1, &journal, &()).unwrap();
    assert!(!journal.exists(), "nothing is left to go on with");
    (packed(&store), store.faults.operations() as u64 - before)
}

/// Killed before or after any request, with the power of the store gone or not: who comes next gets a right backup,
/// and what was durable is not sent again.
#[test]
fn killed_at_any_request_the_next_backup_goes_on() {
    let (sent, requests) = whole();
    let mut twice = Vec::new();
    for nth in 1..=requests {
        for (fault, cut) in [(Fault::KillBefore, false), (Fault::KillAfter, true)] {
            let context = format!("{fault:?} at request {nth}");
            let store = Volatile::new();
            let dir = tempfile::tempdir().unwrap();
            let journal = dir.path().join("journal");
            let repository = make(&store, Bytes::kib(64)).unwrap();
            store.faults.inject(Rule {
                nth,
                ..Rule::on_any(fault)
            });
            let acknowledged = back_up(&repository, &device(), 1, &journal, &()).is_ok();
            drop(repository);
            if cut {
                store.power_cut();
            } else {
                store.faults.revive();
            }
            let repository = open(&store).unwrap();
            let made = back_up(&repository, &device(), 2, &journal, &());
            let made = made.unwrap_or_else(|error| panic!("{context}: {error}"));
            let image = image();
            for backup in repository.backups() {
                assert!(
                    restored(&repository, &backup).unwrap() == image,
                    "{context}"
                );
            }
            assert!(repository.backup_by_op(made.backup.op).is_some());
            assert!(
                !acknowledged || repository.backups().len() == 2,
                "{context}"
            );
            twice.push(packed(&store).saturating_sub(sent));
        }
    }
    // At most what was sent since the last frame of eight packs goes twice, and the nodes.
    let most = twice.iter().copied().max().unwrap();
    assert!(most < sent / 2, "{most} of {sent} were sent twice");
}

/// Stops when so much was read.
struct Stop(u64, AtomicU64);

impl Observer for Stop {
    fn progress(&self, done: Bytes, _: Bytes) {
        self.1.store(done.0, Ordering::SeqCst);
    }

    fn cancelled(&self) -> bool {
        self.1.load(Ordering::SeqCst) >= self.0
    }
}

#[test]
fn a_cancelled_backup_is_gone_on_with_and_its_packs_are_looked_at_first() {
    let (sent, _) = whole();
    for lose in [false, true] {
        let store = Volatile::new();
        let dir = tempfile::tempdir().unwrap();
        let journal = dir.path().join("journal");
        let repository = make(&store, Bytes::kib(64)).unwrap();
        let half = Stop(BLOCKS * BLOCK_KIB * 512, AtomicU64::new(0));
        let cancelled = back_up(&repository, &device(), 1, &journal, &half);
        assert!(matches!(cancelled, Err(Error::Cancelled)), "{cancelled:?}");
        assert!(repository.backups().is_empty());
        let before = packed(&store);
        assert!(before > sent / 4, "{before} of {sent}");
        if lose {
            let keys = store.keys().into_iter();
            let mut keys = keys;
            let pack = keys.find(|key| key.as_str().contains("packs/"));
            store.delete(&pack.unwrap()).unwrap();
        }
        let repository = open(&store).unwrap();
        let made = back_up(&repository, &device(), 2, &journal, &()).unwrap();
        assert!(restored(&repository, &made.backup).unwrap() == image());
        let again = packed(&store).saturating_sub(sent);
        println!("{again} of {sent} bytes were sent twice");
        assert!(again < sent / 5, "{again} of {sent} were sent twice");
        assert_eq!(
            made.stored_bytes.0 / sent,
            1,
            "the backup's own figure has all of it"
        );
    }
}
