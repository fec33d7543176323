//! A pool: brought up or adopted, its messages, its status, what it owns.

mod activation;

pub(crate) use activation::table_in_force;
use activation::{adopt, bring_up, wanted_table};

use crate::control::{BackingDevice, Control, ControlError, DeviceNumber};
use crate::error::Error;
use crate::guard::Unguarded;
use crate::metadata_snapshot::Turn;
use crate::names::{DmName, DmUuid, metadata_uuid, pool_name, pool_uuid, thin_of};
use crate::part::{self, remove_left_part};
use crate::status::PoolStatus;
use crate::suspension::{self, HOLD_LIMIT, Watch};
use crate::table::ThinTable;
use convoy_names::PoolName;
use convoy_units::{Bytes, DataBlockSize, DevId, TransactionId};
use nix::errno::Errno;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use uuid::Uuid;

/// What a pool is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSpec {
    /// Its name: also the name of its device.
    pub name: PoolName,
    /// Its identity: also in the dm uuid of everything it owns.
    pub uuid: Uuid,
    /// The block device of its metadata.
    pub metadata: PathBuf,
    /// How much of that the pool is given when it is brought up, in whole blocks of 4 KiB; all of it without. The
    /// rest is held back: [`Pool::widen_metadata`].
    pub metadata_len: Option<Bytes>,
    /// The block device of its data; a last block that is not whole is left out.
    pub data: PathBuf,
    /// The unit of sharing.
    pub block_size: DataBlockSize,
    /// Free data blocks at which the kernel raises an event.
    pub low_water: u64,
    /// Whether a write that finds no space fails at once rather than wait (a minute, by default).
    pub error_if_no_space: bool,
}

/// Whether there was something to delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// There was, and it is gone.
    Deleted,
    /// There was nothing.
    Absent,
}

/// An active thin device of this pool, whoever activated it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnDevice {
    /// The volume or snapshot.
    pub uuid: Uuid,
    /// Its device.
    pub name: DmName,
    /// The device's number.
    pub number: DeviceNumber,
    /// Whether writes to it wait.
    pub suspended: bool,
    /// How many hold it open.
    pub open_count: u32,
}

/// Resumes the pool of this UUID and every thin device of it that somebody left suspended, and says
/// which. For start-up, before anything that may fail: writers wait. A device without a table (half made)
/// is left to [`Pool::activate_thin`].
///
/// One device that cannot be resumed does not keep the others waiting; the first failure is
/// returned after all were tried.
pub fn resume_suspended(control: &dyn Control, pool: Uuid) -> Result<Vec<DmName>, Error> {
    let what = || Error::control("looking for suspended devices");
    let (mut resumed, mut failed) = (Vec::new(), None);
    for listed in control.list().map_err(what())? {
        let name = listed.name;
        let uuid = control
            .info(&name)
            .map_err(what())?
            .and_then(|info| info.uuid);
        let is_of_it = |uuid: DmUuid| {
            uuid == pool_uuid(pool) || uuid == metadata_uuid(pool) || thin_of(pool, &uuid).is_some()
        };
        if !uuid.is_some_and(is_of_it) {
            continue;
        }
        match suspension::resume_left(control, &name) {
            Ok(true) => resumed.push(name),
            Ok(false) => {}
            Err(source) => {
                tracing::error!(device = %name, %source, "a suspended device cannot be resumed");
                failed.get_or_insert(Error::LeftSuspended { name, source });
            }
        }
    }
    failed.map_or(Ok(resumed), Err)
}

/// An active pool. All methods may be called from any thread at once.
///
/// Dropping it leaves the pool as it is: active, and found again by [`Pool::activate`].
pub struct Pool {
    pub(crate) control: Arc<dyn Control>,
    pub(crate) spec: PoolSpec,
    pub(crate) name: DmName,
    pub(crate) number: DeviceNumber,
    /// Whose turn it is to hold the one metadata snapshot.
    pub(crate) turn: Turn,
    /// Which thin devices are active: the kernel would let one be active twice.
    pub(crate) active: Mutex<BTreeMap<DevId, Uuid>>,
    /// Who resumes an origin if we cannot.
    pub(crate) watch: Watch,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let spec = &self.spec;
        f.debug_struct("Pool")
            .field("spec", spec)
            .finish_non_exhaustive()
    }
}

impl Pool {
    /// Brings the pool up, or adopts it where it is up already.
    ///
    /// An active pool is adopted if its dm uuid, devices, block size and zeroing are those of `spec`;
    /// anything else of that name is refused with what differs. A half-made one of ours is completed, a
    /// suspended one resumed. An *adopted* pool may be in any mode: look at [`Pool::status`]. A pool
    /// that was not up is taken down again unless it comes up fit for work.
    ///
    /// **The kernel formats a metadata device whose first 4 KiB are zero, and revives whatever pool it
    /// finds on it otherwise.** Whether that is wanted only the catalog knows: see [`crate::signature`].
    pub fn activate(control: Arc<dyn Control>, spec: &PoolSpec) -> Result<Self, Error> {
        let name = pool_name(&spec.name)?;
        let found = control
            .info(&name)
            .map_err(Error::control("activating the pool"))?;
        let active = found.as_ref().is_some_and(|info| info.live_table);
        let metadata = if active {
            part::of_active(control.as_ref(), spec)?
        } else {
            part::bring_up(control.as_ref(), spec)?
        };
        let activated =
            wanted_table(control.as_ref(), spec, metadata).and_then(|wanted| match &found {
                Some(info) => adopt(control.as_ref(), spec, info, &wanted),
                None => bring_up(control.as_ref(), spec, &name, &wanted),
            });
        let info = activated.inspect_err(|_| {
            // In use by whatever of the pool is left, it stays for the next activation.
            if !active && let Err(error) = remove_left_part(control.as_ref(), &spec.name, spec.uuid)
            {
                tracing::debug!(pool = %name, %error, "the part of its metadata device stays");
            }
        })?;
        Self::handle(control, spec, name, info.number)
    }

    /// A handle on the pool as it is, up or not, to look at it: nothing is activated, adopted or compared
    /// with `spec`. Where it is down, [`Pool::status`] and every message fail with [`Error::NotActive`].
    pub fn observe(control: Arc<dyn Control>, spec: &PoolSpec) -> Result<Self, Error> {
        let name = pool_name(&spec.name)?;
        let info = control
            .info(&name)
            .map_err(Error::control("looking at the pool"))?;
        let nowhere = DeviceNumber { major: 0, minor: 0 };
        let number = info.map_or(nowhere, |info| info.number);
        Self::handle(control, spec, name, number)
    }

    fn handle(
        control: Arc<dyn Control>,
        spec: &PoolSpec,
        name: DmName,
        number: DeviceNumber,
    ) -> Result<Self, Error> {
        let pool = Self {
            control,
            spec: spec.clone(),
            name,
            number,
            turn: Turn::default(),
            active: Mutex::default(),
            watch: Watch {
                guard: Arc::new(Unguarded),
                limit: HOLD_LIMIT,
            },
        };
        let active = pool.read_active()?;
        *pool.active.lock().unwrap_or_else(PoisonError::into_inner) = active;
        Ok(pool)
    }

    /// What the pool was activated with.
    pub const fn spec(&self) -> &PoolSpec {
        &self.spec
    }

    /// The pool's own device.
    pub const fn name(&self) -> &DmName {
        &self.name
    }

    /// The number of the pool's own device.
    pub const fn number(&self) -> DeviceNumber {
        self.number
    }

    /// Where the pool's metadata is. To be read only at the root of a [`crate::MetadataSnapshot`].
    pub fn metadata_device(&self) -> &Path {
        &self.spec.metadata
    }

    /// The pool's status now; it makes no commit.
    pub fn status(&self) -> Result<PoolStatus, Error> {
        read_status(self.control.as_ref(), &self.name)
    }

    /// Makes an empty thin device of this number. Durable when it returns, except that the kernel does
    /// not tell when its commit failed: [`Pool::set_transaction_id`] finds that out.
    pub fn create_thin(&self, dev_id: DevId) -> Result<(), Error> {
        self.message(&format!("create_thin {dev_id}"))
            .map_err(|source| match source.errno() {
                Some(Errno::EEXIST) => self.exists(dev_id),
                _ => self.refused(format!("creating thin device {dev_id}"), source),
            })
    }

    /// Makes a thin device of number `snapshot` that shares every block of `origin`. Durable as
    /// [`Pool::create_thin`].
    ///
    /// Only the message: an *active* origin must be suspended around it, which the kernel does not
    /// check ([`Pool::while_suspended`]).
    pub fn create_snapshot(&self, snapshot: DevId, origin: DevId) -> Result<(), Error> {
        self.message(&format!("create_snap {snapshot} {origin}"))
            .map_err(|source| match source.errno() {
                Some(Errno::EEXIST) => self.exists(snapshot),
                Some(Errno::ENODATA) => self.unknown(origin),
                _ => self.refused(format!("taking snapshot {snapshot} of {origin}"), source),
            })
    }

    /// Deletes a thin device. Its blocks are free at once, but the data device is not told: discard
    /// the thin device first where that matters. Fails with kind `Busy` while it is active.
    ///
    /// The kernel walks what is not shared under the pool's lock: delete one at a time.
    pub fn delete(&self, dev_id: DevId) -> Result<Deleted, Error> {
        match self.message(&format!("delete {dev_id}")) {
            Ok(()) => Ok(Deleted::Deleted),
            Err(source) if source.errno() == Some(Errno::ENODATA) => Ok(Deleted::Absent),
            Err(source) => Err(self.refused(format!("deleting thin device {dev_id}"), source)),
        }
    }

    /// Moves the pool's transaction id, and makes sure of it: the status is read again, since the kernel
    /// does not tell when the commit that ends a message failed.
    ///
    /// Fails with [`Error::TransactionId`] if the pool's id was not `from`.
    pub fn set_transaction_id(&self, from: TransactionId, to: TransactionId) -> Result<(), Error> {
        match self.message(&format!("set_transaction_id {from} {to}")) {
            Ok(()) => self.expect_transaction_id(to),
            Err(source) if source.errno() == Some(Errno::EINVAL) => {
                self.expect_transaction_id(from)?;
                Err(self.refused(format!("setting transaction id {to}"), source))
            }
            Err(source) => Err(self.refused(format!("setting transaction id {to}"), source)),
        }
    }

    /// The active thin devices of this pool, found by dm uuid. One ioctl for each device of the machine.
    pub fn own_devices(&self) -> Result<Vec<OwnDevice>, Error> {
        let what = || Error::control(format!("listing the devices of pool {}", self.name));
        let mut own = Vec::new();
        for listed in self.control.list().map_err(what())? {
            // Gone between the list and the question: no device of anybody's.
            let Some(info) = self.control.info(&listed.name).map_err(what())? else {
                continue;
            };
            let uuid = info
                .uuid
                .as_ref()
                .and_then(|uuid| thin_of(self.spec.uuid, uuid));
            if let Some(uuid) = uuid {
                own.push(OwnDevice {
                    uuid,
                    name: info.name,
                    number: info.number,
                    suspended: info.suspended,
                    open_count: info.open_count,
                });
            }
        }
        Ok(own)
    }

    /// [`resume_suspended`] for this pool.
    pub fn resume_suspended(&self) -> Result<Vec<DmName>, Error> {
        resume_suspended(self.control.as_ref(), self.spec.uuid)
    }

    /// Takes the pool down; its thin devices must be down ([`Error::Busy`] otherwise). Killed in the middle, it may
    /// leave [the part of its metadata device](remove_left_part).
    pub fn deactivate(self) -> Result<(), Error> {
        remove(self.control.as_ref(), &self.name)?;
        remove_left_part(self.control.as_ref(), &self.spec.name, self.spec.uuid)
    }

    pub(crate) fn message(&self, text: &str) -> Result<(), ControlError> {
        tracing::debug!(pool = %self.name, text, "message");
        self.control.message(&self.name, text)
    }

    /// What a refused message means: the kernel says `EOPNOTSUPP` to all of them in read-only modes.
    pub(crate) fn refused(&self, what: String, source: ControlError) -> Error {
        match source.errno() {
            Some(Errno::EOPNOTSUPP) => match self.status() {
                Ok(status) => unhealthy(&self.name, &status),
                Err(_) => Error::Unhealthy {
                    name: self.name.clone(),
                    status: "in an unreadable state".into(),
                },
            },
            Some(Errno::ENXIO) => Error::NotActive {
                name: self.name.clone(),
            },
            _ => Error::Control { what, source },
        }
    }

    fn exists(&self, dev_id: DevId) -> Error {
        Error::ThinExists {
            pool: self.name.clone(),
            dev_id,
        }
    }

    pub(crate) fn unknown(&self, dev_id: DevId) -> Error {
        Error::NoSuchThin {
            pool: self.name.clone(),
            dev_id,
        }
    }

    fn expect_transaction_id(&self, expected: TransactionId) -> Result<(), Error> {
        let status = self.status()?;
        let Some(usage) = status.usage().filter(|_| status.takes_messages()) else {
            return Err(unhealthy(&self.name, &status));
        };
        if usage.transaction_id == expected {
            return Ok(());
        }
        Err(Error::TransactionId {
            pool: self.name.clone(),
            expected,
            found: usage.transaction_id,
        })
    }

    fn read_active(&self) -> Result<BTreeMap<DevId, Uuid>, Error> {
        let mut active = BTreeMap::new();
        for own in self.own_devices()? {
            if let Some(table) = read_thin_table(self.control.as_ref(), &own.name)? {
                active.insert(table.dev_id, own.uuid);
            }
        }
        Ok(active)
    }
}

/// Removes a device; the control waits a little for it to be free.
pub(crate) fn remove(control: &dyn Control, name: &DmName) -> Result<(), Error> {
    match control.remove(name) {
        Err(source) if source.is_busy() => {
            let info = control.info(name).ok().flatten();
            let open_count = info.map_or(0, |info| info.open_count);
            Err(Error::Busy {
                name: name.clone(),
                open_count,
            })
        }
        Err(source) if source.errno() == Some(Errno::ENXIO) => Ok(()),
        result => result.map_err(Error::control(format!("removing device {name}"))),
    }
}

/// Removes a device that we made a moment ago and failed to complete.
pub(crate) fn undo_create(control: &dyn Control, name: &DmName) {
    if let Err(source) = control.remove(name) {
        tracing::warn!(device = %name, %source, "a half-made device is left behind");
    }
}

/// The thin table in force on a device; `None` if it has none.
pub(crate) fn read_thin_table(
    control: &dyn Control,
    name: &DmName,
) -> Result<Option<ThinTable>, Error> {
    let lines = match control.table(name) {
        // Gone meanwhile, so no table is in force.
        Err(source) if source.errno() == Some(Errno::ENXIO) => return Ok(None),
        lines => lines.map_err(Error::control(format!("reading the table of {name}")))?,
    };
    let table = lines.first().map(ThinTable::parse).transpose();
    table.map_err(|source| Error::Table {
        name: name.clone(),
        source,
    })
}

pub(crate) fn read_status(control: &dyn Control, name: &DmName) -> Result<PoolStatus, Error> {
    let targets = match control.status(name) {
        Err(source) if source.errno() == Some(Errno::ENXIO) => Vec::new(),
        targets => targets.map_err(Error::control(format!("reading the status of {name}")))?,
    };
    let Some(target) = targets.first() else {
        return Err(Error::NotActive { name: name.clone() });
    };
    PoolStatus::parse(&target.text).map_err(|source| Error::Status {
        name: name.clone(),
        source,
    })
}

fn unhealthy(name: &DmName, status: &PoolStatus) -> Error {
    let (name, words) = (name.clone(), status.to_string());
    if status.needs_check() {
        Error::NeedsCheck {
            name,
            status: words,
        }
    } else {
        Error::Unhealthy {
            name,
            status: words,
        }
    }
}

pub(crate) fn backing(control: &dyn Control, path: &Path) -> Result<BackingDevice, Error> {
    control
        .backing(path)
        .map_err(Error::control(format!("opening {}", path.display())))
}
