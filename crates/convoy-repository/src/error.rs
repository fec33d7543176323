//! What can go wrong with a repository, and what to do then.

use crate::id::BlobId;
use convoy_fault::{Fault, Kind};
use uuid::Uuid;

/// A failure of a repository.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store failed at one object.
    #[error("cannot {doing}")]
    Store {
        /// What we were doing, with the object's key.
        doing: String,
        /// The store's answer.
        #[source]
        source: convoy_objectstore::Error,
    },
    /// The destination has no repository.
    #[error("there is no backup repository at this destination")]
    NoRepository,
    /// The destination has one already.
    #[error("there is a backup repository at this destination already")]
    AlreadyThere,
    /// No live backup of this name or id.
    #[error("there is no backup {0} in this repository")]
    NoBackup(String),
    /// An object's bytes are not what they must be.
    #[error("{object} is damaged: {what}")]
    Damaged {
        /// The object's key.
        object: String,
        /// The rule that is broken.
        what: String,
    },
    /// A chunk or tree node that a backup needs is nowhere to be found.
    #[error("{what} {id} is in no pack that the repository knows")]
    Missing {
        /// `chunk` or `tree node`.
        what: &'static str,
        /// Its id.
        id: BlobId,
    },
    /// The store does not give one object away, though it answers for others.
    #[error("cannot read {object}, though the destination answers")]
    Unreadable {
        /// The object's key.
        object: String,
        /// The store's answer.
        #[source]
        source: convoy_objectstore::Error,
    },
    /// Written by something newer, or with a feature this version lacks.
    #[error("this version cannot read the repository: {what}")]
    Newer {
        /// The feature or version, and who wrote it.
        what: String,
    },
    /// The repository may only be read by this process.
    #[error("the repository is read-only here: {why}")]
    ReadOnly {
        /// Why.
        why: String,
    },
    /// The store broke what is assumed of it.
    #[error("the destination does not keep its word: {what}")]
    StoreLies {
        /// What was seen.
        what: String,
    },
    /// Nobody knows whether an entry was written.
    #[error(
        "the destination gave no clear answer for log entry {slot}, which may or may not have taken effect (operation {op})"
    )]
    Unclear {
        /// Where.
        slot: u64,
        /// Which operation.
        op: Uuid,
        /// The last answer.
        #[source]
        source: convoy_objectstore::Error,
    },
    /// The log says that the entry cannot count.
    #[error("the repository's log does not take this: {why}")]
    Refused {
        /// The rule.
        why: String,
    },
    /// Something a running backup relied on was collected meanwhile.
    #[error("what this backup reused was collected meanwhile: {what}")]
    Overtaken {
        /// What.
        what: String,
    },
    /// The caller's wish breaks a rule.
    #[error("{0}")]
    Invalid(String),
    /// The local cache cannot be used.
    #[error("cannot use the local cache {path}")]
    Cache {
        /// Where.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The compressor failed.
    #[error("cannot compress {0}")]
    Compress(BlobId, #[source] std::io::Error),
}

impl Error {
    /// Whether it is about this one object or blob: the others may be another matter.
    pub fn is_of_one_object(&self) -> bool {
        matches!(
            self,
            Self::Damaged { .. } | Self::Missing { .. } | Self::Unreadable { .. }
        )
    }

    /// Damage of one object.
    pub(crate) fn damaged(object: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Damaged {
            object: object.into(),
            what: what.into(),
        }
    }
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Store { source, .. } | Self::Unreadable { source, .. } => source.kind(),
            Self::NoRepository | Self::NoBackup(_) => Kind::NotFound,
            Self::AlreadyThere | Self::Refused { .. } => Kind::Conflict,
            Self::Damaged { .. } | Self::Missing { .. } | Self::StoreLies { .. } => Kind::Integrity,
            Self::Newer { .. } | Self::ReadOnly { .. } => Kind::Unsupported,
            Self::Unclear { .. } => Kind::DestinationUnavailable,
            Self::Overtaken { .. } => Kind::Busy,
            Self::Invalid(_) => Kind::Invalid,
            Self::Cache { .. } | Self::Compress(..) => Kind::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Store { source, .. } | Self::Unreadable { source, .. } => return source.hint(),
            Self::NoRepository => "create it first, or check that the share is mounted",
            Self::NoBackup(_) => "list the backups to see which there are",
            Self::Damaged { .. } | Self::Missing { .. } => {
                "verify the other backups, and restore the object from a copy of the repository if there is one"
            }
            Self::StoreLies { .. } => {
                "stop writing to this destination: its create-if-absent cannot be relied upon"
            }
            Self::Newer { .. } | Self::ReadOnly { .. } => {
                "use the version that wrote it, or a newer one"
            }
            Self::Unclear { .. } => {
                "repeat it under the same operation id, or look at the list first"
            }
            Self::Overtaken { .. } => {
                "start the backup again: what is still there is not sent twice"
            }
            _ => return None,
        };
        Some(text.to_owned())
    }
}
