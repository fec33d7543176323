//! What each `fsync` said, believed once: a failure is remembered and never asked about again.
//!
//! After a failed writeback the kernel marks the pages clean, and the next `fsync` reports success
//! although nothing was written. So whatever failed stays unknown until the store is opened anew, by
//! which time somebody has seen the error.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::unistd::fsync;

/// How a descriptor is made durable: the kernel's call, but for tests.
pub(super) type Fsync = fn(BorrowedFd<'_>) -> nix::Result<()>;

/// The `fsync`s of one store, by path below the destination's directory (`""` is that itself).
#[derive(Debug)]
pub(super) struct Fsyncs {
    call: Fsync,
    failed: Mutex<BTreeSet<String>>,
}

impl Default for Fsyncs {
    fn default() -> Self {
        Self::new(|file| fsync(file))
    }
}

impl Fsyncs {
    pub(super) fn new(call: Fsync) -> Self {
        Self {
            call,
            failed: Mutex::default(),
        }
    }

    /// Makes the bytes of a file durable.
    pub(super) fn file(&self, path: &str, file: impl AsFd) -> io::Result<()> {
        self.trusted(path)?;
        (self.call)(file.as_fd()).map_err(|errno| self.distrust(path, errno))
    }

    /// Makes the entries of a directory durable.
    pub(super) fn directory(&self, path: &str, directory: impl AsFd) -> io::Result<()> {
        self.trusted(path)?;
        match (self.call)(directory.as_fd()) {
            // Some network and user-space file systems have no fsync of directories, and say so.
            Ok(()) | Err(Errno::EINVAL | Errno::EOPNOTSUPP) => Ok(()),
            Err(errno) => Err(self.distrust(path, errno)),
        }
    }

    /// Fails if an `fsync` of this path has failed.
    pub(super) fn trusted(&self, path: &str) -> io::Result<()> {
        if !self.failed().contains(path) {
            return Ok(());
        }
        Err(io::Error::other(format!(
            "an earlier fsync of {path:?} failed, and a repetition would prove nothing until the destination is opened anew"
        )))
    }

    fn distrust(&self, path: &str, errno: Errno) -> io::Error {
        self.failed().insert(path.to_owned());
        tracing::error!(path, error = %errno, "fsync failed: nothing there is taken for durable any more");
        errno.into()
    }

    fn failed(&self) -> MutexGuard<'_, BTreeSet<String>> {
        // One insertion is the only change: a panic elsewhere does not matter.
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
