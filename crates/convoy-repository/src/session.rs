//! One writer's run: from packs to the commit entry that makes a backup exist.
//!
//! Write order: packs of chunks, packs of nodes, index segments, the store's sync, the commit entry.
//! Whatever happens before the last leaves objects that nothing names.

use crate::body::{Body, Commit, Keep, WireBackup, WirePool, WireSnapshot};
use crate::codec::{SealedBlob, Sealer};
use crate::error::Error;
use crate::fold::Fold;
use crate::id::{BlobId, ObjectHash, SessionId, to_hex};
use crate::keys::BlobKind;
use crate::log::{Appended, Author};
use crate::pack::{FinishedPack, ObjectName, PACK_TARGET, PackBuilder, Placed};
use crate::patience::patiently;
use crate::record::{BackupFacts, BackupFigures, BackupRecord, TreeRef};
use crate::repository::{Repository, random};
use crate::run_set::{Run, RunSet};
use crate::segment::{self, MAX_PACKS, PackEntry, Record};
use crate::tree::Nodes;
use convoy_objectstore::{ErrorKind, Key};
use convoy_units::Bytes;
use std::collections::{BTreeSet, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use uuid::Uuid;

/// Packs of nodes are closed here: they are read one node at a time.
const NODE_PACK_TARGET: usize = 8 << 20;
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
}

/// What became of a chunk that was added.
#[derive(Debug)]
pub struct Added {
    /// Whether the session did not have it yet.
    pub new: bool,
    /// A pack that is full now and must be uploaded.
    pub full: Option<FinishedPack>,
}

/// The pack being filled, and where its blobs are.
struct Open {
    builder: PackBuilder,
    placed: Vec<Placed>,
}

impl Open {
    fn new(repository: &Repository, content: BlobKind, spare: Vec<u8>) -> Self {
        Self {
            builder: PackBuilder::new(repository.id(), content, spare),
            placed: Vec::new(),
        }
    }
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
        };
        Ok(Self {
            repository,
            id,
            began,
            base,
            pack_target: PACK_TARGET,
            segment_packs: MAX_PACKS / 2,
            whole: Mutex::default(),
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
        self.state().packs
    }

    /// Whether the repository, or this session, has the blob in a pack that is neither dead nor
    /// warned. If so the pack is noted: the commit names it, and counts only if it still lives.
    ///
    /// What the index holds is looked at: a miss costs an upload at most. The first time an earlier
    /// session's pack is met, the store is asked for its size, one request: a pack that vanished or was
    /// cut off must not be named by yet another backup. One known to be damaged is passed over.
    pub fn reuse(&self, id: &BlobId) -> Result<bool, Error> {
        if self.state().own.contains(id) {
            return Ok(true);
        }
        let inner = &self.repository.inner;
        // Brings the index up to the fold; places in cold segments are not asked for.
        inner.follow_index()?;
        loop {
            let found = inner.log.with_fold(|fold| {
                let usable = |entry: &PackEntry| {
                    let pack = entry.name.pack();
                    !fold.dead().contains(pack)
                        && !fold.warned().contains(pack)
                        && !inner.distrust.contains(&entry.name)
                };
                inner.index().find(id, usable)
            });
            let Some(location) = found else {
                return Ok(false);
            };
            // If it is not, it is distrusted, and the next look passes it over.
            if self.is_whole(&location.pack)? {
                self.state().uses.insert(location.pack.name.pack());
                return Ok(true);
            }
        }
    }

    /// Whether the store has this pack at its full length; asked once for each pack.
    fn is_whole(&self, pack: &PackEntry) -> Result<bool, Error> {
        let distrust = &self.repository.inner.distrust;
        // Held over the request, so that threads which meet the same pack ask once.
        let mut whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        if whole.contains(&pack.name) {
            return Ok(true);
        }
        if distrust.contains(&pack.name) {
            return Ok(false);
        }
        let size = match self.repository.pack_size(&pack.name) {
            Ok(size) => size,
            Err(Error::Store { source, .. }) if source.kind == ErrorKind::Damaged => None,
            Err(error) => return Err(error),
        };
        if size == Some(u64::from(pack.length)) {
            return Ok(whole.insert(pack.name));
        }
        distrust.add(&pack.name);
        Ok(false)
    }

    /// Adds a chunk to the open pack, unless this session has it. A pack that became full is handed
    /// back, and must be given to `upload` before the commit.
    pub fn add(&self, blob: &SealedBlob) -> Result<Added, Error> {
        let mut state = self.state();
        if !state.own.insert(blob.id()) {
            return Ok(Added {
                new: false,
                full: None,
            });
        }
        let full = if state.chunks.builder.has_room(blob, self.pack_target) {
            None
        } else {
            self.close(&mut state, BlobKind::Chunk)?
        };
        if state.chunks.builder.is_empty() {
            state.chunks.builder.reserve(self.pack_target);
        }
        state.chunks.push(blob);
        Ok(Added { new: true, full })
    }

    /// The last pack of chunks, if there is anything in it; to be uploaded like the others.
    pub fn finish_chunks(&self) -> Result<Option<FinishedPack>, Error> {
        self.close(&mut self.state(), BlobKind::Chunk)
    }

    /// Sends a pack. Repeats send the same bytes under the same name, so an unclear answer is
    /// repeated, and "exists" is success.
    pub fn upload(&self, pack: &FinishedPack) -> Result<(), Error> {
        self.put(&pack.name.pack_key(), &pack.bytes)?;
        let mut state = self.state();
        // Sent again, it counts once: another may still be on its way.
        if pack.name.session == self.id && state.pending.remove(&pack.name.seq) {
            state.stored += pack.bytes.len() as u64;
        }
        Ok(())
    }

    /// Takes the memory of a pack that was uploaded, for a later one.
    pub fn recycle(&self, pack: FinishedPack) {
        if pack.content == BlobKind::Chunk {
            self.state().spare = pack.bytes;
        }
    }

    /// Reads the log on, and does what it asks for: a `keep` if a collector has warned of our packs.
    /// To be called every few minutes, much more often than the grace of a day.
    ///
    /// `Overtaken` if something this session relies on was collected: begin another.
    pub fn poll(&self) -> Result<(), Error> {
        let inner = &self.repository.inner;
        inner.log.catch_up()?;
        let uses = self.state().uses.clone();
        let warned = inner.log.with_fold(|fold| {
            self.still_there(fold, &uses)?;
            Ok::<_, Error>(fold.warned().runs().any(|run| run.session == self.id))
        })?;
        if warned {
            let author = Author {
                op: Uuid::new_v4(),
                host: inner.host,
            };
            let keep = Body::Keep(Keep { session: self.id });
            inner.log.append(author, &mut |_| Ok(Some(keep.clone())))?;
        }
        Ok(())
    }

    /// Publishes the backup: it exists, durably, when this returns.
    ///
    /// Repeated under the same `op` it gives the backup that was committed first. `Overtaken` if
    /// something it relies on was collected meanwhile; `Unclear` if nobody can tell yet.
    pub fn commit(
        &self,
        facts: &BackupFacts,
        root: TreeRef,
        figures: BackupFigures,
    ) -> Result<BackupRecord, Error> {
        for kind in [BlobKind::Chunk, BlobKind::Node] {
            let last = self.close(&mut self.state(), kind)?;
            last.map_or(Ok(()), |pack| self.upload(&pack))?;
        }
        if !self.state().pending.is_empty() {
            return Err(Error::Invalid(
                "packs that were handed out have not been uploaded".to_owned(),
            ));
        }
        self.write_segment(&mut self.state())?;
        let inner = &self.repository.inner;
        // Everything the entry names must survive a power cut before the entry can.
        patiently(
            &*inner.patience,
            || "make the packs durable".to_owned(),
            || inner.store.sync(),
        )?;
        let figures = BackupFigures {
            stored: self.stored(),
            ..figures
        };
        let body = self.commit_body(facts, root, figures)?;
        let uses = RunSet::of(&body.uses);
        let author = Author {
            op: facts.op,
            host: facts.host,
        };
        let appended = inner.log.append(author, &mut |fold| {
            self.still_there(fold, &uses)?;
            Ok(Some(Body::Commit(body.clone())))
        })?;
        match appended {
            Appended::At(_) | Appended::Before => {
                self.repository.backup_by_op(facts.op).ok_or_else(|| {
                    Error::NoBackup(format!("of operation {}: it was deleted since", facts.op))
                })
            }
            Appended::NotNeeded => Err(Error::Refused {
                why: "nothing was to be committed".to_owned(),
            }),
        }
    }

    fn commit_body(
        &self,
        facts: &BackupFacts,
        root: TreeRef,
        figures: BackupFigures,
    ) -> Result<Commit, Error> {
        let backup = WireBackup {
            id: Uuid::new_v4(),
            name: format!("backup-{}", to_hex(&random::<8>()?)),
            volume: facts.volume.id,
            volume_name: facts.volume.name.clone(),
            size: facts.volume_size.0,
            root,
            base: self.base,
            snapshot: WireSnapshot {
                id: facts.snapshot.id,
                name: facts.snapshot.name.clone(),
                created: facts.snapshot.created,
            },
            created: jiff::Timestamp::now(),
            volume_created: facts.volume_created,
            filesystem: facts.filesystem.clone(),
            driver: facts.driver.clone(),
            host: facts.host,
            pool: WirePool {
                id: facts.pool.id,
                dev_id: facts.pool.dev_id,
                transaction: facts.pool.transaction,
                block_size: facts.pool.block_size.0,
            },
            labels: facts.labels.clone(),
            owner: None,
            group: None,
            changed_bytes: figures.changed.0,
            read_bytes: figures.read.0,
            new_bytes: figures.new.0,
            stored_bytes: figures.stored.0,
        };
        if let Some(rule) = backup.broken_limit() {
            return Err(Error::Invalid(rule.to_owned()));
        }
        let state = self.state();
        Ok(Commit {
            session: self.id,
            began: self.began,
            backups: vec![backup],
            uses: state.uses.runs().collect::<Vec<Run>>(),
            segments: state.segments.clone(),
        })
    }

    fn still_there(&self, fold: &Fold, uses: &RunSet) -> Result<(), Error> {
        if let Some(run) = uses.runs().find(|run| fold.dead().touches(*run)) {
            return Err(Error::Overtaken {
                what: format!("packs of session {}", run.session),
            });
        }
        match self.base {
            Some(base) if !fold.is_protected(base) => Err(Error::Overtaken {
                what: format!("its base {base}"),
            }),
            _ => Ok(()),
        }
    }

    /// Closes the open pack of this content, if there is anything in it.
    fn close(&self, state: &mut State, content: BlobKind) -> Result<Option<FinishedPack>, Error> {
        let (open, spare) = match content {
            BlobKind::Chunk => (&mut state.chunks, std::mem::take(&mut state.spare)),
            BlobKind::Node => (&mut state.nodes, Vec::new()),
        };
        if open.builder.is_empty() {
            return Ok(None);
        }
        let open = std::mem::replace(open, Open::new(&self.repository, content, spare));
        let pack = open.builder.finish(self.id, state.packs);
        state.packs += 1;
        state.pending.insert(pack.name.seq);
        state.uses.insert(pack.name.pack());
        let number = u32::try_from(state.waiting.len()).expect("a segment is written long before");
        let length = u32::try_from(pack.bytes.len()).expect("a pack stays below 64 MiB");
        state.waiting.push(PackEntry {
            name: pack.name,
            length,
            content,
        });
        state
            .records
            .extend(open.placed.into_iter().map(|placed| Record {
                id: placed.id,
                pack: number,
                offset: placed.offset,
                stored: placed.stored,
            }));
        if state.records.len() >= SEGMENT_RECORDS || state.waiting.len() >= self.segment_packs {
            self.write_segment(state)?;
        }
        Ok(Some(pack))
    }

    /// Sends a segment of what is in none yet. It may be sent before the packs it names are durable:
    /// it means nothing until the commit names it.
    fn write_segment(&self, state: &mut State) -> Result<(), Error> {
        if state.records.is_empty() {
            return Ok(());
        }
        let repository = self.repository.id();
        let bytes = segment::encode(repository, self.id, &state.waiting, &mut state.records);
        let seq = u32::try_from(state.segments.len()).expect("fewer segments than packs");
        let name = ObjectName {
            session: self.id,
            seq,
            hash: ObjectHash::of(&bytes),
        };
        self.put(&name.segment_key(), &bytes)?;
        // Only now: a failed put must leave the records waiting, or a later commit would name a segment
        // that is nowhere.
        state.waiting.clear();
        state.records.clear();
        state.own.clear();
        state.segments.push(name);
        state.stored += bytes.len() as u64;
        if let Some(cache) = &self.repository.inner.cache {
            cache.keep_segment(&name, &bytes);
        }
        Ok(())
    }

    fn put(&self, key: &Key, bytes: &[u8]) -> Result<(), Error> {
        let inner = &self.repository.inner;
        // Both answers are success: the name holds the hash of the bytes.
        patiently(
            &*inner.patience,
            || format!("store {key}"),
            || inner.store.put_deferred(key, bytes),
        )
        .map(|_| ())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn push(&mut self, blob: &SealedBlob) {
        let placed = self.builder.push(blob);
        self.placed.push(placed);
    }
}

/// Nodes of the tree that this session makes.
impl Nodes for &Session {
    fn read(&self, id: &BlobId) -> Result<Vec<u8>, Error> {
        self.repository.read_node(id)
    }

    fn write(&mut self, plain: &[u8]) -> Result<BlobId, Error> {
        let id = self.repository.blob_id(BlobKind::Node, plain);
        if self.reuse(&id)? {
            return Ok(id);
        }
        let full = {
            let mut state = self.state();
            let blob = state
                .sealer
                .seal(BlobKind::Node, id, plain)
                .map_err(|e| Error::Compress(id, e))?;
            state.own.insert(id);
            let full = if state.nodes.builder.has_room(&blob, NODE_PACK_TARGET) {
                None
            } else {
                self.close(&mut state, BlobKind::Node)?
            };
            state.nodes.push(&blob);
            full
        };
        full.map_or(Ok(()), |pack| self.upload(&pack))?;
        Ok(id)
    }
}
