//! The socket as a file: taken without pushing anybody out, given back at the end.

use crate::error::Error;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket,
};
use nix::sys::stat::{Mode, fchmod};
use std::fs::{DirBuilder, Metadata, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use tokio::net::UnixListener;

/// The mode of a socket for root's programs alone.
const PRIVATE: u32 = 0o600;
/// The socket's mode: whoever may write to it may do all that the daemon may, so its owner and group only.
const MODE: u32 = 0o660;
const DIR_MODE: u32 = 0o750;
/// Connections that wait to be accepted; the kernel's own bound may be lower.
const BACKLOG: i32 = 1024;

/// A bound socket. The file goes when this is dropped, if it is still ours.
#[derive(Debug)]
pub struct Listener {
    inner: UnixListener,
    path: PathBuf,
    /// Device and inode of our file.
    file: (u64, u64),
}

impl Listener {
    /// Makes the socket, mode 0660, and its directory, mode 0750, where it is missing. Must be called
    /// inside a tokio runtime.
    ///
    /// A socket that nobody listens on is replaced: a killed daemon leaves one. Two daemons that start at
    /// the same moment are kept apart by the engine's lock, which is taken before.
    ///
    /// # Errors
    /// [`Error::InUse`] when somebody listens there, [`Error::NotASocket`] for any other file: nothing is
    /// removed then.
    pub fn bind(path: &Path) -> Result<Self, Error> {
        Self::bind_as(path, MODE)
    }

    /// [`Listener::bind`] with mode 0600: for programs of the same user, root mostly, alone.
    ///
    /// # Errors
    /// As [`Listener::bind`].
    pub fn bind_private(path: &Path) -> Result<Self, Error> {
        Self::bind_as(path, PRIVATE)
    }

    fn bind_as(path: &Path, mode: u32) -> Result<Self, Error> {
        make_dir(path)?;
        remove_stale(path)?;
        let inner = make_socket(path, mode)
            .map_err(|source| io_error("making the socket", path, source))?;
        let file = path
            .symlink_metadata()
            .map_err(|source| io_error("reading", path, source))?;
        Ok(Self {
            inner,
            path: path.to_owned(),
            file: identity(&file),
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What to accept on.
    pub fn inner(&self) -> &UnixListener {
        &self.inner
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Another daemon's socket may stand there by now, if somebody removed ours: that one stays.
        let ours = |file: Metadata| identity(&file) == self.file;
        if self.path.symlink_metadata().is_ok_and(ours)
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::warn!(socket = %self.path.display(), %error, "cannot remove the socket");
        }
    }
}

fn make_dir(path: &Path) -> Result<(), Error> {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => DirBuilder::new()
            .recursive(true)
            .mode(DIR_MODE)
            .create(dir)
            .map_err(|source| io_error("making the socket's directory", dir, source)),
        _ => Ok(()),
    }
}

/// Binds and listens. Nobody else may connect at any moment: until its file has the right mode, the
/// socket does not listen. (The umask would do it in one step, for all threads of the process.)
fn make_socket(path: &Path, mode: u32) -> io::Result<UnixListener> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    // Linux makes the file with the socket's own mode, less the umask.
    fchmod(&socket, Mode::from_bits_truncate(mode))?;
    bind(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    std::fs::set_permissions(path, Permissions::from_mode(mode))?;
    listen(&socket, Backlog::new(BACKLOG)?)?;
    UnixListener::from_std(socket.into())
}

fn remove_stale(path: &Path) -> Result<(), Error> {
    let file = match path.symlink_metadata() {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(io_error("reading", path, source)),
    };
    if !file.file_type().is_socket() {
        return Err(Error::NotASocket(path.to_owned()));
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(Error::InUse(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            tracing::info!(socket = %path.display(), "removing a socket nobody listens on");
            std::fs::remove_file(path)
                .map_err(|source| io_error("removing the old socket", path, source))
        }
        // Anything else, a full backlog for one, may be a live daemon.
        Err(source) => Err(io_error("finding out who listens at", path, source)),
    }
}

fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

fn io_error(what: &'static str, path: &Path, source: io::Error) -> Error {
    Error::Io {
        what,
        path: path.to_owned(),
        source,
    }
}
