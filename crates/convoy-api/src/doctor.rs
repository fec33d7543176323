//! What the doctor says of a root, its catalog and its pool.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// `GET /v1/doctor`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// The root directory.
    pub root: String,
    /// Whether a daemon can work with it.
    pub well: bool,
    /// Why the daemon that was asked only looks and changes nothing, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only: Option<String>,
    /// What the catalog holds, where it can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalog: Option<Holds>,
    /// Copies of the catalog, the likeliest to be true first.
    pub copies: Vec<CatalogCopy>,
    /// The pool, where anything tells of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolSeen>,
    /// What is wrong or worth knowing, the gravest first.
    pub findings: Vec<Finding>,
    /// What was done about it, one sentence each.
    pub fixed: Vec<String>,
}

/// A catalog in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holds {
    /// The pool's transaction id, as the catalog has it.
    pub transaction: u64,
    /// How many volumes.
    pub volumes: u64,
    /// How many snapshots.
    pub snapshots: u64,
}

/// A copy of the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogCopy {
    /// The file.
    pub path: String,
    /// What it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holds: Option<Holds>,
    /// Why it cannot be read, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A pool as it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolSeen {
    /// Its device-mapper name.
    pub name: String,
    /// Its identity.
    pub uuid: Uuid,
    /// Its metadata device or file.
    pub metadata: String,
    /// Its data device or file.
    pub data: String,
    /// Whether the kernel has it up.
    pub up: bool,
    /// The transaction id in its metadata, where that can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction: Option<u64>,
    /// How many thin devices it has, where that can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thin_devices: Option<u64>,
}

/// One thing that is wrong or worth knowing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// A word for scripts, such as `pool-behind`.
    pub code: String,
    /// `fatal`: no daemon works with it; or `note`.
    pub gravity: String,
    /// One sentence.
    pub what: String,
    /// What was seen.
    pub evidence: Vec<String>,
    /// What to do.
    pub cure: String,
    /// Whether `convoy doctor --fix` does it.
    pub fixable: bool,
}
