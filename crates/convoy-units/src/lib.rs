//! How much, and where: bytes, sectors, block numbers and ranges as types.
//!
//! A bare `u64` says neither its unit nor its origin, and storage code mixes four of each. Conversions
//! are named and checked: they fail or round in a stated direction, and never wrap.

mod blocks;
mod ids;
mod range;
mod size;

pub use blocks::{BlockSizeError, DataBlock, DataBlockSize, MetadataBlock, ThinBlock};
pub use ids::{DevId, IdError, TransactionId};
pub use range::{ByteRange, ThinRange};
pub use size::{Bytes, ParseSizeError, SECTOR, Sectors};
