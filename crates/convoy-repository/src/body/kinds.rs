//! What the kinds of entries hold besides backups (format §5.1).

use super::WireBackup;
use crate::id::{FullHash, SessionId};
use crate::json;
use crate::pack::ObjectName;
use crate::run_set::Run;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Entry 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Init {
    /// The repository's id.
    #[serde(deserialize_with = "json::uuid")]
    pub repository: Uuid,
    /// The hash of the `config` object.
    pub config: FullHash,
}

/// A volume exists.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Volume {
    /// Its identity.
    #[serde(deserialize_with = "json::uuid")]
    pub id: Uuid,
    /// Its name when it was first backed up; information.
    #[serde(default, deserialize_with = "json::information")]
    pub name: String,
    /// When it was created; information.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "json::information"
    )]
    pub created: Option<Timestamp>,
}

/// Backups become live.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Commit {
    /// Whose.
    pub session: SessionId,
    /// Slots read when the session began.
    pub began: u64,
    /// The backups.
    #[serde(deserialize_with = "json::objects")]
    pub backups: Vec<WireBackup>,
    /// Own packs and every pack with a reused blob.
    pub uses: Vec<Run>,
    /// Segments that become current.
    pub segments: Vec<ObjectName>,
}

/// `delete`, `undelete`, `forget`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Backups {
    /// Which.
    #[serde(deserialize_with = "json::uuids")]
    pub backups: Vec<Uuid>,
}

/// `keep`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Keep {
    /// Whose packs.
    pub session: SessionId,
}

/// `warn`, `sweep`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Listed {
    /// Which packs.
    pub packs: Vec<Run>,
    /// Slots read when the list was made.
    pub basis: u64,
}

/// `move`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Move {
    /// Packs that die.
    pub from: Vec<Run>,
    /// Packs that hold the copies.
    pub to: Vec<Run>,
    /// Segments that become current.
    pub segments: Vec<ObjectName>,
    /// Slots read when the list was made.
    pub basis: u64,
}

/// `compact`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Compact {
    /// Segments that are replaced.
    pub old: Vec<ObjectName>,
    /// By these.
    pub new: Vec<ObjectName>,
}
