//! Files under construction, in `convoy-repository/tmp/`, and what crashed writers left of them.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use nix::dir::Dir;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::probe::random_name;

/// Leftovers older than this many seconds have no living writer: a put takes minutes at most.
const STALE: i64 = 24 * 60 * 60;

/// A file under a name of its own; the name goes when this is dropped.
///
/// Not `O_TMPFILE`, which network file systems lack.
pub(super) struct Temporary {
    directory: OwnedFd,
    name: String,
    file: Arc<File>,
}

impl Temporary {
    pub(super) fn create(directory: OwnedFd) -> io::Result<Self> {
        let name = random_name().map_err(|error| io::Error::other(error.to_string()))?;
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL;
        let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = openat(
            &directory,
            name.as_str(),
            flags,
            Mode::S_IRUSR | Mode::S_IWUSR,
        )?;
        Ok(Self {
            directory,
            name,
            file: Arc::new(File::from(file)),
        })
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn directory(&self) -> &OwnedFd {
        &self.directory
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Drops the temporary name and keeps the file open.
    pub(super) fn finish(self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// Removes temporaries a day older than this one: by the destination's clock, not ours.
    ///
    /// A failure is of no consequence: the next store tries again.
    pub(super) fn sweep_older(&self) {
        if let Err(error) = self.try_sweep() {
            tracing::debug!(%error, "cannot sweep left-over temporary files");
        }
    }

    fn try_sweep(&self) -> io::Result<()> {
        let now = fstat(&self.file)?.st_mtime;
        let mut directory = Dir::from_fd(self.directory.try_clone()?)?;
        let mut names = Vec::new();
        for entry in directory.iter() {
            names.push(entry?.file_name().to_owned());
        }
        for name in names {
            let ours = name.to_str().is_ok_and(is_temporary_name);
            let place = self.directory.as_fd();
            let Ok(stat) = fstatat(place, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) else {
                continue;
            };
            if ours && now.saturating_sub(stat.st_mtime) > STALE {
                unlinkat(place, name.as_c_str(), UnlinkatFlags::NoRemoveDir)?;
                tracing::info!(?name, "removed a temporary file of a writer that crashed");
            }
        }
        Ok(())
    }
}

fn is_temporary_name(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|b| b.is_ascii_hexdigit())
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // A leftover costs space until it is swept; after a rename there is none.
        match unlinkat(
            &self.directory,
            self.name.as_str(),
            UnlinkatFlags::NoRemoveDir,
        ) {
            Ok(()) | Err(nix::errno::Errno::ENOENT) => {}
            Err(error) => tracing::debug!(%error, "cannot remove a temporary file"),
        }
    }
}
