//! Snapshots, and what is asked of them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// A snapshot. Amounts are bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Identity.
    pub uuid: Uuid,
    /// Label, unique among the daemon's snapshots.
    pub name: String,
    /// `devicemapper`.
    pub driver: String,
    /// The volume it was taken of.
    pub volume: Uuid,
    /// That volume's name.
    pub volume_name: String,
    /// When that volume was made.
    pub volume_created: Timestamp,
    /// Its number inside the pool.
    pub dev_id: u32,
    /// Virtual size of the volume when it was taken.
    pub size: u64,
    /// When it was taken.
    pub created: Timestamp,
    /// How long writes to the volume were held while it was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_microseconds: Option<u64>,
    /// Size of the data blocks that it maps, shared or not; where the pool's metadata was asked and could tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referenced: Option<u64>,
    /// Size of the data blocks that nothing else maps: what deleting it would give back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exclusive: Option<u64>,
    /// Free text of the user.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// `GET /v1/snapshots`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Snapshots {
    /// All of them, or those of one volume, oldest first within a volume.
    pub snapshots: Vec<Snapshot>,
}

/// Query of `GET /v1/snapshots`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotsOf {
    /// Only those of this volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<String>,
}

/// Body of `POST /v1/snapshots`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateSnapshot {
    /// The volume to take it of.
    pub volume: String,
    /// `snapshot-` and 16 hexadecimal digits when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// The result of `POST /v1/snapshots`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatedSnapshot {
    /// It was there before, exactly as asked; nothing was done.
    pub unchanged: bool,
    /// The snapshot.
    pub snapshot: Snapshot,
}
