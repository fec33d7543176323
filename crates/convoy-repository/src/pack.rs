//! Packs: immutable objects of many blobs, built in memory and named once (format §6).

use crate::codec::{BLOB_HEADER, BlobHeader, SealedBlob, read_header};
use crate::id::{ObjectHash, SessionId};
use crate::keys::BlobKind;
use crate::run_set::PackId;
use convoy_objectstore::Key;
use uuid::Uuid;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// No pack is longer.
pub(crate) const MAX_PACK: usize = 64 << 20;
/// A pack is closed when the next blob would take it past this.
pub(crate) const PACK_TARGET: usize = 32 << 20;
const HEADER: usize = 64;
const END: usize = 64;
/// A pack of no blobs.
pub(crate) const MIN_PACK: usize = HEADER + END;

/// Session, sequence number and hash of a pack or segment: its name, used once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    /// Who made it.
    pub session: SessionId,
    /// Its number in the session, packs and segments each from 0.
    pub seq: u32,
    /// Of its bytes.
    pub hash: ObjectHash,
}

impl ObjectName {
    /// The key of the pack of this name.
    pub fn pack_key(&self) -> Key {
        let hash = self.hash.to_string();
        let folder: String = hash.chars().take(2).collect();
        key(format!("packs/{folder}/{self}"))
    }

    /// The key of the segment of this name.
    pub fn segment_key(&self) -> Key {
        key(format!("index/{self}"))
    }

    /// What the log calls the pack.
    pub fn pack(&self) -> PackId {
        PackId {
            session: self.session,
            seq: self.seq,
        }
    }

    /// Read from `<session>-<seq>-<hash>`, strictly.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let session = SessionId::parse(parts.next()?)?;
        let seq = u32::from_be_bytes(crate::id::from_hex(parts.next()?)?);
        let hash = ObjectHash::parse(parts.next()?)?;
        parts
            .next()
            .is_none()
            .then_some(Self { session, seq, hash })
    }
}

impl std::fmt::Display for ObjectName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{:08x}-{}", self.session, self.seq, self.hash)
    }
}

/// A key of our own making.
pub(crate) fn key(text: String) -> Key {
    Key::new(text).expect("made of lower-case hex and our own words, well below 200 bytes")
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Header {
    magic: [u8; 8],
    version: U16,
    content: u8,
    cipher: u8,
    flags: U32,
    repository: [u8; 16],
    salt: [u8; 32],
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct End {
    magic: [u8; 8],
    count: U32,
    reserved: U32,
    length: U64,
    zeros: [u8; 8],
    hash: [u8; 32],
}

/// Where a blob lies in its pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// The blob's id.
    pub id: crate::id::BlobId,
    /// Offset of its header.
    pub offset: u32,
    /// Bytes of its payload.
    pub stored: u32,
}

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

/// What a whole pack holds, by its table; `Err` names the broken rule.
///
/// Rebuilds an index from packs alone.
pub fn contents(repository: Uuid, bytes: &[u8]) -> Result<(BlobKind, Vec<Placed>), String> {
    let (header, _) =
        Header::read_from_prefix(bytes).map_err(|_| "it is shorter than its header")?;
    if header.magic != *b"CNVYPACK" || header.version.get() != 1 || header.cipher != 0 {
        return Err("it does not begin like a pack of a known version".to_owned());
    }
    if header.flags.get() != 0 || header.salt != [0; 32] {
        return Err("bytes of its header that must be zero are not".to_owned());
    }
    if header.repository != *repository.as_bytes() {
        return Err("it belongs to another repository".to_owned());
    }
    let content = BlobKind::from_code(header.content).ok_or("its content is of no known kind")?;
    let (_, end) = End::read_from_suffix(bytes).map_err(|_| "it is shorter than its end")?;
    if end.magic != *b"CNVYPEND" || end.length.get() != bytes.len() as u64 {
        return Err("it does not end like a pack".to_owned());
    }
    if end.reserved.get() != 0 || end.zeros != [0; 8] {
        return Err("bytes of its end that must be zero are not".to_owned());
    }
    let count = usize::try_from(end.count.get()).unwrap_or(usize::MAX);
    let table_len = count
        .checked_mul(BLOB_HEADER)
        .ok_or("its table is too long")?;
    let table_at = bytes
        .len()
        .checked_sub(END)
        .and_then(|before| before.checked_sub(table_len))
        .filter(|at| *at >= HEADER)
        .ok_or("its table does not fit")?;
    let table = bytes
        .get(table_at..table_at + table_len)
        .unwrap_or_default();
    let mut hasher = blake3::Hasher::new();
    hasher.update(bytes.get(..HEADER).unwrap_or_default());
    hasher.update(table);
    if *hasher.finalize().as_bytes() != end.hash {
        return Err("its table does not match its hash".to_owned());
    }
    place(table, table_at, content).map(|placed| (content, placed))
}

fn place(table: &[u8], table_at: usize, content: BlobKind) -> Result<Vec<Placed>, String> {
    let mut at = HEADER as u64;
    let mut placed = Vec::new();
    for (number, raw) in (0..).zip(table.chunks_exact(BLOB_HEADER)) {
        let header: BlobHeader = read_header(raw)?;
        if header.kind != content.code() || header.number() != number {
            return Err(format!(
                "blob {number} in its table is of another kind or number"
            ));
        }
        placed.push(Placed {
            id: crate::id::BlobId(header.id),
            offset: u32::try_from(at).map_err(|_| "its blobs reach past 4 GiB")?,
            stored: header.stored.get(),
        });
        at += BLOB_HEADER as u64 + u64::from(header.stored.get());
    }
    if at == table_at as u64 {
        Ok(placed)
    } else {
        Err("its blobs do not fill it".to_owned())
    }
}

#[cfg(test)]
mod tests {
    //! A pack's table finds every blob; a pack with any byte changed is not taken.

    use super::*;
    use crate::codec::{Compression, Sealer, open};
    use crate::keys::{Keys, Secret};

    #[test]
    fn contents_finds_all_blobs() {
        let keys = Keys::derive(&Secret([1; 32]));
        let repository = Uuid::from_bytes([9; 16]);
        let mut sealer = Sealer::new(Compression::default()).unwrap();
        let mut builder = PackBuilder::new(repository, BlobKind::Chunk, Vec::new());
        let plains: Vec<Vec<u8>> = (0..9u8).map(|n| vec![n; 300]).collect();
        for plain in &plains {
            let id = keys.id(BlobKind::Chunk, plain);
            builder.push(&sealer.seal(BlobKind::Chunk, id, plain).unwrap());
        }
        let pack = builder.finish(SessionId([3; 16]), 4);
        let name = pack.name.to_string();
        assert_eq!(name.len(), 74);
        assert_eq!(ObjectName::parse(&name), Some(pack.name));
        assert!(pack.name.pack_key().as_str().ends_with(&name));

        let (content, placed) = contents(repository, &pack.bytes).unwrap();
        assert_eq!(content, BlobKind::Chunk);
        for (place, plain) in placed.iter().zip(&plains) {
            let (from, length) = (place.offset as usize, place.stored as usize + 64);
            let mut found = Vec::new();
            let blob = &pack.bytes[from..from + length];
            open(&keys, BlobKind::Chunk, place.id, blob, 300, &mut found).unwrap();
            assert_eq!(&found, plain);
        }
        assert!(
            contents(Uuid::nil(), &pack.bytes)
                .unwrap_err()
                .contains("another repository")
        );
        for cut in 0..pack.bytes.len() {
            assert!(contents(repository, &pack.bytes[..cut]).is_err());
        }
    }

    #[test]
    fn names_are_strict() {
        for bad in ["", "a-b-c", "../x", &"0".repeat(74)] {
            assert_eq!(ObjectName::parse(bad), None);
        }
    }
}
