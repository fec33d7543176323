//! The few device-mapper ioctls we need, as a trait: the seam between us and the kernel.
//!
//! One method is one ioctl and keeps nothing back: order, guards and retries are the callers'. All
//! methods block and may be called from any thread.

use crate::names::{DmName, DmUuid};
use crate::table::TableLine;
use convoy_fault::{Fault, Kind};
use convoy_units::{Bytes, Sectors};
use nix::errno::Errno;
use std::fmt;
use std::path::{Path, PathBuf};

/// The kernel's number for a block device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceNumber {
    /// The driver.
    pub major: u32,
    /// The device.
    pub minor: u32,
}

/// As device-mapper tables write it: `253:7`.
impl fmt::Display for DeviceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// A device in the kernel's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: DmName,
    /// Its number.
    pub number: DeviceNumber,
    /// Its dm uuid, where the list tells it without an ioctl for each device; [`Control::info`] always does.
    pub uuid: Option<DmUuid>,
}

/// What the kernel says about one device.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the kernel's flags, each with its own meaning"
)]
pub struct DeviceInfo {
    /// Its name.
    pub name: DmName,
    /// Its number.
    pub number: DeviceNumber,
    /// Its dm uuid; other people's devices may have none.
    pub uuid: Option<DmUuid>,
    /// How many hold it open: a mount is one, a table of another device that refers to it is one.
    pub open_count: u32,
    /// Whether its IO is held back. A device begins suspended.
    pub suspended: bool,
    /// Whether it has a table in force; a device that was created and never resumed has none.
    pub live_table: bool,
    /// Whether a loaded table waits for a resume.
    pub inactive_table: bool,
    /// Counts the events of its targets.
    pub event_nr: u32,
    /// Whether it refuses writes.
    pub read_only: bool,
}

/// A block device, or what stands for one, that a table is to refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackingDevice {
    /// Its number.
    pub number: DeviceNumber,
    /// Its size.
    pub size: Bytes,
}

/// How to suspend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suspend {
    /// Freeze the file system on it first, so that what is held is consistent.
    pub lockfs: bool,
    /// Wait until IO that was sent is done; without it, IO is queued.
    pub flush: bool,
}

/// One target of a device, as `status` tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetStatus {
    /// First sector.
    pub start: Sectors,
    /// How many sectors.
    pub len: Sectors,
    /// The target's type, such as `thin-pool`.
    pub target: String,
    /// The rest of the line, untouched.
    pub text: String,
}

/// Which ioctl failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "named after the ioctls")]
pub enum Operation {
    List,
    Info,
    Create,
    Load,
    Suspend,
    Resume,
    Remove,
    Table,
    Status,
    Message,
    Node,
    Open,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::List => "list devices",
            Self::Info => "ask about",
            Self::Create => "create",
            Self::Load => "load a table into",
            Self::Suspend => "suspend",
            Self::Resume => "resume",
            Self::Remove => "remove",
            Self::Table => "read the table of",
            Self::Status => "read the status of",
            Self::Message => "send a message to",
            Self::Node => "make the node of",
            Self::Open => "open",
        })
    }
}

/// An ioctl that failed: which, on what, with the kernel's error number.
///
/// `EEXIST`, `ENODATA`, `EBUSY`, `EINVAL`, `EOPNOTSUPP` have meanings that depend on the operation
/// (dm-thin's messages); the callers in this crate give them names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// The kernel refused.
    #[error("cannot {operation} {device}: {}", .errno.desc())]
    Ioctl {
        /// Which ioctl.
        operation: Operation,
        /// On what: a device's name, or a path.
        device: String,
        /// The kernel's reason.
        errno: Errno,
    },
    /// This kernel, or this process, has no device-mapper.
    #[error("device-mapper cannot be used here: {reason}")]
    Unavailable {
        /// What was missing.
        reason: String,
    },
    /// The kernel answered with something we cannot read.
    #[error("cannot {operation} {device}: {reason}")]
    Answer {
        /// Which ioctl.
        operation: Operation,
        /// On what.
        device: String,
        /// What was wrong.
        reason: String,
    },
}

impl ControlError {
    pub(crate) fn ioctl(operation: Operation, device: impl fmt::Display, errno: Errno) -> Self {
        Self::Ioctl {
            operation,
            device: device.to_string(),
            errno,
        }
    }

    /// The kernel's error number, where there is one.
    pub const fn errno(&self) -> Option<Errno> {
        match self {
            Self::Ioctl { errno, .. } => Some(*errno),
            _ => None,
        }
    }

    /// Whether somebody holds the device: the outcome of `remove` that callers wait out.
    pub fn is_busy(&self) -> bool {
        self.errno() == Some(Errno::EBUSY)
    }
}

impl Fault for ControlError {
    fn kind(&self) -> Kind {
        match self {
            Self::Ioctl { errno, .. } => match errno {
                Errno::EBUSY => Kind::Busy,
                Errno::EPERM | Errno::EACCES => Kind::NotPermitted,
                Errno::ENXIO | Errno::ENOENT | Errno::ENODEV => Kind::NotFound,
                Errno::EOPNOTSUPP => Kind::PoolUnhealthy,
                Errno::ENOSPC => Kind::PoolFull,
                _ => Kind::Failed,
            },
            Self::Unavailable { .. } => Kind::Unsupported,
            Self::Answer { .. } => Kind::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Unavailable { .. } => Some(
                "run as root on a kernel with dm-thin: modprobe dm_thin_pool, and in a container pass /dev/mapper/control".into(),
            ),
            Self::Ioctl { errno: Errno::EPERM | Errno::EACCES, .. } => {
                Some("device-mapper needs CAP_SYS_ADMIN: run as root".into())
            }
            _ => None,
        }
    }
}

/// The ioctls. Names are device-mapper names, not paths.
pub trait Control: Send + Sync {
    /// Every device of the machine, ours or not.
    fn list(&self) -> Result<Vec<Listed>, ControlError>;

    /// One device; `None` if there is none of that name.
    fn info(&self, name: &DmName) -> Result<Option<DeviceInfo>, ControlError>;

    /// The device that bears this dm uuid, whatever it is called; `None` if there is none.
    fn info_by_uuid(&self, uuid: &DmUuid) -> Result<Option<DeviceInfo>, ControlError>;

    /// Makes a device, suspended and without a table. `EBUSY` if the name or the uuid is taken.
    fn create(&self, name: &DmName, uuid: &DmUuid) -> Result<DeviceInfo, ControlError>;

    /// Loads a table beside the one in force; [`Control::resume`] swaps it in.
    fn load(&self, name: &DmName, table: &[TableLine], read_only: bool)
    -> Result<(), ControlError>;

    /// Holds back the device's IO until [`Control::resume`]. Not an error if it is suspended.
    fn suspend(&self, name: &DmName, how: Suspend) -> Result<(), ControlError>;

    /// Swaps in a loaded table, if any, and lets IO pass. Returns as soon as the kernel has done so.
    /// Not an error if it was not suspended.
    fn resume(&self, name: &DmName) -> Result<(), ControlError>;

    /// [`Control::resume`] of the device that bears this dm uuid: a name may have become another's.
    fn resume_by_uuid(&self, uuid: &DmUuid) -> Result<(), ControlError>;

    /// Removes a device. `EBUSY` if it is open, which the kernel's implementation waits out for
    /// under a second; `ENXIO` if it does not exist.
    fn remove(&self, name: &DmName) -> Result<(), ControlError>;

    /// The table in force; empty if none is.
    fn table(&self, name: &DmName) -> Result<Vec<TableLine>, ControlError>;

    /// The targets' status, without making a pool commit (`DM_NOFLUSH`); empty without a table.
    fn status(&self, name: &DmName) -> Result<Vec<TargetStatus>, ControlError>;

    /// Sends a message to the target at sector 0.
    fn message(&self, name: &DmName, text: &str) -> Result<(), ControlError>;

    /// A path that opens the device with this number now, made if nobody else made it.
    fn node(&self, name: &DmName, number: DeviceNumber) -> Result<PathBuf, ControlError>;

    /// Number and size of a device a table is to refer to.
    fn backing(&self, path: &Path) -> Result<BackingDevice, ControlError>;
}
