//! Bringing a pool up: a table for its devices, and what is there already adopted, completed or refused.

use super::{PoolSpec, backing, read_status, undo_create, unhealthy};
use crate::control::{Control, ControlError, DeviceInfo, DeviceNumber};
use crate::error::Error;
use crate::names::{DmName, pool_uuid};
use crate::status::Mode;
use crate::table::PoolTable;
use convoy_units::Sectors;

/// The table of a pool over its devices as they are now.
pub(super) fn wanted_table(
    control: &dyn Control,
    spec: &PoolSpec,
    metadata_on: DeviceNumber,
) -> Result<PoolTable, Error> {
    let metadata = backing(control, &spec.metadata)?;
    let data = backing(control, &spec.data)?;
    if metadata.number == data.number {
        let (metadata, data) = (spec.metadata.display(), spec.data.display());
        let reason = format!("{metadata} and {data} are one device");
        return Err(Error::Unfit { reason });
    }
    let blocks = data.size.0 / spec.block_size.bytes().0;
    if blocks == 0 {
        let path = spec.data.display();
        let reason = format!("{path} is smaller than one block of {}", spec.block_size);
        return Err(Error::Unfit { reason });
    }
    Ok(PoolTable {
        len: Sectors(blocks * spec.block_size.sectors().0),
        metadata: metadata_on,
        data: data.number,
        block_size: spec.block_size,
        low_water: spec.low_water,
        error_if_no_space: spec.error_if_no_space,
        skip_block_zeroing: false,
        other_features: Vec::new(),
    })
}

/// Takes over a device of the pool's name, if it is this pool's.
pub(super) fn adopt(
    control: &dyn Control,
    spec: &PoolSpec,
    info: &DeviceInfo,
    wanted: &PoolTable,
) -> Result<DeviceInfo, Error> {
    let name = &info.name;
    let differs = |differs: String| Error::Differs {
        name: name.clone(),
        differs,
    };
    let expected = pool_uuid(spec.uuid);
    if info.uuid.as_ref() != Some(&expected) {
        let found = info.uuid.as_ref().map_or("none", |uuid| uuid.as_str());
        return Err(differs(format!("its dm uuid is {found}, not {expected}")));
    }
    let what = || Error::control(format!("adopting pool {name}"));
    if !info.live_table {
        // Made by us and never given its table: nothing can have been stored through it.
        return complete(control, name, wanted);
    }
    let table = table_in_force(control, name, what())?;
    if let Some(difference) = difference(&table, wanted) {
        return Err(differs(difference));
    }
    if info.suspended {
        control.resume(name).map_err(what())?;
    }
    let status = read_status(control, name)?;
    if !status.takes_messages()
        || status
            .usage()
            .is_none_or(|usage| usage.mode != Mode::Writable)
    {
        tracing::warn!(pool = %name, %status, "adopted a pool that is not fit for all work");
    }
    tracing::info!(pool = %name, "pool was active and is adopted");
    Ok(info.clone())
}

/// The table that a pool runs with.
pub(crate) fn table_in_force(
    control: &dyn Control,
    name: &DmName,
    what: impl FnOnce(ControlError) -> Error,
) -> Result<PoolTable, Error> {
    let lines = control.table(name).map_err(what)?;
    let line = lines
        .first()
        .ok_or_else(|| Error::NotActive { name: name.clone() })?;
    PoolTable::parse(line).map_err(|source| Error::Table {
        name: name.clone(),
        source,
    })
}

/// What keeps a pool in force from being the wanted one. Its length may differ: growing is a later step.
fn difference(table: &PoolTable, wanted: &PoolTable) -> Option<String> {
    let devices = [
        ("metadata", table.metadata, wanted.metadata),
        ("data", table.data, wanted.data),
    ];
    for (what, found, wanted) in devices {
        if found != wanted {
            return Some(format!("its {what} device is {found}, not {wanted}"));
        }
    }
    if table.block_size != wanted.block_size {
        let (found, wanted) = (table.block_size, wanted.block_size);
        return Some(format!("its block size is {found}, not {wanted}"));
    }
    table.skip_block_zeroing.then(|| {
        "it does not zero new blocks, which would show one volume another's old data".into()
    })
}

pub(super) fn bring_up(
    control: &dyn Control,
    spec: &PoolSpec,
    name: &DmName,
    wanted: &PoolTable,
) -> Result<DeviceInfo, Error> {
    control
        .create(name, &pool_uuid(spec.uuid))
        .map_err(Error::control(format!("creating pool {name}")))?;
    complete(control, name, wanted)
}

/// Gives a device its table and makes sure that the pool works; takes the device down otherwise.
fn complete(control: &dyn Control, name: &DmName, wanted: &PoolTable) -> Result<DeviceInfo, Error> {
    let attempt = || {
        let what = || Error::control(format!("bringing up pool {name}"));
        control
            .load(name, &[wanted.line()], false)
            .map_err(what())?;
        control.resume(name).map_err(what())?;
        let status = read_status(control, name)?;
        if !status.takes_messages() {
            return Err(unhealthy(name, &status));
        }
        let info = control.info(name).map_err(what())?;
        info.ok_or_else(|| Error::NotActive { name: name.clone() })
    };
    attempt().inspect_err(|_| undo_create(control, name))
}
