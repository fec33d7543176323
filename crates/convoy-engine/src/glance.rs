//! Volumes as the catalog alone knows them: for callers that must be answered whatever the kernel, the pool and
//! every store do.

use crate::engine::Engine;
use crate::error::{Doing, Error};
use crate::model::VolumeState;
use convoy_catalog as catalog;
use convoy_catalog::OnRemove;
use convoy_fault::Kind;
use convoy_names::VolumeName;
use convoy_units::Bytes;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::path::PathBuf;
use uuid::Uuid;

/// A volume at a glance.
#[derive(Debug, Clone)]
pub struct Glance {
    /// Identity, UUID v7.
    pub uuid: Uuid,
    /// Label, unique among volumes.
    pub name: VolumeName,
    /// Virtual size.
    pub size: Bytes,
    /// Bytes mapped in the pool when that was last measured, some seconds ago; `None` before the first time.
    pub mapped: Option<Bytes>,
    /// `ext4` or `xfs`.
    pub filesystem: String,
    /// Where it is in its life.
    pub state: VolumeState,
    /// Why it is broken.
    pub problem: Option<String>,
    /// Why its filesystem is to be checked before it is mounted again.
    pub suspect: Option<String>,
    /// UTC.
    pub created: Timestamp,
    /// Free text of the user.
    pub labels: BTreeMap<String, String>,
    /// Where it is mounted, on record.
    pub mountpoint: Option<PathBuf>,
    /// How often engines hold it, under all ids together.
    pub holds: u64,
    /// The backup it was restored from.
    pub restored_from: Option<String>,
    /// Its snapshots.
    pub snapshots: u64,
    /// When the newest one was taken, UTC.
    pub newest_snapshot: Option<Timestamp>,
    /// When the newest backup made from here was made, UTC.
    pub newest_backup: Option<Timestamp>,
    /// What removing it means, where that was said.
    pub on_remove: Option<OnRemove>,
}

impl Engine {
    /// The volume of exactly this name, by the catalog alone: no ioctl, no mount table, no store is asked.
    ///
    /// # Errors
    /// `NotFound`; what the catalog says.
    pub fn glance(&self, name: &VolumeName) -> Result<Glance, Error> {
        let doing = || format!("looking at volume {name}");
        let volume = self
            .exactly(name)?
            .ok_or_else(|| Error::new(Kind::NotFound, format!("volume {name} doesn't exist")))?;
        let uuid = volume.uuid;
        let snapshots = self.catalog.snapshots_of(uuid).doing(doing)?;
        let backups = self.catalog.backups_of(uuid).doing(doing)?;
        let mount = self.catalog.mount(uuid).doing(doing)?;
        let holds = self.catalog.holds_of(uuid).doing(doing)?;
        Ok(Glance {
            uuid,
            size: volume.size,
            mapped: self.care.mapped(uuid),
            state: self.state_of(&volume),
            problem: self.why_broken(uuid),
            suspect: self.suspicion(uuid)?.map(|suspect| suspect.why),
            created: volume.created,
            mountpoint: mount.map(|mount| mount.target),
            holds: holds.iter().map(|hold| hold.count).sum(),
            snapshots: snapshots.len() as u64,
            newest_snapshot: snapshots.iter().map(|snapshot| snapshot.created).max(),
            newest_backup: backups.iter().map(|backup| backup.created).max(),
            on_remove: self.catalog.on_remove(uuid).doing(doing)?,
            name: volume.name,
            filesystem: volume.filesystem,
            labels: volume.labels,
            restored_from: volume.restored_from,
        })
    }

    /// Every volume there is, by name, and where it is mounted on record; by the catalog alone.
    ///
    /// # Errors
    /// What the catalog says.
    pub fn names(&self) -> Result<Vec<(VolumeName, Option<PathBuf>)>, Error> {
        let doing = || "listing volumes";
        let trashed = self.trashed_uuids()?;
        let mounts = self.catalog.mounts().doing(doing)?;
        let mut mounts: BTreeMap<Uuid, PathBuf> = mounts
            .into_iter()
            .map(|mount| (mount.volume, mount.target))
            .collect();
        let volumes = self.catalog.volumes().doing(doing)?.into_iter();
        let shown = volumes.filter(|volume| {
            !trashed.contains(&volume.uuid) && volume.state != catalog::VolumeState::Deleting
        });
        Ok(shown
            .map(|volume| (volume.name, mounts.remove(&volume.uuid)))
            .collect())
    }

    /// Says what a container engine's removal of a volume means.
    ///
    /// # Errors
    /// `NotFound`; what the catalog says.
    pub fn set_on_remove(&self, name: &VolumeName, on_remove: OnRemove) -> Result<(), Error> {
        self.refuse_read_only()?;
        let (_claim, volume) = self.claim_exactly(name)?;
        let volume = volume.uuid;
        let change = catalog::Change::PutOnRemove { volume, on_remove };
        self.catalog
            .apply(&[change])
            .doing(|| format!("recording what removing volume {name} means"))
    }
}
