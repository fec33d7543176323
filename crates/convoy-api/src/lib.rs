//! What crosses the wire: requests, responses, paths and the problem body.
//!
//! HTTP/1.1 over the daemon's unix socket, JSON bodies, everything under `/v1`. Sizes are integers of
//! bytes, times RFC 3339 in UTC, names text, identities UUIDs. Within `/v1` fields and events are only
//! added: a reader ignores what it does not know. A request is the reverse: a field the daemon does not
//! know is refused, since an option that is silently ignored is worse than one that fails.
//!
//! Every answer is an [`Answer`] (status 200) or a [`Problem`] (any other status). The long verbs may be
//! asked for as a stream of [`Frame`]s: see [`stream`].

mod answer;
mod backup;
mod doctor;
mod endpoint;
mod info;
mod job;
pub mod paths;
mod pool;
mod problem;
mod reshape;
mod snapshot;
pub mod stream;
mod trash;
mod trim;
mod volume;

pub use answer::{Answer, DETACHED, Detached, Done, OPERATION, PREFER};
pub use backup::{
    Backup, BackupProblem, BackupUrl, Backups, BackupsOf, CreateBackup, CreatedBackup, Summary,
    Verification,
};
pub use doctor::{CatalogCopy, Diagnosis, Finding, Holds, PoolSeen};
pub use endpoint::OfferEndpoint;
pub use info::{Destination, Info, Pool, PoolEvent};
pub use job::{Job, Jobs, Restore, RestoredBackup, WaitFor};
pub use pool::{GrowPool, PoolCheck};
pub use problem::Problem;
pub use reshape::{
    CreateSnapshots, CreatedSnapshots, LabelVolume, RenameVolume, ResizeVolume, ResizedVolume,
    RolledBack,
};
pub use snapshot::{CreateSnapshot, CreatedSnapshot, Snapshot, Snapshots, SnapshotsOf};
pub use stream::Frame;
pub use trash::{Trash, TrashedVolume, Undelete};
pub use trim::TrimmedVolume;
pub use volume::{CreateVolume, CreatedVolume, MountVolume, Volume, Volumes};

#[cfg(test)]
mod tests;
