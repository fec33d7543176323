//! What an engine is opened with.

use convoy_names::PoolName;
use convoy_objectstore::S3Options;
use convoy_thinpool::HOLD_LIMIT;
use convoy_units::{Bytes, DataBlockSize};
use std::path::PathBuf;
use std::time::Duration;

/// An engine's settings. Nothing here is read from the environment.
#[derive(Debug, Clone)]
pub struct Config {
    /// Holds the catalog, the lock, the default mount points and the files of a loop-backed pool.
    pub root: PathBuf,
    /// The pool.
    pub pool: PoolConfig,
    /// How long a snapshot may hold the writes to its volume: a flush that takes longer gives up before it,
    /// and a volume that is held longer is let run, without a snapshot. By default 5 s.
    pub hold_limit: Duration,
    /// How long a volume that was removed stays in the trash, counted while an engine is open. By default 24 h.
    pub trash_grace: Duration,
    /// How long a volume stays mounted that the last container engine gave back. By default 3 s.
    pub idle_delay: Duration,
    /// How buckets are reached, and who we are there. Without keys in it, what Amazon's own tools would use; its
    /// endpoint gives way to the one told for a destination.
    pub s3: S3Options,
}

impl Config {
    /// The defaults over this root: a loop-backed pool in it.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            pool: PoolConfig::default(),
            hold_limit: HOLD_LIMIT,
            trash_grace: Duration::from_hours(24),
            idle_delay: Duration::from_secs(3),
            s3: S3Options::default(),
        }
    }
}

/// Settings of the pool. `None` means what the catalog has, else the default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PoolConfig {
    /// `dm.datadev`; together with `metadata`, or neither: then the pool is loop-backed under the root.
    pub data: Option<PathBuf>,
    /// `dm.metadatadev`.
    pub metadata: Option<PathBuf>,
    /// `dm.thinpoolname`, default `convoy-pool`.
    pub name: Option<PoolName>,
    /// `dm.thinpoolblocksize`, default 4096 sectors; fixed once the pool is made.
    pub block_size: Option<DataBlockSize>,
    /// `dm.defaultvolumesize`, default 100 GiB.
    pub default_volume_size: Option<Bytes>,
    /// `dm.fs`, default `ext4`.
    pub filesystem: Option<String>,
    /// `dm.trustdatadev`: take the data device even if none of the pool's volumes is recognised on it,
    /// which is otherwise refused. Not remembered.
    pub trust_data: bool,
}
