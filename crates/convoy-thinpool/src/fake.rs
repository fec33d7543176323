//! A model of device-mapper and dm-thin under the kernel's rules, with faults to order.
//!
//! It keeps what a pool keeps (device ids, the transaction id, the held root, its mode) and refuses
//! with the error numbers the kernel was seen to use (6.1), so that everything above [`Control`] can
//! be tested without a kernel. It keeps the bytes of data blocks, loses what a power cut loses, and tells what
//! its metadata holds, so that whoever needs can write that out as the kernel would. The suite in `conformance` runs on
//! it and on the kernel alike.

use crate::control::{
    BackingDevice, Control, ControlError, DeviceInfo, DeviceNumber, Listed, Operation, Suspend,
    TargetStatus,
};
use crate::names::{DmName, DmUuid};
use crate::table::TableLine;
use convoy_units::{Bytes, DevId};
use nix::errno::Errno;
use state::State;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

mod content;
mod pool;
mod state;

pub use content::{Content, Mappings, Thin};

/// How sick a pool is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Health {
    /// Not at all.
    #[default]
    Writable,
    /// No free data block.
    OutOfDataSpace,
    /// Its metadata cannot change.
    ReadOnly,
    /// As read-only, and it wants a check.
    NeedsCheck,
    /// Unusable.
    Failed,
}

/// A fault to order: what happens to the operation at a given count from now (0 is the next one).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails with this error and has no effect; later ones work.
    Fail(Errno),
    /// It has its effect and fails with this error, as when only its answer was lost; later ones work.
    FailAfter(Errno),
    /// It has no effect, and it and all later ones fail: our process died before it.
    DieBefore,
    /// It has its effect, and it and all later ones fail: our process died before it heard.
    DieAfter,
}

/// The model. Clones are handles to the same kernel; it outlives any `Pool` above it, as a kernel does.
#[derive(Clone, Default)]
pub struct FakeKernel {
    state: Arc<Mutex<State>>,
}

impl std::fmt::Debug for FakeKernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FakeKernel")
    }
}

impl FakeKernel {
    /// A kernel with no devices.
    pub fn new() -> Self {
        Self::default()
    }

    /// Plugs in a blank device under a path. A regular file at a path needs no plugging in.
    pub fn add_device(&self, path: impl Into<PathBuf>, size: Bytes) {
        self.lock().add_backing(path.into(), size);
    }

    /// Orders a fault for the operation `count` operations from now; one at a time.
    pub fn inject(&self, count: u64, fault: Fault) {
        self.lock().order(count, fault);
    }

    /// Refuses every operation of a kind with this error from now on; `None` ends it.
    pub fn refuse(&self, operation: Operation, errno: Option<Errno>) {
        self.lock().refused = errno.map(|errno| (operation, errno));
    }

    /// Our process was started again: operations work, the kernel is as it was.
    pub fn restart_process(&self) {
        self.lock().cure();
    }

    /// How many operations there were.
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// Cuts the power: every device is gone, pools fall back to their last commit.
    pub fn cut_power(&self) {
        self.lock().cut_power(&mut || false);
    }

    /// [`FakeKernel::cut_power`] where blocks that were overwritten in place since the last commit may have reached the
    /// disk: `keeps` is asked for each.
    pub fn cut_power_keeping(&self, mut keeps: impl FnMut() -> bool) {
        self.lock().cut_power(&mut keeps);
    }

    /// Makes the pool on this metadata device sick, or well again.
    pub fn set_health(&self, metadata: &Path, health: Health) {
        self.lock().set_health(metadata, health);
    }

    /// Somebody opens a device (a mount), which keeps it from being removed.
    pub fn open(&self, name: &DmName) {
        self.lock().change_openers(name, true);
    }

    /// They close it.
    pub fn close(&self, name: &DmName) {
        self.lock().change_openers(name, false);
    }

    /// Writes a whole block of an active thin device, uncommitted until the next commit. Zeros without `bytes`.
    ///
    /// # Errors
    /// `EAGAIN` while it is suspended, where a kernel would let the writer wait; `EPERM` if it is read-only;
    /// `ENOSPC` past its end or in a full pool; `ENXIO` if it is not there.
    pub fn write_block(
        &self,
        name: &DmName,
        block: u64,
        bytes: Option<&[u8]>,
    ) -> Result<(), Errno> {
        self.lock().write(name, block, bytes)
    }

    /// A block of an active thin device; `None` where nothing is mapped, which reads as zeros.
    ///
    /// # Errors
    /// As [`FakeKernel::write_block`].
    pub fn read_block(&self, name: &DmName, block: u64) -> Result<Option<Arc<[u8]>>, Errno> {
        self.lock().read(name, block)
    }

    /// Unmaps the blocks `begin..end` of an active thin device.
    ///
    /// # Errors
    /// As [`FakeKernel::write_block`].
    pub fn discard_blocks(&self, name: &DmName, begin: u64, end: u64) -> Result<(), Errno> {
        self.lock().discard(name, begin, end)
    }

    /// A block of a thin device by its number in the pool on this metadata device, whether it is up or not.
    pub fn peek(&self, metadata: &Path, dev_id: DevId, block: u64) -> Option<Arc<[u8]>> {
        self.lock().peek(metadata, dev_id, block)
    }

    /// A block of a pool's data device; `None` if no pool has that device.
    pub fn data_block(&self, data: &Path, block: u64) -> Option<Arc<[u8]>> {
        self.lock().data_block(data, block)
    }

    /// What a metadata device says on disk, as of the last commit; `None` if there is no pool on it.
    pub fn committed(&self, metadata: &Path) -> Option<Content> {
        self.lock().committed(metadata)
    }

    /// Tells where the held root lies in the metadata as somebody wrote it out: the status will say so.
    pub fn set_held_root(&self, metadata: &Path, block: u64) {
        self.lock().set_held_root(metadata, block);
    }

    /// The device that this path opens, if it is one of device mapper's.
    pub fn named(&self, node: &Path) -> Option<DmName> {
        self.lock().named(node)
    }

    /// Commits, as the kernel does once a second.
    pub fn commit(&self) {
        self.lock().commit_all();
    }

    /// The thin devices of the pool on this metadata device, as a reader of its metadata finds them.
    pub fn thin_ids(&self, metadata: &Path) -> Vec<DevId> {
        self.lock().thin_ids(metadata)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run<T>(
        &self,
        operation: Operation,
        device: &dyn std::fmt::Display,
        act: impl FnOnce(&mut State) -> Result<T, Errno>,
    ) -> Result<T, ControlError> {
        let mut state = self.lock();
        state
            .counted(operation, act)
            .map_err(|errno| ControlError::ioctl(operation, device, errno))
    }
}

impl Control for FakeKernel {
    fn list(&self) -> Result<Vec<Listed>, ControlError> {
        self.run(Operation::List, &"all", |state| Ok(state.list()))
    }

    fn info(&self, name: &DmName) -> Result<Option<DeviceInfo>, ControlError> {
        self.run(Operation::Info, name, |state| Ok(state.info(name)))
    }

    fn info_by_uuid(&self, uuid: &DmUuid) -> Result<Option<DeviceInfo>, ControlError> {
        self.run(Operation::Info, uuid, |state| Ok(state.info_by_uuid(uuid)))
    }

    fn create(&self, name: &DmName, uuid: &DmUuid) -> Result<DeviceInfo, ControlError> {
        self.run(Operation::Create, name, |state| state.create(name, uuid))
    }

    fn load(
        &self,
        name: &DmName,
        table: &[TableLine],
        read_only: bool,
    ) -> Result<(), ControlError> {
        self.run(Operation::Load, name, |state| {
            state.load(name, table, read_only)
        })
    }

    fn suspend(&self, name: &DmName, _how: Suspend) -> Result<(), ControlError> {
        self.run(Operation::Suspend, name, |state| state.suspend(name))
    }

    fn resume(&self, name: &DmName) -> Result<(), ControlError> {
        self.run(Operation::Resume, name, |state| state.resume(name))
    }

    fn resume_by_uuid(&self, uuid: &DmUuid) -> Result<(), ControlError> {
        self.run(Operation::Resume, uuid, |state| {
            let name = state.info_by_uuid(uuid).ok_or(Errno::ENXIO)?.name;
            state.resume(&name)
        })
    }

    fn remove(&self, name: &DmName) -> Result<(), ControlError> {
        self.run(Operation::Remove, name, |state| state.remove(name))
    }

    fn table(&self, name: &DmName) -> Result<Vec<TableLine>, ControlError> {
        self.run(Operation::Table, name, |state| state.table(name))
    }

    fn status(&self, name: &DmName) -> Result<Vec<TargetStatus>, ControlError> {
        self.run(Operation::Status, name, |state| state.status(name))
    }

    fn message(&self, name: &DmName, text: &str) -> Result<(), ControlError> {
        self.run(Operation::Message, name, |state| state.message(name, text))
    }

    fn node(&self, name: &DmName, number: DeviceNumber) -> Result<PathBuf, ControlError> {
        self.run(Operation::Node, name, |state| state.node(name, number))
    }

    fn backing(&self, path: &Path) -> Result<BackingDevice, ControlError> {
        self.run(Operation::Open, &path.display(), |state| {
            state.backing(path)
        })
    }
}
