//! Is this the pool the catalog describes? Block size, transaction id and thin devices must be, or nothing is
//! changed: pool and catalog that disagree unexplained are for a person to look at.

use super::data_identity;
use super::devices::{Devices, device_size};
use crate::error::{Doing, Error};
use crate::machine::Machine;
use convoy_catalog as catalog;
use convoy_catalog::Catalog;
use convoy_fault::{Fault, Kind};
use convoy_thin_metadata::{
    Block, BlockSource, CheckOptions, Mended, Superblock, SuperblockState, View, check,
    read_superblock,
};
use convoy_thinpool::Pool;
use convoy_units::{DevId, TransactionId};
use std::collections::BTreeSet;
use std::path::Path;

/// An inactive pool of ours: what its metadata says must be what the catalog says. Returns what block 0 has to
/// become before the kernel sees it, where a power cut fell into the taking or releasing of a metadata snapshot.
pub(super) fn check_identity(
    catalog: &Catalog,
    record: &catalog::Pool,
    devices: &Devices,
    machine: &dyn Machine,
    trust_data: bool,
) -> Result<Option<Block>, Error> {
    let device = devices.metadata.display();
    let doing = || format!("reading the pool's metadata on {device}");
    let source = machine.metadata(&devices.metadata).doing(doing)?;
    // All that follows is about what was committed.
    let source = Mended::of(source).doing(doing)?;
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
    let size = device_size(machine, &devices.data)?;
    if size < record.data_size {
        let what = format!(
            "the data device {} has {size}, but pool {} was made on {}",
            devices.data.display(),
            record.name,
            record.data_size
        );
        return Err(Error::new(Kind::PoolUnhealthy, what).hinting("device paths may have moved"));
    }
    check_soundness(&source, &superblock, record, devices)?;
    let view = View::live(&source).doing(doing)?;
    let found: Vec<DevId> = view
        .devices()
        .doing(doing)?
        .into_iter()
        .map(|details| details.dev_id)
        .collect();
    check_devices(catalog, record, &found.into_iter().collect())?;
    match data_identity::check(catalog, record, &view, &devices.data, machine) {
        Err(error) if trust_data => {
            tracing::warn!("taken all the same: {}", convoy_fault::chain(&error));
        }
        checked => checked?,
    }
    Ok(source.block_0().copied())
}

/// Gives the pool the block 0 that it was committed with. The one time that its metadata is written by anybody but
/// the kernel, and not a byte of it but which metadata snapshot is held: `docs/decisions/0014-torn-metadata-snapshot.md`.
///
/// Called after every check, before the pool is brought up. The block is written whole, as the kernel does it.
pub(super) fn mend(device: &Path, block: &Block, machine: &dyn Machine) -> Result<(), Error> {
    let doing = || format!("completing the pool's metadata on {}", device.display());
    let writer = machine.writer(device).doing(doing)?;
    writer.write_at(0, block).doing(doing)?;
    writer.flush().doing(doing)
}

/// The kernel is never given metadata that does not verify, whole: it reads damage only when it comes upon it, and
/// by then it has written.
fn check_soundness<S: BlockSource>(
    source: &S,
    superblock: &Superblock,
    record: &catalog::Pool,
    devices: &Devices,
) -> Result<(), Error> {
    /// Counting the users of a data block takes a byte for each: 64 MiB at most, and then the mappings are left
    /// to the doctor.
    const COUNTED: u64 = 64 << 20;
    let device = devices.metadata.display();
    if superblock.needs_check {
        let what = format!(
            "the kernel asks for a check of pool {}'s metadata on {device} before it changes anything (needs_check)",
            record.name
        );
        return Err(Error::new(Kind::PoolNeedsCheck, what)
            .hinting("nothing was changed: convoy doctor tells what to do"));
    }
    let options = CheckOptions {
        skip_mappings: superblock.nr_data_blocks.unwrap_or(0) > COUNTED,
        ignore_non_fatal: true,
        ..CheckOptions::default()
    };
    let report =
        check(source, &options).doing(|| format!("checking the pool's metadata on {device}"))?;
    let (Some(_), Some(first)) = (report.worst(), report.findings.first()) else {
        return Ok(());
    };
    let what = format!(
        "the metadata of pool {} on {device} is damaged: {first}",
        record.name
    );
    Err(Error::new(Kind::Integrity, what).hinting(
        "nothing was changed: convoy doctor tells what is damaged, and repairs into a spare",
    ))
}

/// A pool of ours that was active already: the same comparison, through a metadata snapshot.
pub(super) fn check_active(
    catalog: &Catalog,
    record: &catalog::Pool,
    pool: &Pool,
    machine: &dyn Machine,
) -> Result<(), Error> {
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
    let found = machine
        .metadata(held.metadata_device())
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
