//! One writer's run: from packs to the commit entry that makes a backup exist.
//!
//! Write order: packs of chunks, packs of nodes, index segments, the store's sync, the commit entry.
//! Whatever happens before the last leaves objects that nothing names.

mod ahead;
mod commit;
mod journal;
mod packing;
mod resume;
mod reuse;

pub use packing::Added;

use crate::codec::Sealer;
use crate::error::Error;
use crate::id::{BlobId, SessionId};
use crate::keys::BlobKind;
use crate::pack::{ObjectName, PACK_TARGET};
use crate::repository::Repository;
use crate::run_set::RunSet;
use crate::segment::{MAX_PACKS, PackEntry, Record};
use ahead::Ahead;
use convoy_units::Bytes;
use packing::Open;
use std::collections::{BTreeSet, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use uuid::Uuid;

/// A segment is written when so many records wait: 11.5 MB.
const SEGMENT_RECORDS: usize = 1 << 18;

/// A run of one writer. Threads may share it: look-ups and additions take turns, uploads do not.
pub struct Session {
    repository: Repository,
    id: SessionId,
    began: u64,
    base: Option<Uuid>,
    pack_target: usize,
    /// A segment is closed at so many packs: readers take twice as many.
    pub(crate) segment_packs: usize,
    /// Packs of earlier sessions that were seen in the store at their full length.
    whole: Mutex<HashSet<ObjectName>>,
    /// What an earlier process had sent under this session's name.
    adopted: HashSet<BlobId>,
    /// Nodes of the base.
    ahead: Mutex<Ahead>,
    state: Mutex<State>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({})", self.id)
    }
}

struct State {
    /// Own packs, and every pack with a blob that was reused.
    uses: RunSet,
    packs: u32,
    /// Pack numbers that were passed over when the session was gone on with.
    passed_over: u32,
    segments: Vec<ObjectName>,
    chunks: Open,
    nodes: Open,
    sealer: Sealer,
    /// Packs and records that are in no segment yet.
    waiting: Vec<PackEntry>,
    records: Vec<Record>,
    /// What `records` and the open packs hold.
    own: HashSet<BlobId>,
    /// Memory of a pack of chunks that was sent, for the next one.
    spare: Vec<u8>,
    /// Numbers of packs closed and not yet uploaded.
    pending: BTreeSet<u32>,
    stored: u64,
    /// What was sent, for who comes after a crash.
    journal: Option<journal::Journal>,
}

impl Session {
    pub(crate) fn new(
        repository: Repository,
        id: SessionId,
        began: u64,
        base: Option<Uuid>,
    ) -> Result<Self, Error> {
        let state = State {
            uses: RunSet::default(),
            packs: 0,
            passed_over: 0,
            segments: Vec::new(),
            chunks: Open::new(&repository, BlobKind::Chunk, Vec::new()),
            nodes: Open::new(&repository, BlobKind::Node, Vec::new()),
            spare: Vec::new(),
            sealer: repository.sealer()?,
            waiting: Vec::new(),
            records: Vec::new(),
            own: HashSet::new(),
            pending: BTreeSet::new(),
            stored: 0,
            journal: None,
        };
        Ok(Self {
            repository,
            id,
            began,
            base,
            pack_target: PACK_TARGET,
            segment_packs: MAX_PACKS / 2,
            whole: Mutex::default(),
            adopted: HashSet::new(),
            ahead: Mutex::default(),
            state: Mutex::new(state),
        })
    }

    /// Closes packs of chunks at this size instead of 32 MiB; at most 64 MiB.
    #[must_use]
    pub fn with_pack_target(mut self, target: Bytes) -> Self {
        self.pack_target = usize::try_from(target.0)
            .unwrap_or(usize::MAX)
            .min(crate::pack::MAX_PACK);
        self
    }

    /// Its identity.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// The backup whose tree the new one starts from.
    pub fn base(&self) -> Option<Uuid> {
        self.base
    }

    /// Bytes sent so far.
    pub fn stored(&self) -> Bytes {
        Bytes(self.state().stored)
    }

    /// Packs closed so far.
    pub fn packs(&self) -> u32 {
        let state = self.state();
        state.packs - state.passed_over
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
