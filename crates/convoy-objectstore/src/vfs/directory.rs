//! The way down to an object's directory, one segment at a time and through no symbolic link.

use std::collections::HashSet;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::fsync;

use super::REPOSITORY;

/// The directories of one destination.
///
/// Each segment is opened with `O_NOFOLLOW` from the descriptor before it. That is what `openat2`
/// with `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS` does in one call, but works on every kernel and under
/// every seccomp filter, and keys have three segments at most.
#[derive(Debug)]
pub(super) struct Directories {
    place: OwnedFd,
    /// Directories whose own entry is durable, as far as this process has made sure.
    durable: Mutex<HashSet<String>>,
}

impl Directories {
    pub(super) fn new(place: OwnedFd) -> Self {
        Self {
            place,
            durable: Mutex::default(),
        }
    }

    /// Opens a directory of the repository; `""` is its top. ENOENT if there is none yet.
    pub(super) fn open(&self, path: &str) -> io::Result<OwnedFd> {
        segments(path).try_fold(self.place.try_clone()?, |above, segment| {
            Ok(open_below(&above, segment)?)
        })
    }

    /// Opens a directory of the repository and makes what is missing on the way, durably.
    pub(super) fn make(&self, path: &str) -> io::Result<OwnedFd> {
        let mut so_far = String::new();
        segments(path).try_fold(self.place.try_clone()?, |above, segment| {
            so_far = format!("{so_far}/{segment}");
            self.make_below(&above, segment, &so_far)
        })
    }

    fn make_below(&self, above: &OwnedFd, segment: &str, so_far: &str) -> io::Result<OwnedFd> {
        let directory = match open_below(above, segment) {
            Err(Errno::ENOENT) => {
                match mkdirat(above, segment, Mode::S_IRWXU) {
                    Ok(()) | Err(Errno::EEXIST) => {}
                    Err(errno) => return Err(errno.into()),
                }
                open_below(above, segment)?
            }
            other => other?,
        };
        // Also when it was there: whoever made it may not have come to its own fsync.
        if !self.is_durable(so_far) {
            sync(above)?;
            self.durable
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(so_far.to_owned());
        }
        Ok(directory)
    }

    fn is_durable(&self, path: &str) -> bool {
        self.durable
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(path)
    }
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    std::iter::once(REPOSITORY).chain(path.split('/').filter(|segment| !segment.is_empty()))
}

/// Opens one directory in another. ENOTDIR or ELOOP if it is a symbolic link or a file.
pub(super) fn open_below(above: &OwnedFd, segment: &str) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(above, segment, flags, Mode::empty())
}

/// Makes the entries of a directory durable.
pub(super) fn sync(directory: &OwnedFd) -> io::Result<()> {
    match fsync(directory) {
        // Some network and user-space file systems have no fsync of directories, and say so.
        Ok(()) | Err(Errno::EINVAL | Errno::EOPNOTSUPP) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}
