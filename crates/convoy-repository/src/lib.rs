//! What does a backup look like at rest, and who may change it when.
//!
//! A content-addressed, compressed repository that many hosts share over any object store with
//! create-if-absent. Its format is `docs/formats/repository.md`; the one log there is the only place
//! where hosts meet, and `fold` says what it means. Start at [`Repository`].

#![expect(
    clippy::missing_panics_doc,
    reason = "what can panic is a broken invariant, with its proof in the expect"
)]

mod body;
mod cache;
mod codec;
mod config;
mod distrust;
mod entry;
mod error;
pub mod fold;
mod id;
mod index;
mod json;
mod keys;
mod log;
mod look;
mod node;
mod original;
mod pack;
mod patience;
mod read;
mod record;
mod repository;
mod run_set;
mod segment;
mod session;
mod tree;

pub use codec::{Compression, SealedBlob, Sealer};
pub use config::{Config, DEFAULT_CHUNK_SIZE};
pub use error::Error;
pub use id::{BlobId, FullHash, ObjectHash, SessionId};
pub use index::Location;
pub use keys::BlobKind;
pub use original::{
    BLOCK as ORIGINAL_BLOCK, Checksum, Original, OriginalBackup, OriginalBlock, OriginalFacts,
    VolumeDirectory,
};
pub use pack::{FinishedPack, ObjectName, Placed};
pub use patience::{Impatient, Patience, Sleep};
pub use read::{Deliver, DeliverFound, Found, Wanted};
pub use record::{
    BackupFacts, BackupFigures, BackupRecord, PoolFacts, SnapshotFacts, TreeRef, VolumeRecord,
};
pub use repository::{CreateOptions, OpenOptions, Outcome, Repository};
pub use run_set::{PackId, Run, RunSet};
pub use segment::PackEntry;
pub use session::{Added, Session};
pub use tree::{Nodes, TreeEditor, Visit, chunks_of, walk};

/// The parts of the format, for tools that look inside and for fuzzers: bytes in, values out.
pub mod format {
    pub use crate::body::{
        Backups, Body, Commit, Compact, Init, Keep, Listed, Move, Unreadable, Volume, WireBackup,
        WirePool, WireSnapshot,
    };
    pub use crate::entry::{
        Entry, Stamp, decode as decode_entry, encode as encode_entry, slot_key,
    };
    pub use crate::keys::{Keys, Secret};
    pub use crate::node::{Slots, decode as decode_node, encode as encode_node, root_level};
    pub use crate::original::format as original;
    pub use crate::pack::Placed;
    pub use crate::pack::contents as pack_contents;
    pub use crate::segment::{Head, Record, decode as decode_segment};
}

#[cfg(test)]
mod tests;
