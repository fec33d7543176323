//! The verbs on volumes: create, list, inspect; `deletion` and `mounting` have the others.

mod deletion;
mod filesystem;
mod mounting;
mod preening;
mod trimming;

pub(crate) use filesystem::parse_filesystem;
pub(crate) use preening::repair_hint;

use crate::clone::Origin;
use crate::engine::Engine;
use crate::error::{Doing, Error};
use crate::jobs::Task;
use crate::model::{CreateVolume, Created, VolumeInfo};
use crate::operation::Operation;
use crate::restore::{Source, fill};
use convoy_catalog as catalog;
use convoy_catalog::{Action, Change};
use convoy_fault::Kind;
use convoy_names::VolumeName;
use convoy_thinpool::{ThinDevice, ThinSpec};
use convoy_units::Bytes;
use filesystem::Plan;
use jiff::Timestamp;
use std::collections::BTreeMap;
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
    /// Makes a volume with an empty filesystem, or with a backup's or a snapshot's content.
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
        self.refuse_read_only()?;
        check_driver(request.driver.as_deref())?;
        let Some(backup) = &request.backup else {
            return self.make_volume(request, op);
        };
        let name = request.name.as_ref().map(ToString::to_string);
        let task = Task {
            verb: "create",
            subject: name.unwrap_or_else(|| "a new volume".to_owned()),
            place: Some(backup.clone()),
            volume: None,
        };
        let made = |made: &Created<VolumeInfo>| match made {
            Created::New(volume) | Created::Unchanged(volume) => volume.name.to_string(),
        };
        self.run_job(task, op, made, |op| self.make_volume(request, op))
    }

    fn make_volume(
        &self,
        request: &CreateVolume,
        op: &Operation<'_>,
    ) -> Result<Created<VolumeInfo>, Error> {
        if let Some(volume) = self.repeated(request, op)? {
            return Ok(Created::Unchanged(volume));
        }
        let source = request
            .backup
            .as_deref()
            .map(|url| self.open_source(url))
            .transpose()?;
        let origin = request
            .from_snapshot
            .as_ref()
            .map(|snapshot| self.find_origin(snapshot))
            .transpose()?;
        let (volume, filesystem) =
            self.new_volume(request, source.as_ref(), origin.as_ref(), op)?;
        let _claim = self.volumes.claim(volume.uuid);
        let _span =
            tracing::info_span!("create", volume = %volume.name, operation = %op.id).entered();
        self.make_device(&volume, &filesystem, origin.as_ref(), op)?;
        let filled = self
            .activate(&volume)
            .and_then(|device| match (&source, &origin) {
                (Some(source), _) => self.steps.run("fill", || {
                    let sink = self.machine.writer(&device.node);
                    fill(source, &volume, sink, &self.pool, op)
                }),
                (None, Some(_)) => self.own_filesystem(&volume, &device, op),
                (None, None) => self.steps.run("mkfs", || {
                    filesystem.format(&volume, &device, &*self.machine, op)
                }),
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
        self.keep_copy();
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
        origin: Option<&Origin>,
        op: &Operation<'_>,
    ) -> Result<(catalog::Volume, Plan), Error> {
        let pool = self.pool_record()?;
        let uuid = Uuid::now_v7();
        let name = match &request.name {
            Some(name) => name.clone(),
            None => automatic_name("volume", op.id),
        };
        let copied = match (source, origin) {
            (Some(_), Some(_)) => {
                let what = "a volume is made of a backup or of a snapshot, not of both";
                return Err(Error::new(Kind::Invalid, what));
            }
            (Some(source), None) => Some(("backup", &source.backup.filesystem)),
            (None, Some(origin)) => Some(("snapshot", &origin.volume.filesystem)),
            (None, None) => None,
        };
        let filesystem = match (&request.filesystem, copied) {
            (Some(asked), Some((copied, has))) if asked != has => {
                let what = format!("the {copied} holds an {has} filesystem, not {asked}");
                return Err(Error::new(Kind::Invalid, what));
            }
            (_, Some((_, has))) => has.clone(),
            (Some(asked), None) => asked.clone(),
            (None, None) => pool.filesystem.clone(),
        };
        // A backup of anything is restorable; what we format must be a filesystem we make.
        if source.is_none() {
            parse_filesystem(&filesystem)?;
        }
        let size = match (source, origin) {
            (Some(source), _) => source.size(request.size)?,
            (None, Some(origin)) => origin.size(request.size, &pool)?,
            (None, None) => new_size(request.size, &pool)?,
        };
        let given = copied.map(|(copied, _)| copied);
        let plan = filesystem::plan(request, &filesystem, size, given)?;
        let dev_id = self
            .catalog
            .allocate_dev_id(self.pool_uuid)
            .doing(|| format!("allocating a thin device for volume {name}"))?;
        let volume = catalog::Volume {
            uuid,
            pool: self.pool_uuid,
            name,
            dev_id,
            size,
            filesystem,
            state: catalog::VolumeState::Creating,
            created: Timestamp::now(),
            labels: labels(request, source),
            owner: None,
            group: None,
            restored_from: request.backup.clone(),
            op: op.id,
        };
        Ok((volume, plan))
    }

    fn make_device(
        &self,
        volume: &catalog::Volume,
        filesystem: &Plan,
        origin: Option<&Origin>,
        op: &Operation<'_>,
    ) -> Result<(), Error> {
        let mut rows = vec![Change::PutVolume(volume.clone())];
        rows.extend(filesystem.changes(volume.uuid));
        if let Some(origin) = origin {
            return self.clone_device(volume, origin, &rows, op);
        }
        self.refuse_full(|| format!("creating volume {}", volume.name))?;
        let dev_id = volume.dev_id;
        self.transact(
            op.id,
            "create a volume",
            vec![Action::CreateThin { dev_id }],
            &rows,
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
        let spec = volume_spec(volume)?;
        let doing = || format!("activating volume {}", volume.name);
        match self.pool.activate_thin(&spec) {
            // It may be up with the size that it had before a resize that was cut short.
            Err(convoy_thinpool::Error::Differs { .. }) if self.catch_up(volume)? => {
                self.pool.activate_thin(&spec).doing(doing)
            }
            activated => activated.doing(doing),
        }
    }

    /// Every volume, by name.
    ///
    /// # Errors
    /// Only when the catalog or the kernel cannot be asked at all: one broken volume hides no other.
    pub fn volumes(&self) -> Result<Vec<VolumeInfo>, Error> {
        let kernel = self.kernel()?;
        let trashed = self.trashed_uuids()?;
        let volumes = self.catalog.volumes().doing(|| "reading volumes")?;
        volumes
            .into_iter()
            .filter(|volume| !trashed.contains(&volume.uuid))
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

/// What was asked for, over what the backup brings along.
fn labels(request: &CreateVolume, source: Option<&Source>) -> BTreeMap<String, String> {
    let mut labels = source
        .map(|source| source.backup.labels.clone())
        .unwrap_or_default();
    labels.extend(request.labels.clone());
    labels
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

/// The size of a new volume: as asked, by the original's rule; the default, rounded up to it.
fn new_size(asked: Option<Bytes>, pool: &catalog::Pool) -> Result<Bytes, Error> {
    let Some(asked) = asked.filter(|size| size.0 > 0) else {
        let size = pool
            .block_size
            .blocks_for(pool.default_volume_size)
            .checked_mul(pool.block_size.bytes().0);
        return size.map(Bytes).ok_or_else(|| {
            Error::new(
                Kind::Invalid,
                "the pool's default volume size is past 2^64 bytes",
            )
        });
    };
    whole_blocks(asked, pool)
}

/// A size as asked for, if it is of whole blocks: the original's rule.
pub(crate) fn whole_blocks(asked: Bytes, pool: &catalog::Pool) -> Result<Bytes, Error> {
    let block = pool.block_size.bytes();
    match pool.block_size.blocks_for(asked).checked_mul(block.0) {
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
