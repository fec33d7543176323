//! The store fails or the power goes at every single request; two writers; lost answers; cancelling.

use super::world::{Device, Volatile, back_up_image, block_size, make, open, restored};
use crate::{CreateOptions, Error, Observer, create};
use convoy_fault::{Fault as _, Kind};
use convoy_objectstore::{ErrorKind, Fault, Rule};
use convoy_repository::{BackupRecord, Repository};
use convoy_units::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use uuid::Uuid;

const BLOCK_KIB: u64 = 64;

fn generations() -> Vec<Device> {
    let size = 16 * BLOCK_KIB * 1024 - 1536;
    let first = Device {
        size,
        mapped: (0..12)
            .map(|at| (at, (at, u8::try_from(at).unwrap())))
            .collect(),
    };
    let mut second = first.clone();
    second.mapped.insert(2, (100, 77));
    second.mapped.insert(15, (101, 78));
    second.mapped.remove(&9);
    let mut third = second.clone();
    third.mapped.insert(0, (102, 79));
    vec![first, second, third]
}

fn op(n: usize) -> Uuid {
    Uuid::from_u128(5000 + n as u128)
}

/// What a patient user does: makes the repository if there is none, and every backup not there yet.
fn run_all(store: &Arc<Volatile>, devices: &[Device]) -> Result<Repository, Kind> {
    let repository = match open(store) {
        Ok(repository) => repository,
        Err(error) if error.kind() == Kind::NotFound => {
            make(store, Bytes::kib(16)).map_err(|e| e.kind())?
        }
        Err(error) => return Err(error.kind()),
    };
    let block = block_size(BLOCK_KIB);
    let mut base: Option<(&Device, BackupRecord)> = None;
    for (n, device) in devices.iter().enumerate() {
        let backup = if let Some(backup) = repository.backup_by_op(op(n)) {
            backup
        } else {
            let changes = device.changes(base.as_ref().map(|(device, _)| *device));
            let image = device.image(block.bytes().0);
            let base = base.as_ref().map(|(_, backup)| backup);
            let made = back_up_image(&repository, &image, &changes, block, base, op(n));
            made.map_err(|error| error.kind())?.backup
        };
        base = Some((device, backup));
    }
    Ok(repository)
}

/// Every backup that is visible restores to its image.
#[track_caller]
fn check_all(store: &Arc<Volatile>, devices: &[Device], context: &str) -> usize {
    let repository = match open(store) {
        Ok(repository) => repository,
        Err(error) => {
            assert_eq!(error.kind(), Kind::NotFound, "{context}: {error}");
            return 0;
        }
    };
    let backups = repository.backups();
    for backup in &backups {
        let n = (0..devices.len()).find(|n| op(*n) == backup.op).unwrap();
        let image = devices[n].image(BLOCK_KIB * 1024);
        assert!(
            restored(&repository, backup).unwrap() == image,
            "{context}: backup {n}"
        );
    }
    backups.len()
}

/// A store on which the fault will happen at the nth request, and what to call it.
fn faulty(nth: u64, fault: &Fault) -> (Arc<Volatile>, String) {
    let store = Volatile::new();
    store.faults.inject(Rule {
        nth,
        ..Rule::on_any(fault.clone())
    });
    (store, format!("{fault:?} at request {nth}"))
}

/// Whoever comes next goes on, and ends with exactly what was wanted.
#[track_caller]
fn ends_well(store: &Arc<Volatile>, devices: &[Device], context: &str) {
    run_all(store, devices).unwrap_or_else(|kind| panic!("{context}: {kind}"));
    assert_eq!(
        check_all(store, devices, context),
        devices.len(),
        "{context}"
    );
}

fn requests_of_a_clean_run(devices: &[Device]) -> u64 {
    let store = Volatile::new();
    run_all(&store, devices).unwrap();
    assert_eq!(check_all(&store, devices, "clean"), devices.len());
    let store = Volatile::new();
    run_all(&store, devices).unwrap();
    store.faults.operations() as u64
}

#[test]
fn killed_before_or_after_any_request_with_the_power_gone() {
    let devices = generations();
    let requests = requests_of_a_clean_run(&devices);
    assert!(requests > 30, "{requests}");
    for nth in 1..=requests {
        for fault in [Fault::KillBefore, Fault::KillAfter] {
            let (store, context) = faulty(nth, &fault);
            let acknowledged = run_all(&store, &devices);
            store.power_cut();
            let visible = check_all(&store, &devices, &context);
            assert!(
                acknowledged.is_err() || visible == devices.len(),
                "{context}: acknowledged and lost"
            );
            ends_well(&store, &devices, &context);
        }
    }
}

#[test]
fn one_failed_or_lost_answer_at_any_request_is_ridden_out() {
    let devices = generations();
    let requests = requests_of_a_clean_run(&devices);
    let faults = [
        Fault::Before(ErrorKind::Transient),
        Fault::Before(ErrorKind::Throttled),
        Fault::Before(ErrorKind::Unclear),
        Fault::After(ErrorKind::Unclear),
        Fault::After(ErrorKind::Transient),
    ];
    for nth in 1..=requests {
        for fault in &faults {
            let (store, context) = faulty(nth, fault);
            ends_well(&store, &devices, &context);
        }
    }
}

#[test]
fn a_permanent_failure_is_told_and_leaves_what_was_there() {
    let devices = generations();
    let requests = requests_of_a_clean_run(&devices);
    for nth in 1..=requests {
        let (store, context) = faulty(nth, &Fault::Before(ErrorKind::Permanent));
        let result = run_all(&store, &devices);
        store.faults.revive();
        let visible = check_all(&store, &devices, &context);
        assert!(result.is_err() || visible == devices.len(), "{context}");
        ends_well(&store, &devices, &context);
    }
}

#[test]
fn reads_that_lie_once_are_read_again() {
    let devices = generations();
    let requests = requests_of_a_clean_run(&devices);
    for nth in 1..=requests {
        for fault in [Fault::Flip(77), Fault::Truncate(20)] {
            let (store, context) = faulty(nth, &fault);
            // It may be an error, never a wrong backup.
            drop(run_all(&store, &devices));
            store.faults.revive();
            check_all(&store, &devices, &context);
            ends_well(&store, &devices, &context);
        }
    }
}

#[test]
fn writers_share_a_repository() {
    let store = Volatile::new();
    make(&store, Bytes::kib(16)).unwrap();
    let block = block_size(BLOCK_KIB);
    let devices = generations();
    std::thread::scope(|scope| {
        for writer in 0..4usize {
            let (store, devices) = (&store, &devices);
            scope.spawn(move || {
                let repository = open(store).unwrap();
                let mut base = None;
                for (n, device) in devices.iter().enumerate() {
                    let changes = device.changes(n.checked_sub(1).map(|before| &devices[before]));
                    let image = device.image(block.bytes().0);
                    let op = Uuid::from_u128((writer * 10 + n) as u128 + 1);
                    let made =
                        back_up_image(&repository, &image, &changes, block, base.as_ref(), op)
                            .unwrap();
                    base = Some(made.backup);
                }
            });
        }
    });
    let repository = open(&store).unwrap();
    let backups = repository.backups();
    assert_eq!(backups.len(), 12);
    for backup in &backups {
        let n = usize::try_from(backup.op.as_u128() - 1).unwrap() % 10;
        assert!(restored(&repository, backup).unwrap() == devices[n].image(block.bytes().0));
    }
    // Entry 0, one volume entry, twelve commits; no slot is left out or used twice.
    assert_eq!(repository.slots(), 14);
}

#[test]
fn the_same_operation_makes_one_backup() {
    let devices = generations();
    let store = Volatile::new();
    let repository = run_all(&store, &devices).unwrap();
    let block = block_size(BLOCK_KIB);
    let image = devices[0].image(block.bytes().0);
    let again = back_up_image(
        &repository,
        &image,
        &devices[0].changes(None),
        block,
        None,
        op(0),
    )
    .unwrap();
    assert_eq!(again.backup.op, op(0));
    assert_eq!(open(&store).unwrap().backups().len(), 3);
}

/// Asks to stop after so many questions.
struct Impatient(AtomicU64);

impl Observer for Impatient {
    fn cancelled(&self) -> bool {
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            })
            .is_err()
    }
}

#[test]
fn a_cancelled_backup_is_not_visible() {
    let block = block_size(BLOCK_KIB);
    let devices = generations();
    let image = devices[0].image(block.bytes().0);
    for patience in 0..3 {
        let store = Volatile::new();
        let repository = make(&store, Bytes::kib(16)).unwrap();
        let source = crate::MemoryDevice::new(image.clone());
        let observer = Impatient(AtomicU64::new(patience));
        let facts = super::world::facts(devices[0].size, op(0));
        let made = create(
            &repository,
            &source,
            &devices[0].changes(None),
            block,
            None,
            &facts,
            &CreateOptions::default(),
            &observer,
        );
        match made {
            Err(Error::Cancelled) => assert_eq!(open(&store).unwrap().backups().len(), 0),
            made => drop(made.unwrap()),
        }
    }
}

#[test]
fn a_source_that_fails_is_named_and_nothing_is_published() {
    #[derive(Debug)]
    struct Bad;
    impl crate::BlockReader for Bad {
        fn len(&self) -> Bytes {
            Bytes::mib(64)
        }
        fn read_at(&self, offset: u64, into: &mut [u8]) -> std::io::Result<()> {
            into.fill(1);
            if offset >= 40 << 20 {
                Err(std::io::Error::from_raw_os_error(5))
            } else {
                Ok(())
            }
        }
    }
    let store = Volatile::new();
    let repository = make(&store, Bytes::kib(256)).unwrap();
    let size = 64 << 20;
    let device = Device {
        size,
        mapped: (0..32).map(|at| (at, (at, 1))).collect(),
    };
    let facts = super::world::facts(size, op(0));
    let made = create(
        &repository,
        &Bad,
        &device.changes(None),
        block_size(2048),
        None,
        &facts,
        &CreateOptions::default(),
        &(),
    );
    let error = made.unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot read bytes 41943040..42991616 of the source"
    );
    assert!(open(&store).unwrap().backups().is_empty());
}
