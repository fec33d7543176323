//! The engine as a value: opened over a root directory, shared by threads, closed by dropping it.

use crate::config::Config;
use crate::error::Error;
use crate::model::{
    BackupInfo, BackupOutcome, CreateVolume, Created, Info, SnapshotInfo, Verification, VolumeInfo,
};
use crate::operation::Operation;
use convoy_fault::Kind;
use convoy_names::{SnapshotName, SnapshotRef, VolumeName};
use std::path::Path;

/// stub
#[derive(Debug)]
pub struct Engine {}

fn stub<T>() -> Result<T, Error> {
    Err(Error::new(Kind::Unsupported, "not yet"))
}

#[allow(missing_docs)]
#[allow(clippy::all, unused_variables)]
impl Engine {
    pub fn open(config: Config) -> Result<Engine, Error> {
        stub()
    }
    pub fn info(&self) -> Result<Info, Error> {
        stub()
    }
    pub fn create_volume(
        &self,
        request: &CreateVolume,
        op: &Operation<'_>,
    ) -> Result<Created<VolumeInfo>, Error> {
        stub()
    }
    pub fn delete_volume(&self, name: &VolumeName, op: &Operation<'_>) -> Result<(), Error> {
        stub()
    }
    pub fn mount_volume(
        &self,
        name: &VolumeName,
        target: Option<&Path>,
        op: &Operation<'_>,
    ) -> Result<VolumeInfo, Error> {
        stub()
    }
    pub fn unmount_volume(&self, name: &VolumeName, op: &Operation<'_>) -> Result<(), Error> {
        stub()
    }
    pub fn volumes(&self) -> Result<Vec<VolumeInfo>, Error> {
        stub()
    }
    pub fn volume(&self, name: &VolumeName) -> Result<VolumeInfo, Error> {
        stub()
    }
    pub fn create_snapshot(
        &self,
        volume: &VolumeName,
        name: Option<&SnapshotName>,
        op: &Operation<'_>,
    ) -> Result<Created<SnapshotInfo>, Error> {
        stub()
    }
    pub fn delete_snapshot(&self, snapshot: &SnapshotRef, op: &Operation<'_>) -> Result<(), Error> {
        stub()
    }
    pub fn snapshots(&self, volume: Option<&VolumeName>) -> Result<Vec<SnapshotInfo>, Error> {
        stub()
    }
    pub fn snapshot(&self, snapshot: &SnapshotRef) -> Result<SnapshotInfo, Error> {
        stub()
    }
    pub fn create_backup(
        &self,
        snapshot: &SnapshotRef,
        destination: &str,
        op: &Operation<'_>,
    ) -> Result<BackupOutcome, Error> {
        stub()
    }
    pub fn delete_backup(&self, url: &str, op: &Operation<'_>) -> Result<(), Error> {
        stub()
    }
    pub fn backups(
        &self,
        destination: &str,
        volume_name: Option<&VolumeName>,
    ) -> Result<Vec<BackupInfo>, Error> {
        stub()
    }
    pub fn backup(&self, url: &str) -> Result<BackupInfo, Error> {
        stub()
    }
    pub fn verify_backup(&self, url: &str, op: &Operation<'_>) -> Result<Verification, Error> {
        stub()
    }
}
