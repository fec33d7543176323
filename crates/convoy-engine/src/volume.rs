//! The verbs on volumes: create, list, inspect; `deletion` and `mounting` have the others.

mod deletion;
mod mounting;

use crate::engine::Engine;
use crate::error::{Doing, Error};
use crate::machine::Machine;
use crate::model::{CreateVolume, Created, VolumeInfo};
use crate::operation::{Operation, Phase};
use crate::restore::{Source, fill};
use convoy_catalog as catalog;
use convoy_catalog::{Action, Change};
use convoy_fault::Kind;
use convoy_mount::{Filesystem, MakeOptions};
use convoy_names::VolumeName;
use convoy_thinpool::{ThinDevice, ThinSpec};
use convoy_units::Bytes;
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
        self.refuse_read_only()?;
        check_driver(request.driver.as_deref())?;
        if request.from_snapshot.is_some() {
            let what = "a volume cannot be made of a snapshot yet";
            return Err(Error::new(Kind::Unsupported, what));
        }
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
            Some(source) => self.steps.run("fill", || {
                let sink = self.machine.writer(&device.node);
                fill(source, &volume, sink, &self.pool, op)
            }),
            None => self
                .steps
                .run("mkfs", || format(&volume, &device, &*self.machine, op)),
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
            labels: labels(request, source),
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
fn format(
    volume: &catalog::Volume,
    device: &ThinDevice,
    machine: &dyn Machine,
    op: &Operation<'_>,
) -> Result<(), Error> {
    op.phase(Phase::Formatting);
    let filesystem = parse_filesystem(&volume.filesystem)?;
    // The filesystem bears the volume's identity: what proves later that a data device is the pool's.
    let options = MakeOptions {
        uuid: Some(volume.uuid.to_string()),
        ..MakeOptions::default()
    };
    machine
        .make_filesystem(&device.node, filesystem, &options)
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
