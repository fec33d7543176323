//! Device mapper as a process sees it: the model kernel, until the process is dead; and what must never be asked of it.

use crate::image::image;
use crate::planted::Planted;
use crate::world::World;
use convoy_thinpool::fake::FakeKernel;
use convoy_thinpool::{
    BackingDevice, Control, ControlError, DeviceInfo, DeviceNumber, DmName, DmUuid, Listed,
    Operation, PoolTable, Suspend, TableLine, TargetStatus, ThinTable,
};
use convoy_units::{DataBlockSize, DevId, Sectors};
use nix::errno::Errno;
use std::path::{Path, PathBuf};
use std::sync::Weak;

pub(crate) struct SimControl {
    pub(crate) world: Weak<World>,
    pub(crate) host: usize,
    pub(crate) kernel: FakeKernel,
}

impl SimControl {
    /// A request that changes something: of a dead process, none does.
    fn alive(
        &self,
        operation: Operation,
        device: &dyn std::fmt::Display,
    ) -> Result<(), ControlError> {
        let dead = self
            .world
            .upgrade()
            .is_none_or(|world| world.is_dead(self.host));
        if dead {
            return Err(ControlError::Ioctl {
                operation,
                device: device.to_string(),
                errno: Errno::ESHUTDOWN,
            });
        }
        Ok(())
    }

    fn planted(&self, planted: Planted) -> bool {
        self.world
            .upgrade()
            .is_some_and(|world| world.planted == Some(planted))
    }

    fn violation(&self, what: String) {
        if let Some(world) = self.world.upgrade() {
            world.violation(what);
        }
    }

    /// Messages have rules of their own, whoever sends them.
    fn watch(&self, text: &str) {
        let Some(world) = self.world.upgrade() else {
            return;
        };
        let words: Vec<&str> = text.split(' ').collect();
        let id = |text: &str| text.parse().ok().and_then(|id| DevId::new(id).ok());
        let (made, origin) = match words.as_slice() {
            ["create_thin", made] => (id(made), None),
            ["create_snap", made, origin] => (id(made), id(origin)),
            ["delete", _] => (None, None),
            _ => return,
        };
        let mut watch = world.host(self.host).watch();
        if !watch.intent {
            self.violation(format!("'{text}' was sent without an intent"));
        }
        if let Some(made) = made
            && !watch.made.insert(made)
        {
            self.violation(format!("device id {made} was given twice"));
        }
        if let Some(origin) = origin
            && self.runs(origin)
        {
            self.violation(format!("'{text}' was sent while its origin runs"));
        }
    }

    /// Whether a thin device is active and not suspended.
    fn runs(&self, id: DevId) -> bool {
        let names = self.kernel.list().unwrap_or_default();
        names.into_iter().any(|listed| {
            let table = self.kernel.table(&listed.name).unwrap_or_default();
            let thin = table.first().and_then(|line| ThinTable::parse(line).ok());
            let info = self.kernel.info(&listed.name).ok().flatten();
            thin.is_some_and(|thin| thin.dev_id == id) && info.is_some_and(|info| !info.suspended)
        })
    }

    /// The metadata snapshot is written out for those who read it.
    fn reserved(&self, name: &DmName) {
        let Some(world) = self.world.upgrade() else {
            return;
        };
        let host = world.host(self.host);
        let table = self.kernel.table(name).unwrap_or_default();
        let blocks = table
            .first()
            .and_then(|line| PoolTable::parse(line).ok())
            .map_or(0, |pool| pool.len.0 / pool.block_size.sectors().0);
        let Some(content) = self.kernel.committed(&host.metadata) else {
            return;
        };
        let image = image(&content, blocks, block_size());
        if let Some(root) = image.held_root {
            self.kernel.set_held_root(&host.metadata, root);
        }
        host.machine().image = Some(image.bytes);
    }
}

/// The pools' block size.
pub(crate) fn block_size() -> DataBlockSize {
    DataBlockSize::new(Sectors(128)).expect("128 sectors are the least")
}

impl Control for SimControl {
    fn list(&self) -> Result<Vec<Listed>, ControlError> {
        self.kernel.list()
    }

    fn info(&self, name: &DmName) -> Result<Option<DeviceInfo>, ControlError> {
        self.kernel.info(name)
    }

    fn info_by_uuid(&self, uuid: &DmUuid) -> Result<Option<DeviceInfo>, ControlError> {
        self.kernel.info_by_uuid(uuid)
    }

    fn create(&self, name: &DmName, uuid: &DmUuid) -> Result<DeviceInfo, ControlError> {
        self.alive(Operation::Create, name)?;
        self.kernel.create(name, uuid)
    }

    fn load(
        &self,
        name: &DmName,
        table: &[TableLine],
        read_only: bool,
    ) -> Result<(), ControlError> {
        self.alive(Operation::Load, name)?;
        self.kernel.load(name, table, read_only)
    }

    fn suspend(&self, name: &DmName, how: Suspend) -> Result<(), ControlError> {
        self.alive(Operation::Suspend, name)?;
        if self.planted(Planted::SuspendForgotten) {
            return Ok(());
        }
        self.kernel.suspend(name, how)
    }

    fn resume(&self, name: &DmName) -> Result<(), ControlError> {
        // A dead process resumes nothing, and is not let wait for it.
        if self.alive(Operation::Resume, name).is_err() {
            return Ok(());
        }
        let info = self.kernel.info(name)?;
        let held = info.is_some_and(|info| info.suspended && info.live_table);
        if held && self.planted(Planted::ResumeForgotten) {
            return Ok(());
        }
        self.kernel.resume(name)
    }

    fn resume_by_uuid(&self, uuid: &DmUuid) -> Result<(), ControlError> {
        self.alive(Operation::Resume, uuid)?;
        self.kernel.resume_by_uuid(uuid)
    }

    fn remove(&self, name: &DmName) -> Result<(), ControlError> {
        self.alive(Operation::Remove, name)?;
        self.kernel.remove(name)
    }

    fn table(&self, name: &DmName) -> Result<Vec<TableLine>, ControlError> {
        self.kernel.table(name)
    }

    fn status(&self, name: &DmName) -> Result<Vec<TargetStatus>, ControlError> {
        let mut targets = self.kernel.status(name)?;
        if self.planted(Planted::TransactionIgnored)
            && let Some(world) = self.world.upgrade()
            && world.host(self.host).watch().intent
            && world.host(self.host).is_opening()
        {
            for target in targets.iter_mut().filter(|t| t.target == "thin-pool") {
                moved_on(&mut target.text);
            }
        }
        Ok(targets)
    }

    fn message(&self, name: &DmName, text: &str) -> Result<(), ControlError> {
        self.alive(Operation::Message, name)?;
        self.watch(text);
        let undo = text.starts_with("delete") && self.planted(Planted::DeleteForgotten);
        let release =
            text == "release_metadata_snap" && self.planted(Planted::MetadataSnapshotKept);
        if undo || release {
            return Ok(());
        }
        self.kernel.message(name, text)?;
        if text == "reserve_metadata_snap" {
            self.reserved(name);
        }
        Ok(())
    }

    fn node(&self, name: &DmName, number: DeviceNumber) -> Result<PathBuf, ControlError> {
        self.kernel.node(name, number)
    }

    fn backing(&self, path: &Path) -> Result<BackingDevice, ControlError> {
        self.kernel.backing(path)
    }
}

/// The next transaction id in place of the true one.
fn moved_on(text: &mut String) {
    if let Some((id, rest)) = text.split_once(' ')
        && let Ok(id) = id.parse::<u64>()
    {
        *text = format!("{} {rest}", id + 1);
    }
}
