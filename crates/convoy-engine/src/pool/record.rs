//! The pool's record: made of settings for a new pool, changed by settings for one that exists.

use super::devices::{device_size, loop_data_size};
use super::unnameable;
use crate::config::PoolConfig;
use crate::error::Error;
use crate::machine::Machine;
use crate::root::Root;
use convoy_catalog as catalog;
use convoy_fault::Kind;
use convoy_thin_metadata::sizing;
use convoy_units::{Bytes, DataBlockSize, TransactionId};
use jiff::Timestamp;
use uuid::Uuid;

/// The least metadata area we make: running out of it has no grace period in the kernel.
const METADATA_MIN: Bytes = Bytes::mib(64);
/// How many volumes and snapshots a loop-backed pool's metadata is sized for.
const LOOP_DEVICES: u64 = 10_000;

/// The record of a pool about to be made. Nothing is touched yet.
pub(super) fn new_record(
    root: &Root,
    config: &PoolConfig,
    machine: &dyn Machine,
) -> Result<catalog::Pool, Error> {
    let block_size = config.block_size.unwrap_or(DataBlockSize::DEFAULT);
    let name = match &config.name {
        Some(name) => name.clone(),
        None => "convoy-pool".parse().expect("letters and a dash"),
    };
    convoy_thinpool::thin_name(&name, Uuid::nil()).map_err(unnameable)?;
    let (data, metadata, data_size, metadata_size, loop_backed);
    if let (Some(given_data), Some(given_metadata)) = (&config.data, &config.metadata) {
        (data, metadata) = (given_data.clone(), given_metadata.clone());
        (data_size, metadata_size) = (
            device_size(machine, &data)?,
            device_size(machine, &metadata)?,
        );
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
pub(super) fn changed_record(
    mut record: catalog::Pool,
    config: &PoolConfig,
) -> Result<catalog::Pool, Error> {
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
