//! Why the daemon did not start.

use convoy_fault::{Fault, Kind};
use std::io;
use std::path::PathBuf;

/// Why the daemon did not start, or could not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A flag or setting breaks a rule.
    #[error("{what}")]
    Setting {
        /// The rule.
        what: String,
        /// What to write instead.
        hint: Option<String>,
    },
    /// The configuration file cannot be used.
    #[error("configuration file {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: FileError,
    },
    /// The log file cannot be appended to.
    #[error("opening the log {}", path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The engine did not open, or refuses its options.
    #[error(transparent)]
    Engine(#[from] convoy_engine::Error),
    /// The socket could not be taken.
    #[error(transparent)]
    Socket(#[from] convoy_server::Error),
    /// The event loop or its signals could not be set up.
    #[error("starting the event loop")]
    Runtime(#[source] io::Error),
    /// The guard could not do its work, or was started by somebody else.
    #[error("the guard's standard input is no socket to a daemon")]
    Guard(#[source] io::Error),
    /// Verbs were still running when the time to stop was over.
    #[error(
        "stopped while verbs were still running; they are finished or undone at the next start"
    )]
    Abandoned,
}

/// Why a configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// It is not TOML, or has a key or a type that is not ours.
    #[error("{0}")]
    Parse(String),
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Setting { .. } | Self::File { .. } => Kind::Invalid,
            Self::Engine(error) => error.kind(),
            Self::Socket(error) => error.kind(),
            Self::Abandoned => Kind::Partial,
            Self::Log { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Kind::NotPermitted
            }
            Self::Log { .. } | Self::Runtime(_) | Self::Guard(_) => Kind::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Setting { hint, .. } => hint.clone(),
            Self::Engine(error) => error.hint(),
            Self::Socket(error) => error.hint(),
            Self::File { .. } => Some(
                "its keys are root, socket, log, log_level, docker_socket, docker_on_remove, trash_grace, drivers and the table driver_opts"
                    .to_owned(),
            ),
            Self::Abandoned => Some("start the daemon again: convoy daemon".to_owned()),
            Self::Log { .. } | Self::Runtime(_) | Self::Guard(_) => None,
        }
    }
}
