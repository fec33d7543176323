//! What can go wrong with a pool, with what to do about it.

use crate::control::{ControlError, Operation};
use crate::guard::GuardError;
use crate::metadata_snapshot::STALE_HINT;
use crate::names::{DmName, InvalidDmName};
use crate::status::StatusError;
use crate::table::TableError;
use convoy_fault::{Fault, Kind};
use convoy_units::{DevId, TransactionId};
use nix::errno::Errno;

/// A failure of a pool or of one of its thin devices. Nothing is left half done unless the message says so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An ioctl failed in a way that has no name of its own here.
    #[error("{what} failed")]
    Control {
        /// What we were doing.
        what: String,
        /// The ioctl.
        source: ControlError,
    },
    /// The pool's name leaves no room for its volumes'.
    #[error("the pool's name is too long for device-mapper")]
    Name(#[from] InvalidDmName),
    /// A device of that name exists, and is not what was asked for.
    #[error("device {name} exists already, but {differs}")]
    Differs {
        /// The device.
        name: DmName,
        /// What differs, with both values.
        differs: String,
    },
    /// The devices given cannot make a pool.
    #[error("these devices cannot make a pool: {reason}")]
    Unfit {
        /// Which rule they break.
        reason: String,
    },
    /// The pool does not take changes, or nothing at all.
    #[error("pool {name} is {status}")]
    Unhealthy {
        /// The pool.
        name: DmName,
        /// Its status in words.
        status: String,
    },
    /// The pool takes no changes until its metadata is checked.
    #[error("pool {name} is {status}")]
    NeedsCheck {
        /// The pool.
        name: DmName,
        /// Its status in words.
        status: String,
    },
    /// The pool, or the device, is not active.
    #[error("device {name} is not active")]
    NotActive {
        /// The device.
        name: DmName,
    },
    /// The pool has a thin device of that number already.
    #[error("thin device {dev_id} exists already in pool {pool}")]
    ThinExists {
        /// The pool.
        pool: DmName,
        /// The number.
        dev_id: DevId,
    },
    /// The pool has no thin device of that number.
    #[error("pool {pool} has no thin device {dev_id}")]
    NoSuchThin {
        /// The pool.
        pool: DmName,
        /// The number.
        dev_id: DevId,
    },
    /// The same thin device is active under another name: two caches over one volume.
    #[error("thin device {dev_id} is active as {name} already")]
    ActiveElsewhere {
        /// The number.
        dev_id: DevId,
        /// Under which name.
        name: DmName,
    },
    /// Somebody holds the device.
    #[error("device {name} is in use ({open_count} openers)")]
    Busy {
        /// The device.
        name: DmName,
        /// How often it is open, as the kernel counts.
        open_count: u32,
    },
    /// The pool's transaction id is not the expected one.
    #[error("the transaction id of pool {pool} is {found}, not {expected}")]
    TransactionId {
        /// The pool.
        pool: DmName,
        /// What it should be.
        expected: TransactionId,
        /// What it is.
        found: TransactionId,
    },
    /// Somebody else holds the pool's only metadata snapshot.
    #[error("pool {pool} has a metadata snapshot already that this process did not make")]
    MetadataSnapshotHeld {
        /// The pool.
        pool: DmName,
    },
    /// A device could not be resumed: writes to it wait.
    #[error("device {name} is still suspended, writes to it wait")]
    LeftSuspended {
        /// The device.
        name: DmName,
        /// Why it could not be resumed.
        source: ControlError,
    },
    /// Nobody would resume the device if we died, so it was not suspended.
    #[error("device {name} was not suspended: nobody would resume it if this process died")]
    Unguarded {
        /// The device.
        name: DmName,
        /// Why.
        source: GuardError,
    },
    /// The device may have run before what was to be done under its suspension was done.
    #[error("device {name} did not stay suspended for as long as it had to: {why}")]
    HoldBroken {
        /// The device.
        name: DmName,
        /// What is known about it.
        why: String,
    },
    /// The caller's own step failed, while the pool did its part.
    #[error("{what}")]
    Action {
        /// What was being done.
        what: String,
        /// Its error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A status line is none we know.
    #[error("the status of {name} is not one we know")]
    Status {
        /// The device.
        name: DmName,
        /// The line.
        source: StatusError,
    },
    /// A table is none we know.
    #[error("the table of {name} is not one of ours")]
    Table {
        /// The device.
        name: DmName,
        /// The line.
        source: TableError,
    },
}

impl Error {
    pub(crate) fn control(what: impl Into<String>) -> impl FnOnce(ControlError) -> Self {
        let what = what.into();
        move |source| Self::Control { what, source }
    }
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Control { source, .. } => source.kind(),
            Self::Name(_) | Self::Unfit { .. } => Kind::Invalid,
            Self::Differs { .. } | Self::ThinExists { .. } | Self::ActiveElsewhere { .. } => {
                Kind::Conflict
            }
            Self::Unhealthy { .. }
            | Self::TransactionId { .. }
            | Self::LeftSuspended { .. }
            | Self::Status { .. }
            | Self::Table { .. } => Kind::PoolUnhealthy,
            Self::NeedsCheck { .. } => Kind::PoolNeedsCheck,
            Self::NotActive { .. } | Self::NoSuchThin { .. } => Kind::NotFound,
            Self::Busy { .. } | Self::MetadataSnapshotHeld { .. } | Self::HoldBroken { .. } => {
                Kind::Busy
            }
            Self::Unguarded { source, .. } => source.kind(),
            Self::Action { .. } => Kind::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Control {
                source:
                    ControlError::Ioctl {
                        operation: Operation::Load,
                        errno: Errno::EBUSY,
                        ..
                    },
                ..
            } => Some(
                "another pool, file system or volume manager uses one of the devices: lsblk shows which".into(),
            ),
            Self::Control {
                source:
                    ControlError::Ioctl {
                        operation: Operation::Load,
                        errno: Errno::EINVAL,
                        ..
                    },
                ..
            } => Some("the kernel's log (dmesg) says what it did not like".into()),
            Self::Control { source, .. } => source.hint(),
            Self::Differs { name, .. } => Some(format!(
                "if the device is a leftover, look at it with 'dmsetup table {name}' and remove it with 'dmsetup remove {name}'"
            )),
            Self::Unhealthy { .. } | Self::NeedsCheck { .. } => Some(
                "look at the kernel's log; deactivate the pool and run thin_check on its metadata before anything else".into(),
            ),
            Self::LeftSuspended { name, .. } => Some(format!("run 'dmsetup resume {name}'")),
            Self::MetadataSnapshotHeld { .. } => Some(STALE_HINT.into()),
            Self::Unguarded { source, .. } => source.hint(),
            Self::HoldBroken { .. } => Some(
                "try again; if that goes on, the storage below the pool is too slow for its writers".into(),
            ),
            Self::TransactionId { .. } => Some(
                "the metadata was rolled back, restored or changed by somebody else: compare the catalog with the pool before going on".into(),
            ),
            _ => None,
        }
    }
}
