//! What is asked of the catalog: changes, and intents with their actions.

use convoy_units::{DevId, TransactionId};
use jiff::Timestamp;
use uuid::Uuid;

use crate::{
    Destination, Endpoint, Hold, Job, KnownBackup, Mount, MountOptions, OnRemove, Overwrite, Pin,
    Pool, Snapshot, Suspect, Trashed, Volume,
};

/// One change. Putting replaces the record of the same identity; removing what is not there is fine.
///
/// Within one call the order counts: a snapshot is put after its volume and removed before it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// Adds or replaces a pool, except its transaction id, which stays if the pool is there.
    PutPool(Pool),
    /// Removes a pool that has no volumes and no pending intent.
    RemovePool(Uuid),
    /// Moves the pool's transaction id without an intent: a repair.
    SetTransaction {
        /// The pool.
        pool: Uuid,
        /// The id its metadata was found at.
        transaction: TransactionId,
    },
    /// Adds or replaces a volume.
    PutVolume(Volume),
    /// Removes a volume that has no snapshots and no mount, and any suspicion of it.
    RemoveVolume(Uuid),
    /// Adds or replaces a snapshot.
    PutSnapshot(Snapshot),
    /// Exchanges the thin devices, and with them the sizes, of a snapshot and its volume: the snapshot, which is
    /// ready then, has what the volume had. Only inside the completion of an [`Action::RollBack`] of these two.
    ExchangeDevices {
        /// The snapshot.
        snapshot: Uuid,
    },
    /// Removes a snapshot that nobody pins.
    RemoveSnapshot(Uuid),
    /// Adds or replaces the mount of a volume.
    PutMount(Mount),
    /// Removes the mount of this volume.
    RemoveMount(Uuid),
    /// Says that a volume is suspect, unless that is said already: the first reason stays.
    PutSuspect(Suspect),
    /// Clears a volume of suspicion.
    RemoveSuspect(Uuid),
    /// Adds or replaces the destination of its URL.
    PutDestination(Destination),
    /// Removes the destination of this URL.
    RemoveDestination(String),
    /// Adds or replaces the endpoint of its destination.
    PutEndpoint(Endpoint),
    /// Adds or replaces a backup.
    PutBackup(KnownBackup),
    /// Removes a backup.
    RemoveBackup(Uuid),
    /// Adds a pin.
    PutPin(Pin),
    /// Removes all pins of an operation.
    RemovePins {
        /// The operation.
        op: Uuid,
    },
    /// Adds or replaces a job; the oldest of many ended ones are forgotten.
    PutJob(Job),
    /// Says of every job that still runs that it was interrupted, at this time.
    InterruptJobs(Timestamp),
    /// Says that a volume is being overwritten.
    PutOverwrite(Overwrite),
    /// Says that a volume is not being overwritten any more.
    RemoveOverwrite(Uuid),
    /// Says that a volume is in the trash, or how long it stays there.
    PutTrashed(Trashed),
    /// Says that a volume is not in the trash any more.
    RemoveTrashed(Uuid),
    /// Lets so many seconds pass for everything in the trash.
    AgeTrash(u64),
    /// Says what a container engine's removal of a volume means.
    PutOnRemove {
        /// The volume.
        volume: Uuid,
        /// What becomes of it.
        on_remove: OnRemove,
    },
    /// Adds or replaces what a volume is held by under one id.
    PutHold(Hold),
    /// Removes what a volume is held by under one id.
    RemoveHold {
        /// The volume.
        volume: Uuid,
        /// The id.
        holder: String,
    },
    /// Removes all holds of a volume.
    RemoveHolds(Uuid),
    /// Removes the holds of every boot but this one.
    RemoveHoldsBefore {
        /// The kernel's id of the running boot.
        boot: String,
    },
    /// Says what a volume is mounted with: at least one option.
    PutMountOptions(MountOptions),
}

/// What will be done to the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Create an empty thin device.
    CreateThin {
        /// Its id.
        dev_id: DevId,
    },
    /// Create a snapshot.
    CreateSnapshot {
        /// Its id.
        dev_id: DevId,
        /// What it is taken of.
        origin: DevId,
    },
    /// Create a snapshot that takes the place of a volume's device, which becomes a snapshot's in turn.
    RollBack {
        /// Its id.
        dev_id: DevId,
        /// What it is taken of.
        origin: DevId,
        /// The volume's device until then.
        instead_of: DevId,
    },
    /// Delete a thin device.
    Delete {
        /// Its id.
        dev_id: DevId,
    },
}

impl Action {
    /// The device that is made or deleted.
    pub const fn dev_id(&self) -> DevId {
        match *self {
            Self::CreateThin { dev_id }
            | Self::CreateSnapshot { dev_id, .. }
            | Self::RollBack { dev_id, .. }
            | Self::Delete { dev_id } => dev_id,
        }
    }
}

/// An intent to be begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewIntent {
    /// The pool.
    pub pool: Uuid,
    /// The operation.
    pub op: Uuid,
    /// What a person would call it, such as `create volume`.
    pub verb: String,
    /// In the order of execution.
    pub actions: Vec<Action>,
}

/// A pending intent: durable before the first of its actions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// Never used twice.
    pub id: i64,
    /// The pool.
    pub pool: Uuid,
    /// The operation.
    pub op: Uuid,
    /// What a person would call it.
    pub verb: String,
    /// The pool's transaction id before.
    pub from: TransactionId,
    /// The pool's transaction id once all actions have happened.
    pub to: TransactionId,
    /// In the order of execution.
    pub actions: Vec<Action>,
    /// For people.
    pub created: Timestamp,
}
