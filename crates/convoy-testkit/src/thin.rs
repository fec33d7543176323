//! Thin metadata from a model: devices with their mappings, written as the kernel would lay them out.
//!
//! [`PoolModel`] plays the pool: copy-on-write trees whose subtrees snapshots share, with splits, merges, root
//! growth and collapse. [`PoolModel::image`] writes it as a metadata device; [`damage`] then breaks it.

mod counts;
pub mod damage;
mod image;
pub mod large;
mod pool;
pub mod random;
mod tree;

pub use counts::Space;
pub use image::{Image, ImageOptions};
pub use pool::{DeviceModel, PoolModel};

/// Bytes in a metadata block.
pub const BLOCK: usize = 4096;

/// The salt of each block type's checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockType {
    /// Block 0 and the metadata snapshot's copy.
    Superblock,
    /// A node of a tree.
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

/// The checksum of a metadata block, from the definition: bit by bit, with no table and no crate.
///
/// Slow and obviously right; [`crc32c`] is the same for large images.
pub fn crc32c_bitwise(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg())
        })
    })
}

/// CRC-32C without the final inversion, by the `crc32c` crate.
pub fn crc32c(bytes: &[u8]) -> u32 {
    !crc32c::crc32c(bytes)
}

#[cfg(test)]
mod tests;
