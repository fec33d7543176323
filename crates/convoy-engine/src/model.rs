//! What the verbs take and give: plain values in the caller's vocabulary.

use crate::health::PoolEvent;
use convoy_mount::{Mode, Owner};
use convoy_names::{DestinationName, PoolName, SnapshotName, SnapshotRef, VolumeName};
use convoy_units::{ByteRange, Bytes, DataBlockSize, DevId, TransactionId};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use uuid::Uuid;

/// The daemon as a whole: what `info` shows.
#[derive(Debug, Clone)]
pub struct Info {
    /// This product's version.
    pub version: String,
    /// The root directory.
    pub root: PathBuf,
    /// Who we are in commit records: made once, kept in the catalog.
    pub host: Uuid,
    /// The pool; plural one day.
    pub pool: PoolInfo,
    /// Where backups have gone to.
    pub destinations: Vec<DestinationInfo>,
    /// What recovery did at the last start, one sentence each.
    pub recovered: Vec<String>,
    /// Why the engine only looks and changes nothing, if so.
    pub read_only: Option<String>,
}

/// A pool and its fill.
#[derive(Debug, Clone)]
pub struct PoolInfo {
    /// Identity.
    pub uuid: Uuid,
    /// Label, and the name of its device-mapper device.
    pub name: PoolName,
    /// `devicemapper`.
    pub driver: String,
    /// The data device as configured, or the backing file of a loop-backed pool.
    pub data_device: PathBuf,
    /// The metadata device as configured, or the backing file of a loop-backed pool.
    pub metadata_device: PathBuf,
    /// Made by us of sparse files: not for production.
    pub loop_backed: bool,
    /// The unit of sharing.
    pub block_size: DataBlockSize,
    /// What a volume gets that asks for no size.
    pub default_volume_size: Bytes,
    /// What a volume gets that asks for no filesystem.
    pub filesystem: String,
    /// `rw`, `ro`, `out_of_data_space`, `fail` or `error`, as the kernel says now; `down` where an engine that
    /// only looks finds the pool so.
    pub mode: String,
    /// The kernel asks for a metadata check before it writes again.
    pub needs_check: bool,
    /// The transaction id of pool and catalog.
    pub transaction: TransactionId,
    /// Data bytes in use.
    pub data_used: Bytes,
    /// Data bytes in all.
    pub data_total: Bytes,
    /// Metadata bytes in use, the kernel's reserve included.
    pub metadata_used: Bytes,
    /// Metadata bytes in all.
    pub metadata_total: Bytes,
    /// What becomes of a write that finds no space: it waits (`queue`), or fails (`error`). The setting in
    /// effect: after a minute of waiting the kernel goes over to failing.
    pub no_space: Option<String>,
    /// What all volumes together may come to hold.
    pub provisioned: Bytes,
    /// Bytes that are held back and become metadata when it gets tight.
    pub metadata_reserve: Bytes,
    /// What wants attention now, one sentence each.
    pub alerts: Vec<String>,
    /// What happened to it since the start, oldest first.
    pub events: Vec<PoolEvent>,
}

/// Where a volume is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VolumeState {
    /// Being made: not usable yet.
    Creating,
    /// A backup is being restored into it: not usable yet.
    Restoring,
    /// Usable.
    Ready,
    /// Being deleted.
    Deleting,
    /// In the catalog, but its device could not be brought up.
    Broken,
}

impl VolumeState {
    /// One lower-case word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Restoring => "restoring",
            Self::Ready => "ready",
            Self::Deleting => "deleting",
            Self::Broken => "broken",
        }
    }
}

/// A volume.
#[derive(Debug, Clone)]
pub struct VolumeInfo {
    /// Identity, UUID v7.
    pub uuid: Uuid,
    /// Label, unique among volumes.
    pub name: VolumeName,
    /// `devicemapper`.
    pub driver: String,
    /// Its pool.
    pub pool: Uuid,
    /// Its number inside the pool.
    pub dev_id: DevId,
    /// The device to open: `/dev/mapper/<pool>-<uuid>`; there while the volume is active.
    pub device: PathBuf,
    /// Virtual size.
    pub size: Bytes,
    /// Bytes mapped in the pool, shared ones included; `None` while the pool cannot say.
    pub mapped: Option<Bytes>,
    /// `ext4` or `xfs`.
    pub filesystem: String,
    /// Where it is mounted, by the kernel's own table.
    pub mountpoint: Option<PathBuf>,
    /// What it is mounted with besides what every volume is.
    pub mount_options: Vec<String>,
    /// Where it is in its life.
    pub state: VolumeState,
    /// Why it is broken.
    pub problem: Option<String>,
    /// Why its filesystem is to be checked before it is mounted again: it may have lost writes.
    pub suspect: Option<String>,
    /// UTC.
    pub created: Timestamp,
    /// Free text of the user.
    pub labels: BTreeMap<String, String>,
    /// The backup it was restored from.
    pub restored_from: Option<String>,
    /// Its snapshots, oldest first.
    pub snapshots: Vec<SnapshotInfo>,
}

/// A snapshot.
#[derive(Debug, Clone)]
pub struct SnapshotInfo {
    /// Identity, UUID v7.
    pub uuid: Uuid,
    /// Label, unique among snapshots.
    pub name: SnapshotName,
    /// The volume it was taken of.
    pub volume: Uuid,
    /// That volume's name.
    pub volume_name: VolumeName,
    /// When that volume was made.
    pub volume_created: Timestamp,
    /// Its number inside the pool.
    pub dev_id: DevId,
    /// Virtual size of the volume when it was taken.
    pub size: Bytes,
    /// UTC.
    pub created: Timestamp,
    /// How long writes to the volume were held while it was taken.
    pub hold: Option<Duration>,
    /// Free text of the user.
    pub labels: BTreeMap<String, String>,
}

/// What a snapshot takes up of the pool at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotUsage {
    /// Bytes of data blocks that it maps, shared or not.
    pub referenced: Bytes,
    /// Bytes of data blocks that nothing else in the pool maps: what deleting it would give back.
    pub exclusive: Bytes,
}

/// What to make a volume of.
#[derive(Debug, Clone, Default)]
pub struct CreateVolume {
    /// `None`: `volume-` and 16 hexadecimal digits.
    pub name: Option<VolumeName>,
    /// `None`: the backup's size, else the default size. An upper limit: a thin volume takes up what is
    /// written to it.
    pub size: Option<Bytes>,
    /// `None`: the backup's, else the pool's default.
    pub filesystem: Option<String>,
    /// `None` or `devicemapper`.
    pub driver: Option<String>,
    /// Restore this backup into it; its labels come along.
    pub backup: Option<String>,
    /// Free text of the user. Backups of the volume bear it too.
    pub labels: BTreeMap<String, String>,
    /// Begin as this snapshot was, and be independent of it from then on; its volume's labels do not come
    /// along. Not together with `backup`.
    pub from_snapshot: Option<SnapshotRef>,
    /// How it is mounted, here and after every restart: each one word of the list that the error for any other
    /// names. `nodev` and `nosuid` hold always.
    pub mount_options: Vec<String>,
    /// What its filesystem is made with, each `NAME=VALUE` of the list that the error for any other names.
    /// Only for a filesystem that is made new, as the next two.
    pub mkfs_options: Vec<String>,
    /// Whose the root directory of its filesystem is: root's if nobody is named.
    pub owner: Option<Owner>,
    /// Who may enter that root directory: 0755 if nothing is said.
    pub mode: Option<Mode>,
}

/// A volume that was given another size.
#[derive(Debug, Clone)]
pub struct ResizedVolume {
    /// It had that size already.
    pub unchanged: bool,
    /// The size it had.
    pub before: Bytes,
    /// Its filesystem takes up the new space when it is mounted next.
    pub grows_at_mount: bool,
    /// The volume.
    pub volume: VolumeInfo,
}

/// What a trim gave back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trimmed {
    /// The volume.
    pub volume: VolumeName,
    /// What its filesystem let go of; only whole blocks of the pool are given back.
    pub discarded: Bytes,
    /// What the volume has mapped less than before; `None` where the pool could not say.
    pub unmapped: Option<Bytes>,
    /// What the pool has less in use than before; `None` where it could not say. Snapshots may keep what was
    /// unmapped, and others may have written meanwhile.
    pub freed: Option<Bytes>,
}

/// A volume that was rolled back.
#[derive(Debug, Clone)]
pub struct RolledBack {
    /// The volume, as its snapshot was.
    pub volume: VolumeInfo,
    /// What it was before.
    pub safety: SnapshotInfo,
}

/// Whether a verb that may be repeated had anything to do.
#[derive(Debug, Clone)]
pub enum Created<T> {
    /// Made now.
    New(T),
    /// Was there already, as asked.
    Unchanged(T),
}

impl<T> Created<T> {
    /// The thing, made now or before.
    pub fn into_inner(self) -> T {
        match self {
            Self::New(thing) | Self::Unchanged(thing) => thing,
        }
    }
}

/// A place backups go to, remembered from its first use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationInfo {
    /// Stands for the URL wherever a destination is asked for.
    pub name: Option<DestinationName>,
    /// The URL without its trailing slash.
    pub url: String,
    /// The identity of the repository there: another one at this URL is refused.
    pub repository: Uuid,
}

/// Who made a backup, and so how it lies at its destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackupFormat {
    /// We: `docs/formats/repository.md`.
    Convoy,
    /// The original Convoy, versions 0.2 to 0.5: `docs/formats/original.md`. It is read and never changed.
    Original,
}

/// A backup, by its commit record. One of the original's has no identities of its own before they are in its names:
/// those are nil, times that nothing tells are 1970's, amounts 0.
#[derive(Debug, Clone)]
pub struct BackupInfo {
    /// Who made it.
    pub format: BackupFormat,
    /// What is wrong with what is said of it; its data is another matter. Only of the original's.
    pub problem: Option<String>,
    /// Identity.
    pub uuid: Uuid,
    /// `backup-` and 16 hexadecimal digits.
    pub name: String,
    /// `DEST?backup=<name>&volume=<name>`.
    pub url: String,
    /// `devicemapper`.
    pub driver: String,
    /// UTC.
    pub created: Timestamp,
    /// The snapshot it holds.
    pub snapshot: Uuid,
    /// That snapshot's name.
    pub snapshot_name: String,
    /// When that snapshot was taken.
    pub snapshot_created: Timestamp,
    /// The volume it belongs to.
    pub volume: Uuid,
    /// That volume's name at the time.
    pub volume_name: String,
    /// When that volume was made.
    pub volume_created: Timestamp,
    /// Virtual size.
    pub volume_size: Bytes,
    /// `ext4` or `xfs`.
    pub filesystem: String,
    /// The backup it was an increment to; every backup is complete all the same.
    pub base: Option<Uuid>,
    /// The host that made it.
    pub host: Uuid,
    /// The operation that made it.
    pub operation: Uuid,
    /// Bytes in blocks that had changed since its base, or that were mapped when it had none.
    pub changed: Bytes,
    /// Bytes read from the snapshot.
    pub read: Bytes,
    /// Bytes of chunks the repository did not have, before compression.
    pub new: Bytes,
    /// Bytes it added to the repository.
    pub stored: Bytes,
    /// Free text of the user.
    pub labels: BTreeMap<String, String>,
}

/// What making a backup took.
#[derive(Debug, Clone, Default)]
pub struct BackupSummary {
    /// Bytes in blocks that changed since the base, or that are mapped when there is none.
    pub changed: Bytes,
    /// Bytes read from the snapshot.
    pub read: Bytes,
    /// Bytes of chunks the repository did not have, before compression.
    pub new: Bytes,
    /// Bytes written to the repository.
    pub stored: Bytes,
    /// Requests made of the store.
    pub requests: u64,
    /// From the call to the answer.
    pub duration: Duration,
}

/// A backup just made.
#[derive(Debug, Clone)]
pub struct BackupOutcome {
    /// The backup.
    pub backup: BackupInfo,
    /// What it took.
    pub summary: BackupSummary,
}

/// One thing that does not verify.
#[derive(Debug, Clone)]
pub struct Problem {
    /// The object in the repository.
    pub object: String,
    /// The bytes of the volume it stands for, where known.
    pub range: Option<ByteRange>,
    /// What is wrong with it.
    pub what: String,
}

/// The result of verifying a backup: it is good if there are no problems.
#[derive(Debug, Clone)]
pub struct Verification {
    /// The backup.
    pub backup: BackupInfo,
    /// Chunks read and checked.
    pub chunks: u64,
    /// Bytes of the volume they stand for.
    pub bytes: Bytes,
    /// What was found, up to a number that is good to read.
    pub problems: Vec<Problem>,
    /// How many more there are.
    pub more_problems: u64,
}
