//! Mounts that container engines ask for: counted by volume and id, kept over restarts of the daemon, gone with
//! the boot.
//!
//! An engine asks for a mount under an id, may do so again under the same one while the first lasts (`docker cp`
//! into a running container does), and gives back as often, or never. So there is a count for each volume and id.
//! What a person mounted stays mounted whatever engines do, and comes back after a reboot; what an engine mounted
//! does neither. Who is told to unmount last is not believed in a hurry: engines mount and unmount several times
//! for one container, and each would be a replay of the journal. Reasons: `docs/decisions/0022-trash-and-holds.md`.

use crate::claims::Claim;
use crate::engine::Engine;
use crate::error::{Doing, Error};
use crate::model::VolumeState;
use crate::operation::Operation;
use crate::root::make_directory;
use convoy_catalog as catalog;
use convoy_catalog::{Change, Hold};
use convoy_fault::Kind;
use convoy_names::VolumeName;
use jiff::Timestamp;
use std::path::PathBuf;
use std::time::Instant;

/// The longest id an engine may give.
const LONGEST: usize = 256;

impl Engine {
    /// Mounts a volume of exactly this name for the holder of this id, at a place of its own under the root or
    /// where it is mounted already, and counts that. The count is durable before this returns.
    ///
    /// # Errors
    /// `NotFound`; `Busy` while it is being made; `Conflict` when it is broken; `Invalid` for an id of more than
    /// 256 bytes.
    pub fn hold_volume(
        &self,
        name: &VolumeName,
        holder: &str,
        op: &Operation<'_>,
    ) -> Result<PathBuf, Error> {
        self.refuse_read_only()?;
        if holder.len() > LONGEST {
            let what = format!("an id of {} bytes is too long", holder.len());
            return Err(Error::new(Kind::Invalid, what));
        }
        let (_claim, volume) = self.claim_exactly(name)?;
        self.refuse_unusable(&volume)?;
        let _span =
            tracing::info_span!("hold", volume = %name, holder, operation = %op.id).entered();
        let target = self.mounted_for_engines(&volume)?;
        let hold = self.hold_of(&volume, holder)?;
        let hold = Hold {
            volume: volume.uuid,
            holder: holder.to_owned(),
            boot: self.machine.boot_id(),
            count: hold.as_ref().map_or(0, |hold| hold.count) + 1,
            since: hold.map_or_else(Timestamp::now, |hold| hold.since),
        };
        let count = hold.count;
        self.catalog
            .apply(&[Change::PutHold(hold)])
            .doing(|| format!("recording who has volume {name} mounted"))?;
        self.care.forget_idle(volume.uuid);
        tracing::info!(count, target = %target.display(), "volume held");
        Ok(target)
    }

    /// Gives back one mount of a volume of exactly this name. The last one back is followed by unmounting, after a
    /// while; see [`Engine::look_after_volumes`]. What was not held is no error: an id may be of an earlier boot.
    ///
    /// # Errors
    /// Only what the catalog says.
    pub fn release_volume(
        &self,
        name: &VolumeName,
        holder: &str,
        op: &Operation<'_>,
    ) -> Result<(), Error> {
        self.refuse_read_only()?;
        if self.exactly(name)?.is_none() {
            return Ok(());
        }
        let (_claim, volume) = self.claim_exactly(name)?;
        let _span =
            tracing::info_span!("release", volume = %name, holder, operation = %op.id).entered();
        let Some(hold) = self.hold_of(&volume, holder)? else {
            tracing::info!("nothing was held under this id");
            return Ok(());
        };
        let left = hold.count - 1;
        let change = match left {
            0 => Change::RemoveHold {
                volume: volume.uuid,
                holder: hold.holder,
            },
            count => Change::PutHold(Hold { count, ..hold }),
        };
        self.catalog
            .apply(&[change])
            .doing(|| format!("recording who has volume {name} mounted"))?;
        tracing::info!(left, "volume released");
        if self.is_idle(&volume)? {
            self.care.idle_since(volume.uuid, Instant::now());
        }
        Ok(())
    }

    /// Where a volume is mounted, which it is from here on.
    fn mounted_for_engines(&self, volume: &catalog::Volume) -> Result<PathBuf, Error> {
        let own = self.root.mount_point(volume.uuid);
        if let Some(there) = self.kernel()?.mount_of(volume.uuid, Some(&own)) {
            self.record_engine_mount(volume, there.clone())?;
            return Ok(there);
        }
        // On record first: a mount that a kill cut off from its record would be taken for a person's.
        self.record_engine_mount(volume, own.clone())?;
        self.steps.run("mkdir", || make_directory(&own))?;
        let mounted = self.mount_at(volume, &own);
        if mounted.is_err() && self.is_idle(volume)? {
            self.forget_mount(volume)?;
        }
        mounted.map(|()| own)
    }

    /// Records a mount of this boot, unless one is on record.
    fn record_engine_mount(&self, volume: &catalog::Volume, target: PathBuf) -> Result<(), Error> {
        let doing = || format!("recording that volume {} is mounted", volume.name);
        if self.catalog.mount(volume.uuid).doing(doing)?.is_some() {
            return Ok(());
        }
        let mount = catalog::Mount {
            volume: volume.uuid,
            target,
            wanted: false,
            boot: self.machine.boot_id(),
            created: Timestamp::now(),
        };
        self.catalog.apply(&[Change::PutMount(mount)]).doing(doing)
    }

    fn forget_mount(&self, volume: &catalog::Volume) -> Result<(), Error> {
        let changes = [
            Change::RemoveMount(volume.uuid),
            Change::RemoveHolds(volume.uuid),
        ];
        self.catalog
            .apply(&changes)
            .doing(|| format!("recording that volume {} is not mounted", volume.name))
    }

    /// Whether a volume is mounted for engines only, none of which holds it.
    fn is_idle(&self, volume: &catalog::Volume) -> Result<bool, Error> {
        let doing = || format!("reading who has volume {} mounted", volume.name);
        let mount = self.catalog.mount(volume.uuid).doing(doing)?;
        let holds = self.catalog.holds_of(volume.uuid).doing(doing)?;
        Ok(holds.is_empty() && mount.is_some_and(|mount| !mount.wanted))
    }

    /// Unmounts a volume that is idle and claimed; whether it was.
    pub(crate) fn unmount_if_idle(&self, volume: &catalog::Volume) -> Result<bool, Error> {
        if !self.is_idle(volume)? {
            return Ok(false);
        }
        self.unmount_all(volume)?;
        self.forget_mount(volume)?;
        self.care.forget_idle(volume.uuid);
        tracing::info!(volume = %volume.name, "volume unmounted: nobody holds it");
        Ok(true)
    }

    /// Before a volume is unmounted on a person's order, or removed: refuses while a process has it that an engine
    /// mounted it for, and forgets holds that nobody has any more.
    pub(crate) fn refuse_held(&self, volume: &catalog::Volume) -> Result<(), Error> {
        let name = &volume.name;
        let doing = || format!("reading who has volume {name} mounted");
        let holds = self.catalog.holds_of(volume.uuid).doing(doing)?;
        if holds.is_empty() {
            return Ok(());
        }
        let holders = match self.kernel()?.device_of(volume.uuid) {
            Some(device) => self.machine.holders(device),
            None => Vec::new(),
        };
        if holders.is_empty() {
            let ids: Vec<&str> = holds.iter().map(|hold| hold.holder.as_str()).collect();
            tracing::warn!(volume = %name, ?ids, "nobody uses the volume: what held it is forgotten");
            return self
                .catalog
                .apply(&[Change::RemoveHolds(volume.uuid)])
                .doing(|| format!("forgetting who has volume {name} mounted"));
        }
        let users = holders.iter().take(5);
        let users: Vec<String> = users
            .map(|holder| format!("{} (pid {})", holder.comm, holder.pid))
            .collect();
        let what = format!(
            "volume {name} is used by a container engine: {}",
            users.join(", ")
        );
        Err(Error::new(Kind::Busy, what).hinting("stop the containers that use it"))
    }

    /// Unmounts a volume that only engines had mounted and nobody uses.
    pub(crate) fn take_back_mount(&self, volume: &catalog::Volume) -> Result<(), Error> {
        let name = &volume.name;
        self.refuse_held(volume)?;
        if self.unmount_if_idle(volume)? {
            return Ok(());
        }
        match self.kernel()?.mount_of(volume.uuid, None) {
            None => Ok(()),
            Some(target) => {
                let target = target.display();
                let what = format!("volume {name} is mounted at {target}");
                Err(Error::new(Kind::Busy, what).hinting(format!("`convoy umount {name}` first")))
            }
        }
    }

    /// What an engine holds of a volume in this boot.
    fn hold_of(&self, volume: &catalog::Volume, holder: &str) -> Result<Option<Hold>, Error> {
        let boot = self.machine.boot_id();
        let doing = || format!("reading who has volume {} mounted", volume.name);
        let holds = self.catalog.holds_of(volume.uuid).doing(doing)?;
        Ok(holds
            .into_iter()
            .find(|hold| hold.holder == holder && hold.boot == boot))
    }

    fn refuse_unusable(&self, volume: &catalog::Volume) -> Result<(), Error> {
        let name = &volume.name;
        match self.state_of(volume) {
            VolumeState::Ready => Ok(()),
            VolumeState::Broken => {
                let why = self.why_broken(volume.uuid).unwrap_or_default();
                let what = format!("volume {name} is broken: {why}");
                Err(Error::new(Kind::Conflict, what))
            }
            state => {
                let what = format!("volume {name} is {} still", state.as_str());
                Err(Error::new(Kind::Busy, what))
            }
        }
    }

    /// The volume of exactly this name, where a beginning of a UUID must not do: who removes by name must not hit
    /// another.
    pub(crate) fn exactly(&self, name: &VolumeName) -> Result<Option<catalog::Volume>, Error> {
        let found = self
            .catalog
            .volume_by_name(name)
            .doing(|| format!("looking for volume {name}"))?;
        match found {
            Some(volume) if self.is_trashed(volume.uuid)? => Ok(None),
            found => Ok(found),
        }
    }

    /// [`Engine::exactly`], claimed, and read again under the claim.
    pub(crate) fn claim_exactly(
        &self,
        name: &VolumeName,
    ) -> Result<(Claim<'_>, catalog::Volume), Error> {
        let missing = || Error::new(Kind::NotFound, format!("volume {name} doesn't exist"));
        let found = self.exactly(name)?.ok_or_else(missing)?;
        let claim = self.volumes.claim(found.uuid);
        match self.exactly(name)? {
            Some(volume) if volume.uuid == claim.id() => Ok((claim, volume)),
            _ => Err(missing()),
        }
    }
}

/// At the opening: what was held in another boot is history, and so is a mount that is not there any more. What
/// engines have mounted still stays theirs.
pub(crate) fn reconcile(engine: &Engine) -> Result<(), Error> {
    let doing = || "reading who has volumes mounted";
    let boot = engine.machine.boot_id();
    engine
        .catalog
        .apply(&[Change::RemoveHoldsBefore { boot }])
        .doing(|| "forgetting what was held before the boot")?;
    let kernel = engine.kernel()?;
    for mount in engine.catalog.mounts().doing(doing)? {
        let Some(volume) = engine.catalog.volume(mount.volume).doing(doing)? else {
            continue;
        };
        if !mount.wanted && kernel.mount_of(volume.uuid, None).is_none() {
            engine.forget_mount(&volume)?;
        } else if engine.is_idle(&volume)? {
            engine.care.idle_since(volume.uuid, Instant::now());
        }
    }
    Ok(())
}
