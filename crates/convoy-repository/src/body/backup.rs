//! A backup in a commit entry, and what it means (format §5.2).

use crate::id::BlobId;
use crate::json;
use crate::record::{BackupFigures, BackupRecord, PoolFacts, SnapshotFacts, VolumeRecord};
use convoy_units::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// A backup as a commit entry has it: `BackupRecord` without what the envelope says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(
    missing_docs,
    reason = "each field is a row of the table in the format document, §5.2"
)]
pub struct WireBackup {
    #[serde(deserialize_with = "json::uuid")]
    pub id: Uuid,
    pub name: String,
    #[serde(deserialize_with = "json::uuid")]
    pub volume: Uuid,
    #[serde(default, deserialize_with = "json::information")]
    pub volume_name: String,
    pub size: u64,
    #[serde(deserialize_with = "json::nullable")]
    pub root: Option<BlobId>,
    #[serde(deserialize_with = "json::nullable_uuid")]
    pub base: Option<Uuid>,
    #[serde(default, deserialize_with = "json::information")]
    pub snapshot: WireSnapshot,
    #[serde(default, deserialize_with = "json::information")]
    pub created: Timestamp,
    #[serde(default, deserialize_with = "json::information")]
    pub volume_created: Timestamp,
    #[serde(default, deserialize_with = "json::information")]
    pub filesystem: String,
    #[serde(default, deserialize_with = "json::information")]
    pub driver: String,
    #[serde(default, deserialize_with = "json::information")]
    pub host: Uuid,
    #[serde(default, deserialize_with = "json::information")]
    pub pool: WirePool,
    #[serde(default, deserialize_with = "json::information")]
    pub labels: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "json::information")]
    pub owner: Option<String>,
    #[serde(default, deserialize_with = "json::information")]
    pub group: Option<String>,
    #[serde(default, deserialize_with = "json::information")]
    pub changed_bytes: u64,
    #[serde(default, deserialize_with = "json::information")]
    pub read_bytes: u64,
    #[serde(default, deserialize_with = "json::information")]
    pub new_bytes: u64,
    #[serde(default, deserialize_with = "json::information")]
    pub stored_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "see WireBackup")]
pub struct WireSnapshot {
    #[serde(default, deserialize_with = "json::information")]
    pub id: Uuid,
    #[serde(default, deserialize_with = "json::information")]
    pub name: String,
    #[serde(default, deserialize_with = "json::information")]
    pub created: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "see WireBackup")]
pub struct WirePool {
    #[serde(default, deserialize_with = "json::information")]
    pub id: Uuid,
    #[serde(default, deserialize_with = "json::information")]
    pub dev_id: u32,
    #[serde(default, deserialize_with = "json::information")]
    pub transaction: u64,
    #[serde(default, deserialize_with = "json::information")]
    pub block_size: u64,
}

impl WireBackup {
    /// The rule of format §5.2 that makes its commit malformed, if it breaks one.
    pub(super) fn broken_rule(&self) -> Option<&'static str> {
        if self.size == 0 || self.size >= 1 << 63 {
            return Some("a volume has 1 to 2^63 - 1 bytes");
        }
        (!is_backup_name(&self.name)).then_some("a backup's name is `backup-` and 16 hex digits")
    }

    /// What a writer may not write: the rules, and the limits of what readers take for information.
    pub(crate) fn broken_limit(&self) -> Option<&'static str> {
        let fits = |text: &String| text.len() <= 256;
        let fit = self
            .labels
            .iter()
            .all(|(key, value)| fits(key) && fits(value));
        let many = self.labels.len() > 64 || !fit;
        self.broken_rule()
            .or(many.then_some("there are at most 64 labels, keys and values of at most 256 bytes"))
    }

    /// With what the envelope says.
    pub fn record(&self, op: Uuid, slot: u64) -> BackupRecord {
        BackupRecord {
            id: self.id,
            name: self.name.clone(),
            op,
            volume: VolumeRecord {
                id: self.volume,
                name: self.volume_name.clone(),
            },
            volume_size: Bytes(self.size),
            volume_created: self.volume_created,
            snapshot: SnapshotFacts {
                id: self.snapshot.id,
                name: self.snapshot.name.clone(),
                created: self.snapshot.created,
            },
            filesystem: self.filesystem.clone(),
            driver: self.driver.clone(),
            host: self.host,
            pool: PoolFacts {
                id: self.pool.id,
                dev_id: self.pool.dev_id,
                transaction: self.pool.transaction,
                block_size: Bytes(self.pool.block_size),
            },
            base: self.base,
            root: self.root,
            created: self.created,
            labels: self.labels.clone(),
            owner: self.owner.clone(),
            group: self.group.clone(),
            figures: BackupFigures {
                changed: Bytes(self.changed_bytes),
                read: Bytes(self.read_bytes),
                new: Bytes(self.new_bytes),
                stored: Bytes(self.stored_bytes),
            },
            slot,
        }
    }
}

fn is_backup_name(name: &str) -> bool {
    name.strip_prefix("backup-")
        .is_some_and(|hex| crate::id::from_hex::<8>(hex).is_some())
}
