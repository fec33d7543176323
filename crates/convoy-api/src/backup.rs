//! Backups, and what is asked of them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// A backup, by its commit record. Amounts are bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// Identity.
    pub uuid: Uuid,
    /// `backup-` and 16 hexadecimal digits.
    pub name: String,
    /// Names it in every verb: `DEST?backup=<name>&volume=<name>`.
    pub url: String,
    /// `devicemapper`.
    pub driver: String,
    /// When it was made.
    pub created: Timestamp,
    /// The snapshot it holds.
    pub snapshot: Uuid,
    /// That snapshot's name.
    pub snapshot_name: String,
    /// When that snapshot was taken.
    pub snapshot_created: Timestamp,
    /// The volume it is of.
    pub volume: Uuid,
    /// That volume's name at the time.
    pub volume_name: String,
    /// When that volume was made.
    pub volume_created: Timestamp,
    /// Virtual size.
    pub volume_size: u64,
    /// `ext4` or `xfs`.
    pub filesystem: String,
    /// The backup it was an increment to; every backup is complete all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Uuid>,
    /// The host that made it.
    pub host: Uuid,
    /// The operation that made it.
    pub operation: Uuid,
    /// In blocks that had changed since its base, or that were mapped when it had none.
    pub changed: u64,
    /// Read from the snapshot.
    pub read: u64,
    /// Chunks the repository did not have, before compression.
    pub new: u64,
    /// What it added to the repository.
    pub stored: u64,
    /// Free text of the user.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// `original` for one that the original Convoy made: it has no identities (they are nil), maybe no times (1970),
    /// and no amounts. Absent for ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// What is wrong with what is said of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// `GET /v1/backups`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Backups {
    /// Those of the destination, or of one volume in it.
    pub backups: Vec<Backup>,
}

/// Query of `GET /v1/backups`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupsOf {
    /// Where to look: a URL.
    pub destination: String,
    /// Only those of volumes of this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<String>,
}

/// Body of `POST /v1/backups`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateBackup {
    /// `SNAPSHOT` or `VOLUME@SNAPSHOT`.
    pub snapshot: String,
    /// Where to: a URL.
    pub destination: String,
}

/// Body of `POST /v1/backups/inspect`, `…/delete` and `…/verify`: a URL would not fit a path well.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupUrl {
    /// The backup.
    pub url: String,
}

/// What making a backup took. Amounts are bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Summary {
    /// In blocks that changed since the base, or that are mapped when there is none.
    pub changed: u64,
    /// Read from the snapshot.
    pub read: u64,
    /// Chunks the repository did not have, before compression.
    pub new: u64,
    /// Written to the repository.
    pub stored: u64,
    /// Requests made of the store.
    pub requests: u64,
    /// From the call to the answer.
    pub duration_milliseconds: u64,
}

/// The result of `POST /v1/backups`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatedBackup {
    /// The backup.
    pub backup: Backup,
    /// What it took.
    pub summary: Summary,
}

/// One thing in a backup that does not verify.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupProblem {
    /// The object in the repository.
    pub object: String,
    /// First byte of the volume it stands for, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begin: Option<u64>,
    /// One past the last byte.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<u64>,
    /// What is wrong with it.
    pub what: String,
}

/// The result of `POST /v1/backups/verify`: the backup is good if there are no problems.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// The backup.
    pub backup: Backup,
    /// Chunks read and checked.
    pub chunks: u64,
    /// Bytes of the volume they stand for.
    pub bytes: u64,
    /// What was found, up to a number that is good to read.
    pub problems: Vec<BackupProblem>,
    /// How many more there are.
    #[serde(default)]
    pub more_problems: u64,
}
