//! Mounting and unmounting volumes. The kernel's mount table is the truth; the catalog says what should be
//! mounted after a restart.

use super::{parse_filesystem, repair_hint};
use crate::engine::Engine;
use crate::error::{Doing, Error};
use crate::model::VolumeInfo;
use crate::operation::Operation;
use crate::root::make_directory;
use convoy_catalog as catalog;
use convoy_catalog::Change;
use convoy_fault::Kind;
use convoy_mount::{Checked, Filesystem, MountOptions};
use convoy_names::VolumeName;
use jiff::Timestamp;
use std::path::{Path, PathBuf};

impl Engine {
    /// Mounts a volume, at `target` (an existing directory) or at a place of its own under the root, and
    /// remembers that it should be mounted after a restart. Mounting it again where it is changes nothing.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it is mounted elsewhere or broken; `Busy` while it is being made;
    /// `Invalid` for a target that is no directory.
    pub fn mount_volume(
        &self,
        name: &VolumeName,
        target: Option<&Path>,
        op: &Operation<'_>,
    ) -> Result<VolumeInfo, Error> {
        self.refuse_read_only()?;
        let (_claim, volume) = self.claim_ready(name)?;
        let _span = tracing::info_span!("mount", volume = %name, operation = %op.id).entered();
        let target = self.mount_target(&volume, target)?;
        self.refuse_elsewhere(&volume, &target)?;
        self.mount_at(&volume, &target)?;
        self.record_mount(&volume, target.clone())?;
        tracing::info!(target = %target.display(), "volume mounted");
        self.describe_volume(volume, &self.kernel()?)
    }

    /// Records that a volume is mounted, and is to be after a restart.
    pub(crate) fn record_mount(
        &self,
        volume: &catalog::Volume,
        target: PathBuf,
    ) -> Result<(), Error> {
        let mount = catalog::Mount {
            volume: volume.uuid,
            target,
            wanted: true,
            boot: self.machine.boot_id(),
            created: Timestamp::now(),
        };
        self.catalog
            .apply(&[Change::PutMount(mount)])
            .doing(|| format!("recording that volume {} is mounted", volume.name))
    }

    /// Mounts a volume at a directory, unless it is mounted there.
    pub(crate) fn mount_at(&self, volume: &catalog::Volume, target: &Path) -> Result<(), Error> {
        self.refuse_overwritten(volume)?;
        let device = self.activate(volume)?;
        let grows = self.lags(volume, &device);
        if self
            .kernel()?
            .mount_of(volume.uuid, Some(target))
            .as_deref()
            == Some(target)
        {
            if grows {
                self.grow_to_fit(volume, &device, target);
            }
            return Ok(());
        }
        let filesystem = parse_filesystem(&volume.filesystem)?;
        let options = self.mount_options(volume, filesystem)?;
        let checked = match self.clear_for_mount(volume, &device.node, filesystem, target)? {
            Some(checked) => Some(checked),
            None => self.preen(volume, &device.node, filesystem)?,
        };
        self.steps.run("mount", || {
            self.machine
                .mount(&device.node, target, filesystem, &options)
                .map_err(|error| {
                    let damaged = matches!(error, convoy_mount::Error::Damaged { .. });
                    let what = format!("mounting volume {} at {}", volume.name, target.display());
                    let error = Error::of(what, error);
                    if damaged {
                        return error.hinting(repair_hint(volume, &device.node, filesystem));
                    }
                    error
                })
        })?;
        if checked == Some(Checked::Repaired) {
            // e2fsck makes this directory anew where it is missing, as it is in volumes of ours. What was saved
            // into it stays: only an empty one can be removed.
            std::fs::remove_dir(target.join("lost+found")).ok();
        }
        if grows {
            self.grow_to_fit(volume, &device, target);
        }
        Ok(())
    }

    /// What a volume is mounted with, always.
    fn mount_options(
        &self,
        volume: &catalog::Volume,
        filesystem: Filesystem,
    ) -> Result<MountOptions, Error> {
        let doing = || format!("reading the mount options of volume {}", volume.name);
        let words = self.catalog.mount_options(volume.uuid).doing(doing)?;
        let options = MountOptions::of(filesystem, &words).doing(doing)?;
        // Volumes are told apart by their devices: two that were restored of one backup, or a volume and a clone
        // of it, hold the same filesystem, and xfs would not mount the second.
        Ok(MountOptions {
            nouuid: true,
            ..options
        })
    }

    /// Refuses to mount a volume at a second place.
    fn refuse_elsewhere(&self, volume: &catalog::Volume, target: &Path) -> Result<(), Error> {
        let name = &volume.name;
        match self.kernel()?.mount_of(volume.uuid, Some(target)) {
            Some(at) if at != target => {
                let (at, target) = (at.display(), target.display());
                let what = format!(
                    "Volume {name} was already mounted at {at}, but asked to mount at {target}"
                );
                Err(Error::new(Kind::Conflict, what).hinting(format!(
                    "`convoy umount {name}` first, or use it where it is"
                )))
            }
            _ => Ok(()),
        }
    }

    /// Mounts a volume where it was before a restart, if that is the same place still: a path that leads
    /// elsewhere now may have been bent by whoever owns a folder on the way.
    pub(crate) fn mount_again(&self, volume: &catalog::Volume, target: &Path) -> Result<(), Error> {
        let at = target.display();
        if target == self.root.mount_point(volume.uuid) {
            make_directory(target)?;
        }
        let now = target
            .canonicalize()
            .doing(|| format!("looking for mount point {at} of volume {}", volume.name))?;
        if now != target {
            let what = format!(
                "mount point {at} of volume {} leads to {} now",
                volume.name,
                now.display()
            );
            return Err(Error::new(Kind::Conflict, what));
        }
        self.refuse_elsewhere(volume, target)?;
        self.mount_at(volume, target)
    }

    fn mount_target(
        &self,
        volume: &catalog::Volume,
        asked: Option<&Path>,
    ) -> Result<PathBuf, Error> {
        let Some(asked) = asked else {
            let own = self.root.mount_point(volume.uuid);
            self.steps.run("mkdir", || make_directory(&own))?;
            return Ok(own);
        };
        let unusable = |why: &dyn std::fmt::Display| {
            let what = format!(
                "cannot mount volume {} at {}: {why}",
                volume.name,
                asked.display()
            );
            Error::new(Kind::Invalid, what)
                .hinting("name an existing directory by its absolute path")
        };
        if !asked.is_absolute() {
            return Err(unusable(&"it is not an absolute path"));
        }
        let target = asked.canonicalize().map_err(|error| unusable(&error))?;
        if target.is_dir() {
            Ok(target)
        } else {
            Err(unusable(&"it is not a directory"))
        }
    }

    /// Unmounts a volume, wherever it is mounted. Unmounting one that is not mounted is no error.
    ///
    /// # Errors
    /// `NotFound`; `Busy` naming who holds it.
    pub fn unmount_volume(&self, name: &VolumeName, op: &Operation<'_>) -> Result<(), Error> {
        self.refuse_read_only()?;
        let (_claim, volume) = self.claim_volume(name)?;
        let _span = tracing::info_span!("umount", volume = %name, operation = %op.id).entered();
        self.refuse_held(&volume)?;
        self.unmount_all(&volume)?;
        self.catalog
            .apply(&[Change::RemoveMount(volume.uuid)])
            .doing(|| format!("recording that volume {name} is not mounted"))
    }

    /// Unmounts a volume from every place it is mounted at in this mount namespace.
    pub(crate) fn unmount_all(&self, volume: &catalog::Volume) -> Result<(), Error> {
        loop {
            let kernel = self.kernel()?;
            let (Some(target), Some(device)) = (
                kernel.mount_of(volume.uuid, None),
                kernel.device_of(volume.uuid),
            ) else {
                return Ok(());
            };
            // Not mounted any more: somebody else was quicker, and the table is read again.
            let _either_way = self.steps.run("umount", || {
                self.machine.unmount(&target, device).doing(|| {
                    format!(
                        "unmounting volume {} from {}",
                        volume.name,
                        target.display()
                    )
                })
            })?;
        }
    }
}
