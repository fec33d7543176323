//! What is asked of the pool.

use serde::{Deserialize, Serialize};

/// The result of `POST /v1/pool/check`. Amounts are bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PoolCheck {
    /// Nothing was found, and the kernel asks for no check.
    pub sound: bool,
    /// What is wrong, one sentence each, up to a number that is good to read.
    pub findings: Vec<String>,
    /// How many more there are.
    #[serde(default)]
    pub more_findings: u64,
    /// The kernel asks for a metadata check before it writes again.
    pub needs_check: bool,
    /// Thin devices of the pool: volumes, snapshots, and what is not ours.
    pub devices: u64,
    /// Mapped by all devices together, a shared block once for each.
    pub mapped: u64,
}

/// Body of `POST /v1/pool/grow`; may be empty: a pool over devices takes over what they have grown by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrowPool {
    /// The size of a loop-backed pool's data, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<u64>,
    /// The size of a loop-backed pool's metadata, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<u64>,
}
