//! The step that makes a file an object: one `link(2)`, which never replaces.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{fstat, fstatat};
use nix::unistd::linkat;

use super::temporary::Temporary;
use crate::Put;

/// Gives the temporary's file its name as an object, if no object has it.
pub(super) fn publish(temporary: &Temporary, directory: &OwnedFd, name: &str) -> io::Result<Put> {
    let (from, to) = (temporary.directory(), temporary.name());
    match linkat(from, to, directory, name, AtFlags::empty()) {
        Ok(()) => Ok(Put::Stored),
        // A share repeats a link whose answer was lost, and then finds its own: same file, ours.
        Err(Errno::EEXIST) if is_same(temporary.file(), directory, name)? => Ok(Put::Stored),
        Err(Errno::EEXIST) => Ok(Put::Exists),
        // What link(2) says on a file system without hard links, such as FAT.
        Err(Errno::EPERM) => Err(Errno::EOPNOTSUPP.into()),
        Err(errno) => Err(errno.into()),
    }
}

/// Whether the name in the directory stands for this very file.
pub(super) fn is_same(file: &File, directory: &OwnedFd, name: &str) -> io::Result<bool> {
    let ours = fstat(file)?;
    match fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(theirs) => Ok((ours.st_dev, ours.st_ino) == (theirs.st_dev, theirs.st_ino)),
        Err(Errno::ENOENT) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}
