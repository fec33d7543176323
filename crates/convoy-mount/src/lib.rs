//! Put a filesystem on it: mkfs, mount, unmount, and what is mounted where.
//!
//! The kernel's own mount table is the only truth about mounts: nothing here remembers any. All
//! functions block; mounting and unmounting of one target must be kept apart by the caller.

mod check;
mod error;
mod errors;
mod filesystem;
mod grow;
mod holders;
mod make;
mod mount;
mod mountinfo;
mod options;
mod own;
mod preen;
mod root;
mod settings;
mod tool;
mod trim;

pub use check::{Checked, check_filesystem, check_thoroughly};
pub use error::Error;
pub use errors::ext4_with_errors;
pub use filesystem::{Filesystem, UnknownFilesystem};
pub use grow::grow_filesystem;
pub use holders::{Holder, holders};
pub use make::{MakeOptions, make_filesystem};
pub use mount::{Unmounted, mount, sync_filesystem, unmount};
pub use mountinfo::{
    InvalidMountInfo, MountEntry, mounted_at, mounts, parse_mountinfo, targets_of,
};
pub use options::{InvalidOption, MountOptions};
pub use own::set_uuid;
pub use preen::{Preened, preen};
pub use root::{InvalidMode, Mode, Owner};
pub use trim::trim;
