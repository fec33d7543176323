//! What can go wrong with the catalog, and what it means for who asked.

use std::path::PathBuf;

use convoy_fault::{Fault, Kind};
use rusqlite::ErrorCode;
use rusqlite::ffi;
use uuid::Uuid;

/// A failed request to the catalog. Nothing of it happened, except as `Storage` says.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There was a catalog, and its file is gone.
    #[error("the catalog {} is lost: {} shows that there was one", path.display(), evidence.display())]
    Lost {
        /// Where it should be.
        path: PathBuf,
        /// The file that shows it.
        evidence: PathBuf,
    },
    /// The file is there and is not a sound catalog.
    #[error("the catalog {} is damaged: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// A record breaks the rules of the format.
    #[error("the catalog is damaged: column {column} of table {table} holds {value}")]
    Record {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// What it holds.
        value: String,
    },
    /// It was written by a version that this one cannot read.
    #[error("the catalog {} has schema {schema}, written by {written_by}; this version knows up to {known}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema version.
        schema: i64,
        /// The program that wrote it.
        written_by: String,
        /// Ours.
        known: i64,
    },
    /// It was written by a newer version that lets us read, not write.
    #[error("the catalog is read-only here: {written_by} wrote it")]
    ReadOnly {
        /// The program that wrote it.
        written_by: String,
    },
    /// It was opened to be read, and nothing else.
    #[error("the catalog {} is open for reading only", path.display())]
    ToRead {
        /// The file.
        path: PathBuf,
    },
    /// Another record has what must be unique.
    #[error("{what} cannot be recorded: its {unique} is taken")]
    Exists {
        /// The record, such as `volume web`.
        what: String,
        /// What is taken, such as `name`.
        unique: String,
    },
    /// A record refers to one that is not there, or changes what never changes.
    #[error("{what} cannot be recorded: {why}")]
    Refused {
        /// The record.
        what: String,
        /// The rule.
        why: String,
    },
    /// Other records refer to what should be removed.
    #[error("{what} cannot be removed: {why}")]
    InUse {
        /// The record.
        what: String,
        /// Who refers to it.
        why: &'static str,
    },
    /// A snapshot that a running operation keeps.
    #[error("snapshot {snapshot} is kept by a running operation")]
    Pinned {
        /// The snapshot.
        snapshot: Uuid,
    },
    /// The pool has a pending intent.
    #[error("pool {pool} is busy: an intent to {verb} is pending")]
    Busy {
        /// The pool.
        pool: Uuid,
        /// What is pending.
        verb: String,
    },
    /// No such record.
    #[error("the catalog has no {what}")]
    Missing {
        /// What was looked for.
        what: String,
    },
    /// All device ids of the pool were given.
    #[error("pool {pool} has no device id left: 16777215 thin devices were created in its life")]
    Exhausted {
        /// The pool.
        pool: Uuid,
    },
    /// A value that the catalog cannot hold.
    #[error("{what} cannot be recorded in the catalog")]
    Invalid {
        /// The value and why.
        what: String,
    },
    /// The file system under the root is full.
    #[error("no space is left for the catalog while {doing}")]
    NoSpace {
        /// What was being done.
        doing: String,
        /// As `SQLite` put it.
        #[source]
        source: rusqlite::Error,
    },
    /// `SQLite` failed. If it failed to write, a restart may show the change done: do not assume either.
    #[error("the catalog failed while {doing}")]
    Storage {
        /// What was being done.
        doing: String,
        /// As `SQLite` put it.
        #[source]
        source: rusqlite::Error,
    },
    /// An earlier write could not be made durable, and nothing after it can be trusted.
    #[error("the catalog takes no changes: an earlier one could not be made durable")]
    Poisoned,
    /// The file system failed.
    #[error("cannot {doing}")]
    Io {
        /// What was being done, with the path.
        doing: String,
        /// As the kernel put it.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    pub(crate) fn sqlite(doing: impl Into<String>, source: rusqlite::Error) -> Self {
        let doing = doing.into();
        match source.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::NoSpace { doing, source },
            _ => Self::Storage { doing, source },
        }
    }

    pub(crate) fn io(doing: String) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }

    /// Whether a write was lost in a way that `SQLite` cannot undo: a failed fsync.
    pub(crate) fn is_lost_write(&self) -> bool {
        let code = match self {
            Self::Storage { source, .. } => source.sqlite_error().map(|e| e.extended_code),
            _ => None,
        };
        matches!(
            code,
            Some(ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC)
        )
    }
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Lost { .. } | Self::Damaged { .. } | Self::Record { .. } => Kind::Integrity,
            Self::Newer { .. } | Self::ReadOnly { .. } => Kind::Unsupported,
            Self::ToRead { .. } => Kind::PoolUnhealthy,
            Self::Exists { .. } | Self::Refused { .. } | Self::InUse { .. } => Kind::Conflict,
            Self::Busy { .. } | Self::Pinned { .. } => Kind::Busy,
            Self::Missing { .. } => Kind::NotFound,
            Self::Exhausted { .. } => Kind::PoolFull,
            Self::Invalid { .. } => Kind::Invalid,
            Self::NoSpace { .. } | Self::Poisoned | Self::Io { .. } => Kind::Failed,
            Self::Storage { source, .. } => match source.sqlite_error_code() {
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Kind::Integrity,
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Kind::Busy,
                Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Kind::NotPermitted,
                _ => Kind::Failed,
            },
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Lost { path, evidence } => format!(
                "`convoy doctor --root {}` tells what there is to go on with; only if every volume may be forgotten, remove {}",
                path.parent().unwrap_or(path).display(),
                evidence.display()
            ),
            Self::Damaged { path, .. } => {
                format!(
                    "keep {} as it is: `convoy doctor --root {}` tells which copies there are; the thin devices are untouched",
                    path.display(),
                    path.parent().unwrap_or(path).display()
                )
            }
            Self::Newer { written_by, .. } | Self::ReadOnly { written_by } => {
                format!("use {written_by} or newer, or the copy made before it migrated")
            }
            Self::NoSpace { .. } => {
                "free space on the file system of the root directory".to_owned()
            }
            Self::Poisoned => "restart the daemon: it reads what really is on disk".to_owned(),
            Self::Exhausted { .. } => "move the volumes to a new pool".to_owned(),
            _ => return None,
        })
    }
}
