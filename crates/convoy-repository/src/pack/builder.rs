//! A pack being filled, in memory.

use super::{END, End, HEADER, Header, ObjectName, Placed};
use crate::codec::{BLOB_HEADER, SealedBlob};
use crate::id::{ObjectHash, SessionId};
use crate::keys::BlobKind;
use uuid::Uuid;
use zerocopy::IntoBytes;
use zerocopy::little_endian::{U16, U32, U64};

/// A pack being filled.
#[derive(Debug)]
pub(crate) struct PackBuilder {
    content: BlobKind,
    bytes: Vec<u8>,
    table: Vec<u8>,
    count: u32,
}

/// A pack that will not change any more.
#[derive(Debug)]
pub struct FinishedPack {
    /// Its name.
    pub name: ObjectName,
    /// What is in it.
    pub content: BlobKind,
    /// All its bytes.
    pub bytes: Vec<u8>,
}

impl PackBuilder {
    /// An empty one, in memory that may have been used before.
    pub(crate) fn new(repository: Uuid, content: BlobKind, spare: Vec<u8>) -> Self {
        let header = Header {
            magic: *b"CNVYPACK",
            version: U16::new(1),
            content: content.code(),
            cipher: 0,
            flags: U32::new(0),
            repository: *repository.as_bytes(),
            salt: [0; 32],
        };
        let mut bytes = spare;
        bytes.clear();
        bytes.extend_from_slice(header.as_bytes());
        Self {
            content,
            bytes,
            table: Vec::new(),
            count: 0,
        }
    }

    /// Whether no blob is in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether one more blob of this size stays within `target` (an empty pack takes any).
    pub(crate) fn has_room(&self, blob: &SealedBlob, target: usize) -> bool {
        let after = self.bytes.len() + self.table.len() + blob.stored_len() + BLOB_HEADER + END;
        self.is_empty() || after <= target
    }

    /// Makes room for a whole pack at once: growing step by step would touch every page twice. Pages
    /// that are not filled cost nothing.
    pub(crate) fn reserve(&mut self, target: usize) {
        // The table comes after the blobs: one header for each, which are seldom below 2 KiB.
        let whole = target + target / 32 + END;
        self.bytes
            .reserve_exact(whole.saturating_sub(self.bytes.len()));
    }

    /// Adds a blob at the end.
    pub(crate) fn push(&mut self, blob: &SealedBlob) -> Placed {
        let offset = u32::try_from(self.bytes.len()).expect("a pack stays below 64 MiB");
        let mut header = blob.header;
        header.set_number(self.count);
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(&blob.payload);
        self.table.extend_from_slice(header.as_bytes());
        self.count += 1;
        Placed {
            id: blob.id,
            offset,
            stored: blob.header.stored.get(),
        }
    }

    /// Closes it under `(session, seq)`.
    pub(crate) fn finish(mut self, session: SessionId, seq: u32) -> FinishedPack {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.bytes.get(..HEADER).unwrap_or_default());
        hasher.update(&self.table);
        let length = self.bytes.len() + self.table.len() + END;
        let end = End {
            magic: *b"CNVYPEND",
            count: U32::new(self.count),
            reserved: U32::new(0),
            length: U64::new(length as u64),
            zeros: [0; 8],
            hash: *hasher.finalize().as_bytes(),
        };
        self.bytes.extend_from_slice(&self.table);
        self.bytes.extend_from_slice(end.as_bytes());
        let name = ObjectName {
            session,
            seq,
            hash: ObjectHash::of(&self.bytes),
        };
        FinishedPack {
            name,
            content: self.content,
            bytes: self.bytes,
        }
    }
}
