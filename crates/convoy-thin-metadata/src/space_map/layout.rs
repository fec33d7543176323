//! The blocks a space map is made of: index entries, the index block, and bitmaps.

use crate::checksum::{BlockType, verify};
use crate::error::Rule;
use crate::source::Block;
use convoy_units::MetadataBlock;
use zerocopy::FromBytes;
use zerocopy::byteorder::little_endian::{U32, U64};

/// Blocks counted by one bitmap: 4080 bytes, two bits each.
pub(crate) const PER_BITMAP: u64 = 16_320;
/// Bytes of an index entry: block number, and two hints that are not kept exactly and not read.
pub(crate) const INDEX_ENTRY: u32 = 16;
/// What two bits say when the count is 3 or more.
pub(crate) const MANY: u32 = 3;

const HEADER: usize = 16;

/// How many bitmaps a device of `nr_blocks` blocks needs.
pub(crate) const fn bitmaps_for(nr_blocks: u64) -> u64 {
    nr_blocks.div_ceil(PER_BITMAP)
}

/// The bits of the bitmap at `number`, once it is seen to be one.
pub(crate) fn bitmap_block(block: &Block, number: MetadataBlock) -> Result<&[u8], Rule> {
    verify(block, number, BlockType::Bitmap)?;
    Ok(body(block))
}

/// The bitmaps that the index block at `number` names for a device of `nr_blocks` blocks.
pub(crate) fn index_block(
    block: &Block,
    number: MetadataBlock,
    nr_blocks: u64,
) -> Result<impl Iterator<Item = MetadataBlock>, Rule> {
    verify(block, number, BlockType::Index)?;
    let wanted = usize::try_from(bitmaps_for(nr_blocks)).unwrap_or(usize::MAX);
    let entries = body(block).chunks_exact(INDEX_ENTRY as usize);
    Ok(entries.take(wanted).map(bitmap_of))
}

fn body(block: &Block) -> &[u8] {
    block
        .get(HEADER..)
        .expect("a block is longer than its header")
}

/// Two bits of a bitmap: 0, 1, 2 or [`MANY`]. The lower-numbered bit holds the high-order bit of the count.
pub(crate) fn two_bits(bits: &[u8], entry: usize) -> u32 {
    let byte = bits
        .get(entry / 4)
        .expect("an entry is below the bitmap's 16 320");
    let pair = byte >> (entry % 4 * 2);
    u32::from((pair & 1) << 1 | pair >> 1 & 1)
}

/// The block that an index entry names.
pub(crate) fn bitmap_of(entry: &[u8]) -> MetadataBlock {
    let (block, _hints) = U64::read_from_prefix(entry).expect("an index entry has 16 bytes");
    MetadataBlock(block.get())
}

/// A count of 3 or more, as the tree of such counts has it.
pub(crate) fn count(value: &[u8]) -> u32 {
    U32::read_from_bytes(value)
        .expect("the value size was checked to be 4")
        .get()
}
