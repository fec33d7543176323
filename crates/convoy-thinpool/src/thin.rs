//! A pool's thin devices: brought up or adopted, looked at, resized, taken down.

use crate::control::{DeviceInfo, DeviceNumber};
use crate::error::Error;
use crate::names::{DmName, thin_name, thin_uuid};
use crate::pool::{Pool, read_thin_table, remove, undo_create};
use crate::status::ThinStatus;
use crate::table::ThinTable;
use convoy_units::{DevId, Sectors};
use nix::errno::Errno;
use std::path::PathBuf;
use std::sync::PoisonError;
use uuid::Uuid;

/// A thin device as it is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThinSpec {
    /// The volume or snapshot: what the device is named after.
    pub uuid: Uuid,
    /// Its number in the pool.
    pub dev_id: DevId,
    /// Its virtual size.
    pub size: Sectors,
    /// Whether writes are refused.
    pub read_only: bool,
}

/// An active thin device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThinDevice {
    /// Its device-mapper name.
    pub name: DmName,
    /// A path that opens it.
    pub node: PathBuf,
    /// Its number.
    pub number: DeviceNumber,
}

impl Pool {
    /// Brings a thin device up, or adopts it where it is up already with these settings.
    ///
    /// A device that was made and never given its table is completed, a suspended one resumed. One of
    /// another size or number is refused ([`Error::Differs`]), so is a second device over the same
    /// number ([`Error::ActiveElsewhere`]). What this call made it removes again when a later step fails.
    pub fn activate_thin(&self, spec: &ThinSpec) -> Result<ThinDevice, Error> {
        let name = thin_name(&self.spec.name, spec.uuid)?;
        self.claim(spec)?;
        let outcome = self.bring_up_thin(&name, spec);
        if outcome.is_err() && !self.still_up(&name) {
            self.unclaim(spec.uuid);
        }
        outcome
    }

    /// The thin device of this volume or snapshot, if it is active.
    pub fn thin(&self, uuid: Uuid) -> Result<Option<ThinDevice>, Error> {
        let name = thin_name(&self.spec.name, uuid)?;
        match self.info(&name)? {
            Some(info) if info.live_table => {
                self.expect_uuid(&info, uuid)?;
                self.device(&info).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// How much of an active thin device is mapped; it makes no commit.
    pub fn thin_status(&self, uuid: Uuid) -> Result<ThinStatus, Error> {
        let name = thin_name(&self.spec.name, uuid)?;
        let targets = match self.control.status(&name) {
            Err(source) if source.errno() == Some(Errno::ENXIO) => Vec::new(),
            targets => targets.map_err(Error::control(format!("reading the status of {name}")))?,
        };
        let Some(target) = targets.first() else {
            return Err(Error::NotActive { name });
        };
        ThinStatus::parse(&target.text).map_err(|source| Error::Status { name, source })
    }

    /// The size of an active thin device, by the table in force; `None` if it is not active.
    pub fn thin_size(&self, uuid: Uuid) -> Result<Option<Sectors>, Error> {
        let name = thin_name(&self.spec.name, uuid)?;
        let Some(info) = self.info(&name)?.filter(|info| info.live_table) else {
            return Ok(None);
        };
        self.expect_uuid(&info, uuid)?;
        let table = read_thin_table(self.control.as_ref(), &name)?;
        Ok(table.map(|table| table.len))
    }

    /// Gives an active thin device another size. Smaller hides what is beyond it and frees nothing;
    /// the file system is the caller's business, before or after.
    pub fn resize_thin(&self, uuid: Uuid, size: Sectors) -> Result<(), Error> {
        let name = thin_name(&self.spec.name, uuid)?;
        let info = self.info(&name)?.filter(|info| info.live_table);
        let info = info.ok_or_else(|| Error::NotActive { name: name.clone() })?;
        self.expect_uuid(&info, uuid)?;
        let table = read_thin_table(self.control.as_ref(), &name)?;
        let table = table.ok_or_else(|| Error::NotActive { name: name.clone() })?;
        let line = ThinTable { len: size, ..table }.line();
        self.control
            .load(&name, &[line], info.read_only)
            .map_err(Error::control(format!("resizing {name}")))?;
        // The resume inside swaps the table in; without the suspend it would do so under IO in flight.
        let held = self.swap_suspended(uuid)?;
        tracing::debug!(device = %name, ?held, size = size.0, "resized");
        Ok(())
    }

    /// Takes a thin device down; nothing happens if it is not up. Somebody who holds it is waited for
    /// shortly (under a second), then it is [`Error::Busy`].
    pub fn deactivate_thin(&self, uuid: Uuid) -> Result<(), Error> {
        let name = thin_name(&self.spec.name, uuid)?;
        let Some(info) = self.info(&name)? else {
            self.unclaim(uuid);
            return Ok(());
        };
        self.expect_uuid(&info, uuid)?;
        // The kernel refuses to flush a suspended device away: its writes would be lost.
        if info.suspended && info.live_table {
            self.control
                .resume(&name)
                .map_err(|source| Error::LeftSuspended {
                    name: name.clone(),
                    source,
                })?;
        }
        remove(self.control.as_ref(), &name)?;
        self.unclaim(uuid);
        Ok(())
    }

    fn bring_up_thin(&self, name: &DmName, spec: &ThinSpec) -> Result<ThinDevice, Error> {
        let wanted = ThinTable {
            len: spec.size,
            pool: self.number,
            dev_id: spec.dev_id,
            external_origin: None,
        };
        let Some(info) = self.info(name)? else {
            self.control
                .create(name, &thin_uuid(self.spec.uuid, spec.uuid))
                .map_err(Error::control(format!("creating device {name}")))?;
            return self.complete_thin(name, spec, &wanted);
        };
        self.expect_uuid(&info, spec.uuid)?;
        let Some(table) = read_thin_table(self.control.as_ref(), name)? else {
            return self.complete_thin(name, spec, &wanted);
        };
        if table != wanted || info.read_only != spec.read_only {
            return Err(thin_differs(name, &info, &table, spec, &wanted));
        }
        if info.suspended {
            self.control
                .resume(name)
                .map_err(|source| Error::LeftSuspended {
                    name: name.clone(),
                    source,
                })?;
        }
        self.device(&info)
    }

    /// Gives a device its table and its node; takes it down when that fails.
    fn complete_thin(
        &self,
        name: &DmName,
        spec: &ThinSpec,
        wanted: &ThinTable,
    ) -> Result<ThinDevice, Error> {
        let control = self.control.as_ref();
        let what = || Error::control(format!("activating thin device {} as {name}", spec.dev_id));
        let attempt = || {
            control
                .load(name, &[wanted.line()], spec.read_only)
                .map_err(|source| match source.errno() {
                    Some(Errno::ENODATA) => self.unknown(spec.dev_id),
                    _ => what()(source),
                })?;
            control.resume(name).map_err(what())?;
            let info = control.info(name).map_err(what())?;
            self.device(&info.ok_or_else(|| Error::NotActive { name: name.clone() })?)
        };
        attempt().inspect_err(|_| undo_create(control, name))
    }

    fn device(&self, info: &DeviceInfo) -> Result<ThinDevice, Error> {
        let node = self
            .control
            .node(&info.name, info.number)
            .map_err(Error::control(format!("finding the node of {}", info.name)))?;
        Ok(ThinDevice {
            name: info.name.clone(),
            node,
            number: info.number,
        })
    }

    fn info(&self, name: &DmName) -> Result<Option<DeviceInfo>, Error> {
        self.control
            .info(name)
            .map_err(Error::control(format!("asking about device {name}")))
    }

    fn expect_uuid(&self, info: &DeviceInfo, uuid: Uuid) -> Result<(), Error> {
        let expected = thin_uuid(self.spec.uuid, uuid);
        if info.uuid.as_ref() == Some(&expected) {
            return Ok(());
        }
        let found = info.uuid.as_ref().map_or("none", |uuid| uuid.as_str());
        Err(Error::Differs {
            name: info.name.clone(),
            differs: format!("its dm uuid is {found}, not {expected}"),
        })
    }

    /// Notes who has this number, unless another volume has it.
    fn claim(&self, spec: &ThinSpec) -> Result<(), Error> {
        let mut active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        let holder = *active.entry(spec.dev_id).or_insert(spec.uuid);
        if holder == spec.uuid {
            return Ok(());
        }
        let name = thin_name(&self.spec.name, holder)?;
        Err(Error::ActiveElsewhere {
            dev_id: spec.dev_id,
            name,
        })
    }

    fn unclaim(&self, uuid: Uuid) {
        let mut active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        active.retain(|_, holder| *holder != uuid);
    }

    fn still_up(&self, name: &DmName) -> bool {
        // When in doubt it is up: a number kept back costs nothing, a volume active twice its data.
        self.control.info(name).map_or(true, |info| info.is_some())
    }
}

fn thin_differs(
    name: &DmName,
    info: &DeviceInfo,
    table: &ThinTable,
    spec: &ThinSpec,
    wanted: &ThinTable,
) -> Error {
    let differs = if table == wanted {
        let words = |read_only| if read_only { "read-only" } else { "writable" };
        format!(
            "it is {}, not {}",
            words(info.read_only),
            words(spec.read_only)
        )
    } else {
        format!("its table is '{}', not '{}'", table.line(), wanted.line())
    };
    Error::Differs {
        name: name.clone(),
        differs,
    }
}
