//! The verbs on volumes: create, delete, mount, unmount, list, inspect.

use crate::engine::Engine;
use crate::error::{Doing, Error};
use crate::model::{CreateVolume, Created, VolumeInfo};
use crate::operation::{Operation, Phase};
use crate::restore::{Source, fill};
use crate::root::make_directory;
use crate::snapshot::snapshot_spec;
use convoy_catalog as catalog;
use convoy_catalog::{Action, Change};
use convoy_fault::Kind;
use convoy_mount::{Filesystem, MakeOptions, MountOptions};
use convoy_names::VolumeName;
use convoy_thinpool::{Discards, ThinDevice, ThinSpec, blockdev};
use convoy_units::{ByteRange, Bytes, DevId, Sectors};
use jiff::Timestamp;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// The original's automatic names: a word and 16 hexadecimal digits.
pub(crate) fn automatic_name<N>(word: &str, uuid: Uuid) -> N
where
    N: std::str::FromStr<Err: std::fmt::Debug>,
{
    let (_, random) = uuid.as_u64_pair();
    format!("{word}-{random:016x}")
        .parse()
        .expect("letters, a dash and digits")
}

impl Engine {
    /// Makes a volume with an empty filesystem, or with a backup's content.
    ///
    /// Returns when the volume is usable and durable in catalog and pool. Repeating an operation under
    /// the same id answers `Unchanged`. Killed or failing in the middle, nothing remains of it: at once
    /// or at the next opening.
    ///
    /// # Errors
    /// `Invalid` for a value that breaks a rule; `Conflict` when the name is taken; what
    /// [`Engine::backup`] says of the backup; `PoolFull` and `PoolUnhealthy` from the pool.
    pub fn create_volume(
        &self,
        request: &CreateVolume,
        op: &Operation<'_>,
    ) -> Result<Created<VolumeInfo>, Error> {
        check_driver(request.driver.as_deref())?;
        if let Some(volume) = self.repeated(request, op)? {
            return Ok(Created::Unchanged(volume));
        }
        let source = request
            .backup
            .as_deref()
            .map(|url| self.open_source(url))
            .transpose()?;
        let volume = self.new_volume(request, source.as_ref(), op)?;
        let _claim = self.volumes.claim(volume.uuid);
        let _span =
            tracing::info_span!("create", volume = %volume.name, operation = %op.id).entered();
        self.make_device(&volume, op)?;
        let filled = self.activate(&volume).and_then(|device| match &source {
            Some(source) => fill(source, &volume, &device, op),
            None => format(&volume, &device, op),
        });
        if let Err(error) = filled {
            if let Err(left) = self.destroy(&volume, op) {
                let left = convoy_fault::chain(&left);
                tracing::error!(volume = %volume.name, "half made, to be undone at the next start: {left}");
            }
            return Err(error);
        }
        let volume = catalog::Volume {
            state: catalog::VolumeState::Ready,
            ..volume
        };
        self.catalog
            .apply(&[Change::PutVolume(volume.clone())])
            .doing(|| format!("recording that volume {} is ready", volume.name))?;
        tracing::info!(size = volume.size.0, "volume created");
        Ok(Created::New(self.describe_volume(volume, &self.kernel()?)?))
    }

    /// The volume that this very operation made before, if it did. One that a failed attempt left half
    /// made under this name is removed, so that the name can be used again.
    fn repeated(
        &self,
        request: &CreateVolume,
        op: &Operation<'_>,
    ) -> Result<Option<VolumeInfo>, Error> {
        let volumes = self.catalog.volumes().doing(|| "reading volumes")?;
        let same = |volume: &&catalog::Volume| {
            volume.op == op.id || Some(&volume.name) == request.name.as_ref()
        };
        let Some(found) = volumes.iter().find(same) else {
            return Ok(None);
        };
        let name = &found.name;
        if found.op == op.id && found.state == catalog::VolumeState::Ready {
            return Ok(Some(self.describe_volume(found.clone(), &self.kernel()?)?));
        }
        let half_made = matches!(
            found.state,
            catalog::VolumeState::Formatting | catalog::VolumeState::Restoring
        );
        if half_made && let Some(_nobody_makes_it) = self.volumes.try_claim(found.uuid) {
            tracing::warn!(volume = %name, "removing what a failed attempt left");
            self.destroy(found, op)?;
            return Ok(None);
        }
        Err(
            Error::new(Kind::Conflict, format!("Volume {name} already exists")).hinting(format!(
                "choose another name, or see it with `convoy inspect {name}`"
            )),
        )
    }

    /// The record of a volume about to be made: every rule is checked before anything is touched.
    fn new_volume(
        &self,
        request: &CreateVolume,
        source: Option<&Source>,
        op: &Operation<'_>,
    ) -> Result<catalog::Volume, Error> {
        let pool = self.pool_record()?;
        let uuid = Uuid::now_v7();
        let name = match &request.name {
            Some(name) => name.clone(),
            None => automatic_name("volume", op.id),
        };
        let filesystem = match (&request.filesystem, source) {
            (Some(asked), Some(source)) if *asked != source.backup.filesystem => {
                let has = &source.backup.filesystem;
                let what = format!("the backup holds an {has} filesystem, not {asked}");
                return Err(Error::new(Kind::Invalid, what));
            }
            (_, Some(source)) => source.backup.filesystem.clone(),
            (Some(asked), None) => asked.clone(),
            (None, None) => pool.filesystem.clone(),
        };
        // A backup of anything is restorable; what we format must be a filesystem we make.
        if source.is_none() {
            parse_filesystem(&filesystem)?;
        }
        let size = match source {
            Some(source) => source.size(request.size)?,
            None => new_size(request.size, &pool)?,
        };
        let dev_id = self
            .catalog
            .allocate_dev_id(self.pool_uuid)
            .doing(|| format!("allocating a thin device for volume {name}"))?;
        Ok(catalog::Volume {
            uuid,
            pool: self.pool_uuid,
            name,
            dev_id,
            size,
            filesystem,
            state: catalog::VolumeState::Creating,
            created: Timestamp::now(),
            labels: request.labels.clone(),
            owner: None,
            group: None,
            restored_from: request.backup.clone(),
            op: op.id,
        })
    }

    fn make_device(&self, volume: &catalog::Volume, op: &Operation<'_>) -> Result<(), Error> {
        self.refuse_full(|| format!("creating volume {}", volume.name))?;
        let dev_id = volume.dev_id;
        self.transact(
            op.id,
            "create a volume",
            vec![Action::CreateThin { dev_id }],
            &[Change::PutVolume(volume.clone())],
            || {
                self.pool
                    .create_thin(dev_id)
                    .doing(|| format!("creating thin device {dev_id} for volume {}", volume.name))
            },
            |(), _| (),
        )
    }

    /// Brings a volume's device up, if it is not.
    pub(crate) fn activate(&self, volume: &catalog::Volume) -> Result<ThinDevice, Error> {
        self.pool
            .activate_thin(&volume_spec(volume)?)
            .doing(|| format!("activating volume {}", volume.name))
    }

    /// Deletes a volume and all its snapshots. What the pool can pass down to its data device is
    /// discarded first, so that the space returns there too.
    ///
    /// Killed in the middle, the deletion is finished at the next opening.
    ///
    /// # Errors
    /// `NotFound`; `Busy` when the volume is mounted or open, or one of its snapshots is being backed up.
    pub fn delete_volume(&self, name: &VolumeName, op: &Operation<'_>) -> Result<(), Error> {
        let (_claim, volume) = self.claim_volume(name)?;
        let _span = tracing::info_span!("delete", volume = %name, operation = %op.id).entered();
        if let Some(target) = self.kernel()?.mount_of(volume.uuid, None) {
            let target = target.display();
            let what =
                format!("Cannot delete volume {name}, it hasn't been umounted: it is at {target}");
            return Err(
                Error::new(Kind::Busy, what).hinting(format!("`convoy umount {name}` first"))
            );
        }
        self.destroy(&volume, op)?;
        tracing::info!("volume deleted");
        Ok(())
    }

    /// Deletes an unmounted volume and its snapshots, from whatever point an earlier try reached.
    pub(crate) fn destroy(
        &self,
        volume: &catalog::Volume,
        op: &Operation<'_>,
    ) -> Result<(), Error> {
        let name = &volume.name;
        let doing = || format!("deleting volume {name}");
        let snapshots = self.catalog.snapshots_of(volume.uuid).doing(doing)?;
        for snapshot in &snapshots {
            self.refuse_pinned(snapshot)?;
        }
        self.refuse_open(volume)?;
        // Taking a device down is the kernel's own proof that nobody has it, and changes nothing yet:
        // somebody who came since the look above is refused here, with all data in place.
        for snapshot in &snapshots {
            self.pool
                .deactivate_thin(snapshot.uuid)
                .doing(|| format!("taking down snapshot {} of volume {name}", snapshot.name))?;
        }
        self.pool.deactivate_thin(volume.uuid).doing(doing)?;
        // From here on the volume is gone for everybody, and a restart goes on with the deletion.
        let mut doomed = vec![Change::PutVolume(catalog::Volume {
            state: catalog::VolumeState::Deleting,
            ..volume.clone()
        })];
        doomed.extend(snapshots.iter().map(|snapshot| {
            Change::PutSnapshot(catalog::Snapshot {
                state: catalog::SnapshotState::Deleting,
                ..snapshot.clone()
            })
        }));
        doomed.push(Change::RemoveMount(volume.uuid));
        self.catalog.apply(&doomed).doing(doing)?;
        op.phase(Phase::Discarding);
        // One transaction for each: a volume with many snapshots does not keep the pool from others.
        for snapshot in &snapshots {
            self.empty(&snapshot.name, snapshot_spec(snapshot, false));
            self.delete_device(snapshot.dev_id, "delete a snapshot", op)?;
        }
        self.empty(name, volume_spec(volume)?);
        self.delete_device(volume.dev_id, "delete a volume", op)?;
        self.broken
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .remove(&volume.uuid);
        self.remove_mount_point(volume.uuid);
        Ok(())
    }

    fn remove_mount_point(&self, volume: Uuid) {
        let directory = self.root.mount_point(volume);
        match std::fs::remove_dir(&directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!("leaving {}: {error}", directory.display());
            }
            _ => (),
        }
    }

    /// Deletes a thin device whose row says that it is being deleted; the row goes with it.
    pub(crate) fn delete_device(
        &self,
        dev_id: DevId,
        verb: &str,
        op: &Operation<'_>,
    ) -> Result<(), Error> {
        let actions = vec![Action::Delete { dev_id }];
        self.transact(
            op.id,
            verb,
            actions.clone(),
            &[],
            || self.delete_devices(&actions),
            |(), _| (),
        )
    }

    /// Refuses to take away a device that somebody has open.
    fn refuse_open(&self, volume: &catalog::Volume) -> Result<(), Error> {
        let devices = self
            .pool
            .own_devices()
            .doing(|| "listing the pool's devices")?;
        let Some(device) = devices
            .into_iter()
            .find(|device| device.uuid == volume.uuid)
        else {
            return Ok(());
        };
        if device.open_count == 0 {
            return Ok(());
        }
        let number = (device.number.major, device.number.minor);
        let holders = convoy_mount::holders(number).into_iter().take(5);
        let holders: Vec<String> = holders
            .map(|holder| format!("{} (pid {})", holder.comm, holder.pid))
            .collect();
        let by = if holders.is_empty() {
            "nobody we can see".to_owned()
        } else {
            holders.join(", ")
        };
        let what = format!(
            "volume {} is in use: its device is held by {by}",
            volume.name
        );
        Err(Error::new(Kind::Busy, what))
    }

    /// Discards a device's blocks where that gives space back below the pool, and leaves the device down.
    /// Only an economy: whatever fails here is logged, and deletion frees the blocks inside the pool all
    /// the same.
    pub(crate) fn empty(&self, name: &dyn std::fmt::Display, spec: ThinSpec) {
        if !self.passes_discards_down() {
            return;
        }
        let emptied = self
            .pool
            .activate_thin(&spec)
            .doing(|| "bringing it up")
            .and_then(|device| discard(&device, spec.size));
        let down = self
            .pool
            .deactivate_thin(spec.uuid)
            .doing(|| "taking it down");
        if let Err(error) = emptied.and(down) {
            let error = convoy_fault::chain(&error);
            tracing::warn!(%name, "not discarded before deletion: {error}");
        }
    }

    /// Whether the pool hands discards to its data device, so that discarding before deletion pays.
    pub(crate) fn passes_discards_down(&self) -> bool {
        let status = self.pool.status();
        status.is_ok_and(|status| {
            status
                .usage()
                .is_some_and(|usage| usage.discards == Discards::PassedDown)
        })
    }

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
        let (_claim, volume) = self.claim_ready(name)?;
        let _span = tracing::info_span!("mount", volume = %name, operation = %op.id).entered();
        let target = self.mount_target(&volume, target)?;
        self.refuse_elsewhere(&volume, &target)?;
        let mount = catalog::Mount {
            volume: volume.uuid,
            target: target.clone(),
            wanted: true,
            boot: boot_id(),
            created: Timestamp::now(),
        };
        self.mount_at(&volume, &target)?;
        self.catalog
            .apply(&[Change::PutMount(mount)])
            .doing(|| format!("recording that volume {name} is mounted"))?;
        tracing::info!(target = %target.display(), "volume mounted");
        self.describe_volume(volume, &self.kernel()?)
    }

    /// Mounts a volume at a directory, unless it is mounted there.
    pub(crate) fn mount_at(&self, volume: &catalog::Volume, target: &Path) -> Result<(), Error> {
        let device = self.activate(volume)?;
        if self
            .kernel()?
            .mount_of(volume.uuid, Some(target))
            .as_deref()
            == Some(target)
        {
            return Ok(());
        }
        let filesystem = parse_filesystem(&volume.filesystem)?;
        convoy_mount::mount(&device.node, target, filesystem, &MountOptions::default())
            .doing(|| format!("mounting volume {} at {}", volume.name, target.display()))
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
            make_directory(&own)?;
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
        let (_claim, volume) = self.claim_volume(name)?;
        let _span = tracing::info_span!("umount", volume = %name, operation = %op.id).entered();
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
            let _either_way = convoy_mount::unmount(&target, device).doing(|| {
                format!(
                    "unmounting volume {} from {}",
                    volume.name,
                    target.display()
                )
            })?;
        }
    }

    /// Every volume, by name.
    ///
    /// # Errors
    /// Only when the catalog or the kernel cannot be asked at all: one broken volume hides no other.
    pub fn volumes(&self) -> Result<Vec<VolumeInfo>, Error> {
        let kernel = self.kernel()?;
        let volumes = self.catalog.volumes().doing(|| "reading volumes")?;
        volumes
            .into_iter()
            .map(|volume| self.describe_volume(volume, &kernel))
            .collect()
    }

    /// One volume.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn volume(&self, name: &VolumeName) -> Result<VolumeInfo, Error> {
        self.describe_volume(self.find_volume(name)?, &self.kernel()?)
    }
}

/// Makes a volume's filesystem.
fn format(volume: &catalog::Volume, device: &ThinDevice, op: &Operation<'_>) -> Result<(), Error> {
    op.phase(Phase::Formatting);
    let filesystem = parse_filesystem(&volume.filesystem)?;
    // The filesystem bears the volume's identity: what proves later that a data device is the pool's.
    let options = MakeOptions {
        uuid: Some(volume.uuid.to_string()),
        ..MakeOptions::default()
    };
    convoy_mount::make_filesystem(&device.node, filesystem, &options)
        .doing(|| format!("making the filesystem of volume {}", volume.name))
}

/// A volume's device as the kernel is asked for it.
pub(crate) fn volume_spec(volume: &catalog::Volume) -> Result<ThinSpec, Error> {
    let size = volume.size.sectors_exact().ok_or_else(|| {
        let what = format!(
            "volume {} is {} bytes, not whole sectors",
            volume.name, volume.size.0
        );
        Error::new(Kind::Integrity, what)
    })?;
    Ok(ThinSpec {
        uuid: volume.uuid,
        dev_id: volume.dev_id,
        size,
        read_only: false,
    })
}

/// Discards all of a device.
fn discard(device: &ThinDevice, size: Sectors) -> Result<(), Error> {
    let end = size.bytes().map_or(u64::MAX, |bytes| bytes.0);
    blockdev::discard(&device.node, ByteRange { begin: 0, end })
        .doing(|| format!("discarding {}", device.name))?;
    Ok(())
}

/// Refuses drivers we do not have.
fn check_driver(driver: Option<&str>) -> Result<(), Error> {
    match driver {
        None | Some("" | "devicemapper") => Ok(()),
        Some(other) => Err(
            Error::new(Kind::Invalid, format!("Cannot find driver {other}"))
                .hinting("the only driver is devicemapper"),
        ),
    }
}

/// A filesystem we can make and mount.
pub(crate) fn parse_filesystem(name: &str) -> Result<Filesystem, Error> {
    name.parse().map_err(|_| {
        let what = format!("Unsupported filesystem type specified: {name}");
        Error::new(Kind::Invalid, what).hinting("the filesystem is ext4 or xfs")
    })
}

/// The size of a new volume: as asked, by the original's rule; the default, rounded up to it.
fn new_size(asked: Option<Bytes>, pool: &catalog::Pool) -> Result<Bytes, Error> {
    let block = pool.block_size.bytes();
    let whole_blocks = |size: Bytes| pool.block_size.blocks_for(size).checked_mul(block.0);
    let Some(asked) = asked.filter(|size| size.0 > 0) else {
        return whole_blocks(pool.default_volume_size)
            .map(Bytes)
            .ok_or_else(|| {
                Error::new(
                    Kind::Invalid,
                    "the pool's default volume size is past 2^64 bytes",
                )
            });
    };
    match whole_blocks(asked) {
        Some(size) if size == asked.0 && size < 1 << 63 => Ok(asked),
        Some(size) => {
            let what = format!(
                "Size must be multiple of block size, {} bytes, and below 2^63; not {}",
                block.0, asked.0
            );
            Err(Error::new(Kind::Invalid, what).hinting(format!("the next one is {size}")))
        }
        None => Err(Error::new(
            Kind::Invalid,
            format!("a volume cannot have {} bytes", asked.0),
        )),
    }
}

/// Names the running boot: a mount of another boot is history.
pub(crate) fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}
