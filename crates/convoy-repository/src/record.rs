//! What a repository tells about a backup, as plain values.

use crate::id::BlobId;
use convoy_units::Bytes;
use jiff::Timestamp;
use std::collections::BTreeMap;
use uuid::Uuid;

/// A volume as the repository knows it: the id is the identity, the name a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeRecord {
    /// Its identity.
    pub id: Uuid,
    /// What it was called.
    pub name: String,
}

/// The snapshot that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotFacts {
    /// Its identity.
    pub id: Uuid,
    /// What it was called.
    pub name: String,
    /// When it was taken.
    pub created: Timestamp,
}

/// Where the blocks came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolFacts {
    /// The pool's UUID.
    pub id: Uuid,
    /// The snapshot's thin device id in it.
    pub dev_id: u32,
    /// The pool's transaction id at the diff.
    pub transaction: u64,
    /// The pool's data block size, in bytes.
    pub block_size: Bytes,
}

/// What the caller of a backup knows about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupFacts {
    /// The operation: the same over all retries of one backup.
    pub op: Uuid,
    /// The volume.
    pub volume: VolumeRecord,
    /// Its size in bytes, at least 1.
    pub volume_size: Bytes,
    /// When it was created.
    pub volume_created: Timestamp,
    /// The snapshot.
    pub snapshot: SnapshotFacts,
    /// Such as `ext4`; empty for none.
    pub filesystem: String,
    /// Such as `devicemapper`.
    pub driver: String,
    /// The host that made it.
    pub host: Uuid,
    /// Where the blocks came from.
    pub pool: PoolFacts,
    /// Free labels: at most 64, keys and values at most 256 bytes each.
    pub labels: BTreeMap<String, String>,
}

/// Figures of the run that made a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BackupFigures {
    /// Bytes in the changed ranges, holes included.
    pub changed: Bytes,
    /// Bytes read from the source.
    pub read: Bytes,
    /// Plain bytes of chunks that the repository did not have.
    pub new: Bytes,
    /// Bytes sent to the store, without the commit entry.
    pub stored: Bytes,
}

/// The root of a backup's tree; `None` stands for a volume of holes.
pub type TreeRef = Option<BlobId>;

/// One restorable point, as its commit entry says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupRecord {
    /// Its identity.
    pub id: Uuid,
    /// `backup-` and 16 hex digits.
    pub name: String,
    /// The operation that made it.
    pub op: Uuid,
    /// The volume, with its name at the time.
    pub volume: VolumeRecord,
    /// Its size in bytes.
    pub volume_size: Bytes,
    /// When it was created.
    pub volume_created: Timestamp,
    /// The snapshot that was read.
    pub snapshot: SnapshotFacts,
    /// Such as `ext4`.
    pub filesystem: String,
    /// Such as `devicemapper`.
    pub driver: String,
    /// The host that made it.
    pub host: Uuid,
    /// Where the blocks came from.
    pub pool: PoolFacts,
    /// The backup whose tree this one was started from.
    pub base: Option<Uuid>,
    /// Its tree.
    pub root: TreeRef,
    /// When it was committed, by the writer's clock.
    pub created: Timestamp,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
    /// Reserved.
    pub owner: Option<String>,
    /// Reserved.
    pub group: Option<String>,
    /// Figures of its run.
    pub figures: BackupFigures,
    /// The slot of its commit entry: the only order there is.
    pub slot: u64,
}
