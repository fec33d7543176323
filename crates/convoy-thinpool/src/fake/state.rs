//! What the model kernel knows: devices, and the pools that live on metadata devices.

use super::content::Content;
use super::pool::{Metadata, parse_id};
use super::{Fault, Health};
use crate::control::{BackingDevice, DeviceInfo, DeviceNumber, Listed, Operation, TargetStatus};
use crate::names::{DmName, DmUuid};
use crate::table::{LinearTable, PoolTable, TableLine, ThinTable};
use convoy_units::{Bytes, DevId};
use nix::errno::Errno;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where device-mapper's and the plugged-in devices' numbers begin.
const DM_MAJOR: u32 = 253;
const BACKING_MAJOR: u32 = 98;

#[derive(Default)]
pub(super) struct State {
    pub(super) operations: u64,
    pub(super) refused: Option<(Operation, Errno)>,
    fault: Option<(u64, Fault)>,
    dead: bool,
    backing: BTreeMap<PathBuf, BackingDevice>,
    devices: BTreeMap<DmName, Device>,
    pools: BTreeMap<DeviceNumber, Metadata>,
    next_minor: u32,
}

struct Device {
    uuid: DmUuid,
    minor: u32,
    suspended: bool,
    live: Option<Table>,
    inactive: Option<Table>,
    openers: u32,
}

#[derive(Clone)]
struct Table {
    line: TableLine,
    target: Target,
    read_only: bool,
}

#[derive(Clone)]
enum Target {
    Pool(PoolTable),
    Thin(ThinTable),
    Linear(LinearTable),
}

impl Device {
    fn number(&self) -> DeviceNumber {
        DeviceNumber {
            major: DM_MAJOR,
            minor: self.minor,
        }
    }
}

impl State {
    // -- faults and the world around

    pub(super) fn order(&mut self, count: u64, fault: Fault) {
        self.fault = Some((self.operations + count, fault));
    }

    pub(super) fn cure(&mut self) {
        self.fault = None;
        self.dead = false;
    }

    pub(super) fn counted<T>(
        &mut self,
        operation: Operation,
        act: impl FnOnce(&mut Self) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let at = self.operations;
        self.operations += 1;
        if self.dead {
            return Err(Errno::ESHUTDOWN);
        }
        if let Some((refused, errno)) = self.refused
            && refused == operation
        {
            return Err(errno);
        }
        match self.fault {
            Some((due, fault)) if due == at => {
                self.fault = None;
                self.suffer(fault, act)
            }
            _ => act(self),
        }
    }

    fn suffer<T>(
        &mut self,
        fault: Fault,
        act: impl FnOnce(&mut Self) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        match fault {
            Fault::Fail(errno) => return Err(errno),
            Fault::FailAfter(errno) => {
                act(self)?;
                return Err(errno);
            }
            Fault::DieBefore => {}
            // Nobody hears whether it worked.
            Fault::DieAfter => drop(act(self)),
        }
        self.dead = true;
        Err(Errno::ESHUTDOWN)
    }

    pub(super) fn cut_power(&mut self, keeps: &mut dyn FnMut() -> bool) {
        self.cure();
        self.devices.clear();
        for pool in self.pools.values_mut() {
            pool.store.cut_power(keeps);
        }
    }

    pub(super) fn add_backing(&mut self, path: PathBuf, size: Bytes) {
        let minor = u32::try_from(self.backing.len()).unwrap_or(u32::MAX) * 16;
        let number = DeviceNumber {
            major: BACKING_MAJOR,
            minor,
        };
        self.backing.insert(path, BackingDevice { number, size });
    }

    pub(super) fn backing(&self, path: &Path) -> Result<BackingDevice, Errno> {
        if let Some(device) = self.backing.get(path) {
            return Ok(*device);
        }
        let file = std::fs::metadata(path).map_err(|_| Errno::ENOENT)?;
        let minor = u32::try_from(file.ino() & 0xffff_ffff).unwrap_or(0);
        let number = DeviceNumber { major: 7, minor };
        Ok(BackingDevice {
            number,
            size: Bytes(file.len()),
        })
    }

    fn pool_on(&mut self, metadata: &Path) -> Option<&mut Metadata> {
        let number = self.backing(metadata).ok()?.number;
        self.pools.get_mut(&number)
    }

    pub(super) fn set_health(&mut self, metadata: &Path, health: Health) {
        if let Some(pool) = self.pool_on(metadata) {
            pool.health = health;
        }
    }

    pub(super) fn thin_ids(&mut self, metadata: &Path) -> Vec<DevId> {
        let pool = self.pool_on(metadata);
        pool.map_or_else(Vec::new, |pool| {
            pool.store.now.thins.keys().copied().collect()
        })
    }

    pub(super) fn change_openers(&mut self, name: &DmName, opened: bool) {
        if let Some(device) = self.devices.get_mut(name) {
            let openers = device.openers;
            device.openers = if opened {
                openers + 1
            } else {
                openers.saturating_sub(1)
            };
        }
    }

    /// What a metadata device says on disk: as of the last commit.
    pub(super) fn committed(&mut self, metadata: &Path) -> Option<Content> {
        Some(self.pool_on(metadata)?.store.committed.clone())
    }

    pub(super) fn set_held_root(&mut self, metadata: &Path, block: u64) {
        if let Some(pool) = self.pool_on(metadata) {
            pool.held_root = block;
        }
    }

    /// A block of the pool's own data device, if a pool has that one.
    pub(super) fn data_block(&self, data: &Path, block: u64) -> Option<Arc<[u8]>> {
        let number = self.backing(data).ok()?.number;
        let pool = self.pools.values().find(|pool| pool.data == number)?;
        Some(pool.store.data(block))
    }

    /// A thin device that takes IO: its table, and its pool.
    fn usable(&mut self, name: &DmName) -> Result<(ThinTable, &mut Metadata), Errno> {
        let device = self.devices.get(name).ok_or(Errno::ENXIO)?;
        // On a real kernel it would wait.
        if device.suspended {
            return Err(Errno::EAGAIN);
        }
        let Some(Table {
            target: Target::Thin(table),
            ..
        }) = device.live
        else {
            return Err(Errno::EIO);
        };
        let pool = self.pool_of(table.pool).ok_or(Errno::EIO)?;
        Ok((table, pool))
    }

    pub(super) fn write(
        &mut self,
        name: &DmName,
        block: u64,
        bytes: Option<&[u8]>,
    ) -> Result<(), Errno> {
        if self.info(name).is_some_and(|info| info.read_only) {
            return Err(Errno::EPERM);
        }
        let (table, pool) = self.usable(name)?;
        if block >= table.len.0.div_ceil(pool.block_size.sectors().0) {
            return Err(Errno::ENOSPC);
        }
        pool.store.write(table.dev_id, block, bytes)
    }

    pub(super) fn read(&mut self, name: &DmName, block: u64) -> Result<Option<Arc<[u8]>>, Errno> {
        let (table, pool) = self.usable(name)?;
        Ok(pool.store.block(table.dev_id, block))
    }

    pub(super) fn discard(&mut self, name: &DmName, begin: u64, end: u64) -> Result<(), Errno> {
        let (table, pool) = self.usable(name)?;
        pool.store.discard(table.dev_id, begin, end)
    }

    /// A block of a thin device by its number, up or not: what a reader of metadata and data would find.
    pub(super) fn peek(&mut self, metadata: &Path, id: DevId, block: u64) -> Option<Arc<[u8]>> {
        self.pool_on(metadata)?.store.block(id, block)
    }

    pub(super) fn named(&self, node: &Path) -> Option<DmName> {
        let mut devices = self.devices.iter();
        let (name, _) = devices.find(|(_, device)| node_of(device.number()) == node)?;
        Some(name.clone())
    }

    pub(super) fn commit_all(&mut self) {
        for pool in self.pools.values_mut() {
            pool.store.commit();
        }
    }

    // -- device-mapper

    pub(super) fn list(&self) -> Vec<Listed> {
        let listed = self.devices.iter().map(|(name, device)| Listed {
            name: name.clone(),
            number: device.number(),
            uuid: None,
        });
        listed.collect()
    }

    pub(super) fn info(&self, name: &DmName) -> Option<DeviceInfo> {
        let device = self.devices.get(name)?;
        Some(DeviceInfo {
            name: name.clone(),
            number: device.number(),
            uuid: Some(device.uuid.clone()),
            open_count: device.openers + self.users_of(device.number()),
            suspended: device.suspended,
            live_table: device.live.is_some(),
            inactive_table: device.inactive.is_some(),
            event_nr: 0,
            read_only: device.live.as_ref().is_some_and(|table| table.read_only),
        })
    }

    pub(super) fn info_by_uuid(&self, uuid: &DmUuid) -> Option<DeviceInfo> {
        let mut devices = self.devices.iter();
        let (name, _) = devices.find(|(_, device)| device.uuid == *uuid)?;
        self.info(name)
    }

    /// How many tables refer to this device.
    fn users_of(&self, number: DeviceNumber) -> u32 {
        let tables = self
            .devices
            .values()
            .flat_map(|d| d.live.iter().chain(&d.inactive));
        let users = tables.filter(|table| match &table.target {
            Target::Thin(thin) => thin.pool == number,
            Target::Pool(pool) => pool.metadata == number || pool.data == number,
            Target::Linear(linear) => linear.device == number,
        });
        u32::try_from(users.count()).unwrap_or(u32::MAX)
    }

    fn device(&mut self, name: &DmName) -> Result<&mut Device, Errno> {
        self.devices.get_mut(name).ok_or(Errno::ENXIO)
    }

    pub(super) fn create(&mut self, name: &DmName, uuid: &DmUuid) -> Result<DeviceInfo, Errno> {
        let taken = self.devices.values().any(|device| device.uuid == *uuid);
        if taken || self.devices.contains_key(name) {
            return Err(Errno::EBUSY);
        }
        let device = Device {
            uuid: uuid.clone(),
            minor: self.next_minor,
            // The kernel marks a device without a table so only once it is suspended or resumed.
            suspended: false,
            live: None,
            inactive: None,
            openers: 0,
        };
        self.next_minor += 1;
        self.devices.insert(name.clone(), device);
        self.info(name).ok_or(Errno::ENXIO)
    }

    pub(super) fn load(
        &mut self,
        name: &DmName,
        table: &[TableLine],
        read_only: bool,
    ) -> Result<(), Errno> {
        let number = self.device(name)?.number();
        let [line] = table else {
            return Err(Errno::EINVAL);
        };
        let target = match line.target.as_str() {
            "thin-pool" => self.load_pool(number, line)?,
            "thin" => self.load_thin(line)?,
            "linear" => Target::Linear(LinearTable::parse(line).map_err(|_| Errno::EINVAL)?),
            _ => return Err(Errno::EINVAL),
        };
        let table = Table {
            line: line.clone(),
            target,
            read_only,
        };
        self.device(name)?.inactive = Some(table);
        Ok(())
    }

    fn load_pool(&mut self, own: DeviceNumber, line: &TableLine) -> Result<Target, Errno> {
        let table = PoolTable::parse(line).map_err(|_| Errno::EINVAL)?;
        let taken = self.devices.values().any(|device| {
            let tables = device.live.iter().chain(&device.inactive);
            let on_it =
                |t: &Table| matches!(&t.target, Target::Pool(p) if p.metadata == table.metadata);
            device.number() != own && tables.into_iter().any(on_it)
        });
        if taken {
            return Err(Errno::EBUSY);
        }
        let pools = self.pools.entry(self.end_of(table.metadata));
        let pool = pools.or_insert_with(|| Metadata::fresh(&table));
        pool.bound(&table);
        let creating = self
            .devices
            .values()
            .all(|d| d.number() != own || d.live.is_none());
        if creating && pool.block_size != table.block_size {
            return Err(Errno::EINVAL);
        }
        Ok(Target::Pool(table))
    }

    fn load_thin(&mut self, line: &TableLine) -> Result<Target, Errno> {
        let table = ThinTable::parse(line).map_err(|_| Errno::EINVAL)?;
        let device = self
            .devices
            .values()
            .find(|device| device.number() == table.pool);
        if device.ok_or(Errno::EINVAL)?.suspended {
            return Err(Errno::EINVAL);
        }
        let pool = self.pool_of(table.pool).ok_or(Errno::EINVAL)?;
        if pool.health == Health::Failed {
            return Err(Errno::EINVAL);
        }
        if pool.store.now.thins.contains_key(&table.dev_id) {
            Ok(Target::Thin(table))
        } else {
            Err(Errno::ENODATA)
        }
    }

    /// The metadata of the pool whose own device has this number.
    fn pool_of(&mut self, number: DeviceNumber) -> Option<&mut Metadata> {
        let device = self
            .devices
            .values()
            .find(|device| device.number() == number)?;
        let Target::Pool(table) = &device.live.as_ref()?.target else {
            return None;
        };
        let metadata = self.end_of(table.metadata);
        self.pools.get_mut(&metadata)
    }

    /// The linear table in force on the device of this number.
    fn linear(&self, number: DeviceNumber) -> Option<LinearTable> {
        let mut devices = self.devices.values();
        let device = devices.find(|device| device.number() == number)?;
        match device.live.as_ref()?.target {
            Target::Linear(linear) => Some(linear),
            _ => None,
        }
    }

    /// Where a linear device leads, or the device itself.
    fn end_of(&self, number: DeviceNumber) -> DeviceNumber {
        self.linear(number).map_or(number, |linear| linear.device)
    }

    pub(super) fn suspend(&mut self, name: &DmName) -> Result<(), Errno> {
        let device = self.device(name)?;
        device.suspended = true;
        let number = device.number();
        if let Some(pool) = self.pool_of(number) {
            pool.store.commit();
        }
        Ok(())
    }

    pub(super) fn resume(&mut self, name: &DmName) -> Result<(), Errno> {
        let device = self.device(name)?;
        if let Some(table) = device.inactive.take() {
            device.live = Some(table);
        }
        if device.live.is_none() {
            return Err(Errno::EINVAL);
        }
        device.suspended = false;
        if let Some(Table {
            target: Target::Pool(table),
            ..
        }) = &device.live
        {
            // Now the kernel looks how large its metadata device is.
            let on = table.metadata;
            let (linear, end) = (self.linear(on), self.end_of(on));
            if let Some(pool) = self.pools.get_mut(&end) {
                pool.part = linear.map(|linear| linear.len.0 / 8);
            }
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, name: &DmName) -> Result<(), Errno> {
        let info = self.info(name).ok_or(Errno::ENXIO)?;
        if info.open_count > 0 {
            return Err(Errno::EBUSY);
        }
        self.devices.remove(name);
        Ok(())
    }

    pub(super) fn table(&self, name: &DmName) -> Result<Vec<TableLine>, Errno> {
        let device = self.devices.get(name).ok_or(Errno::ENXIO)?;
        Ok(device.live.iter().map(|table| table.line.clone()).collect())
    }

    pub(super) fn node(&self, name: &DmName, number: DeviceNumber) -> Result<PathBuf, Errno> {
        let device = self.devices.get(name).ok_or(Errno::ENXIO)?;
        if device.number() != number {
            return Err(Errno::ENXIO);
        }
        Ok(node_of(number))
    }

    // -- dm-thin

    pub(super) fn status(&mut self, name: &DmName) -> Result<Vec<TargetStatus>, Errno> {
        let device = self.device(name)?;
        let number = device.number();
        let Some(table) = device.live.clone() else {
            return Ok(Vec::new());
        };
        let text = match &table.target {
            Target::Pool(pool) => {
                let error = pool.error_if_no_space;
                let metadata = self.pool_of(number).ok_or(Errno::EINVAL)?;
                metadata.status(error)
            }
            Target::Thin(thin) => {
                let metadata = self.pool_of(thin.pool).ok_or(Errno::EINVAL)?;
                metadata.thin_status(thin.dev_id)
            }
            Target::Linear(_) => String::new(),
        };
        Ok(vec![TargetStatus {
            start: table.line.start,
            len: table.line.len,
            target: table.line.target,
            text,
        }])
    }

    pub(super) fn message(&mut self, name: &DmName, text: &str) -> Result<(), Errno> {
        let number = self.device(name)?.number();
        let words: Vec<&str> = text.split(' ').collect();
        if let ["delete", id] = words.as_slice() {
            self.refuse_active(number, parse_id(id)?)?;
        }
        let pool = self.pool_of(number).ok_or(Errno::EINVAL)?;
        pool.message(&words)
    }

    fn refuse_active(&self, pool: DeviceNumber, dev_id: DevId) -> Result<(), Errno> {
        let active = self.devices.values().any(|device| {
            let mut tables = device.live.iter().chain(&device.inactive);
            tables.any(
                |t| matches!(&t.target, Target::Thin(t) if t.pool == pool && t.dev_id == dev_id),
            )
        });
        if active { Err(Errno::EBUSY) } else { Ok(()) }
    }
}

fn node_of(number: DeviceNumber) -> PathBuf {
    PathBuf::from(format!("/dev/dm-{}", number.minor))
}
