//! What can go wrong in taking the socket.

use convoy_fault::{Fault, Kind};
use std::io;
use std::path::PathBuf;

/// Why the socket could not be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A daemon answers there.
    #[error("another daemon answers at {}", .0.display())]
    InUse(PathBuf),
    /// Something that is not a socket is there.
    #[error("{} exists and is not a socket", .0.display())]
    NotASocket(PathBuf),
    /// A step failed.
    #[error("{what} {}", path.display())]
    Io {
        /// The step.
        what: &'static str,
        /// What it was about.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::InUse(_) => Kind::Busy,
            Self::NotASocket(_) => Kind::Conflict,
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Kind::NotPermitted
            }
            Self::Io { .. } => Kind::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::InUse(_) => Some("stop it first, or give this one another --socket".to_owned()),
            Self::NotASocket(_) => Some("give another --socket, or move the file away".to_owned()),
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("run the daemon as root, or give it a --socket where it may write".to_owned())
            }
            Self::Io { .. } => None,
        }
    }
}
