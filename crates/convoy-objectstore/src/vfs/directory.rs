//! The way down to an object's directory, one segment at a time and through no symbolic link.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, mkdirat};

use super::fsyncs::Fsyncs;
use crate::Key;
use crate::folder::Folder;

/// The directories of one destination.
///
/// Each segment is opened with `O_NOFOLLOW` from the descriptor before it. That is what `openat2`
/// with `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS` does in one call, but works on every kernel and under
/// every seccomp filter, and keys have three segments at most.
#[derive(Debug)]
pub(super) struct Directories {
    place: OwnedFd,
    folder: Folder,
    fsyncs: Fsyncs,
    /// Directories whose own entry is durable, as far as this process has made sure.
    durable: Mutex<HashSet<String>>,
}

impl Directories {
    pub(super) fn new(place: OwnedFd, folder: Folder, fsyncs: Fsyncs) -> Self {
        Self {
            place,
            folder,
            fsyncs,
            durable: Mutex::default(),
        }
    }

    /// What these are directories of.
    pub(super) fn folder(&self) -> Folder {
        self.folder
    }

    /// Opens a directory of the repository; `""` is its top. ENOENT if there is none yet.
    pub(super) fn open(&self, path: &str) -> io::Result<OwnedFd> {
        self.segments(path)
            .try_fold(self.place.try_clone()?, |above, segment| {
                Ok(open_below(&above, segment)?)
            })
    }

    /// Opens a directory of the repository and makes what is missing on the way, durably.
    pub(super) fn make(&self, path: &str) -> io::Result<OwnedFd> {
        let mut so_far = String::new();
        self.segments(path)
            .try_fold(self.place.try_clone()?, |above, segment| {
                let path_above = so_far.clone();
                so_far = join(&so_far, segment);
                self.make_below(&above, &path_above, segment, &so_far)
            })
    }

    /// Makes the entries of a directory of the repository durable.
    pub(super) fn sync(&self, path: &str, directory: &OwnedFd) -> io::Result<()> {
        self.fsyncs.directory(&self.from_place(path), directory)
    }

    /// Makes the bytes of an object durable.
    pub(super) fn sync_object(&self, key: &Key, file: &File) -> io::Result<()> {
        self.fsyncs.file(&self.from_place(key.as_str()), file)
    }

    /// Fails if names in this directory can no longer be made durable.
    pub(super) fn trusted(&self, path: &str) -> io::Result<()> {
        self.fsyncs.trusted(&self.from_place(path))
    }

    fn make_below(
        &self,
        above: &OwnedFd,
        path_above: &str,
        segment: &str,
        so_far: &str,
    ) -> io::Result<OwnedFd> {
        let directory = match open_below(above, segment) {
            Err(Errno::ENOENT) => {
                match mkdirat(above, segment, Mode::S_IRWXU) {
                    // What we know of the path was about a directory that vanished since.
                    Ok(()) | Err(Errno::EEXIST) => self.durable().remove(so_far),
                    Err(errno) => return Err(errno.into()),
                };
                open_below(above, segment)?
            }
            other => other?,
        };
        // Also when it was there: whoever made it may not have come to its own fsync.
        if !self.durable().contains(so_far) {
            self.fsyncs.directory(path_above, above)?;
            self.durable().insert(so_far.to_owned());
        }
        Ok(directory)
    }

    /// A path of the repository as one from the destination's directory.
    #[expect(
        clippy::wrong_self_convention,
        reason = "it is the path that is from the place"
    )]
    fn from_place(&self, path: &str) -> String {
        self.segments(path)
            .fold(String::new(), |above, segment| join(&above, segment))
    }

    fn segments<'a>(&self, path: &'a str) -> impl Iterator<Item = &'a str> + use<'a> {
        std::iter::once(self.folder.name())
            .chain(path.split('/').filter(|segment| !segment.is_empty()))
    }

    fn durable(&self) -> MutexGuard<'_, HashSet<String>> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn join(above: &str, segment: &str) -> String {
    if above.is_empty() {
        segment.to_owned()
    } else {
        format!("{above}/{segment}")
    }
}

/// Opens one directory in another. ENOTDIR or ELOOP if it is a symbolic link or a file.
pub(super) fn open_below(above: &OwnedFd, segment: &str) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(above, segment, flags, Mode::empty())
}
