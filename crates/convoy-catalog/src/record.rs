//! The records: plain structs in the vocabulary of the engine.

use std::collections::BTreeMap;
use std::path::PathBuf;

use convoy_names::{DestinationName, PoolName, SnapshotName, VolumeName};
use convoy_units::{Bytes, DataBlockSize, DevId, TransactionId};
use jiff::Timestamp;
use uuid::Uuid;

/// A thin pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// Its identity.
    pub uuid: Uuid,
    /// The name of its device-mapper device; unique.
    pub name: PoolName,
    /// `devicemapper`.
    pub driver: String,
    /// The data device, or the file behind its loop device.
    pub data: PathBuf,
    /// The metadata device, or the file behind its loop device.
    pub metadata: PathBuf,
    /// Whether the two are files that are attached as loop devices.
    pub loop_backed: bool,
    /// The unit of sharing.
    pub block_size: DataBlockSize,
    /// The size of a volume that asks for none.
    pub default_volume_size: Bytes,
    /// The filesystem of a volume that asks for none.
    pub filesystem: String,
    /// The last completed transaction. Counts when the pool is first put; from then on only
    /// `Catalog::complete` and `Change::SetTransaction` move it.
    pub transaction: TransactionId,
    /// The size of the data device as last seen.
    pub data_size: Bytes,
    /// The size of the metadata device as last seen.
    pub metadata_size: Bytes,
    /// Whether we formatted the metadata device: from then on it is never formatted again.
    pub initialised: bool,
    /// For people.
    pub created: Timestamp,
}

/// A volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Its identity, version 7.
    pub uuid: Uuid,
    /// Its pool; never changes.
    pub pool: Uuid,
    /// A label for people; unique among volumes.
    pub name: VolumeName,
    /// Its thin device; never changes.
    pub dev_id: DevId,
    /// What its device shows.
    pub size: Bytes,
    /// The type of its filesystem.
    pub filesystem: String,
    /// How far it is in its life.
    pub state: VolumeState,
    /// For people.
    pub created: Timestamp,
    /// What the caller attached.
    pub labels: BTreeMap<String, String>,
    /// Reserved.
    pub owner: Option<String>,
    /// Reserved.
    pub group: Option<String>,
    /// The URL of the backup it was made of.
    pub restored_from: Option<String>,
    /// The operation that last changed its state.
    pub op: Uuid,
}

/// A snapshot of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its identity.
    pub uuid: Uuid,
    /// What it was taken of; cannot be removed before its snapshots.
    pub volume: Uuid,
    /// Its pool; never changes.
    pub pool: Uuid,
    /// A label for people; unique among snapshots.
    pub name: SnapshotName,
    /// Its thin device; never changes.
    pub dev_id: DevId,
    /// The volume's size when it was taken.
    pub size: Bytes,
    /// How far it is in its life.
    pub state: SnapshotState,
    /// For people.
    pub created: Timestamp,
    /// What the caller attached.
    pub labels: BTreeMap<String, String>,
    /// The operation that last changed its state.
    pub op: Uuid,
    /// For how many microseconds writes to the volume were held, once known.
    pub hold_micros: Option<u64>,
}

/// Where a volume should be mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The volume; it has at most one of these.
    pub volume: Uuid,
    /// The directory.
    pub target: PathBuf,
    /// Whether a restart mounts it again.
    pub wanted: bool,
    /// The kernel's id of the boot in which it was mounted.
    pub boot: String,
    /// For people.
    pub created: Timestamp,
}

/// A volume whose filesystem may have lost what it was told is written: to be checked before it is mounted
/// again. Kept apart from the volume's own row, so that no verb that puts that back can lose it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspect {
    /// The volume; it has at most one of these, which goes with it.
    pub volume: Uuid,
    /// What happened, for people.
    pub why: String,
    /// When it was first noticed, for people.
    pub since: Timestamp,
}

/// A backup destination that was used, and what was found there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// What it is called, if it is; unique.
    pub name: Option<DestinationName>,
    /// Normalised, without secrets; its identity here.
    pub url: String,
    /// The repository found there: any other answer means that this is not the place it was.
    pub repository: Uuid,
    /// For people.
    pub created: Timestamp,
}

/// A backup that was made from here: what finds the base of the next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownBackup {
    /// Its identity.
    pub backup: Uuid,
    /// Its name in the repository.
    pub name: String,
    /// Where it is.
    pub repository: Uuid,
    /// The volume, which may be gone.
    pub volume: Uuid,
    /// The snapshot, which may be gone.
    pub snapshot: Uuid,
    /// For people.
    pub created: Timestamp,
}

/// A running operation keeps this snapshot: its row cannot be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// What is kept.
    pub snapshot: Uuid,
    /// By whom.
    pub op: Uuid,
    /// What for, for people.
    pub why: String,
}

macro_rules! states {
    ($(#[doc = $doc:literal])* $name:ident { $( $(#[doc = $state_doc:literal])* $state:ident = $text:literal, )* }) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $( $(#[doc = $state_doc])* $state, )* }

        impl $name {
            pub(crate) const ALL: &'static [Self] = &[ $( Self::$state, )* ];

            /// As the catalog and people write it.
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$state => $text, )* }
            }
        }
    };
}

states! {
    /// How far a volume is in its life.
    VolumeState {
        /// An intent to create its device is pending.
        Creating = "creating",
        /// Its device exists and has no filesystem yet.
        Formatting = "formatting",
        /// A backup is being written to its device.
        Restoring = "restoring",
        /// It can be used.
        Ready = "ready",
        /// An intent to delete its device is pending, or about to be.
        Deleting = "deleting",
    }
}

states! {
    /// How far a snapshot is in its life.
    SnapshotState {
        /// An intent to create its device is pending.
        Creating = "creating",
        /// It can be used.
        Ready = "ready",
        /// An intent to delete its device is pending, or about to be.
        Deleting = "deleting",
    }
}
