//! Filling packs, sending them, and the segments that say what is in them.

use super::{SEGMENT_RECORDS, Session, State};
use crate::codec::SealedBlob;
use crate::error::Error;
use crate::id::{BlobId, ObjectHash};
use crate::keys::BlobKind;
use crate::pack::{FinishedPack, ObjectName, PackBuilder, Placed};
use crate::patience::patiently;
use crate::repository::Repository;
use crate::segment::{self, PackEntry, Record};
use crate::tree::Nodes;
use convoy_objectstore::Key;
use std::sync::PoisonError;

/// Packs of nodes are closed here: they are read one node at a time.
const NODE_PACK_TARGET: usize = 8 << 20;

/// What became of a chunk that was added.
#[derive(Debug)]
pub struct Added {
    /// Whether the session did not have it yet.
    pub new: bool,
    /// A pack that is full now and must be uploaded.
    pub full: Option<FinishedPack>,
}

/// The pack being filled, and where its blobs are.
pub(super) struct Open {
    builder: PackBuilder,
    placed: Vec<Placed>,
}

impl Open {
    pub(super) fn new(repository: &Repository, content: BlobKind, spare: Vec<u8>) -> Self {
        Self {
            builder: PackBuilder::new(repository.id(), content, spare),
            placed: Vec::new(),
        }
    }

    fn push(&mut self, blob: &SealedBlob) {
        let placed = self.builder.push(blob);
        self.placed.push(placed);
    }
}

impl Session {
    /// Adds a chunk to the open pack, unless this session has it. A pack that became full is handed
    /// back, and must be given to `upload` before the commit.
    pub fn add(&self, blob: &SealedBlob) -> Result<Added, Error> {
        let mut state = self.state();
        if self.adopted.contains(&blob.id()) || !state.own.insert(blob.id()) {
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
        drop(state);
        self.note_sent(&pack.name);
        Ok(())
    }

    /// Takes the memory of a pack that was uploaded, for a later one.
    pub fn recycle(&self, pack: FinishedPack) {
        if pack.content == BlobKind::Chunk {
            self.state().spare = pack.bytes;
        }
    }
    /// Closes the open pack of this content, if there is anything in it.
    pub(super) fn close(
        &self,
        state: &mut State,
        content: BlobKind,
    ) -> Result<Option<FinishedPack>, Error> {
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
        let entry = PackEntry {
            name: pack.name,
            length,
            content,
        };
        let record = |placed: Placed| Record {
            id: placed.id,
            pack: number,
            offset: placed.offset,
            stored: placed.stored,
        };
        let records: Vec<Record> = open.placed.into_iter().map(record).collect();
        if let Some(journal) = &mut state.journal {
            journal.closed(entry, records.clone());
        }
        state.waiting.push(entry);
        state.records.extend(records);
        if state.records.len() >= SEGMENT_RECORDS || state.waiting.len() >= self.segment_packs {
            self.write_segment(state)?;
        }
        Ok(Some(pack))
    }

    /// Sends a segment of what is in none yet. It may be sent before the packs it names are durable:
    /// it means nothing until the commit names it.
    pub(super) fn write_segment(&self, state: &mut State) -> Result<(), Error> {
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
}

/// Nodes of the tree that this session makes.
impl Nodes for &Session {
    fn read(&self, id: &BlobId) -> Result<Vec<u8>, Error> {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        match ahead.node(&self.repository.inner, id) {
            Some(plain) => Ok(plain),
            None => self.repository.read_node(id),
        }
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
