//! The root directory: what lies where, and the lock that keeps a second engine out.

use crate::error::Error;
use convoy_fault::Kind;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// An engine's root directory, locked for as long as this value lives.
#[derive(Debug)]
pub(crate) struct Root {
    path: PathBuf,
    /// Held, never read.
    _lock: Flock<File>,
}

impl Root {
    /// Makes the directory (0700) where it is missing, and locks it.
    pub(crate) fn lock(path: &Path) -> Result<Self, Error> {
        make_directory(path)?;
        let path = path
            .canonicalize()
            .map_err(|error| Error::of(format!("resolving root {}", path.display()), error))?;
        let lock = path.join("lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .custom_flags(nix::libc::O_NOFOLLOW)
            .open(&lock)
            .map_err(|error| Error::of(format!("opening {}", lock.display()), error))?;
        let held = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| {
            let what = format!("Failed to lock the file at {}", lock.display());
            match errno {
                Errno::EWOULDBLOCK => Error::new(
                    Kind::Busy,
                    format!("{what}: another daemon serves this root directory"),
                )
                .hinting("stop it first, or give this one a --root of its own"),
                _ => Error::of(what, io::Error::from(errno)),
            }
        })?;
        Ok(Self { path, _lock: held })
    }

    /// The directory itself, without symbolic links.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The catalog's file.
    pub(crate) fn catalog(&self) -> PathBuf {
        self.path.join("catalog.db")
    }

    /// The files of a loop-backed pool: data and metadata.
    pub(crate) fn loop_files(&self) -> Result<(PathBuf, PathBuf), Error> {
        let directory = self.path.join("devicemapper");
        make_directory(&directory)?;
        Ok((directory.join("data.img"), directory.join("metadata.img")))
    }

    /// Where a volume is mounted that asks for no place of its own. Named by identity: a rename must not
    /// touch a mounted filesystem.
    pub(crate) fn mount_point(&self, volume: Uuid) -> PathBuf {
        self.path.join("mounts").join(volume.to_string())
    }

    /// What a backup of this volume to this repository has sent, for the next one to go on with.
    pub(crate) fn journal(&self, repository: Uuid, volume: Uuid) -> Result<PathBuf, Error> {
        let directory = self.path.join("journals");
        make_directory(&directory)?;
        Ok(directory.join(format!("{repository}.{volume}")))
    }

    /// What may be rebuilt about a repository.
    pub(crate) fn cache(&self, repository: Uuid) -> PathBuf {
        self.path.join("cache").join(repository.to_string())
    }
}

/// Makes a directory only we may enter, and its parents.
pub(crate) fn make_directory(path: &Path) -> Result<(), Error> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    match made {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(Error::of(
            format!("making directory {}", path.display()),
            error,
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    //! The lock keeps a second engine out, and a new one may follow.

    use super::*;
    use convoy_fault::Fault;

    #[test]
    fn a_second_engine_is_kept_out_until_the_first_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/root");
        let first = Root::lock(&path).unwrap();
        let error = Root::lock(&path).unwrap_err();
        assert_eq!(error.kind(), Kind::Busy);
        assert!(
            error.to_string().contains("Failed to lock the file at"),
            "{error}"
        );
        drop(first);
        Root::lock(&path).unwrap();
    }
}
