//! What can go wrong in asking.

use convoy_api::Problem;
use convoy_fault::{Fault, Kind};
use std::path::PathBuf;
use uuid::Uuid;

/// The error of every call.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nobody answers at the socket.
    #[error("the convoy daemon does not answer at {}", socket.display())]
    Unreachable {
        /// Where it was looked for.
        socket: PathBuf,
        /// Why it does not.
        #[source]
        source: std::io::Error,
    },
    /// The daemon answered that the verb failed. Boxed: it is ten times the size of the others.
    #[error("{0}")]
    Refused(Box<Problem>),
    /// The connection ended before the answer.
    #[error("the daemon closed the connection before it answered")]
    CutOff {
        /// The call, where it has a name: to repeat it by.
        operation: Option<Uuid>,
        /// How it ended, where that is known.
        #[source]
        source: Option<hyper::Error>,
    },
    /// What answered does not speak as our daemon does.
    #[error("cannot understand the answer at {}: {what}", socket.display())]
    Protocol {
        /// The socket.
        socket: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// This process cannot do network IO at all.
    #[error("cannot start the client's event loop")]
    Runtime(#[source] std::io::Error),
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Unreachable { source, .. } if denied(source) => Kind::NotPermitted,
            Self::Unreachable { .. } | Self::CutOff { .. } => Kind::Unreachable,
            Self::Refused(problem) => problem.kind(),
            Self::Protocol { .. } | Self::Runtime(_) => Kind::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Unreachable { source, .. } if denied(source) => {
                Some("run it as root or as a member of the socket's group".to_owned())
            }
            Self::Unreachable { .. } => {
                Some("start it with: convoy daemon (or name its socket with --socket)".to_owned())
            }
            Self::Refused(problem) => problem.hint.clone(),
            Self::CutOff { operation, .. } => Some(match operation {
                Some(operation) => format!(
                    "what was begun may still be done: see with convoy list, or look for {operation} in the daemon's log"
                ),
                None => "what was begun may still be done: see with convoy list".to_owned(),
            }),
            Self::Protocol { .. } => {
                Some("check that --socket names the socket of a convoy daemon".to_owned())
            }
            Self::Runtime(_) => None,
        }
    }
}

fn denied(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::PermissionDenied
}
