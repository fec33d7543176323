//! Several origins are one: held together, and let go together whatever fails.

use crate::fake::{FakeKernel, Fault};
use crate::{Control, Error, Pool, PoolSpec, ThinSpec};
use convoy_units::{Bytes, DataBlockSize, DevId, Sectors};
use nix::errno::Errno;
use std::path::Path;
use std::sync::Arc;
use uuid::Uuid;

const ORIGINS: [u64; 3] = [1, 2, 3];

fn id(n: u64) -> DevId {
    DevId::new(n).unwrap()
}

fn uuid(n: u64) -> Uuid {
    Uuid::from_u128(u128::from(n) + 6)
}

/// A pool with three volumes, the last of them down.
fn world() -> (FakeKernel, Pool) {
    let kernel = FakeKernel::new();
    kernel.add_device("/dev/metadata", Bytes::mib(16));
    kernel.add_device("/dev/data", Bytes::gib(1));
    let spec = PoolSpec {
        name: "convoy-pool".parse().unwrap(),
        uuid: Uuid::from_u128(1),
        metadata: "/dev/metadata".into(),
        metadata_len: None,
        data: "/dev/data".into(),
        block_size: DataBlockSize::DEFAULT,
        low_water: 8,
        error_if_no_space: false,
    };
    let pool = Pool::activate(Arc::new(kernel.clone()), &spec).unwrap();
    for n in ORIGINS {
        pool.create_thin(id(n)).unwrap();
        let thin = ThinSpec {
            uuid: uuid(n),
            dev_id: id(n),
            size: Sectors(4096),
            read_only: false,
        };
        pool.activate_thin(&thin).unwrap();
    }
    pool.deactivate_thin(uuid(3)).unwrap();
    (kernel, pool)
}

/// How many devices are suspended.
fn suspended(kernel: &FakeKernel) -> usize {
    let listed = kernel.list().unwrap().into_iter();
    let infos = listed.map(|listed| kernel.info(&listed.name).unwrap().unwrap());
    infos.filter(|info| info.suspended).count()
}

/// Takes a snapshot of each; what `look` says when they are taken.
fn snapshots<T>(pool: &Pool, look: impl FnOnce() -> T) -> Result<T, Error> {
    let (seen, _) = pool.while_all_suspended(&ORIGINS.map(uuid), || {
        for n in ORIGINS {
            pool.create_snapshot(id(n + 10), id(n))?;
        }
        Ok(look())
    })?;
    Ok(seen)
}

#[test]
fn all_that_are_active_are_held_while_the_action_runs() {
    let (kernel, pool) = world();
    assert_eq!(snapshots(&pool, || suspended(&kernel)).unwrap(), 2);
    assert_eq!(suspended(&kernel), 0);
    assert_eq!(kernel.thin_ids(Path::new("/dev/metadata")).len(), 6);
}

#[test]
fn whatever_fails_none_is_left_suspended() {
    let (kernel, pool) = world();
    let before = kernel.operations();
    snapshots(&pool, || ()).unwrap();
    let steps = kernel.operations() - before;
    assert!(
        steps >= 7,
        "two suspends, three messages, two resumes: {steps}"
    );
    let mut failed = 0;
    for step in 0..steps {
        let (kernel, pool) = world();
        kernel.inject(step, Fault::Fail(Errno::ENOMEM));
        failed += usize::from(snapshots(&pool, || ()).is_err());
        assert_eq!(suspended(&kernel), 0, "step {step}");
    }
    assert!(
        failed >= 5,
        "suspends and messages are not tried again: {failed}"
    );
}

#[test]
fn one_that_somebody_resumed_spoils_all() {
    let (kernel, pool) = world();
    let broken = pool.while_all_suspended(&ORIGINS.map(uuid), || {
        let name = crate::names::thin_name(&pool.spec().name, uuid(2))?;
        kernel.resume(&name).unwrap();
        Ok(())
    });
    let error = broken.unwrap_err();
    assert!(matches!(error, Error::HoldBroken { .. }), "{error:?}");
    assert_eq!(suspended(&kernel), 0);
}
