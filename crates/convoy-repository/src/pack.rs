//! Packs: immutable objects of many blobs, built in memory and named once (format §6).

mod builder;
mod name;
mod table;

pub use builder::FinishedPack;
pub(crate) use builder::PackBuilder;
pub use name::ObjectName;
pub(crate) use name::key;
pub use table::contents;
pub(crate) use table::{read_table, tail_len};

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// No pack is longer.
pub(crate) const MAX_PACK: usize = 64 << 20;
/// A pack is closed when the next blob would take it past this.
pub(crate) const PACK_TARGET: usize = 32 << 20;
pub(crate) const HEADER: usize = 64;
const END: usize = 64;
/// A pack of no blobs.
pub(crate) const MIN_PACK: usize = HEADER + END;

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

#[cfg(test)]
mod tests;
