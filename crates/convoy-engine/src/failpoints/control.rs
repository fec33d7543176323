//! Device mapper with a point before and after every ioctl that changes something.

use super::Steps;
use convoy_thinpool::{
    BackingDevice, Control, ControlError, DeviceInfo, DeviceNumber, DmName, DmUuid, Listed,
    Operation, Suspend, TableLine, TargetStatus,
};
use nix::errno::Errno;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) struct SteppedControl {
    pub(super) steps: Steps,
    pub(super) control: Arc<dyn Control>,
}

impl SteppedControl {
    fn step<T>(
        &self,
        step: &str,
        operation: Operation,
        device: &dyn std::fmt::Display,
        act: impl FnOnce() -> Result<T, ControlError>,
    ) -> Result<T, ControlError> {
        let failed = |_| ControlError::Ioctl {
            operation,
            device: device.to_string(),
            errno: Errno::ENOMEM,
        };
        self.steps.around(step, failed, act)
    }
}

impl Control for SteppedControl {
    fn list(&self) -> Result<Vec<Listed>, ControlError> {
        self.control.list()
    }

    fn info(&self, name: &DmName) -> Result<Option<DeviceInfo>, ControlError> {
        self.control.info(name)
    }

    fn info_by_uuid(&self, uuid: &DmUuid) -> Result<Option<DeviceInfo>, ControlError> {
        self.control.info_by_uuid(uuid)
    }

    fn create(&self, name: &DmName, uuid: &DmUuid) -> Result<DeviceInfo, ControlError> {
        self.step("dm.create", Operation::Create, name, || {
            self.control.create(name, uuid)
        })
    }

    fn load(
        &self,
        name: &DmName,
        table: &[TableLine],
        read_only: bool,
    ) -> Result<(), ControlError> {
        self.step("dm.load", Operation::Load, name, || {
            self.control.load(name, table, read_only)
        })
    }

    fn suspend(&self, name: &DmName, how: Suspend) -> Result<(), ControlError> {
        self.step("dm.suspend", Operation::Suspend, name, || {
            self.control.suspend(name, how)
        })
    }

    fn resume(&self, name: &DmName) -> Result<(), ControlError> {
        self.step("dm.resume", Operation::Resume, name, || {
            self.control.resume(name)
        })
    }

    fn resume_by_uuid(&self, uuid: &DmUuid) -> Result<(), ControlError> {
        self.step("dm.resume", Operation::Resume, uuid, || {
            self.control.resume_by_uuid(uuid)
        })
    }

    fn remove(&self, name: &DmName) -> Result<(), ControlError> {
        self.step("dm.remove", Operation::Remove, name, || {
            self.control.remove(name)
        })
    }

    fn table(&self, name: &DmName) -> Result<Vec<TableLine>, ControlError> {
        self.control.table(name)
    }

    fn status(&self, name: &DmName) -> Result<Vec<TargetStatus>, ControlError> {
        self.control.status(name)
    }

    fn message(&self, name: &DmName, text: &str) -> Result<(), ControlError> {
        let word = text.split(' ').next().unwrap_or_default();
        self.step(&format!("dm.{word}"), Operation::Message, name, || {
            self.control.message(name, text)
        })
    }

    fn node(&self, name: &DmName, number: DeviceNumber) -> Result<PathBuf, ControlError> {
        self.step("dm.node", Operation::Node, name, || {
            self.control.node(name, number)
        })
    }

    fn backing(&self, path: &Path) -> Result<BackingDevice, ControlError> {
        self.control.backing(path)
    }
}
