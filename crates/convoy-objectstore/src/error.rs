//! What went wrong at a destination: the kind to branch on, and a text that names it.
//!
//! A store never tells secrets: the text names the destination by its location, the object by its
//! key, and the cause as the operating system or the server put it.

use std::fmt;
use std::io;

use convoy_fault::{Fault, Kind};
use nix::errno::Errno;

use crate::store::Verb;

/// What a failed request means for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No such object (or, maybe, not yet visible here).
    NotFound,
    /// The credentials or the permissions do not allow it.
    Auth,
    /// The destination asks for fewer requests; nothing happened.
    Throttled,
    /// Nothing happened; the same request may succeed later.
    Transient,
    /// Nothing visible happened, and the same request will fail again.
    Permanent,
    /// The request may or may not have taken effect: ask before going on.
    Unclear,
    /// The stored object is not what was put: shorter than what was asked of it, larger than it may be,
    /// not readable, or something else stands in its place. Other objects may be whole.
    Damaged,
    /// The caller broke a rule of this crate.
    Invalid,
    /// This version or this destination cannot do it.
    Unsupported,
}

/// A failed request. Branch on `kind`; the text names destination and object.
#[derive(Debug)]
pub struct Error {
    /// What it means for the caller.
    pub kind: ErrorKind,
    // Boxed, since errors travel in results everywhere and are rare.
    said: Box<Said>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

#[derive(Debug)]
struct Said {
    text: String,
    hint: Option<String>,
}

impl Error {
    /// A failure of `verb` on `object` (a key or a prefix, may be empty) at `destination`.
    ///
    /// Public so that stores of other crates speak alike. `destination` must carry no secret.
    pub fn new(kind: ErrorKind, verb: Verb, object: &str, destination: impl fmt::Display) -> Self {
        let of = if object.is_empty() { "" } else { " of " };
        let text = match kind {
            ErrorKind::NotFound => format!("there is no object {object} at {destination}"),
            ErrorKind::Unclear => {
                format!("{verb}{of}{object} at {destination} may or may not have taken effect")
            }
            _ => format!("{verb}{of}{object} at {destination} failed"),
        };
        Self::with_text(kind, text)
    }

    /// An error with a text of its own, which must name the destination.
    pub fn with_text(kind: ErrorKind, text: String) -> Self {
        Self {
            kind,
            said: Box::new(Said { text, hint: None }),
            source: None,
        }
    }

    /// The same, with what to do next.
    #[must_use]
    pub fn hinting(mut self, hint: impl Into<String>) -> Self {
        self.said.hint = Some(hint.into());
        self
    }

    /// The same, caused by `source`.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

/// What an error number of a file system means, where nothing is known of the request.
pub(crate) fn kind_of(error: &io::Error) -> ErrorKind {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOENT) => ErrorKind::NotFound,
        Some(Errno::EACCES | Errno::EPERM) => ErrorKind::Auth,
        // ESTALE: the server restarted or replaced the file; opening it again by name may find it.
        Some(
            Errno::ESTALE
            | Errno::EINTR
            | Errno::EAGAIN
            | Errno::EBUSY
            | Errno::ETIMEDOUT
            | Errno::ENOMEM
            | Errno::EMFILE
            | Errno::ENFILE,
        ) => ErrorKind::Transient,
        Some(Errno::EOPNOTSUPP | Errno::ENOSYS) => ErrorKind::Unsupported,
        _ => ErrorKind::Permanent,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.said.text)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn std::error::Error + 'static))
    }
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self.kind {
            ErrorKind::NotFound => Kind::NotFound,
            ErrorKind::Auth => Kind::NotPermitted,
            ErrorKind::Throttled
            | ErrorKind::Transient
            | ErrorKind::Permanent
            | ErrorKind::Unclear => Kind::DestinationUnavailable,
            ErrorKind::Damaged => Kind::Integrity,
            ErrorKind::Invalid => Kind::Invalid,
            ErrorKind::Unsupported => Kind::Unsupported,
        }
    }

    fn hint(&self) -> Option<String> {
        if let Some(hint) = &self.said.hint {
            return Some(hint.clone());
        }
        let source = self
            .source
            .as_deref()
            .and_then(|source| source.downcast_ref::<io::Error>());
        let hint = match source
            .and_then(io::Error::raw_os_error)
            .map(Errno::from_raw)
        {
            Some(Errno::ENOSPC | Errno::EDQUOT) => {
                "free space at the destination, then repeat the command"
            }
            Some(Errno::EROFS) => "the destination is mounted read-only: remount it read-write",
            Some(Errno::EIO) => {
                "the disk or the share under the destination reports damage: see dmesg"
            }
            Some(Errno::ESTALE) => "the share changed under us: repeat the command, or remount it",
            Some(Errno::EOPNOTSUPP) => {
                "the file system of the destination has no hard links, which creating objects needs: use another"
            }
            Some(Errno::ELOOP | Errno::ENOTDIR) => {
                "a symbolic link or a file stands where a directory of the repository should be: look who put it there"
            }
            _ => match self.kind {
                ErrorKind::Auth => "check the permissions of the destination",
                ErrorKind::Throttled | ErrorKind::Transient => "repeat the command",
                _ => return None,
            },
        };
        Some(hint.to_owned())
    }
}
