//! Metadata held in memory: test images and examples.

use super::{Block, BlockSource};
use crate::BLOCK_SIZE;
use convoy_units::MetadataBlock;
use std::io;

/// An image of a metadata device; a partial block at its end is ignored.
#[derive(Debug, Clone)]
pub struct MemorySource(Vec<u8>);

impl MemorySource {
    /// Takes the image.
    pub fn new(image: Vec<u8>) -> Self {
        Self(image)
    }
}

impl BlockSource for MemorySource {
    fn nr_blocks(&self) -> u64 {
        (self.0.len() / BLOCK_SIZE) as u64
    }

    fn read(&self, block: MetadataBlock, into: &mut Block) -> io::Result<()> {
        let found = usize::try_from(block.0)
            .ok()
            .and_then(|index| self.0.chunks_exact(BLOCK_SIZE).nth(index))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        into.copy_from_slice(found);
        Ok(())
    }
}
