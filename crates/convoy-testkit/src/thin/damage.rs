//! Breaking an image: single bits, fields, pointers, with or without a checksum that hides it.

use super::image::seal;
use super::{BLOCK, BlockType, Image};

impl Image {
    /// Flips one bit (0 to 32767) of a block and leaves the checksum as it is.
    pub fn flip_bit(&mut self, block: u64, bit: usize) {
        self.block_mut(block)[bit / 8] ^= 1 << (bit % 8);
    }

    /// Writes a valid checksum again.
    pub fn reseal(&mut self, block: u64, kind: BlockType) {
        seal(self.block_mut(block), kind);
    }

    /// Overwrites a 32-bit field of a block and reseals it.
    pub fn poke_u32(&mut self, block: u64, kind: BlockType, offset: usize, value: u32) {
        self.block_mut(block)[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
        self.reseal(block, kind);
    }

    /// Overwrites a 64-bit field of a block and reseals it.
    pub fn poke_u64(&mut self, block: u64, kind: BlockType, offset: usize, value: u64) {
        self.block_mut(block)[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
        self.reseal(block, kind);
    }

    /// A 32-bit field.
    pub fn peek_u32(&self, block: u64, offset: usize) -> u32 {
        let bytes = self.block(block)[offset..offset + 4]
            .try_into()
            .expect("4 bytes");
        u32::from_le_bytes(bytes)
    }

    /// A 64-bit field.
    pub fn peek_u64(&self, block: u64, offset: usize) -> u64 {
        let bytes = self.block(block)[offset..offset + 8]
            .try_into()
            .expect("8 bytes");
        u64::from_le_bytes(bytes)
    }

    /// Exchanges the contents of two blocks: each keeps its checksum and calls itself the other.
    pub fn swap(&mut self, one: u64, other: u64) {
        let (left, right) = (self.block(one).to_vec(), self.block(other).to_vec());
        self.block_mut(one).copy_from_slice(&right);
        self.block_mut(other).copy_from_slice(&left);
    }

    /// Where key `index` of a node lies in its block.
    pub fn key_offset(index: usize) -> usize {
        32 + 8 * index
    }

    /// Where value `index` of a node with 8-byte values lies in its block.
    pub fn value_offset(&self, block: u64, index: usize) -> usize {
        32 + 8 * (self.peek_u32(block, 20) as usize) + 8 * index
    }

    /// Lets entry `index` of a node point at `target`, under a valid checksum.
    pub fn point(&mut self, block: u64, index: usize, target: u64) {
        let offset = self.value_offset(block, index);
        self.poke_u64(block, BlockType::Node, offset, target);
    }

    /// The bytes of a block.
    pub fn block(&self, block: u64) -> &[u8] {
        let at = offset(block);
        &self.bytes[at..at + BLOCK]
    }

    pub(super) fn block_mut(&mut self, block: u64) -> &mut [u8] {
        let at = offset(block);
        &mut self.bytes[at..at + BLOCK]
    }
}

fn offset(block: u64) -> usize {
    usize::try_from(block).expect("a test image is small") * BLOCK
}
