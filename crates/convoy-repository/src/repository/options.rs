//! How a repository is made and opened.

use crate::codec::Compression;
use crate::config::DEFAULT_CHUNK_SIZE;
use crate::patience::{Patience, Sleep};
use convoy_units::Bytes;
use std::path::PathBuf;
use std::sync::Arc;
use uuid::Uuid;

/// How to make a repository.
#[derive(Debug, Clone)]
pub struct CreateOptions {
    /// Bytes of a chunk: a power of two, 4 KiB to 4 MiB; fixed for good. At most the pool's block
    /// size and a divisor of it, if exactly the changed blocks are to be read.
    pub chunk_size: Bytes,
    /// What new blobs are compressed with.
    pub compression: Compression,
    /// The host that makes it.
    pub host: Uuid,
    /// How to wait between attempts.
    pub patience: Arc<dyn Patience>,
}

impl Default for CreateOptions {
    fn default() -> Self {
        Self {
            chunk_size: DEFAULT_CHUNK_SIZE,
            compression: Compression::default(),
            host: Uuid::nil(),
            patience: Arc::new(Sleep),
        }
    }
}

/// How to open a repository.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// A folder for copies of the log and the index; may be shared by several repositories, not by
    /// several processes.
    pub cache_dir: Option<PathBuf>,
    /// Take nothing from `cache_dir`, and compare what the store has with what this host has seen: for
    /// checking what another host would find. What is found damaged is still noted there.
    pub ask_store: bool,
    /// Write nothing, not even the probe.
    pub read_only: bool,
    /// The host that opens it, in entries it appends.
    pub host: Uuid,
    /// How to wait between attempts.
    pub patience: Arc<dyn Patience>,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            cache_dir: None,
            ask_store: false,
            read_only: false,
            host: Uuid::nil(),
            patience: Arc::new(Sleep),
        }
    }
}
