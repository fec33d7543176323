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
/// Where the held root is in the block.
pub(crate) const HELD_ROOT: std::ops::Range<usize> = 56..64;
/// How often block 0 is read anew when the kernel may be writing it at the same moment.
const LIVE_TRIES: usize = 16;
/// 4 KiB in sectors: the kernel knows no other metadata block size.
const METADATA_BLOCK_SECTORS: u32 = 8;

/// Whether these bytes begin as a thin pool's superblock does (its magic number, little-endian at byte 32), sound or not.
/// For who must not write over one.
pub fn has_superblock_magic(bytes: &[u8]) -> bool {
    bytes.get(32..40) == Some(MAGIC.to_le_bytes().as_slice())
}

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
    /// Where the data device's reference counts are; `None` as above.
    pub data_space_map: Option<SpaceMapRoot>,
    /// Where the metadata device's reference counts are; `None` as above.
    pub metadata_space_map: Option<SpaceMapRoot>,
    /// The kernel saw a failure and wants the metadata checked before it writes again.
    pub needs_check: bool,
    /// Root of the device tree.
    pub mapping_root: MetadataBlock,
    /// Root of the device details tree.
    pub details_root: MetadataBlock,
}

/// How many blocks a device has, and where their reference counts begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpaceMapRoot {
    /// Blocks of the device.
    pub nr_blocks: u64,
    /// Blocks with a count above 0.
    pub nr_allocated: u64,
    /// Data device: root of the index tree. Metadata device: the index block.
    pub bitmap_root: MetadataBlock,
    /// Root of the tree of counts of 3 and more.
    pub ref_count_root: MetadataBlock,
}

/// What block 0 is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "a pool has one superblock, read a few times"
)]
pub enum SuperblockState {
    /// All 4096 bytes are zero: the kernel would make a new pool here.
    Zeroed,
    /// A thin pool's superblock that passed every check.
    Valid(Superblock),
}

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawSpaceMapRoot {
    nr_blocks: U64,
    nr_allocated: U64,
    bitmap_root: U64,
    ref_count_root: U64,
    _rest: [u8; 96],
}

impl RawSpaceMapRoot {
    /// A metadata snapshot's copy has zeroes here.
    fn get(&self) -> Option<SpaceMapRoot> {
        let root = SpaceMapRoot {
            nr_blocks: self.nr_blocks.get(),
            nr_allocated: self.nr_allocated.get(),
            bitmap_root: MetadataBlock(self.bitmap_root.get()),
            ref_count_root: MetadataBlock(self.ref_count_root.get()),
        };
        let blocks = [root.bitmap_root.0, root.ref_count_root.0];
        (root.nr_blocks | root.nr_allocated | blocks[0] | blocks[1] != 0).then_some(root)
    }
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
    data_space_map: RawSpaceMapRoot,
    metadata_space_map: RawSpaceMapRoot,
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
    read_block_0(source, parse)
}

/// As [`read_superblock`], but for where it points.
pub(crate) fn read_superblock_alone<S: BlockSource + ?Sized>(
    source: &S,
) -> Result<SuperblockState, Error> {
    read_block_0(source, parse_alone)
}

fn read_block_0<S: BlockSource + ?Sized>(
    source: &S,
    parse: fn(&Block, MetadataBlock) -> Result<Superblock, Error>,
) -> Result<SuperblockState, Error> {
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

/// Block 0 of a pool that may be committing: a block caught half-written is read again. Where it points is not
/// checked.
pub(crate) fn read_live<S: BlockSource + ?Sized>(source: &S) -> Result<Superblock, Error> {
    let mut found = read_superblock_alone(source);
    for _ in 1..LIVE_TRIES {
        if found.is_ok() {
            break;
        }
        std::thread::yield_now();
        found = read_superblock_alone(source);
    }
    match found? {
        SuperblockState::Zeroed => Err(Error::Blank),
        SuperblockState::Valid(superblock) => Ok(superblock),
    }
}

/// Checks block 0.
pub(crate) fn parse(block: &Block, number: MetadataBlock) -> Result<Superblock, Error> {
    let superblock = parse_alone(block, number)?;
    check_pointers(&superblock).map_err(|rule| rule.at(Tree::Superblock, None, number))?;
    Ok(superblock)
}

/// As [`parse`], but for where it points.
pub(crate) fn parse_alone(block: &Block, number: MetadataBlock) -> Result<Superblock, Error> {
    let damaged = |rule: Rule| rule.at(Tree::Superblock, None, number);
    let (raw, verdict) = check_block(block, number);
    let magic = raw.magic.get();
    match verdict {
        // Block 0 with another magic number is other people's data, and no damage of ours.
        Err(Rule::Checksum { .. }) if magic != MAGIC => {
            return Err(Error::Foreign(Foreign::MagicAndChecksum(magic)));
        }
        Err(Rule::Magic { found }) => return Err(Error::Foreign(Foreign::Magic(found))),
        other => other.map_err(damaged)?,
    }
    if let Some((field, found)) = unsupported(raw) {
        let what = match field {
            "version" => format!("superblock version {found}"),
            _ => format!("incompatible features {found:#x}"),
        };
        return Err(Error::Unsupported { what });
    }
    check_fields(raw).map_err(damaged)
}

/// Checks the copy at `root` that a metadata snapshot of the pool with block 0 `live` is, but for where it points.
pub(crate) fn parse_copy(
    block: &Block,
    root: MetadataBlock,
    live: &Superblock,
) -> Result<Superblock, Rule> {
    let (raw, verdict) = check_block(block, root);
    verdict?;
    let field = |field, found| Rule::Field { field, found };
    if let Some((name, found)) = unsupported(raw) {
        return Err(field(name, found));
    }
    let copy = check_fields(raw)?;
    if copy.data_block_size != live.data_block_size {
        let found = copy.data_block_size.sectors().0;
        return Err(field("data_block_size", found));
    }
    if let Some(held) = copy.held_root {
        return Err(field("held_root", held.0));
    }
    if let Some(map) = copy.data_space_map.or(copy.metadata_space_map) {
        return Err(field("space map's nr_blocks", map.nr_blocks));
    }
    if copy.time > live.time {
        return Err(field("time", copy.time.into()));
    }
    Ok(copy)
}

/// Whether the block is what it should be and where it should be.
fn check_block(block: &Block, number: MetadataBlock) -> (&RawSuperblock, Result<(), Rule>) {
    let (raw, _) =
        RawSuperblock::ref_from_prefix(block).expect("a block is longer than a superblock");
    let found = raw.magic.get();
    let verdict = match verify(block, number, BlockType::Superblock) {
        Ok(()) if found != MAGIC => Err(Rule::Magic { found }),
        other => other,
    };
    (raw, verdict)
}

/// The field that asks for more than this reader knows.
fn unsupported(raw: &RawSuperblock) -> Option<(&'static str, u64)> {
    let (version, incompat) = (raw.version.get(), raw.incompat_flags.get());
    if version != VERSION {
        return Some(("version", version.into()));
    }
    (incompat != 0).then_some(("incompat_flags", incompat.into()))
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
        data_space_map: data.get(),
        metadata_space_map: metadata.get(),
        needs_check: raw.flags.get() & NEEDS_CHECK != 0,
        mapping_root: MetadataBlock(raw.mapping_root.get()),
        details_root: MetadataBlock(raw.details_root.get()),
    })
}

/// Whether what it points at can exist; how far the device really goes is the view's to check.
pub(crate) fn check_pointers(superblock: &Superblock) -> Result<(), Rule> {
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
