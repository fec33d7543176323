//! What the fake and the kernel both must do: one suite, run on both.
//!
//! Each check begins with blank devices and leaves nothing behind. A check that fails panics, as tests do.

use crate::control::{Control, Suspend};
use crate::error::Error;
use crate::names::{pool_uuid, thin_name, thin_uuid};
use crate::pool::{Deleted, Pool, PoolSpec};
use crate::status::{Mode, ThinStatus};
use crate::thin::ThinSpec;
use convoy_fault::{Fault, Kind};
use convoy_units::{Bytes, DataBlockSize, DevId, Sectors, TransactionId};
use nix::errno::Errno;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Where a check runs.
pub struct World {
    /// The fake, or the kernel.
    pub control: Arc<dyn Control>,
    /// A device of 16 MiB or more.
    pub metadata: PathBuf,
    /// A device of 64 MiB or more.
    pub data: PathBuf,
    /// Makes the metadata device blank again.
    pub blank: Box<dyn Fn()>,
}

/// One check.
pub type Check = fn(&World);

/// Every check, with its name.
pub const ALL: &[(&str, Check)] = &[
    ("a pool is made, adopted and taken down", adopts),
    (
        "a pool that differs is refused with what differs",
        refuses_other_pools,
    ),
    ("a half-made pool is completed", completes_half_made_pool),
    (
        "a pool is given a part of its metadata device, and more of it in use",
        takes_a_part_of_its_metadata_device,
    ),
    ("device ids are taken once", ids_are_taken_once),
    ("the transaction id is compared and swapped", transaction_id),
    ("there is one metadata snapshot", metadata_snapshot),
    ("a thin device is activated once", thin_is_adopted),
    (
        "a failed activation leaves nothing",
        failed_activation_leaves_nothing,
    ),
    (
        "a half-made thin device is completed",
        completes_half_made_thin,
    ),
    (
        "an active thin device is not deleted",
        active_is_not_deleted,
    ),
    ("an origin is resumed whatever happens", origin_is_resumed),
    (
        "suspended leftovers are resumed at the start",
        leftovers_are_resumed,
    ),
    ("a thin device takes another size", resizes),
    ("what the kernel says to nonsense", nonsense),
];

/// Runs every check, each on blank devices.
pub fn run(world: &World) {
    for (name, check) in ALL {
        tracing::info!(name, "check");
        (world.blank)();
        check(world);
        assert!(world.ours().is_empty(), "{name}: left {:?}", world.ours());
    }
}

impl World {
    fn spec(&self) -> PoolSpec {
        PoolSpec {
            name: "convoy-check".parse().expect("a valid name"),
            uuid: Uuid::from_u128(0xc0),
            metadata: self.metadata.clone(),
            metadata_len: None,
            data: self.data.clone(),
            block_size: DataBlockSize::new(Sectors(128)).expect("a valid size"),
            low_water: 4,
            error_if_no_space: true,
        }
    }

    fn pool(&self) -> Pool {
        Pool::activate(Arc::clone(&self.control), &self.spec()).expect("the pool comes up")
    }

    fn ours(&self) -> Vec<String> {
        let listed = self.control.list().expect("devices are listed");
        let names = listed.into_iter().map(|listed| listed.name.to_string());
        names
            .filter(|name| name.starts_with("convoy-check"))
            .collect()
    }
}

fn id(id: u64) -> DevId {
    DevId::new(id).expect("a small id")
}

fn volume(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn thin(n: u64) -> ThinSpec {
    ThinSpec {
        uuid: volume(u128::from(n)),
        dev_id: id(n),
        size: Bytes::mib(16).sectors_floor(),
        read_only: false,
    }
}

#[track_caller]
fn expect_kind<T: std::fmt::Debug>(result: Result<T, Error>, kind: Kind) -> Error {
    match result {
        Err(error) if error.kind() == kind => error,
        other => panic!("expected {kind}, not {other:?}"),
    }
}

fn adopts(world: &World) {
    let pool = world.pool();
    let status = pool.status().expect("a status");
    let usage = status.usage().expect("it works");
    assert_eq!(usage.mode, Mode::Writable);
    assert_eq!(usage.transaction_id, TransactionId(0));
    assert_eq!(usage.held_root, None);
    pool.create_thin(id(1)).expect("made");
    let number = pool.number();
    drop(pool);
    let pool = world.pool();
    assert_eq!(pool.number(), number, "the same device");
    expect_kind(pool.create_thin(id(1)), Kind::Conflict);
    pool.deactivate().expect("taken down");
    let pool = world.pool();
    expect_kind(pool.create_thin(id(1)), Kind::Conflict);
    pool.deactivate().expect("taken down again");
}

fn refuses_other_pools(world: &World) {
    let pool = world.pool();
    let spec = world.spec();
    let refused = |spec: &PoolSpec, word: &str| {
        let error = expect_kind(
            Pool::activate(Arc::clone(&world.control), spec),
            Kind::Conflict,
        );
        assert!(error.to_string().contains(word), "{error}");
    };
    refused(
        &PoolSpec {
            uuid: volume(9),
            ..spec.clone()
        },
        "dm uuid",
    );
    let block_size = DataBlockSize::new(Sectors(256)).expect("a valid size");
    refused(
        &PoolSpec {
            block_size,
            ..spec.clone()
        },
        "block size",
    );
    let swapped = PoolSpec {
        metadata: spec.data.clone(),
        metadata_len: None,
        data: spec.metadata.clone(),
        ..spec.clone()
    };
    refused(&swapped, "metadata device");
    let same = PoolSpec {
        data: spec.metadata.clone(),
        ..spec
    };
    let outcome = Pool::activate(Arc::clone(&world.control), &same);
    expect_kind(outcome, Kind::Invalid);
    pool.deactivate().expect("taken down");
    // The block size that the metadata remembers is the kernel's to compare.
    let other = PoolSpec {
        block_size,
        ..world.spec()
    };
    Pool::activate(Arc::clone(&world.control), &other).expect_err("another block size");
    assert!(world.ours().is_empty(), "a refused pool leaves nothing");
}

fn completes_half_made_pool(world: &World) {
    let spec = world.spec();
    let name = crate::names::pool_name(&spec.name).expect("it fits");
    world
        .control
        .create(&name, &pool_uuid(spec.uuid))
        .expect("made");
    world
        .pool()
        .deactivate()
        .expect("completed, and taken down");
}

fn takes_a_part_of_its_metadata_device(world: &World) {
    let blocks = |pool: &Pool| {
        let status = pool.status().expect("a status");
        status.usage().expect("it works").metadata.total
    };
    let given = |pool: &Pool| pool.metadata_part().expect("looked").map(|part| part.given);
    let part = PoolSpec {
        metadata_len: Some(Bytes::mib(8)),
        ..world.spec()
    };
    let control = || Arc::clone(&world.control);
    let pool = Pool::activate(control(), &part).expect("the pool comes up");
    assert_eq!((blocks(&pool), given(&pool)), (2048, Some(Bytes::mib(8))));
    pool.create_thin(id(1)).expect("made");
    // Adopted, and given more while a volume of it is up.
    let pool = Pool::activate(control(), &part).expect("adopted");
    pool.activate_thin(&thin(1)).expect("active");
    pool.widen_metadata(Bytes::mib(12)).expect("widened");
    assert_eq!(given(&pool), Some(Bytes::mib(12)));
    let grown = pool.grow(|_| 4).expect("taken over");
    assert_eq!(grown.metadata, (2048, 3072));
    pool.create_thin(id(2)).expect("it works");
    pool.deactivate_thin(volume(1)).expect("taken down");
    pool.deactivate().expect("taken down");
    assert!(world.ours().is_empty(), "{:?}", world.ours());
    // The device itself has the pool's metadata where it begins.
    let pool = world.pool();
    assert_eq!(given(&pool), None);
    assert_eq!(pool.delete(id(2)).expect("deleted"), Deleted::Deleted);
    pool.deactivate().expect("taken down");
}

fn ids_are_taken_once(world: &World) {
    let pool = world.pool();
    pool.create_thin(id(1)).expect("made");
    expect_kind(pool.create_thin(id(1)), Kind::Conflict);
    pool.create_snapshot(id(2), id(1)).expect("made");
    expect_kind(pool.create_snapshot(id(2), id(1)), Kind::Conflict);
    expect_kind(pool.create_snapshot(id(3), id(7)), Kind::NotFound);
    pool.create_thin(DevId::MAX).expect("the greatest id");
    assert_eq!(pool.delete(id(2)).expect("deleted"), Deleted::Deleted);
    assert_eq!(pool.delete(id(2)).expect("absent"), Deleted::Absent);
    pool.create_thin(id(2)).expect("free again");
    pool.deactivate().expect("taken down");
}

fn transaction_id(world: &World) {
    let pool = world.pool();
    let (zero, one, two) = (TransactionId(0), TransactionId(1), TransactionId(2));
    pool.set_transaction_id(zero, one).expect("swapped");
    let error = pool.set_transaction_id(zero, two).expect_err("it is 1");
    assert!(
        matches!(error, Error::TransactionId { found, .. } if found == one),
        "{error:?}"
    );
    pool.set_transaction_id(one, two).expect("swapped");
    pool.deactivate().expect("taken down");
    let pool = world.pool();
    let status = pool.status().expect("a status");
    assert_eq!(
        status.usage().expect("it works").transaction_id,
        two,
        "it is kept"
    );
    pool.deactivate().expect("taken down");
}

fn metadata_snapshot(world: &World) {
    let pool = world.pool();
    let held = |pool: &Pool| {
        let status = pool.status().expect("a status");
        status.usage().expect("it works").held_root
    };
    let snapshot = pool.reserve_metadata_snapshot().expect("reserved");
    assert_eq!(held(&pool), Some(snapshot.root()));
    snapshot.release().expect("released");
    assert_eq!(held(&pool), None);
    drop(pool.reserve_metadata_snapshot().expect("reserved again"));
    assert_eq!(held(&pool), None, "dropping releases");
    // One that a process before us left.
    let control = world.control.as_ref();
    control
        .message(pool.name(), "reserve_metadata_snap")
        .expect("reserved");
    expect_kind(pool.reserve_metadata_snapshot().map(drop), Kind::Busy);
    assert!(pool.release_stale_metadata_snapshot().expect("released"));
    assert!(!pool.release_stale_metadata_snapshot().expect("none"));
    pool.deactivate().expect("taken down");
}

fn thin_is_adopted(world: &World) {
    let pool = world.pool();
    pool.create_thin(id(1)).expect("made");
    assert_eq!(pool.thin(volume(1)).expect("asked"), None);
    let device = pool.activate_thin(&thin(1)).expect("activated");
    assert_eq!(pool.activate_thin(&thin(1)).expect("adopted"), device);
    assert_eq!(pool.thin(volume(1)).expect("asked"), Some(device.clone()));
    let other_size = ThinSpec {
        size: Sectors(2048),
        ..thin(1)
    };
    expect_kind(pool.activate_thin(&other_size), Kind::Conflict);
    let read_only = ThinSpec {
        read_only: true,
        ..thin(1)
    };
    expect_kind(pool.activate_thin(&read_only), Kind::Conflict);
    let twice = ThinSpec {
        uuid: volume(8),
        ..thin(1)
    };
    expect_kind(pool.activate_thin(&twice), Kind::Conflict);
    // A pool adopted by another process knows who is active, too.
    let again = world.pool();
    expect_kind(again.activate_thin(&twice), Kind::Conflict);
    let own = pool.own_devices().expect("listed");
    assert_eq!(own.len(), 1);
    let first = own.first().expect("one");
    assert_eq!(
        (first.uuid, &first.name, first.suspended),
        (volume(1), &device.name, false)
    );
    let status = pool.thin_status(volume(1)).expect("a status");
    assert_eq!(
        status,
        ThinStatus::Working {
            mapped: Sectors(0),
            highest: None
        }
    );
    pool.deactivate_thin(volume(1)).expect("taken down");
    pool.deactivate_thin(volume(1))
        .expect("nothing to take down");
    expect_kind(pool.thin_status(volume(1)), Kind::NotFound);
    pool.activate_thin(&twice)
        .expect("the number is free for another name");
    pool.deactivate_thin(volume(8)).expect("taken down");
    pool.create_snapshot(id(2), id(1)).expect("made");
    let read_only = ThinSpec {
        read_only: true,
        ..thin(2)
    };
    pool.activate_thin(&read_only).expect("activated");
    pool.activate_thin(&read_only).expect("adopted");
    pool.deactivate_thin(volume(2)).expect("taken down");
    pool.deactivate().expect("taken down");
}

fn failed_activation_leaves_nothing(world: &World) {
    let pool = world.pool();
    expect_kind(pool.activate_thin(&thin(5)), Kind::NotFound);
    assert_eq!(world.ours().len(), 1, "the pool alone: {:?}", world.ours());
    pool.create_thin(id(5)).expect("made");
    pool.activate_thin(&thin(5)).expect("activated");
    pool.deactivate_thin(volume(5)).expect("taken down");
    pool.deactivate().expect("taken down");
}

fn completes_half_made_thin(world: &World) {
    let (pool, spec) = (world.pool(), world.spec());
    pool.create_thin(id(1)).expect("made");
    let name = thin_name(&spec.name, volume(1)).expect("it fits");
    let uuid = thin_uuid(spec.uuid, volume(1));
    world.control.create(&name, &uuid).expect("half made");
    assert_eq!(pool.thin(volume(1)).expect("asked"), None, "not usable yet");
    pool.resume_suspended()
        .expect("a half-made device is passed over");
    pool.activate_thin(&thin(1)).expect("completed");
    pool.deactivate_thin(volume(1)).expect("taken down");
    world
        .control
        .create(&name, &thin_uuid(volume(77), volume(1)))
        .expect("another's");
    expect_kind(pool.activate_thin(&thin(1)), Kind::Conflict);
    expect_kind(pool.deactivate_thin(volume(1)), Kind::Conflict);
    world.control.remove(&name).expect("it was not touched");
    pool.deactivate().expect("taken down");
}

fn active_is_not_deleted(world: &World) {
    let pool = world.pool();
    pool.create_thin(id(1)).expect("made");
    pool.activate_thin(&thin(1)).expect("activated");
    expect_kind(pool.delete(id(1)), Kind::Busy);
    let error = world
        .control
        .remove(pool.name())
        .expect_err("a thin device is on it");
    assert!(error.is_busy(), "{error}");
    pool.deactivate_thin(volume(1)).expect("taken down");
    assert_eq!(pool.delete(id(1)).expect("deleted"), Deleted::Deleted);
    pool.deactivate().expect("taken down");
}

fn origin_is_resumed(world: &World) {
    let pool = world.pool();
    pool.create_thin(id(1)).expect("made");
    let ((), held) = pool
        .while_suspended(volume(1), || pool.create_snapshot(id(2), id(1)))
        .expect("an origin that is not active");
    assert_eq!(held, Duration::ZERO);
    let device = pool.activate_thin(&thin(1)).expect("activated");
    let suspended = || {
        let info = world.control.info(&device.name).expect("asked");
        info.expect("it is there").suspended
    };
    let (seen, held) = pool
        .while_suspended(volume(1), || {
            pool.create_snapshot(id(3), id(1))?;
            Ok(suspended())
        })
        .expect("taken");
    assert!(seen && !suspended() && held > Duration::ZERO);
    // A message that fails: what left origins suspended for good elsewhere.
    let duplicate = pool.while_suspended(volume(1), || pool.create_snapshot(id(3), id(1)));
    expect_kind(duplicate, Kind::Conflict);
    assert!(!suspended(), "resumed after an error");
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        pool.while_suspended::<()>(volume(1), || {
            std::panic::resume_unwind(Box::new("on purpose"))
        })
    }));
    assert!(panicked.is_err() && !suspended(), "resumed after a panic");
    pool.deactivate_thin(volume(1)).expect("taken down");
    pool.deactivate().expect("taken down");
}

fn leftovers_are_resumed(world: &World) {
    let pool = world.pool();
    for n in [1, 2] {
        pool.create_thin(id(n)).expect("made");
    }
    let one = pool.activate_thin(&thin(1)).expect("activated");
    pool.activate_thin(&thin(2)).expect("activated");
    let how = Suspend {
        lockfs: true,
        flush: true,
    };
    world.control.suspend(&one.name, how).expect("suspended");
    world
        .control
        .suspend(&one.name, how)
        .expect("twice is once");
    assert_eq!(
        pool.resume_suspended().expect("resumed"),
        std::slice::from_ref(&one.name)
    );
    assert_eq!(pool.resume_suspended().expect("none"), []);
    // As a guard does it: whatever the device is called.
    let uuid = thin_uuid(world.spec().uuid, volume(1));
    let suspended = || {
        let info = world.control.info_by_uuid(&uuid).expect("asked");
        info.map(|info| (info.name, info.suspended))
    };
    world.control.suspend(&one.name, how).expect("suspended");
    assert_eq!(suspended(), Some((one.name.clone(), true)));
    for _ in 0..2 {
        world.control.resume_by_uuid(&uuid).expect("resumed");
        assert_eq!(suspended(), Some((one.name.clone(), false)));
    }
    let nobody = thin_uuid(world.spec().uuid, volume(9));
    assert_eq!(world.control.info_by_uuid(&nobody).expect("asked"), None);
    let nobody = world.control.resume_by_uuid(&nobody);
    assert_eq!(
        nobody.expect_err("there is none").errno(),
        Some(Errno::ENXIO)
    );
    world.control.suspend(&one.name, how).expect("suspended");
    pool.activate_thin(&thin(1)).expect("adopted, and resumed");
    world.control.suspend(&one.name, how).expect("suspended");
    pool.deactivate_thin(volume(1))
        .expect("a suspended device is taken down");
    pool.deactivate_thin(volume(2)).expect("taken down");
    pool.deactivate().expect("taken down");
}

fn resizes(world: &World) {
    let pool = world.pool();
    pool.create_thin(id(1)).expect("made");
    expect_kind(pool.resize_thin(volume(1), Sectors(4096)), Kind::NotFound);
    pool.activate_thin(&thin(1)).expect("activated");
    pool.resize_thin(volume(1), Sectors(65_536))
        .expect("resized");
    let larger = ThinSpec {
        size: Sectors(65_536),
        ..thin(1)
    };
    pool.activate_thin(&larger).expect("it has that size");
    pool.deactivate_thin(volume(1)).expect("taken down");
    pool.deactivate().expect("taken down");
}

fn nonsense(world: &World) {
    let (pool, control) = (world.pool(), world.control.as_ref());
    let errno = |text: &str| control.message(pool.name(), text).expect_err(text).errno();
    assert_eq!(errno("create_thin 16777216"), Some(Errno::EINVAL));
    assert_eq!(errno("create_thin"), Some(Errno::EINVAL));
    assert_eq!(errno("no_such_message"), Some(Errno::EINVAL));
    assert_eq!(errno("release_metadata_snap"), Some(Errno::EINVAL));
    let nobody = crate::names::DmName::new("convoy-check-nobody").expect("valid");
    assert_eq!(control.info(&nobody).expect("asked"), None);
    for outcome in [
        control.remove(&nobody),
        control.message(&nobody, "create_thin 1"),
        control.table(&nobody).map(drop),
        control.status(&nobody).map(drop),
    ] {
        assert_eq!(
            outcome.expect_err("there is none").errno(),
            Some(Errno::ENXIO)
        );
    }
    let taken = control.create(pool.name(), &pool_uuid(volume(3)));
    assert!(taken.expect_err("the name is taken").is_busy());
    let taken = control.create(&nobody, &pool_uuid(world.spec().uuid));
    assert!(taken.expect_err("the uuid is taken").is_busy());
    pool.deactivate().expect("taken down");
}
