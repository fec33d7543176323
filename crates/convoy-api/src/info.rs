//! The daemon as a whole.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// `GET /v1/info`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// The daemon's version, such as `0.1.0`.
    pub version: String,
    /// Its root directory.
    pub root: String,
    /// The drivers it has, the default one first.
    pub drivers: Vec<String>,
    /// Who this host is in commit records.
    pub host: Uuid,
    /// Its pool.
    pub pool: Pool,
    /// Where backups have gone to.
    #[serde(default)]
    pub destinations: Vec<Destination>,
    /// What recovery did at the last start, one sentence each.
    pub recovered: Vec<String>,
    /// Why the daemon only looks and changes nothing, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only: Option<String>,
}

/// A place backups go to, remembered from its first use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// Stands for the URL wherever a destination is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The URL.
    pub url: String,
    /// The identity of the repository there.
    pub repository: Uuid,
}

/// A thin pool and its fill. Amounts are bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// Identity.
    pub uuid: Uuid,
    /// Label, and the name of its device-mapper device.
    pub name: String,
    /// `devicemapper`.
    pub driver: String,
    /// The data device, or the backing file of a loop-backed pool.
    pub data_device: String,
    /// The metadata device, or the backing file of a loop-backed pool.
    pub metadata_device: String,
    /// Made of sparse files by the daemon itself: not for production.
    pub loop_backed: bool,
    /// The unit of sharing.
    pub block_size: u64,
    /// What a volume gets that asks for no size.
    pub default_volume_size: u64,
    /// What a volume gets that asks for no filesystem.
    pub filesystem: String,
    /// `rw`, `ro`, `out_of_data_space`, `fail` or `error`.
    pub mode: String,
    /// The kernel asks for a metadata check before it writes again.
    pub needs_check: bool,
    /// The transaction id of pool and catalog.
    pub transaction: u64,
    /// Data in use.
    pub data_used: u64,
    /// Data in all.
    pub data_total: u64,
    /// Metadata in use, the kernel's reserve included.
    pub metadata_used: u64,
    /// Metadata in all.
    pub metadata_total: u64,
    /// `queue` or `error`: what becomes of a write that finds no space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_space: Option<String>,
    /// What all volumes together may come to hold.
    #[serde(default)]
    pub provisioned: u64,
    /// Held back, and becomes metadata when that gets tight.
    #[serde(default)]
    pub metadata_reserve: u64,
    /// What wants attention now, one sentence each.
    #[serde(default)]
    pub alerts: Vec<String>,
    /// What happened to it since the daemon started, oldest first; the last hundred.
    #[serde(default)]
    pub events: Vec<PoolEvent>,
}

/// Something that happened to a pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolEvent {
    /// When it was noticed.
    pub at: Timestamp,
    /// `info`, `warning` or `error`.
    pub severity: String,
    /// One sentence.
    pub what: String,
}
