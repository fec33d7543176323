//! Half-open ranges of bytes and of thin blocks.

use crate::blocks::{DataBlockSize, ThinBlock};
use crate::size::Bytes;
use std::fmt;

/// Bytes `begin .. end` of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteRange {
    /// First byte.
    pub begin: u64,
    /// One past the last byte.
    pub end: u64,
}

impl ByteRange {
    /// How many bytes; 0 when empty.
    pub const fn len(self) -> Bytes {
        Bytes(self.end.saturating_sub(self.begin))
    }

    /// Whether it holds no byte.
    pub const fn is_empty(self) -> bool {
        self.end <= self.begin
    }

    /// What both hold; empty when they are apart.
    #[must_use]
    pub fn intersect(self, other: Self) -> Self {
        let begin = self.begin.max(other.begin);
        Self {
            begin,
            end: self.end.min(other.end).max(begin),
        }
    }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bytes {}..{}", self.begin, self.end)
    }
}

/// Thin blocks `begin .. end` of one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ThinRange {
    /// First block.
    pub begin: ThinBlock,
    /// One past the last block.
    pub end: ThinBlock,
}

impl ThinRange {
    /// How many blocks; 0 when empty.
    pub const fn len(self) -> u64 {
        self.end.0.saturating_sub(self.begin.0)
    }

    /// Whether it holds no block.
    pub const fn is_empty(self) -> bool {
        self.end.0 <= self.begin.0
    }

    /// The bytes it stands for, ending at `limit` at the latest: a device's last block may reach past
    /// its end. Blocks so far out that their byte is past 2^64 are past any limit too.
    pub const fn bytes(self, block_size: DataBlockSize, limit: Bytes) -> ByteRange {
        let size = block_size.bytes().0;
        let end = self.end.0.saturating_mul(size);
        let begin = self.begin.0.saturating_mul(size);
        let end = if end < limit.0 { end } else { limit.0 };
        ByteRange {
            begin: if begin < end { begin } else { end },
            end,
        }
    }
}

impl fmt::Display for ThinRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "blocks {}..{}", self.begin, self.end)
    }
}

#[cfg(test)]
mod tests {
    //! Ranges at the ends of devices and of numbers.

    use super::*;

    #[test]
    fn bytes_of_blocks_end_with_the_device() {
        let range = ThinRange {
            begin: ThinBlock(1),
            end: ThinBlock(3),
        };
        let size = DataBlockSize::DEFAULT;
        assert_eq!(
            range.bytes(size, Bytes::mib(100)),
            ByteRange {
                begin: 2 << 20,
                end: 6 << 20
            }
        );
        assert_eq!(
            range.bytes(size, Bytes::mib(5)),
            ByteRange {
                begin: 2 << 20,
                end: 5 << 20
            }
        );
        assert!(range.bytes(size, Bytes::mib(1)).is_empty());
        let far = ThinRange {
            begin: ThinBlock(u64::MAX - 1),
            end: ThinBlock(u64::MAX),
        };
        assert!(far.bytes(size, Bytes::gib(1)).is_empty());
    }

    #[test]
    fn ranges_apart_share_nothing() {
        let (a, b) = (
            ByteRange { begin: 0, end: 4 },
            ByteRange { begin: 8, end: 9 },
        );
        assert!(a.intersect(b).is_empty() && b.intersect(a).is_empty());
        assert_eq!(a.intersect(ByteRange { begin: 2, end: 9 }).len(), Bytes(2));
    }
}
