//! From what a caller names to what the catalog holds, and from records to what a caller is shown.

use crate::claims::Claim;
use crate::engine::Engine;
use crate::error::{Doing, Error};
use crate::model::{SnapshotInfo, VolumeInfo, VolumeState};
use crate::pool::unnameable;
use crate::reference::only;
use convoy_catalog as catalog;
use convoy_fault::Kind;
use convoy_mount::MountEntry;
use convoy_names::{SnapshotName, SnapshotRef, VolumeName};
use convoy_thinpool::{DeviceNumber, ThinStatus, thin_name};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use uuid::Uuid;

/// What is mounted and active now, read once for a whole answer.
pub(crate) struct Kernel {
    mounts: Vec<MountEntry>,
    devices: BTreeMap<Uuid, DeviceNumber>,
}

impl Kernel {
    /// The number of a volume's device, if that is up.
    pub(crate) fn device_of(&self, volume: Uuid) -> Option<(u32, u32)> {
        self.devices
            .get(&volume)
            .map(|number| (number.major, number.minor))
    }

    /// Where a volume is mounted, by the kernel's own table: the place that was asked for, if it is
    /// mounted at several.
    pub(crate) fn mount_of(&self, volume: Uuid, wanted: Option<&Path>) -> Option<PathBuf> {
        let number = self.devices.get(&volume)?;
        let mut targets = self
            .mounts
            .iter()
            .filter(|mount| mount.device == (number.major, number.minor))
            .map(|mount| &mount.target);
        let first = targets.clone().next();
        targets
            .find(|target| Some(target.as_path()) == wanted)
            .or(first)
            .cloned()
    }
}

impl Engine {
    /// Reads what is mounted and active.
    pub(crate) fn kernel(&self) -> Result<Kernel, Error> {
        let mounts = self.machine.mounts().doing(|| "reading the mount table")?;
        let devices = self
            .pool
            .own_devices()
            .doing(|| "listing the pool's devices")?;
        let devices = devices
            .into_iter()
            .map(|device| (device.uuid, device.number))
            .collect();
        Ok(Kernel { mounts, devices })
    }

    /// The pool's record.
    pub(crate) fn pool_record(&self) -> Result<catalog::Pool, Error> {
        self.catalog
            .pool(self.pool_uuid)
            .doing(|| "reading the pool's record")?
            .ok_or_else(|| Error::new(Kind::Integrity, "the catalog has lost the pool's record"))
    }

    /// The volume of this name, or else of this UUID or beginning of one.
    pub(crate) fn find_volume(&self, name: &VolumeName) -> Result<catalog::Volume, Error> {
        let doing = || format!("looking for volume {name}");
        if let Some(volume) = self.exactly(name)? {
            return Ok(volume);
        }
        let trashed = self.trashed_uuids()?;
        let mut all = self.catalog.volumes().doing(doing)?;
        all.retain(|volume| !trashed.contains(&volume.uuid));
        only(name.as_str(), "volume", all, |volume| volume.uuid)?.ok_or_else(|| no_volume(name))
    }

    /// The volume of this name, claimed; read again under the claim, since it may have changed while we
    /// waited.
    pub(crate) fn claim_volume(
        &self,
        name: &VolumeName,
    ) -> Result<(Claim<'_>, catalog::Volume), Error> {
        let claim = self.volumes.claim(self.find_volume(name)?.uuid);
        let volume = self.find_volume(name)?;
        if volume.uuid == claim.id() {
            Ok((claim, volume))
        } else {
            Err(Error::new(
                Kind::Busy,
                format!("volume {name} was replaced in this moment"),
            ))
        }
    }

    /// The volume of this name, claimed, and usable.
    pub(crate) fn claim_ready(
        &self,
        name: &VolumeName,
    ) -> Result<(Claim<'_>, catalog::Volume), Error> {
        let (claim, volume) = self.claim_volume(name)?;
        self.refuse_overwritten(&volume)?;
        match self.state_of(&volume) {
            VolumeState::Ready => Ok((claim, self.end_rollback(volume)?)),
            VolumeState::Broken => {
                let why = self.why_broken(volume.uuid).unwrap_or_default();
                Err(Error::new(
                    Kind::Conflict,
                    format!("volume {name} is broken: {why}"),
                ))
            }
            state => Err(Error::new(
                Kind::Busy,
                format!("volume {name} is {} still", state.as_str()),
            )),
        }
    }

    /// The snapshot a caller refers to, and its volume.
    pub(crate) fn find_snapshot(
        &self,
        reference: &SnapshotRef,
    ) -> Result<(catalog::Volume, catalog::Snapshot), Error> {
        let doing = || format!("looking for snapshot {reference}");
        let missing = || {
            Error::new(
                Kind::NotFound,
                format!("cannot find volume for snapshot {reference}"),
            )
            .hinting("`convoy snapshot list` shows the snapshots there are")
        };
        let name: &SnapshotName = &reference.snapshot;
        let named = self.catalog.snapshot_by_name(name).doing(doing)?;
        let snapshot = if let Some(snapshot) = named {
            snapshot
        } else {
            let all = self.catalog.snapshots().doing(doing)?;
            let found = only(name.as_str(), "snapshot", all, |snapshot| snapshot.uuid)?;
            found.ok_or_else(missing)?
        };
        let volume = self
            .catalog
            .volume(snapshot.volume)
            .doing(doing)?
            .ok_or_else(missing)?;
        if self.is_trashed(volume.uuid)? {
            return Err(missing().hinting("its volume is in the trash: `convoy trash list`"));
        }
        match &reference.volume {
            Some(named)
                if *named != volume.name && self.find_volume(named)?.uuid != volume.uuid =>
            {
                Err(missing())
            }
            _ => Ok((volume, snapshot)),
        }
    }

    /// Where a volume is in its life, the kernel's side of it included.
    pub(crate) fn state_of(&self, volume: &catalog::Volume) -> VolumeState {
        match volume.state {
            catalog::VolumeState::Creating | catalog::VolumeState::Formatting => {
                VolumeState::Creating
            }
            catalog::VolumeState::Restoring => VolumeState::Restoring,
            catalog::VolumeState::Deleting => VolumeState::Deleting,
            catalog::VolumeState::Ready if self.why_broken(volume.uuid).is_some() => {
                VolumeState::Broken
            }
            catalog::VolumeState::Ready if self.is_overwritten(volume.uuid) => {
                VolumeState::Restoring
            }
            catalog::VolumeState::Ready => VolumeState::Ready,
        }
    }

    /// Why a volume could not be brought up.
    pub(crate) fn why_broken(&self, volume: Uuid) -> Option<String> {
        self.broken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&volume)
            .cloned()
    }

    /// A volume as a caller is shown it.
    pub(crate) fn describe_volume(
        &self,
        volume: catalog::Volume,
        kernel: &Kernel,
    ) -> Result<VolumeInfo, Error> {
        let pool = self.pool_record()?;
        let snapshots = self
            .catalog
            .snapshots_of(volume.uuid)
            .doing(|| format!("reading the snapshots of volume {}", volume.name))?;
        // A pool that cannot say how much is mapped is reported by `info`, not by every volume.
        let mapped = match self.pool.thin_status(volume.uuid) {
            Ok(ThinStatus::Working { mapped, .. }) => mapped.bytes(),
            _ => None,
        };
        let node = thin_name(&pool.name, volume.uuid).map_err(unnameable)?;
        Ok(VolumeInfo {
            uuid: volume.uuid,
            driver: pool.driver,
            pool: volume.pool,
            dev_id: volume.dev_id,
            device: Path::new("/dev/mapper").join(node.as_str()),
            size: volume.size,
            mapped,
            mountpoint: kernel.mount_of(volume.uuid, None),
            mount_options: self
                .catalog
                .mount_options(volume.uuid)
                .doing(|| format!("reading the mount options of volume {}", volume.name))?,
            state: self.state_of(&volume),
            problem: self.why_broken(volume.uuid),
            suspect: self.suspicion(volume.uuid)?.map(|suspect| suspect.why),
            snapshots: snapshots
                .into_iter()
                .map(|s| describe_snapshot(&volume, s))
                .collect(),
            name: volume.name,
            filesystem: volume.filesystem,
            created: volume.created,
            labels: volume.labels,
            restored_from: volume.restored_from,
        })
    }
}

/// A snapshot as a caller is shown it.
pub(crate) fn describe_snapshot(
    volume: &catalog::Volume,
    snapshot: catalog::Snapshot,
) -> SnapshotInfo {
    SnapshotInfo {
        uuid: snapshot.uuid,
        name: snapshot.name,
        volume: volume.uuid,
        volume_name: volume.name.clone(),
        volume_created: volume.created,
        dev_id: snapshot.dev_id,
        size: snapshot.size,
        created: snapshot.created,
        hold: snapshot.hold_micros.map(std::time::Duration::from_micros),
        labels: snapshot.labels,
    }
}

/// The original's words, which scripts match.
fn no_volume(name: &VolumeName) -> Error {
    Error::new(Kind::NotFound, format!("volume {name} doesn't exist"))
        .hinting("`convoy list` shows the volumes there are")
}
