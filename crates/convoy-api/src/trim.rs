//! What a trim gave back.

use serde::{Deserialize, Serialize};

/// The result of `POST /v1/volumes/{name}/trim`. Amounts are bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrimmedVolume {
    /// The volume.
    pub name: String,
    /// What its filesystem let go of. Only whole blocks of the pool are given back.
    pub discarded: u64,
    /// What the volume has mapped less than before; absent where the pool could not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unmapped: Option<u64>,
    /// What the pool has less in use than before; absent where it could not say. Less than `unmapped` where
    /// snapshots keep the blocks, or others wrote meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freed: Option<u64>,
}
