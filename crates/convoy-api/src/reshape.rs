//! Reshaping volumes: their size, name and labels, what they were at a snapshot, and snapshots of several.

use crate::{Snapshot, Volume};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Body of `POST /v1/volumes/{name}/resize`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResizeVolume {
    /// Bytes, whole blocks of the pool, and not less than the volume has.
    pub size: u64,
}

/// The result of `POST /v1/volumes/{name}/resize`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResizedVolume {
    /// It had that size already.
    pub unchanged: bool,
    /// The size it had, in bytes.
    pub before: u64,
    /// Its filesystem takes up the new space when it is mounted next.
    pub grows_at_mount: bool,
    /// The volume.
    pub volume: Volume,
}

/// Body of `POST /v1/volumes/{name}/rename`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenameVolume {
    /// What it is called from now on.
    pub name: String,
}

/// Body of `POST /v1/volumes/{name}/labels`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelVolume {
    /// Labels to set.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, String>,
    /// Keys of labels to remove.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
}

/// The result of `POST /v1/snapshots/{name}/rollback`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolledBack {
    /// This very call did it before; nothing was done.
    pub unchanged: bool,
    /// The volume, as its snapshot was.
    pub volume: Volume,
    /// What it was before.
    pub safety: Snapshot,
}

/// Body of `POST /v1/snapshot-groups`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateSnapshots {
    /// The volumes to take them of.
    pub volumes: Vec<String>,
    /// What each is called by, before a dash and its volume's name; made up when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// The result of `POST /v1/snapshot-groups`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatedSnapshots {
    /// This very call took them before; nothing was done.
    pub unchanged: bool,
    /// The snapshots, in the order of their volumes.
    pub snapshots: Vec<Snapshot>,
}
