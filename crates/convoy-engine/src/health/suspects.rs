//! Volumes that may have lost what was written to them: remembered until a check of their filesystem finds
//! them clean.

use super::{Condition, Severity};
use crate::engine::Engine;
use crate::error::{Doing, Error};
use convoy_catalog as catalog;
use convoy_catalog::{Change, Suspect, Volume, VolumeState};
use convoy_mount::{Checked, Filesystem};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::path::Path;
use uuid::Uuid;

impl Engine {
    /// Records which volumes the pool's condition makes suspect. What cannot be recorded now (the state
    /// directory may be full, too) is at the next look, for as long as the condition lasts.
    pub(super) fn suspect_volumes(&self, condition: Condition) {
        let Some(why) = condition.loses_writes() else {
            if condition == Condition::Well {
                self.health.state().flagged.clear();
            }
            return;
        };
        if let Err(error) = self.try_suspect(condition, why) {
            let error = convoy_fault::chain(&error);
            tracing::error!("which volumes may have lost writes is not recorded yet: {error}");
        }
    }

    fn try_suspect(&self, condition: Condition, why: &str) -> Result<(), Error> {
        let volumes = self.affected(condition)?;
        let new: Vec<Volume> = {
            let state = self.health.state();
            let is_new = |volume: &Volume| !state.flagged.contains(&volume.uuid);
            volumes.into_iter().filter(is_new).collect()
        };
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
        let what = format!(
            "to be checked before they are mounted again, since {why}: {}",
            names.join(", ")
        );
        let mut state = self.health.state();
        state.flagged.extend(new.iter().map(|volume| volume.uuid));
        state.note(Severity::Error, what);
        Ok(())
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

    /// Checks a suspect volume's filesystem, and clears the volume if that ends well. For just before a mount:
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
    ) -> Result<(), Error> {
        let Some(suspect) = self.suspicion(volume.uuid)? else {
            return Ok(());
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
                    let node = node.display();
                    let tool = match filesystem {
                        Filesystem::Ext4 => "e2fsck -f",
                        Filesystem::Xfs => "xfs_repair",
                    };
                    Error::of(what, error).hinting(format!(
                        "take a snapshot of it first (`convoy snapshot create {name}`), then repair it with `{tool} {node}` and mount it again; or restore its last backup"
                    ))
                })
        })?;
        self.catalog
            .apply(&[Change::RemoveSuspect(volume.uuid)])
            .doing(|| format!("recording that volume {name} is clean"))?;
        let outcome = match checked {
            Checked::Repaired => "was repaired",
            Checked::Clean | Checked::OnMount => "is clean",
        };
        // Should the trouble last, it may become suspect again.
        self.health.state().flagged.remove(&volume.uuid);
        let why = suspect.why;
        let what = format!("volume {name}: its filesystem {outcome}; it was checked since {why}");
        self.health.state().note(Severity::Info, what);
        Ok(())
    }
}
