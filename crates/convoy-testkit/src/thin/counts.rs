//! Reference counts in a written image: reading them, and planting wrong ones.

use super::{BLOCK, BlockType, Image};

/// Blocks counted by one bitmap.
const PER_BITMAP: u64 = 16_320;
/// Where the superblock keeps the root of each space map: size, blocks in use, bitmaps, counts of 3 and more.
const DATA_ROOT: usize = 64;
const METADATA_ROOT: usize = 192;

/// Which device a count is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Space {
    /// The data device.
    Data,
    /// The metadata device.
    Metadata,
}

impl Space {
    /// Offset in the superblock of this space map's root.
    pub const fn root_offset(self) -> usize {
        match self {
            Self::Data => DATA_ROOT,
            Self::Metadata => METADATA_ROOT,
        }
    }
}

impl Image {
    /// How many blocks the space map counts.
    pub fn blocks_of(&self, space: Space) -> u64 {
        self.peek_u64(0, space.root_offset())
    }

    /// Root of the tree of counts of 3 and more.
    pub fn counts_root(&self, space: Space) -> u64 {
        self.peek_u64(0, space.root_offset() + 24)
    }

    /// Root of the data space map's index tree, or the metadata space map's index block.
    pub fn index_root(&self, space: Space) -> u64 {
        self.peek_u64(0, space.root_offset() + 16)
    }

    /// The bitmap that counts `block`.
    pub fn bitmap_of(&self, space: Space, block: u64) -> u64 {
        let (root, index) = (self.index_root(space), block / PER_BITMAP);
        match space {
            Space::Metadata => self.peek_u64(root, 16 + 16 * place(index)),
            Space::Data => {
                let (leaf, at) = self.find(root, index).expect("the block has a bitmap");
                self.peek_u64(leaf, self.values_at(leaf) + 16 * at)
            }
        }
    }

    /// The recorded reference count of `block`.
    pub fn count(&self, space: Space, block: u64) -> u32 {
        match self.two_bits(space, block) {
            3 => {
                let root = self.counts_root(space);
                let (leaf, at) = self.find(root, block).expect("a large count is recorded");
                self.peek_u32(leaf, self.values_at(leaf) + 4 * at)
            }
            count => count,
        }
    }

    /// Records another reference count for `block`, under valid checksums, and keeps the number of blocks in use.
    pub fn set_count(&mut self, space: Space, block: u64, count: u32) {
        let old = self.count(space, block);
        if old > 2 {
            self.forget(space, block);
        }
        if count > 2 {
            self.remember(space, block, count);
        }
        self.set_two_bits(space, block, count.min(3));
        let used = i64::from(count > 0) - i64::from(old > 0);
        let at = space.root_offset() + 8;
        let allocated = self.peek_u64(0, at).wrapping_add_signed(used);
        self.poke_u64(0, BlockType::Superblock, at, allocated);
    }

    /// The two bits of `block` alone: 3 is "3 or more".
    pub fn two_bits(&self, space: Space, block: u64) -> u32 {
        let (byte, shift) = bit_place(block);
        let pair = self.block(self.bitmap_of(space, block))[byte] >> shift & 3;
        // The lower-numbered bit holds the high-order bit of the count.
        u32::from((pair & 1) << 1 | pair >> 1)
    }

    /// Writes the two bits of `block` alone.
    pub fn set_two_bits(&mut self, space: Space, block: u64, count: u32) {
        let (byte, shift) = bit_place(block);
        let bitmap = self.bitmap_of(space, block);
        let pair = match count {
            0 => 0b00,
            1 => 0b10,
            2 => 0b01,
            _ => 0b11,
        };
        let content = self.block_mut(bitmap);
        content[byte] = content[byte] & !(3 << shift) | pair << shift;
        self.reseal(bitmap, BlockType::Bitmap);
    }

    /// Takes `block` out of the tree of counts of 3 and more.
    pub fn forget(&mut self, space: Space, block: u64) {
        let root = self.counts_root(space);
        let (leaf, at) = self.find(root, block).expect("the count is recorded");
        let mut entries = self.counts_in(leaf);
        entries.remove(at);
        self.write_counts(leaf, &entries);
    }

    /// Puts `block` into the leaf of the tree of counts of 3 and more that it belongs to.
    ///
    /// # Panics
    /// If that leaf is full.
    pub fn remember(&mut self, space: Space, block: u64, count: u32) {
        let leaf = self.leaf_for(self.counts_root(space), block);
        let mut entries = self.counts_in(leaf);
        let at = entries.partition_point(|(key, _)| *key < block);
        entries.insert(at, (block, count));
        self.write_counts(leaf, &entries);
    }

    fn counts_in(&self, leaf: u64) -> Vec<(u64, u32)> {
        let (count, values) = (self.peek_u32(leaf, 16) as usize, self.values_at(leaf));
        (0..count)
            .map(|at| {
                let key = self.peek_u64(leaf, Self::key_offset(at));
                (key, self.peek_u32(leaf, values + 4 * at))
            })
            .collect()
    }

    fn write_counts(&mut self, leaf: u64, entries: &[(u64, u32)]) {
        let values = self.values_at(leaf);
        let count = u32::try_from(entries.len()).expect("a leaf is small");
        assert!(count <= self.peek_u32(leaf, 20), "the leaf is full");
        for (at, (key, value)) in entries.iter().enumerate() {
            self.poke_u64(leaf, BlockType::Node, Self::key_offset(at), *key);
            self.poke_u32(leaf, BlockType::Node, values + 4 * at, *value);
        }
        self.poke_u32(leaf, BlockType::Node, 16, count);
    }

    /// Where a node's values begin.
    fn values_at(&self, node: u64) -> usize {
        32 + 8 * (self.peek_u32(node, 20) as usize)
    }

    /// The leaf under `root` that `key` belongs to: the first one for a key below all.
    fn leaf_for(&self, root: u64, key: u64) -> u64 {
        let mut node = root;
        while self.peek_u32(node, 4) == 1 {
            let count = self.peek_u32(node, 16) as usize;
            let after = (0..count)
                .take_while(|at| self.peek_u64(node, Self::key_offset(*at)) <= key)
                .count();
            node = self.peek_u64(node, self.value_offset(node, after.saturating_sub(1)));
        }
        node
    }

    /// Leaf and place of `key`.
    fn find(&self, root: u64, key: u64) -> Option<(u64, usize)> {
        let leaf = self.leaf_for(root, key);
        let count = self.peek_u32(leaf, 16) as usize;
        let at = (0..count).find(|at| self.peek_u64(leaf, Self::key_offset(*at)) == key)?;
        Some((leaf, at))
    }

    /// Overwrites `block` with a node of 8-byte values, under a valid checksum.
    pub fn put_node(&mut self, block: u64, leaf: bool, entries: &[(u64, u64)]) {
        let content = self.block_mut(block);
        content[..BLOCK].fill(0);
        content[4..8].copy_from_slice(&(if leaf { 2_u32 } else { 1 }).to_le_bytes());
        content[8..16].copy_from_slice(&block.to_le_bytes());
        let count = u32::try_from(entries.len()).expect("a node is small");
        content[16..20].copy_from_slice(&count.to_le_bytes());
        content[20..24].copy_from_slice(&252_u32.to_le_bytes());
        content[24..28].copy_from_slice(&8_u32.to_le_bytes());
        for (at, (key, value)) in entries.iter().enumerate() {
            content[32 + 8 * at..][..8].copy_from_slice(&key.to_le_bytes());
            content[32 + 8 * (252 + at)..][..8].copy_from_slice(&value.to_le_bytes());
        }
        self.reseal(block, BlockType::Node);
    }
}

fn place(index: u64) -> usize {
    usize::try_from(index).expect("a test image is small")
}

/// Byte of a bitmap block, and bit in it, where the pair of `block` begins.
fn bit_place(block: u64) -> (usize, u64) {
    let entry = block % PER_BITMAP;
    (16 + place(entry / 4), entry % 4 * 2)
}
