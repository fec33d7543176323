//! The model of device mapper, whose metadata snapshots are where the model's metadata has them.

use crate::desk::{BLOCKS, METADATA};
use convoy_thinpool::fake::FakeKernel;
use convoy_thinpool::{
    BackingDevice, Control, ControlError, DeviceInfo, DeviceNumber, DmName, DmUuid, Listed,
    Suspend, TableLine, TargetStatus,
};
use convoy_units::{DataBlockSize, Sectors};
use std::path::{Path, PathBuf};

/// A model kernel's device mapper.
pub(crate) struct Holding(pub(crate) FakeKernel);

impl Control for Holding {
    fn list(&self) -> Result<Vec<Listed>, ControlError> {
        self.0.list()
    }

    fn info(&self, name: &DmName) -> Result<Option<DeviceInfo>, ControlError> {
        self.0.info(name)
    }

    fn info_by_uuid(&self, uuid: &DmUuid) -> Result<Option<DeviceInfo>, ControlError> {
        self.0.info_by_uuid(uuid)
    }

    fn create(&self, name: &DmName, uuid: &DmUuid) -> Result<DeviceInfo, ControlError> {
        self.0.create(name, uuid)
    }

    fn load(&self, name: &DmName, table: &[TableLine], ro: bool) -> Result<(), ControlError> {
        self.0.load(name, table, ro)
    }

    fn suspend(&self, name: &DmName, how: Suspend) -> Result<(), ControlError> {
        self.0.suspend(name, how)
    }

    fn resume(&self, name: &DmName) -> Result<(), ControlError> {
        self.0.resume(name)
    }

    fn resume_by_uuid(&self, uuid: &DmUuid) -> Result<(), ControlError> {
        self.0.resume_by_uuid(uuid)
    }

    fn remove(&self, name: &DmName) -> Result<(), ControlError> {
        self.0.remove(name)
    }

    fn table(&self, name: &DmName) -> Result<Vec<TableLine>, ControlError> {
        self.0.table(name)
    }

    fn status(&self, name: &DmName) -> Result<Vec<TargetStatus>, ControlError> {
        self.0.status(name)
    }

    fn message(&self, name: &DmName, text: &str) -> Result<(), ControlError> {
        self.0.message(name, text)?;
        if text == "reserve_metadata_snap" {
            let content = self.0.committed(Path::new(METADATA)).unwrap_or_default();
            let block = DataBlockSize::new(Sectors(128)).unwrap();
            let image = convoy_simulation::image(&content, BLOCKS, block);
            let held = image.held_root.expect("it was reserved");
            self.0.set_held_root(Path::new(METADATA), held);
        }
        Ok(())
    }

    fn node(&self, name: &DmName, number: DeviceNumber) -> Result<PathBuf, ControlError> {
        self.0.node(name, number)
    }

    fn backing(&self, path: &Path) -> Result<BackingDevice, ControlError> {
        self.0.backing(path)
    }
}
