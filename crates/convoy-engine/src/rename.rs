//! What a volume is called and labelled: no device is touched, and nothing that is found by its identity.

use crate::engine::Engine;
use crate::error::Error;
use crate::model::{VolumeInfo, VolumeState};
use crate::operation::Operation;
use convoy_catalog as catalog;
use convoy_catalog::Change;
use convoy_fault::Kind;
use convoy_names::VolumeName;
use std::collections::BTreeMap;

impl Engine {
    /// Calls a volume by another name, mounted or not. Its snapshots, backups and mount point stay its own; backups
    /// made before bear the name that it had.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when the name is taken; `Busy` while the volume is being made or deleted.
    pub fn rename_volume(
        &self,
        name: &VolumeName,
        new: &VolumeName,
        op: &Operation<'_>,
    ) -> Result<VolumeInfo, Error> {
        self.change_volume("rename", name, op, |volume| {
            volume.name = new.clone();
        })
    }

    /// Sets labels of a volume, and removes those of these keys. A label that is not there is removed already.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for a key that is empty or both set and removed; `Busy` while the volume is being made
    /// or deleted.
    pub fn label_volume(
        &self,
        name: &VolumeName,
        set: &BTreeMap<String, String>,
        remove: &[String],
        op: &Operation<'_>,
    ) -> Result<VolumeInfo, Error> {
        if let Some(key) = remove.iter().find(|key| set.contains_key(*key)) {
            let what = format!("label {key} cannot be set and removed at once");
            return Err(Error::new(Kind::Invalid, what));
        }
        if set.contains_key("") {
            return Err(Error::new(Kind::Invalid, "a label's key is not empty"));
        }
        self.change_volume("label", name, op, |volume| {
            volume.labels.retain(|key, _| !remove.contains(key));
            volume.labels.extend(set.clone());
        })
    }

    fn change_volume(
        &self,
        verb: &'static str,
        name: &VolumeName,
        op: &Operation<'_>,
        change: impl FnOnce(&mut catalog::Volume),
    ) -> Result<VolumeInfo, Error> {
        self.refuse_read_only()?;
        let (_claim, volume) = self.claim_volume(name)?;
        let _span =
            tracing::info_span!("volume", verb, volume = %name, operation = %op.id).entered();
        let state = self.state_of(&volume);
        if !matches!(state, VolumeState::Ready | VolumeState::Broken) {
            let what = format!("volume {name} is {} still", state.as_str());
            return Err(Error::new(Kind::Busy, what));
        }
        // Its row may be about to get another device, which the one we have read would take back.
        let volume = self.end_rollback(volume)?;
        let mut changed = volume.clone();
        change(&mut changed);
        if changed != volume {
            let put = self.catalog.apply(&[Change::PutVolume(changed.clone())]);
            put.map_err(|error| refused(error, &changed))?;
            tracing::info!(now = %changed.name, "volume changed");
            self.keep_copy_if_due();
        }
        self.describe_volume(changed, &self.kernel()?)
    }
}

fn refused(error: catalog::Error, volume: &catalog::Volume) -> Error {
    let name = &volume.name;
    if matches!(error, catalog::Error::Exists { .. }) {
        return Error::of(format!("Volume {name} already exists"), error)
            .being(Kind::Conflict)
            .hinting(format!(
                "choose another name, or see it with `convoy inspect {name}`"
            ));
    }
    Error::of(format!("recording volume {name}"), error)
}
