//! Blobs: a chunk or tree node with its 64-byte header, compressed (format §6).
//!
//! Opening is strict: sizes are checked before memory is taken, decompression goes into a buffer of
//! exactly the plain length, and the bytes are believed because their id is right.

use crate::id::BlobId;
use crate::keys::{BlobKind, Keys};
use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of a blob's header.
pub(crate) const BLOB_HEADER: usize = 64;
const MAGIC: [u8; 4] = *b"CVBL";
/// How a zstd frame begins (RFC 8878, 3.1.1).
const FRAME: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// How the payloads of new blobs are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Stored as they are.
    None,
    /// zstd at this level, 1 to 19; kept raw where it saves less than 3 %.
    Zstd(i32),
}

impl Default for Compression {
    fn default() -> Self {
        Self::Zstd(1)
    }
}

impl Compression {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Zstd(_) => 1,
        }
    }
}

/// A blob's header as it lies in packs.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct BlobHeader {
    magic: [u8; 4],
    version: u8,
    pub(crate) kind: u8,
    pub(crate) compression: u8,
    cipher: u8,
    pub(crate) plain: U32,
    pub(crate) stored: U32,
    master: U32,
    number: U32,
    reserved: [u8; 8],
    pub(crate) id: [u8; 32],
}

impl BlobHeader {
    /// Sets the blob's number in its pack: known only when it is packed.
    pub(crate) fn set_number(&mut self, number: u32) {
        self.number = U32::new(number);
    }

    /// The blob's number in its pack.
    pub(crate) fn number(&self) -> u32 {
        self.number.get()
    }
}

/// A blob ready to be packed.
#[derive(Debug)]
pub struct SealedBlob {
    pub(crate) id: BlobId,
    pub(crate) header: BlobHeader,
    pub(crate) payload: Vec<u8>,
}

impl SealedBlob {
    /// Its id.
    pub fn id(&self) -> BlobId {
        self.id
    }

    /// Bytes it will take in a pack.
    pub fn stored_len(&self) -> usize {
        BLOB_HEADER + self.payload.len()
    }

    /// Its memory, for the next `Sealer::seal_into`.
    pub fn into_spare(self) -> Vec<u8> {
        self.payload
    }
}

/// A reusable compressor with its settings; one per thread.
pub struct Sealer {
    compression: Compression,
    zstd: Option<zstd::bulk::Compressor<'static>>,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealer({:?})", self.compression)
    }
}

impl Sealer {
    /// With these settings.
    pub fn new(compression: Compression) -> std::io::Result<Self> {
        let zstd = match compression {
            Compression::None => None,
            Compression::Zstd(level) => Some(zstd::bulk::Compressor::new(level)?),
        };
        Ok(Self { compression, zstd })
    }

    /// Compresses `plain`, whose id is `id`. At most 2^32 − 1 bytes.
    pub fn seal(
        &mut self,
        kind: BlobKind,
        id: BlobId,
        plain: &[u8],
    ) -> std::io::Result<SealedBlob> {
        self.seal_into(Vec::new(), kind, id, plain)
    }

    /// As `seal`, into memory that was used before: fresh pages for every blob cost more than hashing it.
    pub fn seal_into(
        &mut self,
        spare: Vec<u8>,
        kind: BlobKind,
        id: BlobId,
        plain: &[u8],
    ) -> std::io::Result<SealedBlob> {
        let mut payload = spare;
        payload.clear();
        let compressed = match &mut self.zstd {
            Some(zstd) => {
                payload.reserve(zstd::zstd_safe::compress_bound(plain.len()));
                zstd.compress_to_buffer(plain, &mut payload)?;
                is_worth_it(payload.len(), plain.len())
            }
            None => false,
        };
        let compression = if compressed {
            self.compression.code()
        } else {
            payload.clear();
            payload.extend_from_slice(plain);
            0
        };
        let length = |bytes: &[u8]| {
            u32::try_from(bytes.len())
                .map(U32::new)
                .map_err(|_| std::io::ErrorKind::FileTooLarge)
        };
        let header = BlobHeader {
            magic: MAGIC,
            version: 1,
            kind: kind.code(),
            compression,
            cipher: 0,
            plain: length(plain)?,
            stored: length(&payload)?,
            master: U32::new(0),
            number: U32::new(0),
            reserved: [0; 8],
            id: id.0,
        };
        Ok(SealedBlob {
            id,
            header,
            payload,
        })
    }
}

/// Compression must save 3 %, or reading back is not worth its time.
const fn is_worth_it(compressed: usize, plain: usize) -> bool {
    compressed < plain - plain / 32
}

/// A header that keeps its rules, or the rule it breaks.
pub(crate) fn read_header(bytes: &[u8]) -> Result<BlobHeader, String> {
    let (header, _) = BlobHeader::read_from_prefix(bytes)
        .map_err(|_| "it ends within a blob's header".to_owned())?;
    if header.magic != MAGIC {
        return Err("no blob begins there".to_owned());
    }
    if header.version != 1 || header.cipher != 0 || header.compression > 1 {
        return Err(format!(
            "blob version {}, cipher {}, compression {} are not known to this version",
            header.version, header.cipher, header.compression
        ));
    }
    if header.master.get() != 0 || header.reserved != [0; 8] {
        return Err("bytes of a blob's header that must be zero are not".to_owned());
    }
    Ok(header)
}

/// The plain bytes of the blob that `bytes` (header and payload, nothing after) must be, appended to
/// the cleared `into`; at most `limit` of them. `Err` names the rule that is broken.
pub(crate) fn open(
    keys: &Keys,
    kind: BlobKind,
    id: BlobId,
    bytes: &[u8],
    limit: usize,
    into: &mut Vec<u8>,
) -> Result<BlobHeader, String> {
    let header = read_header(bytes)?;
    if header.kind != kind.code() || header.id != id.0 {
        return Err(format!("another blob lies where {kind} {id} should be"));
    }
    let payload = bytes.get(BLOB_HEADER..).unwrap_or_default();
    let (plain, stored) = (header.plain.get(), header.stored.get());
    if usize::try_from(stored) != Ok(payload.len()) {
        return Err(format!(
            "{kind} {id} is {stored} bytes long, not {}",
            payload.len()
        ));
    }
    let plain = usize::try_from(plain).unwrap_or(usize::MAX);
    if plain > limit {
        return Err(format!(
            "{kind} {id} claims {plain} bytes, more than the {limit} it may have"
        ));
    }
    into.clear();
    if header.compression == 0 {
        into.extend_from_slice(payload);
    } else {
        inflate(payload, plain, into)
            .map_err(|why| format!("{kind} {id} does not decompress: {why}"))?;
    }
    if into.len() != plain {
        return Err(format!(
            "{kind} {id} has {} plain bytes, not {plain}",
            into.len()
        ));
    }
    if keys.id(kind, into) != id {
        return Err(format!("the bytes of {kind} {id} do not have its id"));
    }
    Ok(header)
}

/// One byte more than `plain` is an error: the buffer has no room for it.
fn inflate(payload: &[u8], plain: usize, into: &mut Vec<u8>) -> std::io::Result<()> {
    // The library would take several frames, and skip what is marked to be skipped: the format has one.
    let one = payload.starts_with(&FRAME)
        && zstd::zstd_safe::find_frame_compressed_size(payload) == Ok(payload.len());
    if !one {
        return Err(std::io::Error::other("it is not one zstd frame"));
    }
    // zstd writes into the spare capacity, so the capacity is the bound: it must be exact.
    if into.capacity() != plain {
        *into = Vec::with_capacity(plain);
    }
    let mut zstd = zstd::bulk::Decompressor::new()?;
    zstd.decompress_to_buffer(payload, into).map(|_| ())
}

#[cfg(test)]
mod tests;
