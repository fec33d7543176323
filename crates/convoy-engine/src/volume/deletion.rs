//! Deleting a volume with all its snapshots.

use super::volume_spec;
use crate::engine::Engine;
use crate::error::{Doing, Error};
use crate::operation::{Operation, Phase};
use crate::snapshot::snapshot_spec;
use convoy_catalog as catalog;
use convoy_catalog::{Action, Change};
use convoy_fault::Kind;
use convoy_names::VolumeName;
use convoy_thinpool::{Discards, ThinDevice, ThinSpec};
use convoy_units::{ByteRange, DevId, Sectors};
use uuid::Uuid;

impl Engine {
    /// Deletes a volume and all its snapshots. What the pool can pass down to its data device is
    /// discarded first, so that the space returns there too.
    ///
    /// Killed in the middle, the deletion is finished at the next opening.
    ///
    /// # Errors
    /// `NotFound`; `Busy` when the volume is mounted or open, or one of its snapshots is being backed up.
    pub fn delete_volume(&self, name: &VolumeName, op: &Operation<'_>) -> Result<(), Error> {
        self.refuse_read_only()?;
        let (_claim, volume) = self.claim_volume(name)?;
        let volume = self.end_rollback(volume)?;
        let _span = tracing::info_span!("delete", volume = %name, operation = %op.id).entered();
        // What only engines had mounted, and gave back, waits for them no longer.
        self.unmount_if_idle(&volume)?;
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
        self.keep_copy();
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
        self.refuse_exchanging(volume.dev_id)?;
        let snapshots = self.catalog.snapshots_of(volume.uuid).doing(doing)?;
        for snapshot in &snapshots {
            self.refuse_pinned(snapshot)?;
        }
        // What the pool would refuse is not begun: the volume stays readable.
        self.refuse_unhealthy(doing)?;
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
        self.steps.run("rmdir", || {
            self.remove_mount_point(volume.uuid);
            Ok(())
        })?;
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
    pub(crate) fn refuse_open(&self, volume: &catalog::Volume) -> Result<(), Error> {
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
        let holders = self.machine.holders(number).into_iter().take(5);
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
            .and_then(|device| {
                self.steps
                    .run("discard", || self.discard(&device, spec.size))
            });
        let down = self
            .pool
            .deactivate_thin(spec.uuid)
            .doing(|| "taking it down");
        if let Err(error) = emptied.and(down) {
            let error = convoy_fault::chain(&error);
            tracing::warn!(%name, "not discarded before deletion: {error}");
        }
    }

    /// Discards all of a device.
    fn discard(&self, device: &ThinDevice, size: Sectors) -> Result<(), Error> {
        let end = size.bytes().map_or(u64::MAX, |bytes| bytes.0);
        self.machine
            .discard(&device.node, ByteRange { begin: 0, end })
            .doing(|| format!("discarding {}", device.name))?;
        Ok(())
    }

    /// Whether the pool hands discards to its data device, so that discarding before deletion pays.
    fn passes_discards_down(&self) -> bool {
        let status = self.pool.status();
        status.is_ok_and(|status| {
            status
                .usage()
                .is_some_and(|usage| usage.discards == Discards::PassedDown)
        })
    }
}
