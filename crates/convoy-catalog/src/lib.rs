//! What do we promise exists: the durable record of pools, volumes, snapshots and intents.
//!
//! A `SQLite` database that `docs/formats/catalog.md` describes table by table. It and the pool's own
//! metadata change together by the write-ahead protocol written there: `begin` an intent, send the
//! messages, move the pool's transaction id, `complete` it.

mod catalog;
mod change;
mod endpoint;
mod error;
mod exchange;
mod fields;
mod find;
mod holds;
mod job;
mod mount_options;
mod open;
mod read;
mod record;
#[cfg(test)]
mod samples;
mod schema;
mod trash;
mod write;

pub use catalog::Catalog;
pub use change::{Action, Change, Intent, NewIntent};
pub use endpoint::Endpoint;
pub use error::Error;
pub use holds::Hold;
pub use job::{Job, JobState, Overwrite};
pub use mount_options::MountOptions;
pub use record::{
    Destination, KnownBackup, Mount, Pin, Pool, Snapshot, SnapshotState, Suspect, Volume,
    VolumeState,
};
pub use trash::{OnRemove, Trashed};
