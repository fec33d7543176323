//! The suite on the fake, and faults at every single step.

use crate::conformance::{self, World};
use crate::fake::{FakeKernel, Fault, Health};
use crate::{Deleted, Error, Mode, Operation, Pool, PoolSpec, ThinSpec};
use convoy_fault::{Fault as _, Kind};
use convoy_units::{Bytes, DataBlockSize, DevId, Sectors, TransactionId};
use nix::errno::Errno;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use uuid::Uuid;

const METADATA: &str = "/dev/fake-metadata";
const DATA: &str = "/dev/fake-data";

fn kernel() -> FakeKernel {
    let kernel = FakeKernel::new();
    kernel.add_device(METADATA, Bytes::mib(16));
    kernel.add_device(DATA, Bytes::gib(1));
    kernel
}

fn spec() -> PoolSpec {
    PoolSpec {
        name: "convoy-pool".parse().unwrap(),
        uuid: Uuid::from_u128(1),
        metadata: METADATA.into(),
        metadata_len: None,
        data: DATA.into(),
        block_size: DataBlockSize::DEFAULT,
        low_water: 8,
        error_if_no_space: false,
    }
}

fn thin() -> ThinSpec {
    ThinSpec {
        uuid: Uuid::from_u128(7),
        dev_id: id(1),
        size: Sectors(4096),
        read_only: false,
    }
}

fn id(n: u64) -> DevId {
    DevId::new(n).unwrap()
}

fn activate(kernel: &FakeKernel) -> Result<Pool, Error> {
    Pool::activate(Arc::new(kernel.clone()), &spec())
}

#[test]
fn the_fake_obeys_the_suite() {
    for (name, check) in conformance::ALL {
        let kernel = kernel();
        let world = World {
            control: Arc::new(kernel),
            metadata: METADATA.into(),
            data: DATA.into(),
            blank: Box::new(|| ()),
        };
        println!("{name}");
        check(&world);
    }
}

/// Pool up, volume made, snapshot taken, committed, volume down.
fn life(kernel: &FakeKernel) -> Result<(), Error> {
    let pool = activate(kernel)?;
    pool.resume_suspended()?;
    pool.release_stale_metadata_snapshot()?;
    match pool.create_thin(id(1)) {
        Err(Error::ThinExists { .. }) => {}
        outcome => outcome?,
    }
    pool.activate_thin(&thin())?;
    pool.while_suspended(thin().uuid, || {
        pool.delete(id(2))?;
        pool.create_snapshot(id(2), id(1))
    })?;
    pool.reserve_metadata_snapshot()?.release()?;
    pool.deactivate_thin(thin().uuid)?;
    pool.deactivate()
}

fn suspended(kernel: &FakeKernel) -> bool {
    use crate::Control;
    let listed = kernel.list().unwrap();
    let infos = listed
        .iter()
        .map(|listed| kernel.info(&listed.name).unwrap().unwrap());
    infos.into_iter().any(|info| info.suspended)
}

#[test]
fn any_step_may_fail_and_a_second_life_works() {
    let steps = {
        let kernel = kernel();
        life(&kernel).unwrap();
        kernel.operations()
    };
    assert!(steps > 25, "{steps}");
    for step in 0..steps {
        let kernel = kernel();
        kernel.inject(step, Fault::Fail(Errno::ENOMEM));
        // A resume is tried again, so not every fault is seen.
        if let Err(error) = life(&kernel) {
            assert!(!error.to_string().is_empty());
        }
        assert!(!suspended(&kernel), "step {step}: nobody is left suspended");
        life(&kernel).unwrap_or_else(|error| panic!("after a failure at {step}: {error:?}"));
    }
}

#[test]
fn our_process_may_die_at_any_step_and_a_second_life_works() {
    let steps = {
        let kernel = kernel();
        life(&kernel).unwrap();
        kernel.operations()
    };
    for step in 0..steps {
        for fault in [Fault::DieBefore, Fault::DieAfter] {
            for power in [false, true] {
                let kernel = kernel();
                kernel.inject(step, fault);
                life(&kernel).unwrap_err();
                if power {
                    kernel.cut_power();
                }
                kernel.restart_process();
                life(&kernel).unwrap_or_else(|error| panic!("{fault:?} at {step}: {error:?}"));
                assert!(!suspended(&kernel), "{fault:?} at {step}");
                assert_eq!(kernel.thin_ids(Path::new(METADATA)), [id(1), id(2)]);
            }
        }
    }
}

#[test]
fn a_resume_that_keeps_failing_is_the_error() {
    let kernel = kernel();
    let pool = activate(&kernel).unwrap();
    pool.create_thin(id(1)).unwrap();
    pool.activate_thin(&thin()).unwrap();
    kernel.refuse(Operation::Resume, Some(Errno::ENOMEM));
    let error = pool.while_suspended(thin().uuid, || Ok(())).unwrap_err();
    assert!(matches!(error, Error::LeftSuspended { .. }), "{error:?}");
    assert!(
        error
            .hint()
            .unwrap()
            .contains("dmsetup resume convoy-pool-")
    );
    assert!(matches!(
        pool.resume_suspended().unwrap_err(),
        Error::LeftSuspended { .. }
    ));
}

#[test]
fn a_sick_pool_is_not_brought_up_and_says_what_it_is() {
    for (health, kind, words) in [
        (Health::ReadOnly, Kind::PoolUnhealthy, "read-only"),
        (Health::NeedsCheck, Kind::PoolNeedsCheck, "needs a check"),
        (Health::Failed, Kind::PoolUnhealthy, "failed"),
    ] {
        let kernel = kernel();
        activate(&kernel).unwrap().deactivate().unwrap();
        kernel.set_health(Path::new(METADATA), health);
        let error = activate(&kernel).unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(error.to_string().contains(words), "{error}");
        kernel.set_health(Path::new(METADATA), Health::Writable);
        activate(&kernel).expect("nothing was left of the refused one");
    }
}

#[test]
fn a_pool_that_falls_sick_refuses_in_words() {
    let kernel = kernel();
    let pool = activate(&kernel).unwrap();
    pool.create_thin(id(1)).unwrap();
    kernel.set_health(Path::new(METADATA), Health::ReadOnly);
    for error in [
        pool.create_thin(id(2)).unwrap_err(),
        pool.delete(id(1)).unwrap_err(),
        pool.set_transaction_id(TransactionId(0), TransactionId(1))
            .unwrap_err(),
        pool.reserve_metadata_snapshot().map(drop).unwrap_err(),
    ] {
        assert_eq!(error.kind(), Kind::PoolUnhealthy, "{error:?}");
        assert!(error.to_string().contains("read-only"), "{error}");
    }
    let again = activate(&kernel).expect("an active pool is adopted in any mode");
    assert_eq!(
        again.status().unwrap().usage().unwrap().mode,
        Mode::ReadOnly
    );
    kernel.set_health(Path::new(METADATA), Health::OutOfDataSpace);
    assert_eq!(
        pool.delete(id(1)).unwrap(),
        Deleted::Deleted,
        "that is how it gets well"
    );
}

#[test]
fn users_of_the_metadata_snapshot_queue() {
    let kernel = kernel();
    let pool = activate(&kernel).unwrap();
    let holders = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let snapshot = pool.reserve_metadata_snapshot().unwrap();
                    assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0, "one at a time");
                    holders.fetch_sub(1, Ordering::SeqCst);
                    snapshot.release().unwrap();
                }
            });
        }
    });
}

#[test]
fn a_failed_reservation_frees_the_turn() {
    let kernel = kernel();
    let pool = activate(&kernel).unwrap();
    for step in 0..2 {
        kernel.inject(step, Fault::Fail(Errno::ENOMEM));
        pool.reserve_metadata_snapshot().map(drop).unwrap_err();
    }
    pool.reserve_metadata_snapshot().unwrap().release().unwrap();
}

#[test]
fn a_mounted_device_is_busy_and_says_how_often_it_is_open() {
    let kernel = kernel();
    let pool = activate(&kernel).unwrap();
    pool.create_thin(id(1)).unwrap();
    let device = pool.activate_thin(&thin()).unwrap();
    kernel.open(&device.name);
    let error = pool.deactivate_thin(thin().uuid).unwrap_err();
    assert!(
        matches!(error, Error::Busy { open_count: 1, .. }),
        "{error:?}"
    );
    kernel.close(&device.name);
    pool.deactivate_thin(thin().uuid).unwrap();
}

#[test]
fn a_data_device_smaller_than_a_block_makes_no_pool() {
    let kernel = FakeKernel::new();
    kernel.add_device(METADATA, Bytes::mib(16));
    kernel.add_device(DATA, Bytes::mib(1));
    let error = activate(&kernel).unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
    assert!(
        error.to_string().contains("smaller than one block"),
        "{error}"
    );
}

#[test]
fn what_was_written_but_not_committed_is_gone_with_the_power() {
    let kernel = kernel();
    let pool = activate(&kernel).unwrap();
    pool.create_thin(id(1)).unwrap();
    let device = pool.activate_thin(&thin()).unwrap();
    kernel.write_block(&device.name, 0, None).unwrap();
    kernel.cut_power();
    let pool = activate(&kernel).unwrap();
    pool.activate_thin(&thin()).unwrap();
    let status = pool.status().unwrap();
    assert_eq!(status.usage().unwrap().data.used, 0);
}

#[test]
fn a_metadata_snapshot_that_nobody_could_release_is_released_by_the_next() {
    for fault in [Fault::Fail(Errno::ENOMEM), Fault::FailAfter(Errno::ENOMEM)] {
        let kernel = kernel();
        let pool = activate(&kernel).unwrap();
        // The reservation itself: its answer is lost, or it was not made.
        kernel.inject(0, fault);
        pool.reserve_metadata_snapshot().map(drop).unwrap_err();
        pool.reserve_metadata_snapshot().unwrap().release().unwrap();
        // The release.
        let held = pool.reserve_metadata_snapshot().unwrap();
        kernel.inject(0, fault);
        held.release().unwrap_err();
        pool.reserve_metadata_snapshot().unwrap().release().unwrap();
        let held = pool.status().unwrap().usage().unwrap().held_root;
        assert_eq!(held, None, "{fault:?}");
    }
}

#[test]
fn what_is_written_in_place_may_survive_a_power_cut_and_a_snapshot_does_not_change() {
    let kernel = kernel();
    let pool = activate(&kernel).unwrap();
    pool.create_thin(id(1)).unwrap();
    let device = pool.activate_thin(&thin()).unwrap();
    let block = |byte| vec![byte; 2 << 20];
    let (old, new, newest) = (block(1), block(2), block(3));
    kernel.write_block(&device.name, 0, Some(&old)).unwrap();
    pool.create_snapshot(id(2), id(1)).unwrap();
    // A block of its own, then in place.
    kernel.write_block(&device.name, 0, Some(&new)).unwrap();
    kernel.commit();
    kernel.write_block(&device.name, 0, Some(&newest)).unwrap();
    let metadata = Path::new(METADATA);
    let read = |n| kernel.peek(metadata, id(n), 0).unwrap().to_vec();
    assert_eq!((read(1), read(2)), (newest.clone(), old.clone()));
    kernel.cut_power_keeping(|| true);
    assert_eq!((read(1), read(2)), (newest, old.clone()));
    let pool = activate(&kernel).unwrap();
    let device = pool.activate_thin(&thin()).unwrap();
    kernel.commit();
    kernel.write_block(&device.name, 0, Some(&new)).unwrap();
    kernel.cut_power();
    assert_eq!((read(1), read(2)), (block(3), old));
}
