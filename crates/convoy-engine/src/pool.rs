//! Bringing the pool up and taking it down.
//!
//! The order is the safety: every setting is checked before anything is touched; a device that carries
//! anybody's data is refused; what the metadata device says is compared with the catalog before the kernel
//! is given it, because device paths move and an all-zero superblock would be formatted without a word.

mod blank;
mod checkup;
mod data_identity;
mod devices;
mod identity;
mod part;
mod record;

use self::blank::check_blank;
use self::devices::{Devices, device_size, make_loop_files, open_devices};
use self::identity::{check_active, check_identity, mend};
pub(crate) use self::part::{KERNEL_MOST, part_of};
use self::record::{changed_record, new_record};
pub use checkup::PoolCheck;

use crate::config::PoolConfig;
use crate::engine::Engine;
use crate::error::{Doing, Error};
use crate::failpoints::Steps;
use crate::ledger::Ledger;
use crate::machine::{Hold, Machine};
use crate::model::PoolInfo;
use crate::root::Root;
use crate::space::low_water;
use convoy_catalog as catalog;
use convoy_catalog::Change;
use convoy_fault::Kind;
use convoy_thinpool::{Control, Mode, NoSpace, Pool, PoolSpec, PoolStatus, loopdev};
use convoy_units::Bytes;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// A pool that is up.
pub(crate) struct Up {
    pub(crate) pool: Pool,
    pub(crate) record: catalog::Pool,
    /// Keeps engines with another root out.
    pub(crate) hold: Option<Hold>,
    /// What had to be put right, one sentence each.
    pub(crate) said: Vec<String>,
}

/// Brings the pool up that this root has, or makes it.
pub(crate) fn bring_up(
    root: &Root,
    catalog: &Ledger,
    config: &PoolConfig,
    control: &Arc<dyn Control>,
    machine: &dyn Machine,
    steps: &Steps,
) -> Result<Up, Error> {
    let (mut record, begun_before) = find_record(root, catalog, config, machine)?;
    if record.loop_backed {
        make_loop_files(&record, steps)?;
    }
    let devices = open_devices(&record, steps)?;
    let active = is_active(&**control, &record)?;
    let mut committed = None;
    if active {
        // What the kernel has is compared below, once it is adopted.
        tracing::debug!("the pool is active already");
    } else {
        remove_half_made(&**control, &record)?;
        if record.initialised {
            committed = check_identity(catalog, &record, &devices, machine, config.trust_data)?;
        } else {
            check_blank(&record, &devices, machine, begun_before)?;
            record.data_size = device_size(machine, &devices.data)?;
            record.metadata_size = device_size(machine, &devices.metadata)?;
        }
    }
    // A pool that is to be made is nobody's yet: whoever has its name or its devices is told as that.
    let mut held = None;
    if record.initialised {
        held = hold(&record, machine)?;
    }
    let mut said = Vec::new();
    if let Some(block) = committed {
        steps.run("metadata.mend", || mend(&devices.metadata, &block, machine))?;
        said.push(
            "completed the pool's metadata: the power was cut while a metadata snapshot of it was taken or released".to_owned(),
        );
    }
    // A new pool's record is durable before the kernel formats anything, so that a pool of ours is known
    // as ours. What changes about one that exists is recorded once it is up with it.
    if !record.initialised {
        put(catalog, &record)?;
    }
    let mut spec = spec(&record, devices);
    if !active {
        spec.metadata_len = part::given(&record, &spec.metadata, machine)?;
    }
    let activated = Pool::activate(Arc::clone(control), &spec);
    if activated.is_err() && !begun_before {
        forget_unmade(catalog, &record, &spec.metadata, &**control, machine);
    }
    let pool = activated.doing(|| format!("activating pool {}", record.name))?;
    let record = if record.initialised {
        put(catalog, &record)?;
        record
    } else {
        initialised(catalog, record)?
    };
    if active {
        pool.release_stale_metadata_snapshot()
            .doing(|| "releasing a stale metadata snapshot")?;
        check_active(catalog, &record, &pool, machine)?;
    }
    if held.is_none() {
        held = hold(&record, machine)?;
    }
    Ok(Up {
        pool,
        record,
        hold: held,
        said,
    })
}

/// The record of the pool, and whether it was there before: with what the settings change about it, or new.
fn find_record(
    root: &Root,
    catalog: &Ledger,
    config: &PoolConfig,
    machine: &dyn Machine,
) -> Result<(catalog::Pool, bool), Error> {
    let mut pools = catalog.pools().doing(|| "reading the pool's record")?;
    match (pools.pop(), pools.len()) {
        (None, _) => Ok((new_record(root, config, machine)?, false)),
        (Some(record), 0) => Ok((changed_record(record, config)?, true)),
        (Some(_), others) => {
            let what = format!(
                "the catalog holds {} pools; this version serves one",
                others + 1
            );
            Err(Error::new(Kind::Unsupported, what))
        }
    }
}

/// A pool as the kernel is asked for it.
fn spec(record: &catalog::Pool, devices: Devices) -> PoolSpec {
    PoolSpec {
        name: record.name.clone(),
        uuid: record.uuid,
        metadata: devices.metadata,
        metadata_len: None,
        data: devices.data,
        block_size: record.block_size,
        low_water: low_water(record.data_size.0 / record.block_size.bytes().0),
        error_if_no_space: false,
    }
}

/// One engine to a pool: a root that was copied describes the same pool as its original, and both would find
/// it their own.
pub(crate) fn hold(record: &catalog::Pool, machine: &dyn Machine) -> Result<Option<Hold>, Error> {
    machine.hold(&record.metadata).map_err(|error| {
        let metadata = record.metadata.display();
        if error.kind() == io::ErrorKind::WouldBlock {
            let what = format!(
                "pool {} is served by another daemon: its metadata {metadata} is locked",
                record.name
            );
            return Error::new(Kind::Busy, what)
                .hinting("a pool has one daemon and one root: is this root a copy of another?");
        }
        Error::of(format!("locking {metadata}"), error)
    })
}

fn put(catalog: &Ledger, record: &catalog::Pool) -> Result<(), Error> {
    catalog
        .apply(&[Change::PutPool(record.clone())])
        .doing(|| "recording the pool")
}

/// A pool's name that leaves no room for a volume's identity behind it.
pub(crate) fn unnameable(error: impl std::fmt::Display) -> Error {
    Error::new(
        Kind::Invalid,
        format!("the pool's name is too long for a device's: {error}"),
    )
}

fn is_active(control: &dyn Control, record: &catalog::Pool) -> Result<bool, Error> {
    let name = convoy_thinpool::pool_name(&record.name).map_err(unnameable)?;
    let info = control
        .info(&name)
        .doing(|| format!("looking for device {name}"))?;
    Ok(info.is_some_and(|info| info.live_table))
}

/// A kill between loading the pool's table and putting it in force leaves a device that does nothing and keeps
/// the pool's devices in use, so that they look like somebody's. It bears this pool's own dm uuid and has
/// no table in force: nobody can be using it. The same goes for the device between a pool and its metadata device,
/// while the pool is not there.
fn remove_half_made(control: &dyn Control, record: &catalog::Pool) -> Result<(), Error> {
    let name = convoy_thinpool::pool_name(&record.name).map_err(unnameable)?;
    let doing = || format!("removing the half-made device {name}");
    let info = control.info(&name).doing(doing)?;
    let ours = Some(convoy_thinpool::pool_uuid(record.uuid));
    if info.is_some_and(|info| !info.live_table && info.uuid == ours) {
        control.remove(&name).doing(doing)?;
    }
    convoy_thinpool::remove_left_part(control, &record.name, record.uuid).doing(doing)
}

/// A pool that the kernel would not make, and whose metadata device is blank still, was never there: the
/// next start may have other settings.
///
/// Not while a device bears its identity: under another one it would be somebody else's.
fn forget_unmade(
    catalog: &Ledger,
    record: &catalog::Pool,
    metadata: &Path,
    control: &dyn Control,
    machine: &dyn Machine,
) {
    if !machine
        .first_block_is_zero(metadata)
        .is_ok_and(|blank| blank)
    {
        return;
    }
    let forgotten = remove_half_made(control, record).and_then(|()| {
        catalog
            .apply(&[Change::RemovePool(record.uuid)])
            .doing(|| "forgetting it")
    });
    if let Err(error) = forgotten {
        let error = convoy_fault::chain(&error);
        tracing::warn!(pool = %record.name, "a pool that was not made stays recorded: {error}");
    }
}

/// The kernel has made the pool: say so durably.
fn initialised(catalog: &Ledger, record: catalog::Pool) -> Result<catalog::Pool, Error> {
    let record = catalog::Pool {
        initialised: true,
        ..record
    };
    put(catalog, &record)?;
    let loop_note = if record.loop_backed {
        ", loop (not for production)"
    } else {
        ""
    };
    tracing::info!(pool = %record.name, data = %record.data_size, block = %record.block_size, "pool made{loop_note}");
    Ok(record)
}

/// A pool as a caller is shown it.
pub(crate) fn describe(record: catalog::Pool, status: &PoolStatus) -> PoolInfo {
    let usage = status.usage();
    let (data_used, data_total, metadata_used, metadata_total) =
        usage.map_or((0, 0, 0, 0), |usage| {
            (
                usage.data.used,
                usage.data.total,
                usage.metadata.used,
                usage.metadata.total,
            )
        });
    let blocks = |n: u64| Bytes(n.saturating_mul(record.block_size.bytes().0));
    PoolInfo {
        mode: mode(status).to_owned(),
        needs_check: usage.is_some_and(|usage| usage.needs_check),
        data_used: blocks(data_used),
        data_total: blocks(data_total),
        metadata_used: Bytes(metadata_used.saturating_mul(4096)),
        metadata_total: Bytes(metadata_total.saturating_mul(4096)),
        no_space: usage.map(|usage| no_space(usage.no_space).to_owned()),
        provisioned: Bytes(0),
        metadata_reserve: Bytes(0),
        alerts: Vec::new(),
        events: Vec::new(),
        uuid: record.uuid,
        name: record.name,
        driver: record.driver,
        data_device: record.data,
        metadata_device: record.metadata,
        loop_backed: record.loop_backed,
        block_size: record.block_size,
        default_volume_size: record.default_volume_size,
        filesystem: record.filesystem,
        transaction: record.transaction,
    }
}

const fn no_space(no_space: NoSpace) -> &'static str {
    match no_space {
        NoSpace::Queue => "queue",
        NoSpace::Error => "error",
    }
}

/// The kernel's own words for a pool's mode.
fn mode(status: &PoolStatus) -> &'static str {
    match status {
        PoolStatus::Working(usage) => match usage.mode {
            Mode::Writable => "rw",
            Mode::OutOfDataSpace => "out_of_data_space",
            Mode::ReadOnly => "ro",
        },
        PoolStatus::Error => "error",
        PoolStatus::Failed => "fail",
    }
}

/// Unmounts every volume, removes every device and detaches the loop devices.
pub(crate) fn take_down(engine: Engine) -> Result<(), Error> {
    let record = engine.pool_record()?;
    for volume in engine.catalog.volumes().doing(|| "reading volumes")? {
        engine.unmount_all(&volume)?;
    }
    for device in engine
        .pool
        .own_devices()
        .doing(|| "listing the pool's devices")?
    {
        engine
            .pool
            .deactivate_thin(device.uuid)
            .doing(|| format!("taking down {}", device.name))?;
    }
    let Engine {
        pool, root, steps, ..
    } = engine;
    pool.deactivate()
        .doing(|| format!("taking down pool {}", record.name))?;
    if record.loop_backed {
        for file in [&record.data, &record.metadata] {
            let doing = || format!("detaching {}", file.display());
            if let Some(attached) = loopdev::find(file).doing(doing)? {
                steps.run("loop.detach", || {
                    loopdev::detach(&attached.node).doing(doing)
                })?;
            }
        }
    }
    drop(root);
    Ok(())
}
