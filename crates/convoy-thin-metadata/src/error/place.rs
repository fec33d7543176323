//! Where damage is: the structure, the level, the block.

use super::Rule;
use convoy_units::{DevId, MetadataBlock};
use std::fmt;

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
