//! Block 0 of the metadata device, and the copy of it that a metadata snapshot is.

use crate::checksum::{BlockType, verify};
use crate::error::{Error, Foreign, Rule, Tree};
use crate::source::{Block, BlockSource};
use crate::{BLOCK_SIZE, MAX_METADATA_BLOCKS};
use convoy_units::{DataBlockSize, MetadataBlock, Sectors, TransactionId};
use zerocopy::byteorder::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

const MAGIC: u64 = 27_022_010;
const VERSION: u32 = 2;
const NEEDS_CHECK: u32 = 1;
/// 4 KiB in sectors: the kernel knows no other metadata block size.
const METADATA_BLOCK_SECTORS: u32 = 8;

/// What the superblock says, in our words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superblock {
    /// Zero in practice.
    pub uuid: [u8; 16],
    /// Pool time: one more for every snapshot made.
    pub time: u32,
    /// The manager's transaction id.
    pub transaction: TransactionId,
    /// Where a metadata snapshot's copy of the superblock lies, if one is held.
    pub held_root: Option<MetadataBlock>,
    /// The pool's data block size.
    pub data_block_size: DataBlockSize,
    /// Size of the data device in data blocks; `None` in a metadata snapshot's copy, which has no space maps.
    pub nr_data_blocks: Option<u64>,
    /// Data blocks in use; `None` as above.
    pub allocated_data_blocks: Option<u64>,
    /// Size of the metadata device in blocks; `None` as above. (The field at offset 344 is the size at
    /// format time and is not kept up to date by the kernel: it is not read.)
    pub nr_metadata_blocks: Option<u64>,
    /// Metadata blocks in use; `None` as above.
    pub allocated_metadata_blocks: Option<u64>,
    /// The kernel saw a failure and wants the metadata checked before it writes again.
    pub needs_check: bool,
    /// Root of the device tree.
    pub mapping_root: MetadataBlock,
    /// Root of the device details tree.
    pub details_root: MetadataBlock,
}

/// What block 0 is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SuperblockState {
    /// All 4096 bytes are zero: the kernel would make a new pool here.
    Zeroed,
    /// A thin pool's superblock that passed every check.
    Valid(Superblock),
}

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct SpaceMapRoot {
    nr_blocks: U64,
    nr_allocated: U64,
    _bitmap_root: U64,
    _ref_count_root: U64,
    _rest: [u8; 96],
}

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawSuperblock {
    _checksum: U32,
    flags: U32,
    _number: U64,
    uuid: [u8; 16],
    magic: U64,
    version: U32,
    time: U32,
    transaction: U64,
    held_root: U64,
    data_space_map: SpaceMapRoot,
    metadata_space_map: SpaceMapRoot,
    mapping_root: U64,
    details_root: U64,
    data_block_size: U32,
    metadata_block_size: U32,
    _metadata_blocks_at_format: U64,
    _compat_flags: U32,
    _compat_ro_flags: U32,
    incompat_flags: U32,
}

/// Reads block 0 and checks it, without following anything it points at.
///
/// # Errors
/// [`Error::Foreign`] for other people's data, saying what gave it away; [`Error::Damaged`] for a superblock
/// whose magic number is right and whose content is not; [`Error::Unsupported`] for a newer format. A device too
/// small to hold block 0 is an [`Error::Read`].
pub fn read_superblock<S: BlockSource + ?Sized>(source: &S) -> Result<SuperblockState, Error> {
    let mut block = [0; BLOCK_SIZE];
    let number = MetadataBlock(0);
    source
        .read(number, &mut block)
        .map_err(|source| Error::Read {
            block: number,
            source,
        })?;
    if block.iter().all(|byte| *byte == 0) {
        return Ok(SuperblockState::Zeroed);
    }
    parse(&block, number).map(SuperblockState::Valid)
}

/// Checks the superblock (or copy) that lies at `number`.
pub(crate) fn parse(block: &Block, number: MetadataBlock) -> Result<Superblock, Error> {
    let (raw, _) =
        RawSuperblock::ref_from_prefix(block).expect("a block is longer than a superblock");
    let damaged = |rule: Rule| rule.at(Tree::Superblock, None, number);
    let magic = raw.magic.get();
    match verify(block, number, BlockType::Superblock) {
        Err(Rule::Checksum { .. }) if magic != MAGIC => {
            return Err(Error::Foreign(Foreign::MagicAndChecksum(magic)));
        }
        Err(rule) => return Err(damaged(rule)),
        Ok(()) if magic != MAGIC => return Err(Error::Foreign(Foreign::Magic(magic))),
        Ok(()) => {}
    }
    supported(raw)?;
    let superblock = check_fields(raw).map_err(damaged)?;
    check_pointers(&superblock).map_err(damaged)?;
    Ok(superblock)
}

fn supported(raw: &RawSuperblock) -> Result<(), Error> {
    let (version, incompat) = (raw.version.get(), raw.incompat_flags.get());
    if version != VERSION {
        return Err(Error::Unsupported {
            what: format!("superblock version {version}"),
        });
    }
    if incompat != 0 {
        return Err(Error::Unsupported {
            what: format!("incompatible features {incompat:#x}"),
        });
    }
    Ok(())
}

fn check_fields(raw: &RawSuperblock) -> Result<Superblock, Rule> {
    let metadata_block_size = raw.metadata_block_size.get();
    if metadata_block_size != METADATA_BLOCK_SECTORS {
        return Err(Rule::Field {
            field: "metadata_block_size",
            found: u64::from(metadata_block_size),
        });
    }
    let sectors = u64::from(raw.data_block_size.get());
    let data_block_size = DataBlockSize::new(Sectors(sectors)).map_err(|_| Rule::Field {
        field: "data_block_size",
        found: sectors,
    })?;
    let some = |n: u64| (n != 0).then_some(n);
    let (data, metadata) = (&raw.data_space_map, &raw.metadata_space_map);
    let nr_metadata_blocks = some(metadata.nr_blocks.get());
    if let Some(found) = nr_metadata_blocks.filter(|n| *n > MAX_METADATA_BLOCKS) {
        return Err(Rule::Field {
            field: "metadata space map's nr_blocks",
            found,
        });
    }
    let nr_data_blocks = some(data.nr_blocks.get());
    if let Some(found) = nr_data_blocks.filter(|n| *n > 1 << 40) {
        return Err(Rule::Field {
            field: "data space map's nr_blocks",
            found,
        });
    }
    Ok(Superblock {
        uuid: raw.uuid,
        time: raw.time.get(),
        transaction: TransactionId(raw.transaction.get()),
        held_root: some(raw.held_root.get()).map(MetadataBlock),
        data_block_size,
        nr_data_blocks,
        allocated_data_blocks: nr_data_blocks.map(|_| data.nr_allocated.get()),
        nr_metadata_blocks,
        allocated_metadata_blocks: nr_metadata_blocks.map(|_| metadata.nr_allocated.get()),
        needs_check: raw.flags.get() & NEEDS_CHECK != 0,
        mapping_root: MetadataBlock(raw.mapping_root.get()),
        details_root: MetadataBlock(raw.details_root.get()),
    })
}

/// Whether what it points at can exist; how far the device really goes is the view's to check.
fn check_pointers(superblock: &Superblock) -> Result<(), Rule> {
    let limit = superblock.nr_metadata_blocks.unwrap_or(MAX_METADATA_BLOCKS);
    let roots = [
        Some(superblock.mapping_root),
        Some(superblock.details_root),
        superblock.held_root,
    ];
    for block in roots.into_iter().flatten() {
        if block.0 == 0 {
            return Err(Rule::PointsAtSuperblock);
        }
        if block.0 >= limit {
            return Err(Rule::BlockRange { limit });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
