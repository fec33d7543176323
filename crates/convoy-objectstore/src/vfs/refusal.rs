//! What a failed step in a directory means for the request, and the words for it.

use std::io;
use std::path::Path;

use nix::errno::Errno;

use super::VfsStore;
use crate::error::kind_of;
use crate::location::encode_path;
use crate::store::Verb;
use crate::{Error, ErrorKind, Key};

impl VfsStore {
    pub(super) fn failed(&self, kind: ErrorKind, verb: Verb, object: &str) -> Error {
        Error::new(
            kind,
            verb,
            object,
            format_args!("vfs://{}", encode_path(&self.path)),
        )
    }

    pub(super) fn error(&self, verb: Verb, object: &str, error: io::Error) -> Error {
        self.failed(kind_of(&error), verb, object).because(error)
    }

    /// A failure while reading one object. Where the repository itself can be reached, what the file
    /// system says of this file is damage of this object: others and other copies may be whole.
    pub(super) fn read_error(&self, verb: Verb, key: &Key, error: io::Error) -> Error {
        let kind = if is_damage(&error) && self.directories.open("").is_ok() {
            ErrorKind::Damaged
        } else {
            kind_of(&error)
        };
        self.failed(kind, verb, key.as_str()).because(error)
    }

    /// A failure while writing, when nothing is visible yet.
    pub(super) fn write_error(&self, verb: Verb, object: &str, error: io::Error) -> Error {
        // A directory vanished under us: no statement about any object.
        let kind = match kind_of(&error) {
            ErrorKind::NotFound => ErrorKind::Transient,
            kind => kind,
        };
        self.failed(kind, verb, object).because(error)
    }

    /// The object is visible, and nobody knows whether it will be after a power cut.
    pub(super) fn unclear(&self, verb: Verb, key: &Key, error: io::Error) -> Error {
        self.failed(ErrorKind::Unclear, verb, key.as_str())
            .because(error)
    }

    /// A failed `link` or `rename`: over a network it may have happened all the same.
    pub(super) fn publish_error(&self, verb: Verb, key: &Key, error: io::Error) -> Error {
        match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EIO | Errno::ETIMEDOUT | Errno::ESTALE | Errno::EINTR) => {
                self.unclear(verb, key, error)
            }
            _ => self.write_error(verb, key.as_str(), error),
        }
    }

    pub(super) fn lost(&self, object: &str, error: io::Error) -> Error {
        self.failed(ErrorKind::Permanent, Verb::Sync, object)
            .because(error)
    }

    pub(super) fn short(&self, verb: Verb, key: &Key) -> Error {
        let damaged = self.failed(ErrorKind::Damaged, verb, key.as_str());
        damaged.because("the file is shorter than what was asked of it")
    }
}

pub(super) fn refuse(path: &Path, errno: Errno) -> Error {
    let path = path.display();
    match errno {
        Errno::ENOENT | Errno::ENOTDIR => Error::with_text(
            ErrorKind::NotFound,
            format!("VFS path {path} doesn't exist or is not a directory"),
        ),
        _ => {
            let error = io::Error::from(errno);
            let text = format!("cannot open the destination directory {path}");
            Error::with_text(kind_of(&error), text).because(error)
        }
    }
}

pub(super) fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno as i32)
}

/// Whether this is about one file: its blocks, its inode, or what stands in its place.
fn is_damage(error: &io::Error) -> bool {
    // EUCLEAN and EBADMSG: what ext4 and xfs answer for metadata that is broken or fails its checksum.
    // ENXIO: a socket. ENOTDIR: a file or a link where a directory of the repository should be.
    const DAMAGE: [Errno; 6] = [
        Errno::EIO,
        Errno::EUCLEAN,
        Errno::EBADMSG,
        Errno::ELOOP,
        Errno::ENXIO,
        Errno::ENOTDIR,
    ];
    match error.raw_os_error() {
        Some(errno) => DAMAGE.contains(&Errno::from_raw(errno)),
        None => error.kind() == NOT_A_FILE,
    }
}

/// How `not_a_file` is told from other errors without a number.
const NOT_A_FILE: io::ErrorKind = io::ErrorKind::InvalidData;

pub(super) fn not_a_file() -> io::Error {
    io::Error::new(
        NOT_A_FILE,
        "a symbolic link, a directory or a special file stands under the object's name",
    )
}
