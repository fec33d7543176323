//! The bodies of log entries: JSON, read within limits (format §5.1, §5.2).
//!
//! Unknown fields are ignored. A body that does not fit is reported as such, and the fold makes it void.

mod backup;
mod kinds;
mod text;

pub use backup::{WireBackup, WirePool, WireSnapshot};
pub use kinds::{Backups, Commit, Compact, Init, Keep, Listed, Move, Volume};

use crate::json;
use serde::de::DeserializeOwned;

/// What an entry says.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    missing_docs,
    reason = "each kind is a row of the table in the format document, §5.1"
)]
pub enum Body {
    Init(Init),
    Volume(Volume),
    Commit(Commit),
    Delete(Backups),
    Undelete(Backups),
    Keep(Keep),
    Forget(Backups),
    Warn(Listed),
    Sweep(Listed),
    Move(Move),
    Compact(Compact),
}

/// Why a body cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// The kind is of a later version.
    UnknownKind(u8),
    /// The kind is known, the body breaks its rules.
    Malformed(String),
    /// The kind is known and needs the MAC of the other role: void, and nothing more.
    WrongRole,
}

impl Body {
    /// The kind's byte.
    pub fn kind(&self) -> u8 {
        match self {
            Self::Init(_) => 1,
            Self::Volume(_) => 2,
            Self::Commit(_) => 3,
            Self::Delete(_) => 4,
            Self::Undelete(_) => 5,
            Self::Keep(_) => 6,
            Self::Forget(_) => 16,
            Self::Warn(_) => 17,
            Self::Sweep(_) => 18,
            Self::Move(_) => 19,
            Self::Compact(_) => 20,
        }
    }

    /// Whether the kind needs the collector's key.
    pub fn is_collector(&self) -> bool {
        is_collector(self.kind())
    }

    /// The JSON.
    pub fn to_json(&self) -> Vec<u8> {
        let json = match self {
            Self::Init(body) => serde_json::to_vec(body),
            Self::Volume(body) => serde_json::to_vec(body),
            Self::Commit(body) => serde_json::to_vec(body),
            Self::Delete(body) | Self::Undelete(body) | Self::Forget(body) => {
                serde_json::to_vec(body)
            }
            Self::Keep(body) => serde_json::to_vec(body),
            Self::Warn(body) | Self::Sweep(body) => serde_json::to_vec(body),
            Self::Move(body) => serde_json::to_vec(body),
            Self::Compact(body) => serde_json::to_vec(body),
        };
        json.expect("strings, numbers and lists always have a JSON form")
    }

    /// From an entry's kind and body.
    pub fn parse(kind: u8, json: &[u8]) -> Result<Self, Unreadable> {
        match kind {
            1 => read(json).map(Self::Init),
            2 => read(json).map(Self::Volume),
            3 => read(json).and_then(check_commit).map(Self::Commit),
            4 => read(json).map(Self::Delete),
            5 => read(json).map(Self::Undelete),
            6 => read(json).map(Self::Keep),
            16 => read(json).map(Self::Forget),
            17 => read(json).map(Self::Warn),
            18 => read(json).map(Self::Sweep),
            19 => read(json).map(Self::Move),
            20 => read(json).map(Self::Compact),
            _ => Err(Unreadable::UnknownKind(kind)),
        }
    }
}

/// Whether format 1 has this kind.
pub(crate) const fn is_known(kind: u8) -> bool {
    matches!(kind, 1..=6 | 16..=20)
}

/// Whether entries of this kind are the collector's.
pub(crate) const fn is_collector(kind: u8) -> bool {
    matches!(kind, 16..=31)
}

fn read<T: DeserializeOwned>(text: &[u8]) -> Result<T, Unreadable> {
    json::read(text).map_err(Unreadable::Malformed)
}

fn check_commit(commit: Commit) -> Result<Commit, Unreadable> {
    let broken = commit.backups.iter().find_map(WireBackup::broken_rule);
    match broken {
        Some(rule) => Err(Unreadable::Malformed(rule.to_owned())),
        None => Ok(commit),
    }
}

#[cfg(test)]
mod tests;
