//! Bringing the pool up and taking it down.
//!
//! The order is the safety: every setting is checked before anything is touched; a device that carries
//! anybody's data is refused; what the metadata device says is compared with the catalog before the kernel
//! is given it, because device paths move and an all-zero superblock would be formatted without a word.

mod data_identity;

use crate::config::PoolConfig;
use crate::engine::Engine;
use crate::error::{Doing, Error};
use crate::model::PoolInfo;
use crate::root::Root;
use convoy_catalog as catalog;
use convoy_catalog::{Catalog, Change};
use convoy_fault::{Fault, Kind};
use convoy_thin_metadata::{FileSource, SuperblockState, View, read_superblock, sizing};
use convoy_thinpool::{Control, Mode, Pool, PoolSpec, PoolStatus, blockdev, loopdev, signature};
use convoy_units::{Bytes, DataBlockSize, DevId, TransactionId};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use uuid::Uuid;

/// The most a loop-backed pool's data file may promise; sparse, it takes up what is written.
const LOOP_DATA: Bytes = Bytes::gib(100);
/// The least a loop-backed pool is made with.
const LOOP_DATA_MIN: Bytes = Bytes::mib(64);
/// The least metadata area we make: running out of it has no grace period in the kernel.
const METADATA_MIN: Bytes = Bytes::mib(64);
/// How many volumes and snapshots a loop-backed pool's metadata is sized for.
const LOOP_DEVICES: u64 = 10_000;

/// The block devices of a pool, loop devices attached where it has files.
struct Devices {
    data: PathBuf,
    metadata: PathBuf,
}

/// Brings the pool up that this root has, or makes it.
pub(crate) fn bring_up(
    root: &Root,
    catalog: &Catalog,
    config: &PoolConfig,
    control: Arc<dyn Control>,
) -> Result<(Pool, catalog::Pool), Error> {
    let mut pools = catalog.pools().doing(|| "reading the pool's record")?;
    let begun_before = !pools.is_empty();
    let mut record = match (pools.pop(), pools.len()) {
        (None, _) => new_record(root, config)?,
        (Some(record), 0) => changed_record(record, config)?,
        (Some(_), others) => {
            let what = format!(
                "the catalog holds {} pools; this version serves one",
                others + 1
            );
            return Err(Error::new(Kind::Unsupported, what));
        }
    };
    if record.loop_backed {
        make_loop_files(&record)?;
    }
    let devices = open_devices(&record)?;
    let active = is_active(&*control, &record)?;
    if active {
        tracing::debug!("the pool is active already");
    } else if record.initialised {
        check_identity(catalog, &record, &devices, config.trust_data)?;
    } else {
        check_blank(&record, &devices, begun_before)?;
        record.data_size = device_size(&devices.data)?;
        record.metadata_size = device_size(&devices.metadata)?;
    }
    // A new pool's record is durable before the kernel formats anything, so that a pool of ours is known
    // as ours. What changes about one that exists is recorded once it is up with it.
    if !record.initialised {
        put(catalog, &record)?;
    }
    let spec = PoolSpec {
        name: record.name.clone(),
        uuid: record.uuid,
        metadata: devices.metadata,
        data: devices.data,
        block_size: record.block_size,
        low_water: low_water(record.data_size, record.block_size),
        error_if_no_space: false,
    };
    let pool = match Pool::activate(control, &spec) {
        Ok(pool) => pool,
        Err(error) => {
            if !begun_before {
                forget_unmade(catalog, &record, &spec.metadata);
            }
            return Err(Error::of(format!("activating pool {}", record.name), error));
        }
    };
    let record = if record.initialised {
        put(catalog, &record)?;
        record
    } else {
        initialised(catalog, record)?
    };
    if active {
        pool.release_stale_metadata_snapshot()
            .doing(|| "releasing a stale metadata snapshot")?;
        check_active(catalog, &record, &pool)?;
    }
    Ok((pool, record))
}

fn put(catalog: &Catalog, record: &catalog::Pool) -> Result<(), Error> {
    catalog
        .apply(&[Change::PutPool(record.clone())])
        .doing(|| "recording the pool")
}

/// The record of a pool about to be made. Nothing is touched yet.
fn new_record(root: &Root, config: &PoolConfig) -> Result<catalog::Pool, Error> {
    let block_size = config.block_size.unwrap_or(DataBlockSize::DEFAULT);
    let name = match &config.name {
        Some(name) => name.clone(),
        None => "convoy-pool".parse().expect("letters and a dash"),
    };
    convoy_thinpool::thin_name(&name, Uuid::nil()).map_err(unnameable)?;
    let (data, metadata, data_size, metadata_size, loop_backed);
    if let (Some(given_data), Some(given_metadata)) = (&config.data, &config.metadata) {
        (data, metadata) = (given_data.clone(), given_metadata.clone());
        (data_size, metadata_size) = (device_size(&data)?, device_size(&metadata)?);
        loop_backed = false;
    } else {
        (data, metadata) = root.loop_files()?;
        data_size = loop_data_size(root.path(), block_size)?;
        let needed = sizing::metadata_size(data_size, block_size, LOOP_DEVICES);
        metadata_size = needed.max(METADATA_MIN);
        loop_backed = true;
    }
    if data_size < block_size.bytes() {
        let what = format!(
            "the data device {} has {data_size}, less than one block of {block_size}",
            data.display()
        );
        return Err(Error::new(Kind::Invalid, what));
    }
    Ok(catalog::Pool {
        uuid: Uuid::now_v7(),
        name,
        driver: "devicemapper".to_owned(),
        data,
        metadata,
        loop_backed,
        block_size,
        default_volume_size: config.default_volume_size.unwrap_or(Bytes::gib(100)),
        filesystem: config
            .filesystem
            .clone()
            .unwrap_or_else(|| "ext4".to_owned()),
        transaction: TransactionId(0),
        data_size,
        metadata_size,
        initialised: false,
        created: Timestamp::now(),
    })
}

/// The record of a pool that exists, with the settings that may change applied; one that may not is
/// refused, never ignored.
fn changed_record(mut record: catalog::Pool, config: &PoolConfig) -> Result<catalog::Pool, Error> {
    let refuse = |option: &str, is: &dyn std::fmt::Display, asked: &dyn std::fmt::Display| {
        let what = format!("{option} of this pool is {is} and cannot become {asked}");
        Err(Error::new(Kind::Conflict, what)
            .hinting("leave the option out, or use another --root for another pool"))
    };
    if let Some(name) = config.name.as_ref().filter(|name| **name != record.name) {
        return refuse("dm.thinpoolname", &record.name, name);
    }
    if let Some(size) = config.block_size.filter(|size| *size != record.block_size) {
        return refuse("dm.thinpoolblocksize", &record.block_size, &size);
    }
    if let (Some(data), Some(metadata)) = (&config.data, &config.metadata) {
        if record.loop_backed {
            return refuse("dm.datadev", &record.data.display(), &data.display());
        }
        // Paths move; what they lead to is compared with the catalog before it is used.
        record.data.clone_from(data);
        record.metadata.clone_from(metadata);
    }
    if let Some(size) = config.default_volume_size {
        record.default_volume_size = size;
    }
    if let Some(filesystem) = &config.filesystem {
        record.filesystem.clone_from(filesystem);
    }
    Ok(record)
}

/// Makes the sparse files of a new loop-backed pool. Ones that exist are left as they are: they are this
/// pool's, from a start that was cut short, and are checked like any device.
fn make_loop_files(record: &catalog::Pool) -> Result<(), Error> {
    for (file, size) in [
        (&record.data, record.data_size),
        (&record.metadata, record.metadata_size),
    ] {
        match (file.exists(), record.initialised) {
            (true, _) => (),
            (false, false) => {
                loopdev::create_file(file, size).doing(|| format!("making {}", file.display()))?;
            }
            (false, true) => {
                let what = format!("the pool's file {} is gone", file.display());
                return Err(Error::new(Kind::PoolUnhealthy, what)
                    .hinting("is the filesystem mounted that holds the root directory?"));
            }
        }
    }
    Ok(())
}

/// How much a new loop-backed pool may promise: what the filesystem under it could hold, so that the pool
/// is full before the filesystem is and writers meet the pool's rules, not I/O errors.
fn loop_data_size(directory: &Path, block_size: DataBlockSize) -> Result<Bytes, Error> {
    let stat = nix::sys::statvfs::statvfs(directory)
        .map_err(std::io::Error::from)
        .doing(|| format!("asking for the space of {}", directory.display()))?;
    let free = stat.blocks_available().saturating_mul(stat.fragment_size());
    let size = (free / 10 * 9).min(LOOP_DATA.0);
    let size = size / block_size.bytes().0 * block_size.bytes().0;
    if size < LOOP_DATA_MIN.0 {
        let what = format!(
            "{} has {} free, too little for a loop-backed pool of at least {LOOP_DATA_MIN}",
            directory.display(),
            Bytes(free)
        );
        return Err(Error::new(Kind::PoolFull, what).hinting(
            "free some space, use another --root, or give dm.datadev and dm.metadatadev",
        ));
    }
    Ok(Bytes(size))
}

fn device_size(path: &Path) -> Result<Bytes, Error> {
    blockdev::size(path).doing(|| format!("asking for the size of {}", path.display()))
}

fn open_devices(record: &catalog::Pool) -> Result<Devices, Error> {
    if !record.loop_backed {
        return Ok(Devices {
            data: record.data.clone(),
            metadata: record.metadata.clone(),
        });
    }
    let attach = |file: &Path| -> Result<PathBuf, Error> {
        let attached = loopdev::attach(file)
            .doing(|| format!("attaching {} as a loop device", file.display()))?;
        Ok(attached.node)
    };
    Ok(Devices {
        data: attach(&record.data)?,
        metadata: attach(&record.metadata)?,
    })
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

/// A pool not made yet: both devices must be nobody's. `begun_before` says that an earlier start recorded
/// this pool and was cut short before it could record that the kernel had made it.
fn check_blank(record: &catalog::Pool, devices: &Devices, begun_before: bool) -> Result<(), Error> {
    let (data, metadata) = (&devices.data, &devices.metadata);
    if blockdev::number_of(data).doing(|| format!("looking at {}", data.display()))?
        == blockdev::number_of(metadata).doing(|| format!("looking at {}", metadata.display()))?
    {
        let what = format!(
            "{} and {} are the same device",
            data.display(),
            metadata.display()
        );
        return Err(Error::new(Kind::Invalid, what));
    }
    let ours = begun_before && is_freshly_made(record, devices)?;
    for device in [data, metadata] {
        let found = signature::probe(device)
            .doing(|| format!("looking at what is on {}", device.display()))?;
        if let Some(found) = found.filter(|_| !(ours && device == metadata)) {
            return Err(carries(device, &found.what));
        }
    }
    let blank = blockdev::first_block_is_zero(metadata)
        .doing(|| format!("reading the first block of {}", metadata.display()))?;
    if blank || ours {
        Ok(())
    } else {
        Err(carries(metadata, "data we do not know"))
    }
}

/// Whether the metadata device is what the kernel makes of a blank one: no transaction, no device.
fn is_freshly_made(record: &catalog::Pool, devices: &Devices) -> Result<bool, Error> {
    let doing = || format!("reading {}", devices.metadata.display());
    let source = FileSource::open(&devices.metadata).doing(doing)?;
    let Ok(SuperblockState::Valid(superblock)) = read_superblock(&source) else {
        return Ok(false);
    };
    let fresh = superblock.transaction == TransactionId(0)
        && superblock.data_block_size == record.block_size;
    Ok(fresh
        && View::live(source)
            .doing(doing)?
            .devices()
            .doing(doing)?
            .is_empty())
}

fn carries(device: &Path, what: &str) -> Error {
    let device = device.display();
    Error::new(Kind::Conflict, format!("{device} is not blank: it carries {what}")).hinting(format!(
        "nothing was written. If its content may go: wipefs --all {device} && dd if=/dev/zero of={device} bs=4096 count=1 conv=fsync"
    ))
}

/// An inactive pool of ours: what its metadata says must be what the catalog says.
fn check_identity(
    catalog: &Catalog,
    record: &catalog::Pool,
    devices: &Devices,
    trust_data: bool,
) -> Result<(), Error> {
    let device = devices.metadata.display();
    let doing = || format!("reading the pool's metadata on {device}");
    let source = FileSource::open(&devices.metadata).doing(doing)?;
    let superblock = match read_superblock(&source).doing(doing)? {
        SuperblockState::Valid(superblock) => superblock,
        SuperblockState::Zeroed => {
            let what = format!(
                "the superblock on {device} is all zeros, but the catalog has pool {} in use there: the kernel would format it",
                record.name
            );
            return Err(Error::new(Kind::PoolUnhealthy, what)
                .hinting("is this the right device? Nothing was written"));
        }
    };
    let is_size = superblock.data_block_size;
    if is_size != record.block_size {
        let what = format!(
            "the pool on {device} has blocks of {is_size}, pool {} has {}: it is another pool",
            record.name, record.block_size
        );
        return Err(Error::new(Kind::PoolUnhealthy, what).hinting("device paths may have moved"));
    }
    check_transaction(catalog, record, superblock.transaction)?;
    let size = device_size(&devices.data)?;
    if size < record.data_size {
        let what = format!(
            "the data device {} has {size}, but pool {} was made on {}",
            devices.data.display(),
            record.name,
            record.data_size
        );
        return Err(Error::new(Kind::PoolUnhealthy, what).hinting("device paths may have moved"));
    }
    let view = View::live(source).doing(doing)?;
    let found: Vec<DevId> = view
        .devices()
        .doing(doing)?
        .into_iter()
        .map(|details| details.dev_id)
        .collect();
    check_devices(catalog, record, &found.into_iter().collect())?;
    match data_identity::check(catalog, record, &view, &devices.data) {
        Err(error) if trust_data => {
            tracing::warn!("taken all the same: {}", convoy_fault::chain(&error));
            Ok(())
        }
        checked => checked,
    }
}

/// A pool of ours that was active already: the same comparison, through a metadata snapshot.
fn check_active(catalog: &Catalog, record: &catalog::Pool, pool: &Pool) -> Result<(), Error> {
    let status = pool
        .status()
        .doing(|| "asking the kernel for the pool's status")?;
    let transaction = status
        .usage()
        .map(|usage| usage.transaction_id)
        .ok_or_else(|| {
            Error::new(
                Kind::PoolUnhealthy,
                format!("pool {} does not answer: {status}", record.name),
            )
        })?;
    check_transaction(catalog, record, transaction)?;
    let held = match pool.reserve_metadata_snapshot() {
        Ok(held) => held,
        Err(error) if error.kind() != Kind::PoolUnhealthy => {
            return Err(Error::of(
                "comparing the pool's devices with the catalog",
                error,
            ));
        }
        Err(error) => {
            // A read-only pool cannot hold one; its volumes can still be read.
            tracing::warn!(
                "the pool's devices are not compared with the catalog: {}",
                convoy_fault::chain(&error)
            );
            return Ok(());
        }
    };
    let found = FileSource::open(held.metadata_device())
        .and_then(|source| View::held(source, held.root()))
        .and_then(|view| view.devices())
        .doing(|| "reading the pool's metadata");
    held.release()
        .doing(|| "releasing the snapshot of the pool's metadata")?;
    let found = found?.into_iter().map(|details| details.dev_id).collect();
    check_devices(catalog, record, &found)
}

/// The pool's transaction id must be the catalog's, or the one a pending intent leads to.
fn check_transaction(
    catalog: &Catalog,
    record: &catalog::Pool,
    found: TransactionId,
) -> Result<(), Error> {
    let pending = catalog
        .pending_intents()
        .doing(|| "reading pending intents")?;
    let explained = found == record.transaction
        || pending
            .iter()
            .any(|intent| intent.pool == record.uuid && intent.to == found);
    if explained {
        return Ok(());
    }
    let what = format!(
        "pool {} is at transaction {found}, the catalog at {}: its metadata was rolled back, restored, or changed by somebody else, or this is another pool",
        record.name, record.transaction
    );
    Err(Error::new(Kind::PoolUnhealthy, what).hinting(
        "nothing was changed. Check that the devices and the root directory belong together",
    ))
}

/// Every thin device the catalog has must be in the pool, but for what a pending intent is about.
/// Devices the catalog does not have are named and left alone.
fn check_devices(
    catalog: &Catalog,
    record: &catalog::Pool,
    found: &BTreeSet<DevId>,
) -> Result<(), Error> {
    let volumes = catalog.volumes().doing(|| "reading volumes")?;
    let snapshots = catalog.snapshots().doing(|| "reading snapshots")?;
    let mut known: BTreeSet<DevId> = volumes.iter().map(|volume| volume.dev_id).collect();
    known.extend(snapshots.iter().map(|snapshot| snapshot.dev_id));
    let pending = catalog
        .pending_intents()
        .doing(|| "reading pending intents")?;
    let open: BTreeSet<DevId> = pending
        .iter()
        .flat_map(|intent| &intent.actions)
        .map(convoy_catalog::Action::dev_id)
        .collect();
    let missing: Vec<String> = known
        .difference(found)
        .filter(|id| !open.contains(id))
        .map(ToString::to_string)
        .collect();
    if !missing.is_empty() {
        let what = format!(
            "pool {} lacks thin devices that the catalog has: {}",
            record.name,
            missing.join(", ")
        );
        return Err(Error::new(Kind::PoolUnhealthy, what).hinting(
            "nothing was changed. Check that the devices and the root directory belong together",
        ));
    }
    let foreign: Vec<String> = found
        .difference(&known)
        .filter(|id| !open.contains(id))
        .map(ToString::to_string)
        .collect();
    if let Some(highest) = found.last() {
        catalog
            .reserve_dev_ids(record.uuid, *highest)
            .doing(|| "keeping the pool's device ids")?;
    }
    if !foreign.is_empty() {
        tracing::warn!(
            "the pool has thin devices that are not in the catalog, left alone: {}",
            foreign.join(", ")
        );
    }
    Ok(())
}

/// A pool that the kernel would not make, and whose metadata device is blank still, was never there: the
/// next start may have other settings.
fn forget_unmade(catalog: &Catalog, record: &catalog::Pool, metadata: &Path) {
    if !blockdev::first_block_is_zero(metadata).is_ok_and(|blank| blank) {
        return;
    }
    if let Err(error) = catalog.apply(&[Change::RemovePool(record.uuid)]) {
        let error = convoy_fault::chain(&error);
        tracing::warn!(pool = %record.name, "a pool that was not made stays recorded: {error}");
    }
}

/// The kernel has made the pool: say so durably.
fn initialised(catalog: &Catalog, record: catalog::Pool) -> Result<catalog::Pool, Error> {
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

/// Blocks left when the kernel raises an event: a tenth of the pool.
fn low_water(data: Bytes, block_size: DataBlockSize) -> u64 {
    data.0 / block_size.bytes().0 / 10
}

/// The share of metadata in use, in tenths, from which nothing new is made: snapshots are what eats it, and
/// its exhaustion has no grace period in the kernel.
const METADATA_TENTHS: u64 = 9;

impl Engine {
    /// Refuses to make anything in a pool that has no room for it, before any of it is begun.
    pub(crate) fn refuse_full(&self, doing: impl Fn() -> String) -> Result<(), Error> {
        let status = self.pool.status().doing(&doing)?;
        let Some(usage) = status.usage() else {
            return Err(Error::new(
                Kind::PoolUnhealthy,
                format!("{}: the pool is {status}", doing()),
            ));
        };
        let full = |what: &str, hint: &str| {
            Err(Error::new(Kind::PoolFull, format!("{}: {what}", doing())).hinting(hint))
        };
        if usage.mode == Mode::OutOfDataSpace || usage.data.used >= usage.data.total {
            return full(
                "the pool has no data space left",
                "delete a snapshot or a volume: that works still",
            );
        }
        if usage.metadata.used * 10 >= usage.metadata.total * METADATA_TENTHS {
            return full(
                "nine tenths of the pool's metadata are in use",
                "delete snapshots: that works still, and they are what takes metadata",
            );
        }
        Ok(())
    }
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
    let Engine { pool, root, .. } = engine;
    pool.deactivate()
        .doing(|| format!("taking down pool {}", record.name))?;
    if record.loop_backed {
        for file in [&record.data, &record.metadata] {
            let doing = || format!("detaching {}", file.display());
            if let Some(attached) = loopdev::find(file).doing(doing)? {
                loopdev::detach(&attached.node).doing(doing)?;
            }
        }
    }
    drop(root);
    Ok(())
}
