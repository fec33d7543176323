//! The trash: a volume that a container engine removed can be had back for a while.
//!
//! What is thrown away stays what it is, a volume with its snapshots, and is put out of everybody's sight under a
//! name nobody gives: its own is free at once. Throwing away and taking back are one change of the catalog each,
//! so that a kill leaves one or the other. What ends the stay is time of a running daemon, counted down in the
//! catalog, and never a date: a clock that jumps deletes nothing. A pool without room for anything new empties the
//! trash before its time, the longest there first. Reasons: `docs/decisions/0022-trash-and-holds.md`.

use crate::claims::Claim;
use crate::engine::Engine;
use crate::error::{Doing, Error};
use crate::health::Severity;
use crate::model::{VolumeInfo, VolumeState};
use crate::operation::Operation;
use crate::reference::only;
use crate::volume::automatic_name;
use convoy_catalog as catalog;
use convoy_catalog::{Change, Trashed};
use convoy_fault::{Fault, Kind};
use convoy_names::VolumeName;
use convoy_units::{Bytes, DevId};
use jiff::Timestamp;
use std::time::Duration;
use uuid::Uuid;

/// A volume in the trash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrashedVolume {
    /// Identity, UUID v7.
    pub uuid: Uuid,
    /// What it was called. Another volume may be called so now.
    pub name: VolumeName,
    /// Virtual size.
    pub size: Bytes,
    /// How many snapshots it has, which come back or go with it.
    pub snapshots: u64,
    /// The thin devices of the pool that are kept for it: its own, and its snapshots'.
    pub dev_ids: Vec<DevId>,
    /// When it was thrown away, UTC.
    pub since: Timestamp,
    /// How long it stays, counted while a daemon runs.
    pub left: Duration,
}

impl Engine {
    /// Throws a volume of exactly this name away: it is unmounted where only container engines had it mounted,
    /// its device is taken down, and its name is free. It stays for the grace period of the configuration.
    ///
    /// # Errors
    /// `NotFound`; `Busy` when it is used, or mounted by a person.
    pub fn trash_volume(
        &self,
        name: &VolumeName,
        op: &Operation<'_>,
    ) -> Result<TrashedVolume, Error> {
        self.refuse_read_only()?;
        let (_claim, volume) = self.claim_exactly(name)?;
        let _span = tracing::info_span!("trash", volume = %name, operation = %op.id).entered();
        match self.state_of(&volume) {
            VolumeState::Ready | VolumeState::Broken => (),
            state => {
                let what = format!("volume {name} is {} still", state.as_str());
                return Err(Error::new(Kind::Busy, what));
            }
        }
        self.take_back_mount(&volume)?;
        // The kernel's own proof that nobody has it open, which changes nothing yet.
        self.pool
            .deactivate_thin(volume.uuid)
            .doing(|| format!("taking down volume {name}"))?;
        let trashed = Trashed {
            volume: volume.uuid,
            name: name.clone(),
            since: Timestamp::now(),
            left: self.trash_grace.as_secs(),
        };
        // Of the identity, so that no two are called the same.
        let aside = catalog::Volume {
            name: automatic_name("trash", volume.uuid),
            op: op.id,
            ..volume.clone()
        };
        let changes = [
            Change::PutVolume(aside),
            Change::PutTrashed(trashed.clone()),
            Change::RemoveMount(volume.uuid),
            Change::RemoveHolds(volume.uuid),
        ];
        let recorded = self
            .catalog
            .apply(&changes)
            .doing(|| format!("recording that volume {name} is in the trash"));
        if let Err(error) = recorded {
            // It may be the answer only that was lost.
            let trashed = self.catalog.trashed(volume.uuid);
            if trashed.is_ok_and(|trashed| trashed.is_none()) {
                self.bring_back_up(&volume);
            }
            return Err(error);
        }
        tracing::info!("volume thrown away; `convoy undelete {name}` brings it back");
        self.keep_copy_if_due();
        self.describe_trashed(trashed)
    }

    /// What is in the trash, the longest there first.
    ///
    /// # Errors
    /// `Failed` and `Integrity` from the catalog, which is all that is asked.
    pub fn trash(&self) -> Result<Vec<TrashedVolume>, Error> {
        let all = self.catalog.trash().doing(|| "reading the trash")?;
        all.into_iter()
            .map(|trashed| self.describe_trashed(trashed))
            .collect()
    }

    /// Brings a volume back from the trash, under its own name or another: the last one thrown away of that
    /// name, or the one of this UUID or beginning of one. It is not mounted.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when a volume of the name exists.
    pub fn undelete_volume(
        &self,
        which: &VolumeName,
        as_name: Option<&VolumeName>,
        op: &Operation<'_>,
    ) -> Result<VolumeInfo, Error> {
        self.refuse_read_only()?;
        let (_claim, trashed, volume) = self.claim_trashed(which)?;
        let name = as_name.unwrap_or(&trashed.name);
        let _span = tracing::info_span!("undelete", volume = %name, operation = %op.id).entered();
        if volume.state != catalog::VolumeState::Ready {
            let what = format!("volume {name} is being deleted for good");
            return Err(Error::new(Kind::NotFound, what));
        }
        let taken = self
            .catalog
            .volume_by_name(name)
            .doing(|| "reading volumes")?;
        if taken.is_some() {
            let what = format!("Volume {name} already exists");
            return Err(Error::new(Kind::Conflict, what).hinting(format!(
                "take it back under another name: convoy undelete {which} --name NEW"
            )));
        }
        let volume = catalog::Volume {
            name: name.clone(),
            op: op.id,
            ..volume
        };
        let changes = [
            Change::PutVolume(volume.clone()),
            Change::RemoveTrashed(volume.uuid),
        ];
        self.catalog
            .apply(&changes)
            .doing(|| format!("recording that volume {name} is back"))?;
        self.bring_back_up(&volume);
        tracing::info!("volume taken back from the trash");
        self.describe_volume(volume, &self.kernel()?)
    }

    /// Deletes what is in the trash for good, with its snapshots: the volume that is named as for
    /// [`Engine::undelete_volume`], or all. Gives what was deleted.
    ///
    /// # Errors
    /// `NotFound` for a name; `Busy` when a snapshot is being backed up: what could be deleted before, is.
    pub fn empty_trash(
        &self,
        which: Option<&VolumeName>,
        op: &Operation<'_>,
    ) -> Result<Vec<TrashedVolume>, Error> {
        self.refuse_read_only()?;
        let doomed = match which {
            Some(which) => vec![self.find_trashed(which)?],
            None => self.catalog.trash().doing(|| "reading the trash")?,
        };
        let mut deleted = Vec::new();
        for trashed in doomed {
            let shown = self.describe_trashed(trashed.clone())?;
            let _claim = self.volumes.claim(trashed.volume);
            if self.delete_trashed(&trashed, op)? {
                deleted.push(shown);
            }
        }
        self.keep_copy_if_due();
        Ok(deleted)
    }

    /// Deletes a volume in the trash that is claimed; whether it was there still.
    fn delete_trashed(&self, trashed: &Trashed, op: &Operation<'_>) -> Result<bool, Error> {
        let name = &trashed.name;
        let doing = || format!("looking for volume {name} in the trash");
        if self.catalog.trashed(trashed.volume).doing(doing)?.is_none() {
            return Ok(false);
        }
        let Some(volume) = self.catalog.volume(trashed.volume).doing(doing)? else {
            return Ok(false);
        };
        let _span =
            tracing::info_span!("trash empty", volume = %name, operation = %op.id).entered();
        self.destroy(&volume, op)?;
        tracing::info!("volume deleted from the trash");
        Ok(true)
    }

    /// Lets time pass for the trash, and deletes what has been there for its whole time.
    pub(crate) fn age_trash(&self, passed: Duration) -> Result<(), Error> {
        let doing = || "looking after the trash";
        if self.catalog.trash().doing(doing)?.is_empty() {
            return Ok(());
        }
        self.catalog
            .apply(&[Change::AgeTrash(passed.as_secs())])
            .doing(doing)?;
        let due = self.catalog.trash().doing(doing)?.into_iter();
        for trashed in due.filter(|trashed| trashed.left == 0) {
            self.delete_unless_busy(&trashed, "its time in the trash is over");
        }
        Ok(())
    }

    /// Deletes from the trash, the longest there first, until the pool has room for something new; whether that
    /// made room. Says of each that its time was cut short.
    pub(crate) fn make_room(&self) -> bool {
        let Ok(trash) = self.catalog.trash() else {
            return false;
        };
        let is_full = || {
            let checked = crate::space::refuse_full(&self.pool, || "looking for room".to_owned());
            checked.is_err_and(|error| error.kind() == Kind::PoolFull)
        };
        let mut made = false;
        for trashed in trash {
            if !is_full() {
                break;
            }
            let why = "the pool is short of space, and its time in the trash was cut short";
            made |= self.delete_unless_busy(&trashed, why);
        }
        made
    }

    /// Only for one that nobody is busy with: no wait, since the caller may hold a claim of its own.
    fn delete_unless_busy(&self, trashed: &Trashed, why: &str) -> bool {
        let Some(_claim) = self.volumes.try_claim(trashed.volume) else {
            return false;
        };
        match self.delete_trashed(trashed, &Operation::silent()) {
            Ok(false) => false,
            Ok(true) => {
                let name = &trashed.name;
                self.note(Severity::Warning, format!("deleted volume {name}: {why}"));
                true
            }
            Err(error) => {
                let error = convoy_fault::chain(&error);
                tracing::warn!(volume = %trashed.name, "stays in the trash for now: {error}");
                false
            }
        }
    }

    /// A volume whose device was taken down is usable again, or shown as broken.
    fn bring_back_up(&self, volume: &catalog::Volume) {
        if let Err(error) = self.activate(volume) {
            let why = convoy_fault::chain(&error);
            tracing::error!(volume = %volume.name, "volume is broken: {why}");
            let mut broken = self
                .broken
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            broken.insert(volume.uuid, why);
        }
    }

    fn claim_trashed(
        &self,
        which: &VolumeName,
    ) -> Result<(Claim<'_>, Trashed, catalog::Volume), Error> {
        let found = self.find_trashed(which)?;
        let claim = self.volumes.claim(found.volume);
        let doing = || format!("looking for volume {which} in the trash");
        // Read again under the claim.
        let trashed = self.catalog.trashed(found.volume).doing(doing)?;
        let volume = self.catalog.volume(found.volume).doing(doing)?;
        match (trashed, volume) {
            (Some(trashed), Some(volume)) => Ok((claim, trashed, volume)),
            _ => Err(not_in_trash(which)),
        }
    }

    /// The last one thrown away of this name, or the one of this UUID.
    fn find_trashed(&self, which: &VolumeName) -> Result<Trashed, Error> {
        let all = self.catalog.trash().doing(|| "reading the trash")?;
        if let Some(found) = all.iter().rev().find(|trashed| trashed.name == *which) {
            return Ok(found.clone());
        }
        let found = only(which.as_str(), "volume in the trash", all, |trashed| {
            trashed.volume
        })?;
        found.ok_or_else(|| not_in_trash(which))
    }

    /// Whether a volume is in the trash, and so nobody's to use.
    pub(crate) fn is_trashed(&self, volume: Uuid) -> Result<bool, Error> {
        let trashed = self.catalog.trashed(volume);
        Ok(trashed.doing(|| "reading the trash")?.is_some())
    }

    /// Everything in the trash, by identity.
    pub(crate) fn trashed_uuids(&self) -> Result<std::collections::BTreeSet<Uuid>, Error> {
        let trash = self.catalog.trash().doing(|| "reading the trash")?;
        Ok(trash.into_iter().map(|trashed| trashed.volume).collect())
    }

    fn describe_trashed(&self, trashed: Trashed) -> Result<TrashedVolume, Error> {
        let doing = || format!("reading about volume {} in the trash", trashed.name);
        let volume = self.catalog.volume(trashed.volume).doing(doing)?;
        let snapshots = self.catalog.snapshots_of(trashed.volume).doing(doing)?;
        Ok(TrashedVolume {
            uuid: trashed.volume,
            dev_ids: volume
                .iter()
                .map(|volume| volume.dev_id)
                .chain(snapshots.iter().map(|snapshot| snapshot.dev_id))
                .collect(),
            size: volume.map(|volume| volume.size).unwrap_or_default(),
            snapshots: snapshots.len() as u64,
            since: trashed.since,
            left: Duration::from_secs(trashed.left),
            name: trashed.name,
        })
    }
}

fn not_in_trash(which: &VolumeName) -> Error {
    Error::new(
        Kind::NotFound,
        format!("volume {which} is not in the trash"),
    )
    .hinting("`convoy trash list` shows what is")
}
