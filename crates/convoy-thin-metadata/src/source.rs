//! Where metadata blocks come from: the one door through which this crate does IO.

mod file;
mod memory;

pub use file::FileSource;
pub use memory::MemorySource;

use crate::BLOCK_SIZE;
use convoy_units::MetadataBlock;
use std::io;
use std::sync::Arc;

/// The content of one metadata block.
pub type Block = [u8; BLOCK_SIZE];

/// Blocks of 4 KiB by number. Several threads may read at once.
///
/// Nothing is verified here: contents are checked where their type is known.
pub trait BlockSource: Send + Sync {
    /// How many whole blocks there are.
    fn nr_blocks(&self) -> u64;

    /// Reads one block. A block past the end is an error of kind `UnexpectedEof`.
    fn read(&self, block: MetadataBlock, into: &mut Block) -> io::Result<()>;

    /// Reads many blocks, `into` in the order of `blocks`; as many as the shorter of the two names.
    ///
    /// An implementation sorts and joins reads as suits its medium. After an error the contents of
    /// `into` are unspecified.
    fn read_many(&self, blocks: &[MetadataBlock], into: &mut [Block]) -> io::Result<()> {
        blocks
            .iter()
            .zip(into)
            .try_for_each(|(block, into)| self.read(*block, into))
    }
}

macro_rules! by_reference {
    ($($pointer:ty),*) => { $(
        impl<S: BlockSource + ?Sized> BlockSource for $pointer {
            fn nr_blocks(&self) -> u64 {
                (**self).nr_blocks()
            }
            fn read(&self, block: MetadataBlock, into: &mut Block) -> io::Result<()> {
                (**self).read(block, into)
            }
            fn read_many(&self, blocks: &[MetadataBlock], into: &mut [Block]) -> io::Result<()> {
                (**self).read_many(blocks, into)
            }
        }
    )* };
}

by_reference!(&S, Arc<S>, Box<S>);
