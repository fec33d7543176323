//! Metadata as it was committed, where a power cut parted block 0 from the metadata snapshot that it names.
//!
//! `reserve_metadata_snap` and `release_metadata_snap` change the held root in block 0 in place, and the kernel
//! writes all it has changed, block 0 included, one flush before it commits. A cut between the two leaves the
//! block 0 of the last commit with another held root: one that the space map does not count yet, or none
//! though the space map counts one still. Seen with a 6.1 kernel by playing its logged writes again; the first is
//! fatal, since releasing such a snapshot frees the roots of the live trees.

use crate::checksum::{BlockType, seal};
use crate::error::{Error, Space};
use crate::source::{Block, BlockSource};
use crate::superblock::{HELD_ROOT, Superblock, SuperblockState, parse_copy, read_superblock};
use crate::view::View;
use crate::{BLOCK_SIZE, MAX_METADATA_BLOCKS};
use convoy_units::MetadataBlock;
use std::io;

/// A metadata device as it was committed: with another held root in block 0 than it has, if need be.
#[derive(Debug)]
pub struct Mended<S> {
    source: S,
    block: Option<Box<Block>>,
}

impl<S: BlockSource> Mended<S> {
    /// Looks whether block 0 and the space map say the same of a metadata snapshot. Reads bitmaps and, only where a
    /// snapshot is counted that nobody names, the blocks in use. The pool must not be in use. What is blank, and
    /// what is damaged behind block 0, is left as it is: [`crate::check()`] tells of it.
    ///
    /// # Errors
    /// As [`read_superblock`], and what cannot be read.
    pub fn of(source: S) -> Result<Self, Error> {
        let block = match read_superblock(&source)? {
            SuperblockState::Zeroed => None,
            SuperblockState::Valid(superblock) => match mend(&source, &superblock) {
                Err(Error::Damaged(_)) => None,
                mended => mended?,
            },
        };
        Ok(Self { source, block })
    }

    /// What block 0 has to become; none if it is as it was committed.
    pub fn block_0(&self) -> Option<&Block> {
        self.block.as_deref()
    }
}

impl<S: BlockSource> BlockSource for Mended<S> {
    fn nr_blocks(&self) -> u64 {
        self.source.nr_blocks()
    }

    fn read(&self, block: MetadataBlock, into: &mut Block) -> io::Result<()> {
        match &self.block {
            Some(mended) if block.0 == 0 => {
                into.copy_from_slice(&**mended);
                Ok(())
            }
            _ => self.source.read(block, into),
        }
    }

    fn read_many(&self, blocks: &[MetadataBlock], into: &mut [Block]) -> io::Result<()> {
        self.source.read_many(blocks, into)?;
        for (block, into) in blocks.iter().zip(into) {
            if block.0 == 0 {
                self.read(*block, into)?;
            }
        }
        Ok(())
    }
}

/// Block 0 with the held root that the space map counts, if it has another.
fn mend<S: BlockSource>(source: &S, superblock: &Superblock) -> Result<Option<Box<Block>>, Error> {
    let view = View::live(source)?;
    let held = match superblock.held_root {
        Some(root) if count(&view, root)? == 0 => None,
        None if count(&view, superblock.mapping_root)? > 1 => {
            let Some(root) = unnamed(source, &view)? else {
                return Ok(None);
            };
            Some(root)
        }
        _ => return Ok(None),
    };
    let mut block = Box::new([0; BLOCK_SIZE]);
    read(source, MetadataBlock(0), &mut block)?;
    let root = held.map_or(0, |root| root.0);
    block
        .get_mut(HELD_ROOT)
        .expect("a block is longer than a superblock")
        .copy_from_slice(&root.to_le_bytes());
    seal(&mut block, BlockType::Superblock);
    Ok(Some(block))
}

/// How often the metadata space map counts a block.
fn count<S: BlockSource>(view: &View<S>, block: MetadataBlock) -> Result<u32, Error> {
    let Some(runs) = view.ref_counts(Space::Metadata)? else {
        return Ok(1);
    };
    for run in runs {
        let run = run?;
        if (run.begin..run.begin + run.len).contains(&block.0) {
            return Ok(run.count);
        }
    }
    Ok(0)
}

/// The block that is counted and is a snapshot of the live trees.
fn unnamed<S: BlockSource>(source: &S, view: &View<&S>) -> Result<Option<MetadataBlock>, Error> {
    let live = view.live_superblock();
    let mut block = [0; BLOCK_SIZE];
    let Some(runs) = view.ref_counts(Space::Metadata)? else {
        return Ok(None);
    };
    for run in runs {
        let run = run?;
        if run.count != 1 {
            continue;
        }
        // Block 0 is no copy of itself.
        let end = (run.begin + run.len).min(MAX_METADATA_BLOCKS);
        for number in (run.begin.max(1)..end).map(MetadataBlock) {
            read(source, number, &mut block)?;
            let roots = |copy: &Superblock| (copy.mapping_root, copy.details_root);
            let copy = parse_copy(&block, number, live);
            if copy.is_ok_and(|copy| roots(&copy) == roots(live)) {
                return Ok(Some(number));
            }
        }
    }
    Ok(None)
}

fn read<S: BlockSource>(source: &S, block: MetadataBlock, into: &mut Block) -> Result<(), Error> {
    source
        .read(block, into)
        .map_err(|source| Error::Read { block, source })
}

#[cfg(test)]
mod tests;
