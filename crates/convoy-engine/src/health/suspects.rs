//! Volumes that may have lost what was written to them: remembered until a check of their filesystem finds
//! them clean.

use super::{Condition, Severity};
use crate::engine::Engine;
use crate::error::{Doing, Error};
use crate::volume::repair_hint;
use convoy_catalog as catalog;
use convoy_catalog::{Change, Suspect, Volume, VolumeState};
use convoy_mount::{Checked, Filesystem};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::path::Path;
use uuid::Uuid;

impl Engine {
    /// Records which volumes are suspect: by the pool's condition, and by what their filesystems met. What cannot
    /// be recorded now (the state directory may be full, too) is at the next look, for as long as the cause
    /// lasts.
    pub(super) fn suspect_volumes(&self, condition: Condition) {
        let mut causes = Vec::new();
        if let Some(why) = condition.loses_writes() {
            causes.push((self.affected(condition), why));
        }
        causes.push((self.with_errors(), "its filesystem met errors"));
        for (volumes, why) in causes {
            let recorded = volumes.and_then(|volumes| self.suspect(volumes, why));
            if let Err(error) = recorded {
                let error = convoy_fault::chain(&error);
                tracing::error!("which volumes may have lost writes is not recorded yet: {error}");
            }
        }
    }

    fn suspect(&self, volumes: Vec<Volume>, why: &str) -> Result<(), Error> {
        if volumes.is_empty() {
            return Ok(());
        }
        let known = self.catalog.suspects().doing(|| "reading suspects")?;
        let known: BTreeSet<Uuid> = known.into_iter().map(|suspect| suspect.volume).collect();
        let new: Vec<Volume> = volumes
            .into_iter()
            .filter(|volume| !known.contains(&volume.uuid))
            .collect();
        if new.is_empty() {
            return Ok(());
        }
        let since = Timestamp::now();
        let put = |volume: &Volume| {
            Change::PutSuspect(Suspect {
                volume: volume.uuid,
                why: why.to_owned(),
                since,
            })
        };
        let changes: Vec<Change> = new.iter().map(put).collect();
        self.catalog
            .apply(&changes)
            .doing(|| "recording suspect volumes")?;
        let names: Vec<&str> = new.iter().map(|volume| volume.name.as_str()).collect();
        let names = names.join(", ");
        let what = format!("to be checked before they are mounted again: {names}; {why}");
        self.health.state().note(Severity::Error, what);
        Ok(())
    }

    /// Volumes whose ext4 has counted errors since it was last checked: most often writes of its own metadata
    /// that the disks below refused while the pool was well. (xfs shuts itself down, and its log tells at the
    /// next mount.) Lost data of files is nobody's to count.
    fn with_errors(&self) -> Result<Vec<Volume>, Error> {
        let minors = self.machine.filesystems_with_errors();
        if minors.is_empty() {
            return Ok(Vec::new());
        }
        let devices = self
            .pool
            .own_devices()
            .doing(|| "listing the pool's devices")?;
        let met: BTreeSet<Uuid> = devices
            .into_iter()
            .filter(|device| minors.contains(&(device.number.major, device.number.minor)))
            .map(|device| device.uuid)
            .collect();
        let volumes = self.catalog.volumes().doing(|| "reading volumes")?;
        Ok(volumes
            .into_iter()
            .filter(|volume| met.contains(&volume.uuid))
            .collect())
    }

    /// Whose writes a condition may have cost. Refused writes hit those that are in use; lost metadata is
    /// lost for all, whenever they were last used.
    fn affected(&self, condition: Condition) -> Result<Vec<Volume>, Error> {
        let volumes = self.catalog.volumes().doing(|| "reading volumes")?;
        let ready = volumes
            .into_iter()
            .filter(|volume| volume.state == VolumeState::Ready);
        if condition != Condition::Refusing {
            return Ok(ready.collect());
        }
        let devices = self
            .pool
            .own_devices()
            .doing(|| "listing the pool's devices")?;
        let open: BTreeSet<Uuid> = devices
            .into_iter()
            .filter(|device| device.open_count > 0)
            .map(|device| device.uuid)
            .collect();
        Ok(ready.filter(|volume| open.contains(&volume.uuid)).collect())
    }

    /// What a volume is suspected of.
    pub(crate) fn suspicion(&self, volume: Uuid) -> Result<Option<catalog::Suspect>, Error> {
        self.catalog
            .suspect(volume)
            .doing(|| "reading what volumes are suspected of")
    }

    /// Checks a suspect volume's filesystem (`None`: it is no suspect), and clears the volume if that ends well. For just before a mount:
    /// the volume is up, claimed and not mounted anywhere.
    ///
    /// # Errors
    /// `Integrity` when there is damage that a person has to look at; whatever keeps the check from being made.
    /// The volume stays suspect.
    pub(crate) fn clear_for_mount(
        &self,
        volume: &Volume,
        node: &Path,
        filesystem: Filesystem,
        target: &Path,
    ) -> Result<Option<Checked>, Error> {
        let Some(suspect) = self.suspicion(volume.uuid)? else {
            return Ok(None);
        };
        let name = &volume.name;
        let checked = self.steps.run("fsck", || {
            self.machine
                .check_filesystem(node, filesystem, target)
                .map_err(|error| {
                    let what = format!(
                        "volume {name} is not mounted: {} ({}), and its filesystem does not check clean",
                        suspect.why, suspect.since
                    );
                    Error::of(what, error).hinting(repair_hint(volume, node, filesystem))
                })
        })?;
        self.catalog
            .apply(&[Change::RemoveSuspect(volume.uuid)])
            .doing(|| format!("recording that volume {name} is clean"))?;
        let outcome = match checked {
            Checked::Repaired => "was repaired",
            Checked::Clean | Checked::OnMount => "is clean",
        };
        let why = suspect.why;
        let what = format!("volume {name}: its filesystem {outcome}; it was checked since {why}");
        self.health.state().note(Severity::Info, what);
        Ok(Some(checked))
    }
}
