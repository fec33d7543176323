//! The checksum and own number that every metadata block begins with.
//!
//! A CRC-32C without the final inversion over bytes 4..4096, exclusive-or a salt that tells the block's
//! type; the number at offset 8 catches a misdirected or stale write, which a checksum cannot.

use crate::error::Rule;
use crate::source::Block;
use convoy_units::MetadataBlock;
use zerocopy::byteorder::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// The types of block this crate reads, with their salts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlockType {
    /// Block 0, and the copy that a metadata snapshot is.
    Superblock,
    /// A node of any tree.
    Node,
    /// A bitmap of a space map.
    Bitmap,
    /// The index block of the metadata space map.
    Index,
}

impl BlockType {
    const fn salt(self) -> u32 {
        match self {
            Self::Superblock => 160_774,
            Self::Node => 121_107,
            Self::Bitmap => 240_779,
            Self::Index => 160_478,
        }
    }
}

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Prefix {
    checksum: U32,
    flags: U32,
    number: U64,
}

/// Gives a block of type `kind` the checksum of what it holds.
pub(crate) fn seal(block: &mut Block, kind: BlockType) {
    let (sum, covered) = block
        .split_first_chunk_mut::<4>()
        .expect("a block is longer than 4 bytes");
    *sum = (!crc32c::crc32c(covered) ^ kind.salt()).to_le_bytes();
}

/// Checks that `block` is an intact block of type `kind` and belongs at `number`.
pub(crate) fn verify(block: &Block, number: MetadataBlock, kind: BlockType) -> Result<(), Rule> {
    let (prefix, _) = Prefix::ref_from_prefix(block).expect("a block is longer than its prefix");
    let (_, covered) = block
        .split_first_chunk::<4>()
        .expect("a block is longer than 4 bytes");
    let computed = !crc32c::crc32c(covered) ^ kind.salt();
    let stored = prefix.checksum.get();
    if stored != computed {
        return Err(Rule::Checksum { stored, computed });
    }
    let found = prefix.number.get();
    if found != number.0 {
        return Err(Rule::BlockNumber { found });
    }
    Ok(())
}
