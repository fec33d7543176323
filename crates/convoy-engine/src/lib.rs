//! The verbs, and their safety: volumes, snapshots, backups and restores as one library.
//!
//! [`Engine::open`] gives an owned value that several threads may share. Verbs are methods that block
//! and return plain values; each takes an [`Operation`], which names it and hears of its progress. The
//! engine never prints, exits, reads the environment or keeps globals.
//!
//! Only this crate introduces the columns below it to each other: the catalog (what we promise exists),
//! the thin pool (what the kernel does), the filesystem on top, the block difference and the backup
//! repository. The order in which they are told things is the whole of its safety, and is written down
//! where it happens: `docs/architecture.md` has the map.

mod backup;
mod care;
mod claims;
mod clone;
mod config;
mod destination;
pub mod doctor;
mod engine;
mod error;
mod failpoints;
mod flush;
mod glance;
mod group;
pub mod guard;
mod health;
mod holds;
mod in_place;
mod jobs;
mod ledger;
pub mod machine;
mod metadata;
mod metrics;
mod model;
mod operation;
mod options;
mod original;
mod pool;
mod read_only;
mod recovery;
mod reference;
mod rename;
mod resize;
mod resolve;
mod restore;
mod rollback;
mod root;
mod seams;
mod snapshot;
mod space;
mod transaction;
mod trash;
mod volume;

pub use config::{Config, PoolConfig};
pub use convoy_catalog::OnRemove;
pub use convoy_mount::{InvalidMode, Mode, Owner};
pub use convoy_objectstore::{Addressing, Keys, S3Options};
pub use engine::Engine;
pub use error::Error;
pub use glance::Glance;
pub use health::{PoolEvent, Severity};
pub use in_place::RestoredInPlace;
pub use jobs::{JobInfo, JobState};
pub use machine::{Host, Machine};
pub use metrics::{BackupTotals, Figures, Holds, VolumeFigures};
pub use model::{
    BackupFormat, BackupInfo, BackupOutcome, BackupSummary, CreateVolume, Created, DestinationInfo,
    Info, PoolInfo, Problem, ResizedVolume, RolledBack, SnapshotInfo, SnapshotUsage, Trimmed,
    Verification, VolumeInfo, VolumeState,
};
pub use operation::{Event, Observer, Operation, Phase, Silent};
pub use options::{OPTIONS, pool_options};
pub use pool::PoolCheck;
pub use seams::Seams;
pub use space::GrowPool;
pub use trash::TrashedVolume;

#[cfg(feature = "failpoints")]
pub use failpoints::{Failpoints, Mistake, Point};
