//! The rules of the format, each with what broke it: one row each in `docs/formats/thin-metadata.md`.

use super::{Damage, Error, Role, Space, Tree};
use convoy_units::{DevId, MetadataBlock};
use std::io;

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
