//! Writing the model as a metadata device: superblock, device and details trees, both space maps.

use super::pool::{DeviceModel, PoolModel};
use super::tree::{Entries, Node};
use super::{BLOCK, BlockType, crc32c};
use std::collections::BTreeMap;

/// Entries of a bitmap block, two bits each.
const PER_BITMAP: u64 = 16_320;

/// How an image is written.
#[derive(Debug, Clone, Copy)]
pub struct ImageOptions {
    /// Size of the metadata device in blocks; what is in use must fit.
    pub metadata_blocks: u64,
    /// What offset 344 of the superblock says; differs from the size on a device that grew.
    pub metadata_blocks_at_format: u64,
    /// Data block size in sectors.
    pub data_block_sectors: u32,
    /// Writes the data space map's bitmaps; off for pools too large for a small image.
    pub data_space_map: bool,
    /// Sets the needs-check flag.
    pub needs_check: bool,
}

impl Default for ImageOptions {
    fn default() -> Self {
        Self {
            metadata_blocks: 1024,
            metadata_blocks_at_format: 1024,
            data_block_sectors: 128,
            data_space_map: true,
            needs_check: false,
        }
    }
}

impl ImageOptions {
    /// The smallest comfortable device for this pool: what is in use and 64 blocks.
    pub fn fitting(pool: &PoolModel) -> Self {
        let devices = pool.ids().len() as u64 + 1;
        let metadata_blocks = pool.forest.end() + devices / 20 + pool.data_blocks / 8_000 + 64;
        Self {
            metadata_blocks,
            metadata_blocks_at_format: metadata_blocks,
            ..Self::default()
        }
    }
}

/// A written metadata device.
#[derive(Debug, Clone)]
pub struct Image {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Where the metadata snapshot's copy of the superblock lies, if one is held.
    pub held_root: Option<u64>,
    /// Root of the device tree.
    pub devices_root: u64,
    /// Root of the details tree.
    pub details_root: u64,
}

impl PoolModel {
    /// Writes the pool as a metadata device.
    #[track_caller]
    pub fn image(&self, options: ImageOptions) -> Image {
        Writer::new(self, options).write()
    }
}

struct Writer<'a> {
    pool: &'a PoolModel,
    options: ImageOptions,
    bytes: Vec<u8>,
    next: u64,
    counts: BTreeMap<u64, u32>,
}

/// One tree in the making: (first key, block) of each finished node of the level below.
type Level = Vec<(u64, u64)>;

impl<'a> Writer<'a> {
    fn new(pool: &'a PoolModel, options: ImageOptions) -> Self {
        let size = usize::try_from(options.metadata_blocks).expect("a test image is small") * BLOCK;
        Self {
            pool,
            options,
            bytes: vec![0; size],
            next: pool.forest.end(),
            counts: BTreeMap::from([(0, 1)]),
        }
    }

    fn write(mut self) -> Image {
        for (block, node) in self.pool.forest.nodes() {
            self.mapping_node(block, node);
        }
        let (devices_root, details_root) = self.device_trees(&self.pool.devices);
        let held_root = self.pool.held.as_ref().map(|held| {
            let roots = self.device_trees(held);
            let block = self.allocate();
            let superblock = self.superblock(roots, self.pool.held_time, None, [[0; 4]; 2]);
            self.put(block, BlockType::Superblock, superblock);
            block
        });
        let data = self.data_space_map();
        let metadata = self.metadata_space_map();
        let roots = (devices_root, details_root);
        let superblock = self.superblock(roots, self.pool.time, held_root, [data, metadata]);
        self.put(0, BlockType::Superblock, superblock);
        Image {
            bytes: self.bytes,
            held_root,
            devices_root,
            details_root,
        }
    }

    fn mapping_node(&mut self, block: u64, node: &Node) {
        self.counts.insert(block, node.parents);
        let (leaf, values) = match &node.entries {
            Entries::Internal(children) => (false, children.clone()),
            Entries::Leaf(values) => {
                let packed = values
                    .iter()
                    .map(|(data, time)| data << 24 | u64::from(time & 0xff_ffff));
                (true, packed.collect())
            }
        };
        let values: Vec<[u8; 8]> = values.into_iter().map(u64::to_le_bytes).collect();
        let bytes = node_bytes(leaf, self.pool.forest.fanout(), &node.keys, &values);
        self.put(block, BlockType::Node, bytes);
    }

    fn device_trees(&mut self, devices: &BTreeMap<u32, DeviceModel>) -> (u64, u64) {
        let ids: Vec<u64> = devices.keys().map(|id| u64::from(*id)).collect();
        let roots: Vec<[u8; 8]> = devices
            .values()
            .map(|device| device.root.to_le_bytes())
            .collect();
        let details: Vec<[u8; 24]> = devices.values().map(details).collect();
        (self.tree(&ids, &roots), self.tree(&ids, &details))
    }

    /// A tree of fixed content, built from the leaves up with evenly filled nodes.
    fn tree<const N: usize>(&mut self, keys: &[u64], values: &[[u8; N]]) -> u64 {
        let mut level = self.level(true, keys, values);
        while level.len() > 1 {
            let keys: Vec<u64> = level.iter().map(|(key, _)| *key).collect();
            let children: Vec<[u8; 8]> =
                level.iter().map(|(_, block)| block.to_le_bytes()).collect();
            level = self.level(false, &keys, &children);
        }
        level[0].1
    }

    fn level<const N: usize>(&mut self, leaf: bool, keys: &[u64], values: &[[u8; N]]) -> Level {
        let max = (BLOCK - 32) / (8 + N) / 3 * 3;
        let nodes = keys.len().div_ceil(max).max(1);
        let mut level = Vec::new();
        for index in 0..nodes {
            let (begin, end) = (keys.len() * index / nodes, keys.len() * (index + 1) / nodes);
            let block = self.allocate();
            let bytes = node_bytes(leaf, max, &keys[begin..end], &values[begin..end]);
            self.put(block, BlockType::Node, bytes);
            level.push((keys.get(begin).copied().unwrap_or(0), block));
        }
        level
    }

    /// The data space map; returns its root's four numbers.
    fn data_space_map(&mut self) -> [u64; 4] {
        let counts = self.pool.forest.data_counts().clone();
        let size = self.pool.data_blocks;
        let written = if self.options.data_space_map { size } else { 0 };
        let bitmaps = written.div_ceil(PER_BITMAP);
        let entries: Vec<[u8; 16]> = (0..bitmaps)
            .map(|index| {
                let block = self.allocate();
                self.bitmap(block, index, written, &counts)
            })
            .collect();
        let keys: Vec<u64> = (0..bitmaps).collect();
        let bitmap_root = self.tree(&keys, &entries);
        let ref_counts = self.ref_counts(&counts);
        [size, counts.len() as u64, bitmap_root, ref_counts]
    }

    /// The metadata space map, which counts its own blocks too: all are allocated before any is filled.
    fn metadata_space_map(&mut self) -> [u64; 4] {
        let size = self.options.metadata_blocks;
        let index = self.allocate();
        let bitmaps: Vec<u64> = (0..size.div_ceil(PER_BITMAP))
            .map(|_| self.allocate())
            .collect();
        // Its own blocks have one parent each, so they cannot add to the counts of 3 and more.
        let ref_counts = self.ref_counts(&self.counts.clone());
        let counts = self.counts.clone();
        let mut bytes = vec![0; BLOCK];
        for (number, block) in bitmaps.into_iter().enumerate() {
            let entry = self.bitmap(block, number as u64, size, &counts);
            bytes[16 + 16 * number..][..16].copy_from_slice(&entry);
        }
        self.put(index, BlockType::Index, bytes);
        [size, counts.len() as u64, index, ref_counts]
    }

    fn ref_counts(&mut self, counts: &BTreeMap<u64, u32>) -> u64 {
        let many: Vec<(u64, u32)> = counts
            .iter()
            .filter(|(_, n)| **n > 2)
            .map(|(b, n)| (*b, *n))
            .collect();
        let keys: Vec<u64> = many.iter().map(|(block, _)| *block).collect();
        let values: Vec<[u8; 4]> = many.iter().map(|(_, count)| count.to_le_bytes()).collect();
        self.tree(&keys, &values)
    }

    /// Writes bitmap `index` at `block`; returns its index entry.
    fn bitmap(
        &mut self,
        block: u64,
        index: u64,
        size: u64,
        counts: &BTreeMap<u64, u32>,
    ) -> [u8; 16] {
        let mut bytes = vec![0; BLOCK];
        let begin = index * PER_BITMAP;
        let mut used = 0;
        let mut first_free = 0;
        for (number, count) in counts.range(begin..begin + PER_BITMAP) {
            let entry = number - begin;
            let (byte, shift) = (
                usize::try_from(entry / 4).expect("below 4080"),
                entry % 4 * 2,
            );
            // The lower-numbered bit holds the high-order bit of the count.
            let bits: u8 = match count {
                0 => 0,
                1 => 0b10,
                2 => 0b01,
                _ => 0b11,
            };
            bytes[16 + byte] |= bits << shift;
            used += 1;
            if entry == first_free {
                first_free += 1;
            }
        }
        self.put(block, BlockType::Bitmap, bytes);
        let free = (size - begin).min(PER_BITMAP) - used;
        let mut entry = [0; 16];
        entry[..8].copy_from_slice(&block.to_le_bytes());
        entry[8..12].copy_from_slice(&u32::try_from(free).expect("at most 16320").to_le_bytes());
        entry[12..].copy_from_slice(
            &u32::try_from(first_free)
                .expect("at most 16320")
                .to_le_bytes(),
        );
        entry
    }

    fn superblock(
        &self,
        roots: (u64, u64),
        time: u32,
        held: Option<u64>,
        space_maps: [[u64; 4]; 2],
    ) -> Vec<u8> {
        let mut bytes = vec![0; BLOCK];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(4, &u32::from(self.options.needs_check).to_le_bytes());
        put(32, &27_022_010_u64.to_le_bytes());
        put(40, &2_u32.to_le_bytes());
        put(44, &time.to_le_bytes());
        put(48, &self.pool.transaction.to_le_bytes());
        put(56, &held.unwrap_or(0).to_le_bytes());
        for (at, root) in [64, 192].into_iter().zip(space_maps) {
            for (index, field) in root.into_iter().enumerate() {
                put(at + 8 * index, &field.to_le_bytes());
            }
        }
        put(320, &roots.0.to_le_bytes());
        put(328, &roots.1.to_le_bytes());
        put(336, &self.options.data_block_sectors.to_le_bytes());
        put(340, &8_u32.to_le_bytes());
        put(344, &self.options.metadata_blocks_at_format.to_le_bytes());
        bytes
    }

    #[track_caller]
    fn allocate(&mut self) -> u64 {
        let block = self.next;
        assert!(
            block < self.options.metadata_blocks,
            "the model needs a larger metadata device"
        );
        self.next += 1;
        self.counts.insert(block, 1);
        block
    }

    #[track_caller]
    fn put(&mut self, block: u64, kind: BlockType, mut bytes: Vec<u8>) {
        bytes[8..16].copy_from_slice(&block.to_le_bytes());
        seal(&mut bytes, kind);
        let at = usize::try_from(block).expect("a test image is small") * BLOCK;
        assert!(
            at < self.bytes.len(),
            "the model needs a larger metadata device"
        );
        self.bytes[at..at + BLOCK].copy_from_slice(&bytes);
    }
}

/// Writes the checksum that a block of type `kind` should have.
pub(super) fn seal(block: &mut [u8], kind: BlockType) {
    let checksum = crc32c(&block[4..]) ^ kind.salt();
    block[..4].copy_from_slice(&checksum.to_le_bytes());
}

fn details(device: &DeviceModel) -> [u8; 24] {
    let mut value = [0; 24];
    value[..8].copy_from_slice(&(device.map().len() as u64).to_le_bytes());
    value[8..16].copy_from_slice(&device.transaction.to_le_bytes());
    value[16..20].copy_from_slice(&device.creation_time.to_le_bytes());
    value[20..].copy_from_slice(&device.snapshotted_time.to_le_bytes());
    value
}

fn node_bytes<const N: usize>(leaf: bool, max: usize, keys: &[u64], values: &[[u8; N]]) -> Vec<u8> {
    let number = |n: usize| u32::try_from(n).expect("a node is small").to_le_bytes();
    let mut bytes = vec![0; BLOCK];
    bytes[4..8].copy_from_slice(&number(if leaf { 2 } else { 1 }));
    bytes[16..20].copy_from_slice(&number(keys.len()));
    bytes[20..24].copy_from_slice(&number(max));
    bytes[24..28].copy_from_slice(&number(N));
    for (index, (key, value)) in keys.iter().zip(values).enumerate() {
        bytes[32 + 8 * index..][..8].copy_from_slice(&key.to_le_bytes());
        bytes[32 + 8 * max + N * index..][..N].copy_from_slice(value);
    }
    bytes
}
