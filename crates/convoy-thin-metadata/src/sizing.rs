//! How much metadata a pool wants: the formulas of the two generations of `thin_metadata_size`.
//!
//! Both count half-full leaves for every data block, one root per device and one superblock. It is an
//! estimate: space maps, internal nodes, the kernel's reserve and diverging snapshots come on top.

use crate::{BLOCK_SIZE, MAX_METADATA_BLOCKS};
use convoy_units::{Bytes, DataBlockSize};

/// What `thin_metadata_size` 1.x prints: `1 + ceil(n / 126) + max_thins` metadata blocks for a pool of
/// `n` whole data blocks, and never more than a pool can use.
///
/// ```
/// use convoy_thin_metadata::sizing::metadata_size;
/// use convoy_units::{Bytes, DataBlockSize};
/// assert_eq!(metadata_size(Bytes::gib(100), DataBlockSize::DEFAULT, 10_000), Bytes(42_631_168));
/// ```
pub const fn metadata_size(pool: Bytes, block: DataBlockSize, max_thins: u64) -> Bytes {
    let leaves = (pool.0 / block.bytes().0).div_ceil(126);
    let blocks = leaves.saturating_add(1).saturating_add(max_thins);
    let blocks = if blocks < MAX_METADATA_BLOCKS {
        blocks
    } else {
        MAX_METADATA_BLOCKS
    };
    Bytes(blocks * BLOCK_SIZE as u64)
}

/// What `thin_metadata_size` 0.9.0 prints, before any limit; its sizes are in whole 512-byte sectors, and
/// its block size need not be one that a pool can have, but not 0. Saturates at 2^64 - 1.
pub const fn metadata_size_0_9(pool_sectors: u64, block_sectors: u64, max_thins: u64) -> Bytes {
    let leaves = pool_sectors.saturating_mul(2) / block_sectors / 252;
    let blocks = leaves.saturating_add(1).saturating_add(max_thins);
    Bytes(blocks.saturating_mul(BLOCK_SIZE as u64))
}

#[cfg(test)]
mod tests;
