//! The part of its metadata device that a pool is given, where the rest is held back for when it gets tight.
//!
//! The kernel gives a pool the whole of its metadata device. So a pool that is to have a part of it is brought up over
//! a linear device of ours, `<pool>-metadata`, that ends earlier. The part begins where the device begins: whatever
//! reads the device itself finds the metadata where it always is, and the next activation may do
//! without the linear device.
//!
//! One `resume` puts a longer table in force, with the suspension inside that ioctl: there is no moment at which a
//! process that dies leaves the pool's metadata held.

use crate::control::{BackingDevice, Control, DeviceInfo, DeviceNumber};
use crate::error::Error;
use crate::names::{DmName, metadata_name, metadata_uuid};
use crate::pool::{Pool, PoolSpec, backing, remove, undo_create};
use crate::table::LinearTable;
use convoy_names::PoolName;
use convoy_units::{Bytes, Sectors};
use uuid::Uuid;

/// How a pool's metadata device is shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetadataPart {
    /// What the pool is given.
    pub given: Bytes,
    /// What the device has.
    pub device: Bytes,
}

impl Pool {
    /// The part of the metadata device that the pool is given; `None` where it is given all of it.
    pub fn metadata_part(&self) -> Result<Option<MetadataPart>, Error> {
        let control = self.control.as_ref();
        let Some((_, table)) = in_force(control, &self.spec)? else {
            return Ok(None);
        };
        let device = backing(control, &self.spec.metadata)?.size;
        let given = Bytes(table.len.0.saturating_mul(512));
        Ok(Some(MetadataPart { given, device }))
    }

    /// Gives the pool more of its metadata device, whole blocks of it and no more than there is; it takes that over with
    /// [`Pool::grow`]. Nothing happens where it has as much already, or the whole device.
    pub fn widen_metadata(&self, wanted: Bytes) -> Result<(), Error> {
        let control = self.control.as_ref();
        let Some((name, table)) = in_force(control, &self.spec)? else {
            return Ok(());
        };
        let device = backing(control, &self.spec.metadata)?;
        let len = whole_blocks(wanted.min(device.size));
        if len <= table.len {
            return Ok(());
        }
        put_in_force(control, &name, LinearTable { len, ..table })
    }

    /// The size of what the pool's metadata is on.
    pub(crate) fn metadata_size(&self) -> Result<Bytes, Error> {
        match self.metadata_part()? {
            Some(part) => Ok(part.given),
            None => Ok(backing(self.control.as_ref(), &self.spec.metadata)?.size),
        }
    }
}

/// Removes the linear device that a kill left without its pool. Only while the pool is down. Another pool's of the same
/// name is left alone.
pub fn remove_left_part(control: &dyn Control, name: &PoolName, uuid: Uuid) -> Result<(), Error> {
    match ours(control, name, uuid) {
        Ok(Some(info)) => remove(control, &info.name),
        Ok(None) | Err(Error::Differs { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// What a pool that is to be brought up has its metadata on: the device, or as much of it as `spec` says.
pub(crate) fn bring_up(control: &dyn Control, spec: &PoolSpec) -> Result<DeviceNumber, Error> {
    let device = backing(control, &spec.metadata)?;
    let Some(table) = wanted(spec, device) else {
        remove_left_part(control, &spec.name, spec.uuid)?;
        return Ok(device.number);
    };
    if let Some(info) = ours(control, &spec.name, spec.uuid)? {
        put_in_force(control, &info.name, table)?;
        return Ok(info.number);
    }
    let name = metadata_name(&spec.name)?;
    let made = control
        .create(&name, &metadata_uuid(spec.uuid))
        .map_err(Error::control(format!("creating {name}")))?;
    put_in_force(control, &name, table).inspect_err(|_| undo_create(control, &name))?;
    Ok(made.number)
}

/// What an active pool has to have its metadata on: the linear device if that leads to the right place.
pub(crate) fn of_active(control: &dyn Control, spec: &PoolSpec) -> Result<DeviceNumber, Error> {
    let device = backing(control, &spec.metadata)?.number;
    let Some(info) = ours(control, &spec.name, spec.uuid)? else {
        return Ok(device);
    };
    let leads_there = in_force(control, spec)?.is_some_and(|(_, table)| table.device == device);
    Ok(if leads_there { info.number } else { device })
}

fn wanted(spec: &PoolSpec, device: BackingDevice) -> Option<LinearTable> {
    let len = whole_blocks(spec.metadata_len?);
    (len < device.size.sectors_floor()).then_some(LinearTable {
        len,
        device: device.number,
        begin: Sectors(0),
    })
}

/// Metadata blocks have 4 KiB.
fn whole_blocks(size: Bytes) -> Sectors {
    Sectors(size.0 / 4096 * 8)
}

fn ours(control: &dyn Control, name: &PoolName, uuid: Uuid) -> Result<Option<DeviceInfo>, Error> {
    let name = metadata_name(name)?;
    let info = control
        .info(&name)
        .map_err(Error::control(format!("looking for {name}")))?;
    match info {
        Some(info) if info.uuid != Some(metadata_uuid(uuid)) => {
            let found = info.uuid.as_ref().map_or("none", |uuid| uuid.as_str());
            let differs = format!("its dm uuid is {found}, not {}", metadata_uuid(uuid));
            Err(Error::Differs { name, differs })
        }
        info => Ok(info),
    }
}

fn in_force(
    control: &dyn Control,
    spec: &PoolSpec,
) -> Result<Option<(DmName, LinearTable)>, Error> {
    let Some(info) = ours(control, &spec.name, spec.uuid)?.filter(|info| info.live_table) else {
        return Ok(None);
    };
    let name = info.name;
    let lines = control
        .table(&name)
        .map_err(Error::control(format!("reading the table of {name}")))?;
    let Some(line) = lines.first() else {
        return Ok(None);
    };
    match LinearTable::parse(line) {
        Ok(table) => Ok(Some((name, table))),
        Err(source) => Err(Error::Table { name, source }),
    }
}

fn put_in_force(control: &dyn Control, name: &DmName, table: LinearTable) -> Result<(), Error> {
    let what = || Error::control(format!("giving {name} its table"));
    control.load(name, &[table.line()], false).map_err(what())?;
    control.resume(name).map_err(what())
}

#[cfg(test)]
mod tests {
    //! On the model: whatever step fails, nothing is left that the next activation does not deal with.

    use super::*;
    use crate::fake::{FakeKernel, Fault};
    use convoy_units::DataBlockSize;
    use nix::errno::Errno;
    use std::sync::Arc;

    fn kernel() -> (FakeKernel, PoolSpec) {
        let kernel = FakeKernel::new();
        kernel.add_device("/dev/meta", Bytes::mib(40));
        kernel.add_device("/dev/data", Bytes::mib(64));
        let spec = PoolSpec {
            name: "convoy-pool".parse().unwrap(),
            uuid: Uuid::from_u128(1),
            metadata: "/dev/meta".into(),
            data: "/dev/data".into(),
            metadata_len: Some(Bytes::mib(32)),
            block_size: DataBlockSize::DEFAULT,
            low_water: 3,
            error_if_no_space: false,
        };
        (kernel, spec)
    }

    fn activate(kernel: &FakeKernel, spec: &PoolSpec) -> Result<Pool, Error> {
        Pool::activate(Arc::new(kernel.clone()), spec)
    }

    #[test]
    fn a_part_is_given_and_then_more_of_it() {
        let (kernel, spec) = kernel();
        let pool = activate(&kernel, &spec).unwrap();
        let part = |given| MetadataPart {
            given: Bytes::mib(given),
            device: Bytes::mib(40),
        };
        assert_eq!(pool.metadata_part().unwrap(), Some(part(32)));
        pool.widen_metadata(Bytes::mib(16)).unwrap();
        assert_eq!(pool.metadata_part().unwrap(), Some(part(32)), "never less");
        pool.widen_metadata(Bytes(u64::MAX)).unwrap();
        assert_eq!(pool.metadata_part().unwrap(), Some(part(40)));
        assert_eq!(pool.grow(|_| 1).unwrap().metadata.1, 10_240);
        // Adopted as it is, whatever the part that it would be brought up with.
        let pool = activate(&kernel, &spec).unwrap();
        assert_eq!(pool.metadata_part().unwrap(), Some(part(40)));
        pool.deactivate().unwrap();
        assert!(kernel.list().unwrap().is_empty());
    }

    #[test]
    fn a_whole_device_needs_nothing_in_between() {
        let (kernel, mut spec) = kernel();
        for len in [None, Some(Bytes::mib(40)), Some(Bytes::mib(41))] {
            spec.metadata_len = len;
            let pool = activate(&kernel, &spec).unwrap();
            assert_eq!(pool.metadata_part().unwrap(), None);
            assert_eq!(kernel.list().unwrap().len(), 1);
            pool.deactivate().unwrap();
        }
    }

    #[test]
    fn another_metadata_device_is_refused_through_a_part_too() {
        let (kernel, mut spec) = kernel();
        drop(activate(&kernel, &spec).unwrap());
        kernel.add_device("/dev/other", Bytes::mib(40));
        spec.metadata = "/dev/other".into();
        let error = activate(&kernel, &spec).unwrap_err();
        assert!(matches!(error, Error::Differs { .. }), "{error}");
    }

    #[test]
    fn somebody_elses_device_of_that_name_is_left_alone() {
        let (kernel, spec) = kernel();
        let name = metadata_name(&spec.name).unwrap();
        kernel
            .create(&name, &crate::DmUuid::new("LVM-x").unwrap())
            .unwrap();
        let error = activate(&kernel, &spec).unwrap_err();
        assert!(matches!(error, Error::Differs { .. }), "{error}");
        assert!(kernel.info(&name).unwrap().is_some());
        remove_left_part(&kernel, &spec.name, spec.uuid).unwrap();
        assert!(kernel.info(&name).unwrap().is_some());
    }

    #[test]
    fn whatever_step_fails_the_next_activation_works() {
        for step in 0..16 {
            for fault in [
                Fault::Fail(Errno::ENOMEM),
                Fault::DieAfter,
                Fault::DieBefore,
            ] {
                let (kernel, spec) = kernel();
                kernel.inject(step, fault);
                drop(activate(&kernel, &spec));
                kernel.restart_process();
                let pool = activate(&kernel, &spec).unwrap();
                assert!(pool.metadata_part().unwrap().is_some(), "step {step}");
                kernel.inject(step, fault);
                drop(pool.widen_metadata(Bytes::mib(40)));
                kernel.restart_process();
                pool.widen_metadata(Bytes::mib(40)).unwrap();
                assert_eq!(pool.metadata_size().unwrap(), Bytes::mib(40));
                kernel.inject(step, fault);
                drop(pool.deactivate());
                kernel.restart_process();
                let name = crate::pool_name(&spec.name).unwrap();
                if kernel.info(&name).unwrap().is_none() {
                    remove_left_part(&kernel, &spec.name, spec.uuid).unwrap();
                    assert!(kernel.list().unwrap().is_empty(), "step {step}");
                }
            }
        }
    }
}
