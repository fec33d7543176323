//! Volumes, and what is asked of them.

use crate::snapshot::Snapshot;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// A volume. Amounts are bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Identity.
    pub uuid: Uuid,
    /// Label, unique among the daemon's volumes.
    pub name: String,
    /// `devicemapper`.
    pub driver: String,
    /// The pool it is in.
    pub pool: Uuid,
    /// Its number inside the pool.
    pub dev_id: u32,
    /// The device to open.
    pub device: String,
    /// Virtual size.
    pub size: u64,
    /// Mapped in the pool, shared blocks included; absent while the pool cannot say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mapped: Option<u64>,
    /// `ext4` or `xfs`.
    pub filesystem: String,
    /// Where it is mounted, by the kernel's own table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mountpoint: Option<String>,
    /// What it is mounted with besides `nodev` and `nosuid`, which hold always.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mount_options: Vec<String>,
    /// `creating`, `restoring`, `ready`, `deleting` or `broken`; more may come.
    pub state: String,
    /// Why it is broken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Why its filesystem is to be checked before it is mounted again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspect: Option<String>,
    /// When it was made.
    pub created: Timestamp,
    /// Free text of the user.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The backup it was restored from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored_from: Option<String>,
    /// Its snapshots, oldest first.
    #[serde(default)]
    pub snapshots: Vec<Snapshot>,
}

/// `GET /v1/volumes`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Volumes {
    /// All of them, by name.
    pub volumes: Vec<Volume>,
}

/// Body of `POST /v1/volumes`: everything may be left out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateVolume {
    /// `volume-` and 16 hexadecimal digits when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Bytes; the backup's, else the daemon's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// `ext4` or `xfs`; the backup's, else the daemon's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filesystem: Option<String>,
    /// `devicemapper` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// Restore the backup of this URL into it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<String>,
    /// Free text.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Begin as this snapshot was, `SNAPSHOT` or `VOLUME@SNAPSHOT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
    /// How it is mounted, such as `noatime`; the error for one that is not allowed names those that are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mount_options: Vec<String>,
    /// What a new filesystem is made with, such as `inode-size=512`; the error for one that is not allowed
    /// names those that are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mkfs_options: Vec<String>,
    /// The user whose the root directory of a new filesystem is; root when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The group whose it is; root's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// The mode of that directory in octal, such as `0750`; `0755` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
}

/// The result of `POST /v1/volumes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatedVolume {
    /// It was there before, exactly as asked; nothing was done.
    pub unchanged: bool,
    /// The volume.
    pub volume: Volume,
}

/// Body of `POST /v1/volumes/{name}/mount`; may be empty.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MountVolume {
    /// An absolute path; under the daemon's root when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mountpoint: Option<String>,
}
