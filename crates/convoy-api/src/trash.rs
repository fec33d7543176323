//! The trash: volumes that container engines removed and that can be had back.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A volume in the trash. Amounts are bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrashedVolume {
    /// Identity.
    pub uuid: Uuid,
    /// What it was called; several may have been called the same.
    pub name: String,
    /// Virtual size.
    pub size: u64,
    /// How many snapshots come back or go with it.
    pub snapshots: u64,
    /// When it was thrown away.
    pub since: Timestamp,
    /// How long it stays, in seconds that a daemon runs.
    pub left_seconds: u64,
}

/// `GET /v1/trash`, and what `DELETE` there deleted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Trash {
    /// The longest there first.
    pub volumes: Vec<TrashedVolume>,
}

/// `POST /v1/trash/{name}/undelete`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Undelete {
    /// What it is called from now on, if not as before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}
