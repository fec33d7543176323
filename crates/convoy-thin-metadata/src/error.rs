//! What can be wrong with thin metadata, and where.

use convoy_fault::{Fault, Kind};
use convoy_units::{DevId, MetadataBlock};
use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why metadata could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file or device cannot be opened or measured.
    #[error("cannot open thin metadata {}", path.display())]
    Open {
        /// What was opened.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The device failed to deliver a block.
    #[error("cannot read metadata block {block}")]
    Read {
        /// The block.
        block: MetadataBlock,
        /// What the system said.
        source: io::Error,
    },
    /// A rule of the format is broken.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// Block 0 is all zero: nobody made a pool here, or its superblock was wiped.
    #[error("the metadata device is blank: block 0 is all zero")]
    Blank,
    /// Block 0 is neither blank nor a thin pool's superblock.
    #[error("block 0 is not the superblock of a thin pool: {0}")]
    Foreign(Foreign),
    /// A pool made with something this reader does not know.
    #[error("the thin metadata needs {what}, which this version does not know")]
    Unsupported {
        /// The version or feature.
        what: String,
    },
    /// The pool has no such device.
    #[error("the pool has no thin device {dev_id}")]
    NoDevice {
        /// The id asked for.
        dev_id: DevId,
    },
    /// The metadata snapshot that was to be read is not the one the pool holds.
    #[error("the metadata snapshot at block {root} is not held by the pool, which holds {}", held_text(*.found))]
    NotHeld {
        /// The root the caller named.
        root: MetadataBlock,
        /// What the live superblock says.
        found: Option<MetadataBlock>,
    },
    /// The live superblock was rewritten during an offline read.
    #[error("the pool changed its metadata while it was being read")]
    Changed,
}

fn held_text(found: Option<MetadataBlock>) -> String {
    found.map_or_else(|| "none".to_owned(), |block| format!("block {block}"))
}

/// What block 0 looks like when it is not a superblock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Foreign {
    /// Neither the magic number nor the checksum fit: other data.
    #[error("its magic number is {0} instead of 27022010 and its checksum is wrong")]
    MagicAndChecksum(u64),
    /// An intact block with another magic number.
    #[error("its magic number is {0} instead of 27022010")]
    Magic(u64),
}

/// A broken rule, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damage {
    /// The tree, or the superblock.
    pub tree: Tree,
    /// Levels above the leaves (0 is a leaf); `None` where no level applies or it is not known.
    pub level: Option<u8>,
    /// The block that breaks the rule.
    pub block: MetadataBlock,
    /// The rule.
    pub rule: Rule,
}

impl std::error::Error for Damage {}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "thin metadata is damaged in {}", self.tree)?;
        if let Some(level) = self.level {
            write!(f, ", level {level}")?;
        }
        write!(f, ", block {}: {}", self.block, self.rule)
    }
}

/// Which structure a block belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Tree {
    /// Block 0 or the copy that a metadata snapshot is.
    Superblock,
    /// The tree of devices: device id → root of its mapping tree.
    Devices,
    /// The tree of device details: device id → counters.
    Details,
    /// One device's mapping tree.
    Mappings(DevId),
    /// What leads to a space map's bitmaps: a tree for the data device, one block for the metadata device.
    Index(Space),
    /// The bitmaps of a space map: two bits for each block's reference count.
    Bitmaps(Space),
    /// The reference counts that two bits cannot tell: block → count.
    RefCounts(Space),
}

/// Which device a space map is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Space {
    /// The data device.
    Data,
    /// The metadata device.
    Metadata,
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Data => "data",
            Self::Metadata => "metadata",
        })
    }
}

/// What a metadata block serves as. It can serve as one thing only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// Block 0 or the copy that a metadata snapshot is.
    Superblock,
    /// A node of a device tree.
    Devices,
    /// A node of a details tree.
    Details,
    /// A node of mapping trees; several may share it.
    Mappings,
    /// A node of the data space map's index tree, or the metadata space map's index block.
    Index(Space),
    /// A bitmap of a space map.
    Bitmap(Space),
    /// A node of a space map's reference count tree.
    RefCounts(Space),
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Superblock => f.write_str("a superblock"),
            Self::Devices => f.write_str("a node of the device tree"),
            Self::Details => f.write_str("a node of the device details tree"),
            Self::Mappings => f.write_str("a node of a mapping tree"),
            Self::Index(space) => write!(f, "the index of the {space} space map"),
            Self::Bitmap(space) => write!(f, "a bitmap of the {space} space map"),
            Self::RefCounts(space) => {
                write!(f, "a node of the {space} space map's reference count tree")
            }
        }
    }
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Superblock => f.write_str("the superblock"),
            Self::Devices => f.write_str("the device tree"),
            Self::Details => f.write_str("the device details tree"),
            Self::Mappings(dev_id) => write!(f, "the mapping tree of device {dev_id}"),
            Self::Index(space) => write!(f, "the {space} space map's index"),
            Self::Bitmaps(space) => write!(f, "the {space} space map's bitmaps"),
            Self::RefCounts(space) => write!(f, "the {space} space map's reference count tree"),
        }
    }
}

/// The rules of the format that are checked, each with what broke it.
///
/// They follow the on-disk format as kernel 6.1 writes it (superblock version 2). A block is checked in
/// this order, so that the first complaint is the most telling one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rule {
    /// A block number lies past the metadata device's end.
    #[error("the block number is not below the metadata's {limit} blocks")]
    BlockRange {
        /// Blocks there are.
        limit: u64,
    },
    /// A tree points at block 0.
    #[error("a tree points at the superblock")]
    PointsAtSuperblock,
    /// A block is referenced twice in one tree: a cycle or a crossed pointer.
    #[error("the block is referenced twice in the same tree")]
    Revisited,
    /// The content is not what was written.
    #[error("the checksum is {stored:#010x} instead of {computed:#010x}")]
    Checksum {
        /// In the block.
        stored: u32,
        /// Of the content, for the type expected here.
        computed: u32,
    },
    /// The block belongs elsewhere: a misdirected or stale write.
    #[error("the block calls itself block {found}")]
    BlockNumber {
        /// Its own idea.
        found: u64,
    },
    /// A node is an internal node or a leaf, exactly one of them.
    #[error("the node's flags are {flags:#x}, neither internal (1) nor leaf (2)")]
    NodeKind {
        /// As found.
        flags: u32,
    },
    /// All leaves are equally deep: a leaf came early or an internal node late.
    #[error("the node is {} where {} is due", kind_text(*.leaf), kind_text(!*.leaf))]
    Height {
        /// Whether the node found is a leaf.
        leaf: bool,
    },
    /// No tree is this deep.
    #[error("the tree is deeper than {} levels", crate::node::MAX_HEIGHT)]
    TooDeep,
    /// The values are of another tree.
    #[error("the node's values have {found} bytes instead of {expected}")]
    ValueSize {
        /// As found.
        found: u32,
        /// As the tree wants.
        expected: u32,
    },
    /// Keys and values do not fit the block.
    #[error("{max} entries do not fit a node")]
    MaxEntries {
        /// As found.
        max: u32,
    },
    /// More entries than there is room for.
    #[error("the node has {entries} entries and room for {max}")]
    EntryCount {
        /// As found.
        entries: u32,
        /// Room there is.
        max: u32,
    },
    /// An internal node without children.
    #[error("the internal node is empty")]
    EmptyInternal,
    /// Keys ascend strictly.
    #[error("key {key} follows key {previous}")]
    KeyOrder {
        /// The key before.
        previous: u64,
        /// The one that is not greater.
        key: u64,
    },
    /// A key lies outside what the parent allots to the node.
    #[error("key {key} lies outside {low} to {last}")]
    KeyRange {
        /// The key.
        key: u64,
        /// The least key allowed.
        low: u64,
        /// The greatest key allowed.
        last: u64,
    },
    /// A mapping points past the data device.
    #[error("thin block {thin} is mapped to data block {data}, which is not below {limit}")]
    DataRange {
        /// The virtual block.
        thin: u64,
        /// Where it points.
        data: u64,
        /// Data blocks there are.
        limit: u64,
    },
    /// A thin block that no device can have: past 2^64 sectors.
    #[error("thin block {thin} lies past the end of any device")]
    ThinRange {
        /// The block.
        thin: u64,
    },
    /// A device id of more than 24 bits.
    #[error("device id {id} has more than 24 bits")]
    DevIdRange {
        /// The id.
        id: u64,
    },
    /// A device with mappings but no details, or the reverse.
    #[error("device {dev_id} is in {} only", if *.in_devices { Tree::Devices } else { Tree::Details })]
    KeySets {
        /// The device.
        dev_id: DevId,
        /// Whether the device tree has it.
        in_devices: bool,
    },
    /// The counted mappings contradict the device's details.
    #[error("{found} mappings were found, the device details say {recorded}")]
    MappedCount {
        /// In the details.
        recorded: u64,
        /// In the tree.
        found: u64,
    },
    /// The two sides of a difference disagree in number with what their details say.
    #[error("the trees differ by {found} mappings in number, the device details by {recorded}")]
    MappedDifference {
        /// From the details.
        recorded: i128,
        /// From the trees.
        found: i128,
    },
    /// A block that two different structures claim.
    #[error("the block is already in use as {role}")]
    Role {
        /// What it was met as before.
        role: Role,
    },
    /// All leaves are equally deep: a subtree shared with another tree is of another height than its place here.
    #[error("the subtree is {found} levels high where {due} are due")]
    SubtreeHeight {
        /// Levels above its leaves.
        found: u8,
        /// Levels there should be.
        due: u8,
    },
    /// The metadata snapshot is no copy of a superblock.
    #[error("the metadata snapshot's magic number is {found} instead of 27022010")]
    Magic {
        /// As found.
        found: u64,
    },
    /// A block could not be read (told by a check, which goes on).
    #[error("the block cannot be read: {error}")]
    Unreadable {
        /// What the system said.
        error: io::ErrorKind,
    },
    /// A mapping is younger than the pool: the kernel would take a shared block for an exclusive one.
    #[error("thin block {thin} was mapped at time {time}, and the pool's time is {limit}")]
    MappingTime {
        /// The block.
        thin: u64,
        /// When it was mapped.
        time: u32,
        /// The pool's time.
        limit: u32,
    },
    /// A device's times contradict each other or the pool's.
    #[error("device {dev_id} has its {field} at time {found}, past {limit}")]
    DeviceTime {
        /// The device.
        dev_id: DevId,
        /// Which time.
        field: &'static str,
        /// As found.
        found: u32,
        /// The latest it can be.
        limit: u32,
    },
    /// A device was made in a transaction that is yet to come.
    #[error("device {dev_id} was created in transaction {found}, and the pool's is {limit}")]
    DeviceTransaction {
        /// The device.
        dev_id: DevId,
        /// As found.
        found: u64,
        /// The pool's.
        limit: u64,
    },
    /// Blocks without a bitmap: their reference counts are unknown.
    #[error("{len} bitmaps from number {first} on are missing")]
    BitmapMissing {
        /// Number of the first missing bitmap.
        first: u64,
        /// How many.
        len: u64,
    },
    /// A bitmap for blocks that do not exist.
    #[error("there is a bitmap number {found}, and only {limit} are needed")]
    BitmapRange {
        /// Its number.
        found: u64,
        /// How many there should be.
        limit: u64,
    },
    /// A count for a block that does not exist.
    #[error("block {block} has a reference count and is not below {limit}")]
    CountRange {
        /// The block.
        block: u64,
        /// Blocks there are.
        limit: u64,
    },
    /// A bitmap says that the count is 3 or more, and the tree of such counts does not have it.
    #[error("{space} block {block} has a reference count of 3 or more, and it is not recorded")]
    CountMissing {
        /// Of which device.
        space: Space,
        /// The block.
        block: u64,
    },
    /// The tree of counts of 3 and more has one that is smaller, or of a block whose bitmap says otherwise.
    #[error(
        "{space} block {block} has a recorded reference count of {count} that should not be there"
    )]
    CountStray {
        /// Of which device.
        space: Space,
        /// The block.
        block: u64,
        /// As recorded.
        count: u32,
    },
    /// Blocks with more users than the space map knows: the kernel may give them away while they are in use.
    #[error(
        "{space} blocks {first} to {last} have a reference count of {recorded} and {found} users"
    )]
    CountLow {
        /// Of which device.
        space: Space,
        /// The first block.
        first: u64,
        /// The last block.
        last: u64,
        /// In the space map.
        recorded: u32,
        /// In the trees.
        found: u32,
    },
    /// Blocks with fewer users than the space map thinks: space that is never given back.
    #[error(
        "{space} blocks {first} to {last} have a reference count of {recorded} and {found} users"
    )]
    CountHigh {
        /// Of which device.
        space: Space,
        /// The first block.
        first: u64,
        /// The last block.
        last: u64,
        /// In the space map.
        recorded: u32,
        /// In the trees.
        found: u32,
    },
    /// The number of blocks in use contradicts the bitmaps.
    #[error(
        "the {space} space map says that {recorded} blocks are in use, its bitmaps say {found}"
    )]
    Allocated {
        /// Of which device.
        space: Space,
        /// In the superblock.
        recorded: u64,
        /// In the bitmaps.
        found: u64,
    },
    /// A field of the superblock that cannot be so.
    #[error("the field {field} is {found}")]
    Field {
        /// Its name.
        field: &'static str,
        /// Its value.
        found: u64,
    },
}

const fn kind_text(leaf: bool) -> &'static str {
    if leaf { "a leaf" } else { "an internal node" }
}

impl Rule {
    /// The rule broken by `block` of `tree`.
    pub fn at(self, tree: Tree, level: Option<u8>, block: MetadataBlock) -> Error {
        Error::Damaged(Damage {
            tree,
            level,
            block,
            rule: self,
        })
    }
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Open { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => Kind::NotFound,
                io::ErrorKind::PermissionDenied => Kind::NotPermitted,
                _ => Kind::Failed,
            },
            Self::Read { .. } => Kind::PoolUnhealthy,
            Self::Damaged(_) | Self::Blank => Kind::Integrity,
            Self::Foreign(_) | Self::NotHeld { .. } => Kind::Conflict,
            Self::Unsupported { .. } => Kind::Unsupported,
            Self::NoDevice { .. } => Kind::NotFound,
            Self::Changed => Kind::Busy,
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Damaged(_) => {
                "deactivate the pool, run `thin_check` on its metadata device, and repair into another device with `thin_repair`, never in place"
            }
            Self::Read { .. } => {
                "the metadata device fails to read: check the kernel's log and the disk under it"
            }
            Self::Blank | Self::Foreign(_) => "check that this is the pool's metadata device",
            Self::NotHeld { .. } => {
                "reserve the metadata snapshot again and read the block the pool's status names"
            }
            Self::Changed => {
                "read a pool that is in use through a metadata snapshot, or deactivate it first"
            }
            _ => return None,
        };
        Some(text.to_owned())
    }
}
