//! Making a volume larger, in use or not.
//!
//! The order is catalog, device, filesystem, and each step may be the last before a kill: the catalog's size is
//! what should be, and whatever brings the volume up or mounts it makes the rest follow ([`Engine::activate`],
//! [`Engine::grow_to_fit`]). The other way round, a device would be found that is larger than anybody asked for.

use crate::doctor::filesystem::{self, HEAD};
use crate::engine::Engine;
use crate::error::{Doing, Error};
use crate::model::ResizedVolume;
use crate::operation::Operation;
use crate::volume::{parse_filesystem, volume_spec, whole_blocks};
use convoy_catalog as catalog;
use convoy_catalog::Change;
use convoy_fault::Kind;
use convoy_names::VolumeName;
use convoy_thinpool::ThinDevice;
use convoy_units::Bytes;
use std::path::Path;

impl Engine {
    /// Gives a volume a larger size, and its filesystem too: now if it is mounted, else at its next mount. Its
    /// snapshots keep the size they have. Asking for the size that it has finishes what an earlier call may
    /// have left.
    ///
    /// Writes to the volume are held for a moment while its device is exchanged. Killed or failing in the middle,
    /// it is finished at the next opening, or by the same call again.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for a size that breaks the rule or is smaller; `Busy` when the storage is too slow to
    /// flush the volume first; `PoolUnhealthy`.
    pub fn resize_volume(
        &self,
        name: &VolumeName,
        size: Bytes,
        op: &Operation<'_>,
    ) -> Result<ResizedVolume, Error> {
        self.refuse_read_only()?;
        let (_claim, volume) = self.claim_ready(name)?;
        let _span = tracing::info_span!("resize", volume = %name, operation = %op.id).entered();
        let before = volume.size;
        let size = whole_blocks(size, &self.pool_record()?)?;
        if size < before {
            return Err(smaller(&volume, size));
        }
        let volume = self.put_size(volume, size)?;
        let device = self.activate(&volume)?;
        let mounted = self.kernel()?.mount_of(volume.uuid, None);
        if let Some(target) = &mounted {
            self.grow_filesystem(&volume, &device, target)?;
        }
        let grows_at_mount = mounted.is_none() && self.lags(&volume, &device);
        tracing::info!(before = before.0, size = size.0, "volume resized");
        self.keep_copy_if_due();
        Ok(ResizedVolume {
            unchanged: size == before,
            before,
            grows_at_mount,
            volume: self.describe_volume(volume, &self.kernel()?)?,
        })
    }

    /// Records the size that a volume shall have. From here on the rest follows, now or later.
    fn put_size(&self, volume: catalog::Volume, size: Bytes) -> Result<catalog::Volume, Error> {
        let name = &volume.name;
        if volume.size == size {
            return Ok(volume);
        }
        self.refuse_unhealthy(|| format!("resizing volume {name}"))?;
        // Nobody is held by this flush; what it writes need not be written inside the suspension.
        self.steps.run("flush", || self.flush(&volume))?;
        let resized = catalog::Volume {
            size,
            ..volume.clone()
        };
        self.catalog
            .apply(&[Change::PutVolume(resized.clone())])
            .doing(|| format!("recording the new size of volume {name}"))?;
        Ok(resized)
    }

    /// Makes a device that is up as large as its volume should be, if it is smaller; whether it was.
    pub(crate) fn catch_up(&self, volume: &catalog::Volume) -> Result<bool, Error> {
        let doing = || format!("giving volume {} its new size", volume.name);
        let wanted = volume_spec(volume)?.size;
        let found = self.pool.thin_size(volume.uuid).doing(doing)?;
        if found.is_none_or(|found| found >= wanted) {
            return Ok(false);
        }
        self.pool.resize_thin(volume.uuid, wanted).map_err(|error| {
            Error::of(doing(), error).hinting(
                "the size is recorded: repeat the command, or mount the volume again, and what is missing is made up for",
            )
        })?;
        Ok(true)
    }

    /// Grows the filesystem of a mounted volume if it is smaller than its device: after a resize of a volume that
    /// was not mounted or was cut short, and in a clone that is larger than its snapshot. That it cannot be keeps
    /// nobody from the volume.
    pub(crate) fn grow_to_fit(&self, volume: &catalog::Volume, device: &ThinDevice, at: &Path) {
        if let Err(error) = self.grow_filesystem(volume, device, at) {
            let error = convoy_fault::chain(&error);
            tracing::warn!(volume = %volume.name, "its filesystem stays smaller than its device: {error}");
        }
    }

    fn grow_filesystem(
        &self,
        volume: &catalog::Volume,
        device: &ThinDevice,
        at: &Path,
    ) -> Result<(), Error> {
        let filesystem = parse_filesystem(&volume.filesystem)?;
        self.steps.run("grow-filesystem", || {
            self.machine
                .grow_filesystem(&device.node, filesystem, at)
                .map_err(|error| {
                    let what = format!("growing the filesystem of volume {}", volume.name);
                    Error::of(what, error).hinting(
                        "the device has its new size: repeat the command, or mount the volume again, and the filesystem follows",
                    )
                })
        })
    }

    /// Whether a volume's filesystem is smaller than its device by a block of the pool or more, as far as its
    /// superblock tells: that of a mounted one may be of some time ago.
    pub(crate) fn lags(&self, volume: &catalog::Volume, device: &ThinDevice) -> bool {
        let mut head = [0; HEAD];
        let read = self
            .machine
            .reader(&device.node)
            .ok()
            .and_then(|reader| reader.read_at(0, &mut head).ok());
        let found = read.and_then(|()| filesystem::parse(&head));
        let (Some(found), Ok(pool)) = (found, self.pool_record()) else {
            return false;
        };
        let less = volume.size.0.saturating_sub(found.size.0);
        less >= pool.block_size.bytes().0
    }
}

fn smaller(volume: &catalog::Volume, size: Bytes) -> Error {
    let what = format!(
        "volume {} has {} bytes and cannot be made smaller, to {}: what its filesystem keeps beyond would be lost",
        volume.name, volume.size.0, size.0
    );
    Error::new(Kind::Invalid, what).hinting(
        "a volume takes up only what is written to it: `fstrim` gives free space back. For a smaller limit, copy its files to a new volume",
    )
}
