//! What can go wrong with a file system, with what to do about it.

use crate::holders::{Holder, describe};
use crate::mountinfo::InvalidMountInfo;
use crate::options::InvalidOption;
use convoy_fault::{Fault, Kind};
use std::io;
use std::path::PathBuf;

/// A failure around a file system.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A system call failed.
    #[error("cannot {what} {path}")]
    Io {
        /// What we were doing.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A tool is not installed, or cannot be run.
    #[error("cannot run {tool}")]
    Run {
        /// Its name.
        tool: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A tool failed.
    #[error("{tool} failed on {device}: {message}")]
    Tool {
        /// Its name.
        tool: &'static str,
        /// On what.
        device: PathBuf,
        /// Its exit status in words, and the last of what it said.
        message: String,
    },
    /// The file system has damage that must not be repaired without a person looking.
    #[error("the file system on {device} is damaged: {message}")]
    Damaged {
        /// Where.
        device: PathBuf,
        /// What the checker said.
        message: String,
    },
    /// An option that we do not pass on.
    #[error("this cannot be mounted or made so")]
    Option(#[from] InvalidOption),
    /// Something else is mounted there.
    #[error("{target} has another file system mounted already ({source_device})")]
    Occupied {
        /// Where.
        target: PathBuf,
        /// What is mounted, as the kernel names it.
        source_device: String,
    },
    /// What is meant is mounted there and cannot be reached.
    #[error("another file system is mounted over {target}")]
    Covered {
        /// Where.
        target: PathBuf,
    },
    /// The kernel does not let it go.
    #[error("{target} is in use{}", describe(.holders))]
    Busy {
        /// Where.
        target: PathBuf,
        /// Who holds it, as far as can be seen.
        holders: Vec<Holder>,
    },
    /// The kernel's mount table has a line we cannot read; no answer is better than a wrong one.
    #[error("cannot read the mount table")]
    MountTable(#[from] InvalidMountInfo),
}

impl Error {
    pub(crate) fn io(
        what: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { what, path, source }
    }
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => Kind::NotFound,
                io::ErrorKind::PermissionDenied => Kind::NotPermitted,
                io::ErrorKind::ResourceBusy => Kind::Busy,
                _ => Kind::Failed,
            },
            Self::Run { .. } | Self::Tool { .. } | Self::MountTable(_) => Kind::Failed,
            Self::Damaged { .. } => Kind::Integrity,
            Self::Option(_) => Kind::Invalid,
            Self::Occupied { .. } => Kind::Conflict,
            Self::Busy { .. } | Self::Covered { .. } => Kind::Busy,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Run { tool, .. } => {
                let package = if tool.contains("xfs") {
                    "xfsprogs"
                } else {
                    "e2fsprogs"
                };
                Some(format!("install {package}, which has {tool}"))
            }
            Self::Damaged { device, .. } => {
                let device = device.display();
                Some(format!(
                    "take a snapshot first, then look at it with e2fsck -n {device} (xfs_repair -n)"
                ))
            }
            Self::Busy { .. } => Some("end or move away what holds it, then try again".into()),
            Self::Occupied { .. } => Some("give another mount point".into()),
            _ => None,
        }
    }
}
