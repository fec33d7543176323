//! What the log tells of backups and volumes.

use super::Repository;
use crate::error::Error;
use crate::fold::{Fold, Status};
use crate::record::{BackupRecord, VolumeRecord};
use uuid::Uuid;

impl Repository {
    /// The live backups, in the order of their commits.
    pub fn backups(&self) -> Vec<BackupRecord> {
        let live = |fold: &Fold| -> Vec<BackupRecord> {
            let live = fold
                .all_backups()
                .filter(|stored| stored.status == Status::Live);
            live.map(|stored| stored.record.clone()).collect()
        };
        let mut backups = self.inner.log.with_fold(live);
        backups.sort_by_key(|backup| backup.slot);
        backups
    }

    /// A live backup by its id.
    pub fn backup(&self, id: Uuid) -> Result<BackupRecord, Error> {
        self.find(|backup| backup.id == id)
            .ok_or_else(|| Error::NoBackup(id.to_string()))
    }

    /// A live backup by its name. Nothing keeps two writers from one name but its 64 random bits:
    /// `Invalid` if there are several.
    pub fn backup_by_name(&self, name: &str) -> Result<BackupRecord, Error> {
        let shown = || -> String { name.chars().take(64).collect() };
        let found = self
            .find(|backup| backup.name == name)
            .ok_or_else(|| Error::NoBackup(shown()))?;
        match self.find(|backup| backup.name == name && backup.id != found.id) {
            None => Ok(found),
            Some(other) => Err(Error::Invalid(format!(
                "backups {} and {} are both called {}: choose one by its id",
                found.id,
                other.id,
                shown()
            ))),
        }
    }

    /// The live backup that an operation made, if it did.
    pub fn backup_by_op(&self, op: Uuid) -> Option<BackupRecord> {
        self.find(|backup| backup.op == op)
    }

    fn find(&self, is: impl Fn(&BackupRecord) -> bool) -> Option<BackupRecord> {
        self.inner.log.with_fold(|fold| {
            let mut live = fold
                .all_backups()
                .filter(|stored| stored.status == Status::Live);
            live.find(|stored| is(&stored.record))
                .map(|stored| stored.record.clone())
        })
    }

    /// The volumes that were ever backed up here.
    pub fn volumes(&self) -> Vec<VolumeRecord> {
        self.inner
            .log
            .with_fold(|fold| fold.volumes().cloned().collect())
    }

    /// A copy of the whole state of the log.
    pub fn fold(&self) -> Fold {
        self.inner.log.with_fold(Fold::clone)
    }
}
