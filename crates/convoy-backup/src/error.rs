//! What can go wrong between a device and a repository.

use convoy_fault::{Fault, Kind};
use convoy_units::ByteRange;

/// A failure of a backup, restore or verification.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The source or sink cannot be opened.
    #[error("cannot open {path}")]
    Open {
        /// Its path.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The source cannot be read.
    #[error("cannot read {range} of the source")]
    Read {
        /// Which bytes.
        range: ByteRange,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The sink cannot be written.
    #[error("cannot write {range} of the target, which is incomplete now")]
    Write {
        /// Which bytes.
        range: ByteRange,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// What was written did not become durable.
    #[error("cannot make the target durable, so nothing of it can be relied upon")]
    Flush(#[source] std::io::Error),
    /// A part of a backup cannot be read back.
    #[error("{range} of {backup} cannot be restored; what was written before is incomplete")]
    Damaged {
        /// The backup's name.
        backup: String,
        /// Which bytes of the volume.
        range: ByteRange,
        /// What is wrong, naming the object.
        #[source]
        source: convoy_repository::Error,
    },
    /// What an incremental backup would take over from its base is lost.
    #[error("backup {base}, which this one is based on, is damaged")]
    Base {
        /// The base's name.
        base: String,
        /// What is wrong with it.
        #[source]
        source: convoy_repository::Error,
    },
    /// The repository failed.
    #[error("cannot {doing}")]
    Repository {
        /// What we were doing.
        doing: &'static str,
        /// Why.
        #[source]
        source: convoy_repository::Error,
    },
    /// The machine starts no more threads.
    #[error("cannot start a thread to back up with")]
    Thread(#[source] std::io::Error),
    /// The caller's wish breaks a rule.
    #[error("{0}")]
    Invalid(String),
    /// The observer asked to stop.
    #[error("stopped as asked; nothing was published")]
    Cancelled,
}

impl Error {
    /// For `map_err`.
    pub(crate) fn repository(doing: &'static str) -> impl Fn(convoy_repository::Error) -> Self {
        move |source| Self::Repository { doing, source }
    }
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Open { .. }
            | Self::Read { .. }
            | Self::Write { .. }
            | Self::Flush(_)
            | Self::Thread(_) => Kind::Failed,
            Self::Damaged { source, .. }
            | Self::Base { source, .. }
            | Self::Repository { source, .. } => source.kind(),
            Self::Invalid(_) => Kind::Invalid,
            Self::Cancelled => Kind::Interrupted,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Damaged { source, .. } | Self::Repository { source, .. } => source.hint(),
            Self::Base { .. } => Some("make a full backup: what is lost is stored anew".to_owned()),
            Self::Read { .. } | Self::Write { .. } => {
                Some("see the kernel's log for the device's errors".to_owned())
            }
            Self::Thread(_) => Some(
                "the machine, or the daemon's control group, is out of processes or memory: try again when it is not"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}
