//! What can be wrong with thin metadata, and where.

mod place;
mod rule;

pub use place::{Damage, Role, Space, Tree};
pub use rule::Rule;

use convoy_fault::{Fault, Kind};
use convoy_units::{DevId, MetadataBlock};
use std::io;
use std::path::PathBuf;

/// Why metadata could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file or device cannot be opened or measured.
    #[error("cannot open thin metadata {}", path.display())]
    Open {
        /// What was opened.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The device failed to deliver a block.
    #[error("cannot read metadata block {block}")]
    Read {
        /// The block.
        block: MetadataBlock,
        /// What the system said.
        source: io::Error,
    },
    /// A rule of the format is broken.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// Block 0 is all zero: nobody made a pool here, or its superblock was wiped.
    #[error("the metadata device is blank: block 0 is all zero")]
    Blank,
    /// Block 0 is neither blank nor a thin pool's superblock.
    #[error("block 0 is not the superblock of a thin pool: {0}")]
    Foreign(Foreign),
    /// A pool made with something this reader does not know.
    #[error("the thin metadata needs {what}, which this version does not know")]
    Unsupported {
        /// The version or feature.
        what: String,
    },
    /// The pool has no such device.
    #[error("the pool has no thin device {dev_id}")]
    NoDevice {
        /// The id asked for.
        dev_id: DevId,
    },
    /// The metadata snapshot that was to be read is not the one the pool holds.
    #[error("the metadata snapshot at block {root} is not held by the pool, which holds {}", held_text(*.found))]
    NotHeld {
        /// The root the caller named.
        root: MetadataBlock,
        /// What the live superblock says.
        found: Option<MetadataBlock>,
    },
    /// The live superblock was rewritten during an offline read.
    #[error("the pool changed its metadata while it was being read")]
    Changed,
}

fn held_text(found: Option<MetadataBlock>) -> String {
    found.map_or_else(|| "none".to_owned(), |block| format!("block {block}"))
}

/// What block 0 looks like when it is not a superblock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Foreign {
    /// Neither the magic number nor the checksum fit: other data.
    #[error("its magic number is {0} instead of 27022010 and its checksum is wrong")]
    MagicAndChecksum(u64),
    /// An intact block with another magic number.
    #[error("its magic number is {0} instead of 27022010")]
    Magic(u64),
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Open { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => Kind::NotFound,
                io::ErrorKind::PermissionDenied => Kind::NotPermitted,
                _ => Kind::Failed,
            },
            Self::Read { .. } => Kind::PoolUnhealthy,
            Self::Damaged(_) | Self::Blank => Kind::Integrity,
            Self::Foreign(_) | Self::NotHeld { .. } => Kind::Conflict,
            Self::Unsupported { .. } => Kind::Unsupported,
            Self::NoDevice { .. } => Kind::NotFound,
            Self::Changed => Kind::Busy,
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Damaged(_) => {
                "deactivate the pool, run `thin_check` on its metadata device, and repair into another device with `thin_repair`, never in place"
            }
            Self::Read { .. } => {
                "the metadata device fails to read: check the kernel's log and the disk under it"
            }
            Self::Blank | Self::Foreign(_) => "check that this is the pool's metadata device",
            Self::NotHeld { .. } => {
                "reserve the metadata snapshot again and read the block the pool's status names"
            }
            Self::Changed => {
                "read a pool that is in use through a metadata snapshot, or deactivate it first"
            }
            _ => return None,
        };
        Some(text.to_owned())
    }
}
