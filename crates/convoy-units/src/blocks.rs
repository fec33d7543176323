//! Block numbers of the three address spaces of a thin pool, and the size of a data block.

use crate::size::{Bytes, SECTOR, Sectors};
use std::fmt;

macro_rules! block_number {
    ($(#[doc = $doc:literal])* $name:ident) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

block_number! {
    /// A block of the pool's data device: the unit of sharing. Below 2^40.
    DataBlock
}
block_number! {
    /// A block of one thin device's own address space: virtual byte `n × block size`.
    ThinBlock
}
block_number! {
    /// A 4096-byte block of the pool's metadata device; 0 is the superblock.
    MetadataBlock
}

/// The size of a pool's data block: 128 to 2 097 152 sectors (64 KiB to 1 GiB), a multiple of 128.
///
/// Fixed for the life of a pool, and not necessarily a power of two (thin-pool target, kernel 6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DataBlockSize(u32);

/// A size that a pool cannot have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a pool's block size is 128 to 2097152 sectors of 512 bytes and a multiple of 128, not {0}"
)]
pub struct BlockSizeError(pub u64);

impl DataBlockSize {
    /// The original's default: 4096 sectors, 2 MiB.
    pub const DEFAULT: Self = Self(4096);

    /// Checked against the kernel's rule.
    pub const fn new(size: Sectors) -> Result<Self, BlockSizeError> {
        let n = size.0;
        if n >= 128 && n <= 2_097_152 && n.is_multiple_of(128) {
            #[expect(clippy::cast_possible_truncation, reason = "at most 2 097 152")]
            Ok(Self(n as u32))
        } else {
            Err(BlockSizeError(n))
        }
    }

    /// In sectors.
    pub const fn sectors(self) -> Sectors {
        Sectors(self.0 as u64)
    }

    /// In bytes.
    pub const fn bytes(self) -> Bytes {
        Bytes(self.0 as u64 * SECTOR)
    }

    /// How many blocks hold `size` bytes, the last one perhaps in part.
    pub const fn blocks_for(self, size: Bytes) -> u64 {
        size.0.div_ceil(self.bytes().0)
    }
}

impl fmt::Display for DataBlockSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    //! The kernel's rule for block sizes, at the values that were tried on it.

    use super::*;

    #[test]
    fn the_kernel_rule() {
        for good in [128, 256, 384, 4096, 2_097_152] {
            assert_eq!(
                DataBlockSize::new(Sectors(good)).unwrap().sectors(),
                Sectors(good)
            );
        }
        for bad in [0, 64, 127, 192, 2_097_280, u64::MAX] {
            assert_eq!(DataBlockSize::new(Sectors(bad)), Err(BlockSizeError(bad)));
        }
        assert_eq!(DataBlockSize::DEFAULT.bytes(), Bytes::mib(2));
        assert_eq!(DataBlockSize::DEFAULT.blocks_for(Bytes(1)), 1);
    }
}
