//! Large images, streamed to a file: a device and a snapshot of it of which some blocks were overwritten.
//!
//! [`PoolModel`](super::PoolModel) keeps every mapping in memory; here only block numbers of nodes are kept, so
//! that tens of millions of mappings take seconds and a few MiB. The second tree shares with the first what the
//! kernel's copy-on-write would let it share: a leaf is copied if one of its blocks was overwritten, an internal
//! node if one of its children was copied. Space maps are complete.

use super::image::seal;
use super::{BLOCK, BlockType};
use std::io::{self, Seek, SeekFrom, Write};
use std::ops::Range;

/// Entries of a bitmap block.
const PER_BITMAP: u64 = 16_320;
/// Entries that a node with 8-byte values has room for.
const ROOM: usize = 252;
/// Data block size in sectors.
const DATA_BLOCK_SECTORS: u32 = 128;

/// Where the overwritten blocks lie. Evenly spread, so that equal options are equal images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    /// Single blocks.
    Scattered,
    /// Runs of this many blocks.
    Clustered(u64),
}

/// What to write.
#[derive(Debug, Clone, Copy)]
pub struct LargeOptions {
    /// Mappings of each device: thin blocks 0 and up, to data blocks in the same order.
    pub mappings: u64,
    /// One in so many blocks was overwritten after the snapshot; 0 for none.
    pub one_in: u64,
    /// Where those lie.
    pub spread: Spread,
    /// Entries in each node of the mapping trees, 2 to 252: fewer as a tree grew by splitting.
    pub entries: usize,
}

/// What was written. Device 1 is the snapshot, device 2 its origin with the overwritten blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LargeImage {
    /// Size of the metadata device in blocks.
    pub metadata_blocks: u64,
    /// How many blocks differ.
    pub changed: u64,
    /// Nodes that only one of the two mapping trees has.
    pub nodes_apart: u64,
    /// Nodes that both have.
    pub nodes_common: u64,
}

impl LargeOptions {
    /// How far apart the overwritten runs begin, and how long they are.
    fn period(self) -> (u64, u64) {
        match self.spread {
            Spread::Scattered => (self.one_in, 1),
            Spread::Clustered(run) => (self.one_in * run, run),
        }
    }

    fn is_changed(self, thin: u64) -> bool {
        // In the middle of its period, so that neither end of the device is special.
        let (period, run) = self.period();
        period > 0 && (thin % period).wrapping_sub(period / 2) < run
    }

    /// How many blocks below `thin` are changed.
    fn changed_below(self, thin: u64) -> u64 {
        let (period, run) = self.period();
        if period == 0 {
            return 0;
        }
        thin / period * run + (thin % period).saturating_sub(period / 2).min(run)
    }

    fn leaves(self) -> u64 {
        self.mappings.div_ceil(self.entries as u64)
    }

    /// First thin block of a leaf.
    fn leaf_begin(self, leaf: u64) -> u64 {
        self.mappings * leaf / self.leaves()
    }

    /// Whether the second tree has a copy of the leaf that `thin` is in.
    fn is_copied(self, thin: u64) -> bool {
        let leaf = ((thin + 1) * self.leaves() - 1) / self.mappings;
        let (begin, end) = (self.leaf_begin(leaf), self.leaf_begin(leaf + 1));
        debug_assert!((begin..end).contains(&thin), "leaf {leaf} of block {thin}");
        self.changed_below(begin) < self.changed_below(end)
    }

    fn data_blocks(self) -> u64 {
        self.mappings + self.changed_below(self.mappings)
    }
}

/// Writes the image to `file`, which should be empty, from its beginning.
pub fn write<W: Write + Seek>(file: W, options: LargeOptions) -> io::Result<LargeImage> {
    assert!((2..=ROOM).contains(&options.entries), "2 to 252 entries");
    assert!(options.mappings > 0, "an empty device needs no large image");
    let mut out = Out {
        file,
        counts: vec![1],
    };
    out.put_next(BlockType::Superblock, vec![0; BLOCK])?;
    let levels = base(&mut out, options)?;
    let nodes: u64 = levels.iter().map(|level| level.len() as u64).sum();
    let (top, copied) = snapshot(&mut out, options, &levels)?;
    let roots = [root_of(&levels), top];
    if roots[0] == roots[1] {
        out.counts[usize_of(top)] += 1;
    }
    let (metadata_blocks, superblock) = pool(&mut out, options, roots)?;
    out.put_at(0, BlockType::Superblock, superblock)?;
    out.file.flush()?;
    Ok(LargeImage {
        metadata_blocks,
        changed: options.changed_below(options.mappings),
        nodes_apart: 2 * copied,
        nodes_common: nodes - copied,
    })
}

/// Blocks written one after the other, and how many parents each has.
struct Out<W> {
    file: W,
    counts: Vec<u8>,
}

impl<W: Write + Seek> Out<W> {
    fn next(&self) -> u64 {
        self.counts.len() as u64
    }

    fn put_next(&mut self, kind: BlockType, bytes: Vec<u8>) -> io::Result<u64> {
        let block = if self.counts.len() == 1 && kind == BlockType::Superblock {
            0
        } else {
            self.counts.push(1);
            self.next() - 1
        };
        self.write(block, kind, bytes)?;
        Ok(block)
    }

    fn put_at(&mut self, block: u64, kind: BlockType, bytes: Vec<u8>) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(block * BLOCK as u64))?;
        self.write(block, kind, bytes)
    }

    fn write(&mut self, block: u64, kind: BlockType, mut bytes: Vec<u8>) -> io::Result<()> {
        bytes[8..16].copy_from_slice(&block.to_le_bytes());
        seal(&mut bytes, kind);
        self.file.write_all(&bytes)
    }
}

/// A node as its parent knows it: first key and block.
type Child = (u64, u64);

/// The first device's tree, by level, leaves first. Entries are spread evenly, so that no node is nearly empty.
fn base<W: Write + Seek>(out: &mut Out<W>, options: LargeOptions) -> io::Result<Vec<Vec<Child>>> {
    let leaves = options.leaves();
    let mut level = Vec::new();
    for leaf in 0..leaves {
        let block = out.put_next(BlockType::Node, leaf_bytes(options, leaf, false))?;
        level.push((options.leaf_begin(leaf), block));
    }
    let mut levels = vec![level];
    while let Some(below) = levels.last().filter(|level| level.len() > 1) {
        let count = below.len().div_ceil(options.entries);
        let mut level = Vec::new();
        for index in 0..count {
            let children = &below[part(below.len(), count, index)];
            level.push((
                children[0].0,
                out.put_next(BlockType::Node, internal(children))?,
            ));
        }
        levels.push(level);
    }
    Ok(levels)
}

/// Part `index` of `parts` nearly equal ones of `whole`.
fn part(whole: usize, parts: usize, index: usize) -> Range<usize> {
    whole * index / parts..whole * (index + 1) / parts
}

/// The second device's tree: its root, and how many nodes are its own.
fn snapshot<W: Write + Seek>(
    out: &mut Out<W>,
    options: LargeOptions,
    levels: &[Vec<Child>],
) -> io::Result<(u64, u64)> {
    let mut copied = 0;
    let mut below: (&[Child], Vec<Child>) = (&[], Vec::new());
    for (height, level) in levels.iter().enumerate() {
        let mut mine = Vec::new();
        for (index, (first, block)) in level.iter().copied().enumerate() {
            let end = level.get(index + 1).map_or(options.mappings, |next| next.0);
            if options.changed_below(first) == options.changed_below(end) {
                mine.push((first, block));
                continue;
            }
            copied += 1;
            let bytes = if height == 0 {
                leaf_bytes(options, index as u64, true)
            } else {
                let children = part(below.0.len(), level.len(), index);
                share(out, &below.0[children.clone()], &below.1[children.clone()]);
                internal(&below.1[children])
            };
            mine.push((first, out.put_next(BlockType::Node, bytes)?));
        }
        below = (level, mine);
    }
    Ok((below.1[0].1, copied))
}

/// Children that a copied node has in common with the original have one parent more.
fn share<W>(out: &mut Out<W>, originals: &[Child], children: &[Child]) {
    for (child, _) in children.iter().zip(originals).filter(|(a, b)| a == b) {
        out.counts[usize_of(child.1)] += 1;
    }
}

fn leaf_bytes(options: LargeOptions, leaf: u64, second: bool) -> Vec<u8> {
    let value = |thin: u64| {
        if second && options.is_changed(thin) {
            let data = options.mappings + options.changed_below(thin);
            (data << 24 | 1).to_le_bytes()
        } else {
            (thin << 24).to_le_bytes()
        }
    };
    let thins = options.leaf_begin(leaf)..options.leaf_begin(leaf + 1);
    let entries: Vec<(u64, [u8; 8])> = thins.map(|thin| (thin, value(thin))).collect();
    node_bytes(true, &entries)
}

fn internal(children: &[Child]) -> Vec<u8> {
    let entries: Vec<(u64, [u8; 8])> = children
        .iter()
        .map(|(first, block)| (*first, block.to_le_bytes()))
        .collect();
    node_bytes(false, &entries)
}

fn node_bytes<const N: usize>(leaf: bool, entries: &[(u64, [u8; N])]) -> Vec<u8> {
    let room = (BLOCK - 32) / (8 + N) / 3 * 3;
    let mut bytes = vec![0; BLOCK];
    let fields = [if leaf { 2 } else { 1 }, entries.len(), room, N];
    for (at, field) in [4, 16, 20, 24].into_iter().zip(fields) {
        put_u32(
            &mut bytes,
            at,
            u32::try_from(field).expect("a node is small"),
        );
    }
    for (index, (key, value)) in entries.iter().enumerate() {
        put_u64(&mut bytes, 32 + 8 * index, *key);
        bytes[32 + 8 * room + N * index..][..N].copy_from_slice(value);
    }
    bytes
}

/// Everything but the mapping trees; the device's size and the superblock's bytes.
fn pool<W: Write + Seek>(
    out: &mut Out<W>,
    options: LargeOptions,
    roots: [u64; 2],
) -> io::Result<(u64, Vec<u8>)> {
    let devices = [(1, roots[0].to_le_bytes()), (2, roots[1].to_le_bytes())];
    let devices = out.put_next(BlockType::Node, node_bytes(true, &devices))?;
    let mut details = [0; 24];
    put_u64(&mut details, 0, options.mappings);
    put_u64(&mut details, 8, 1);
    put_u32(&mut details, 20, 1);
    let details = [(1, details), (2, details)];
    let details = out.put_next(BlockType::Node, node_bytes(true, &details))?;
    let data = data_space_map(out, options)?;
    let metadata = metadata_space_map(out)?;
    let mut bytes = vec![0; BLOCK];
    put_u64(&mut bytes, 32, 27_022_010);
    put_u32(&mut bytes, 40, 2);
    put_u32(&mut bytes, 44, 1);
    put_u64(&mut bytes, 48, 1);
    for (at, root) in [(64, data), (192, metadata)] {
        for (index, field) in root.into_iter().enumerate() {
            put_u64(&mut bytes, at + 8 * index, field);
        }
    }
    put_u64(&mut bytes, 320, devices);
    put_u64(&mut bytes, 328, details);
    put_u32(&mut bytes, 336, DATA_BLOCK_SECTORS);
    put_u32(&mut bytes, 340, 8);
    put_u64(&mut bytes, 344, metadata[0]);
    Ok((metadata[0], bytes))
}

/// The data space map; its root's four numbers.
fn data_space_map<W: Write + Seek>(
    out: &mut Out<W>,
    options: LargeOptions,
) -> io::Result<[u64; 4]> {
    let size = options.data_blocks();
    // The number of leaf entries that point at a block, in leaves of either tree.
    let count = |data: u64| {
        let twice = data < options.mappings && options.is_copied(data) && !options.is_changed(data);
        1 + u8::from(twice)
    };
    let mut entries = Vec::new();
    for index in 0..size.div_ceil(PER_BITMAP) {
        let end = ((index + 1) * PER_BITMAP).min(size);
        let block = out.next();
        let (bytes, entry) = bitmap((index * PER_BITMAP..end).map(count), block);
        out.put_next(BlockType::Bitmap, bytes)?;
        entries.push((index, entry));
    }
    let root = index_tree(out, &entries)?;
    let empty = out.put_next(BlockType::Node, node_bytes::<4>(true, &[]))?;
    Ok([size, size, root, empty])
}

fn index_tree<W: Write + Seek>(out: &mut Out<W>, entries: &[(u64, [u8; 16])]) -> io::Result<u64> {
    let mut level: Vec<(u64, [u8; 8])> = Vec::new();
    for leaf in entries.chunks(168) {
        let block = out.put_next(BlockType::Node, node_bytes(true, leaf))?;
        level.push((leaf[0].0, block.to_le_bytes()));
    }
    while level.len() > 1 {
        let mut above = Vec::new();
        for children in level.chunks(ROOM) {
            let block = out.put_next(BlockType::Node, node_bytes(false, children))?;
            above.push((children[0].0, block.to_le_bytes()));
        }
        level = above;
    }
    Ok(u64::from_le_bytes(level[0].1))
}

/// The metadata space map, which counts its own blocks too; its root's four numbers.
fn metadata_space_map<W: Write + Seek>(out: &mut Out<W>) -> io::Result<[u64; 4]> {
    let empty = out.put_next(BlockType::Node, node_bytes::<4>(true, &[]))?;
    let index = out.next();
    let mut bitmaps = 1;
    while (index + 1 + bitmaps) > bitmaps * PER_BITMAP {
        bitmaps += 1;
    }
    // No block is free: a real pool's reserve would only make the image larger.
    let size = index + 1 + bitmaps;
    out.counts.resize(usize_of(size), 1);
    let mut index_bytes = vec![0; BLOCK];
    let mut written = Vec::new();
    for number in 0..bitmaps {
        let (begin, end) = (number * PER_BITMAP, ((number + 1) * PER_BITMAP).min(size));
        let counts = &out.counts[usize_of(begin)..usize_of(end)];
        let (bytes, entry) = bitmap(counts.iter().copied(), index + 1 + number);
        index_bytes[16 + 16 * usize_of(number)..][..16].copy_from_slice(&entry);
        written.push(bytes);
    }
    out.write(index, BlockType::Index, index_bytes)?;
    for (number, bytes) in (index + 1..).zip(written) {
        out.write(number, BlockType::Bitmap, bytes)?;
    }
    Ok([size, size, index, empty])
}

/// A bitmap block of counts 1 and 2, and the index entry for it; all of its blocks are in use.
fn bitmap(counts: impl Iterator<Item = u8>, block: u64) -> (Vec<u8>, [u8; 16]) {
    let mut bytes = vec![0; BLOCK];
    let mut used = 0;
    for (entry, count) in counts.enumerate() {
        // The lower-numbered bit holds the high-order bit of the count.
        let bits = if count == 1 { 0b10 } else { 0b01 };
        bytes[16 + entry / 4] |= bits << (entry % 4 * 2);
        used += 1;
    }
    let mut entry = [0; 16];
    entry[..8].copy_from_slice(&block.to_le_bytes());
    put_u32(&mut entry, 12, used);
    (bytes, entry)
}

fn root_of(levels: &[Vec<Child>]) -> u64 {
    levels.last().expect("a tree has a level")[0].1
}

fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

fn put_u64(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

fn usize_of(block: u64) -> usize {
    usize::try_from(block).expect("an image's blocks can be counted in memory")
}

#[cfg(test)]
mod tests {
    //! What the options say of changes, against counting them one by one.

    use super::*;

    #[test]
    fn changes_are_counted_as_they_lie() {
        for (one_in, spread) in [
            (0, Spread::Scattered),
            (10, Spread::Scattered),
            (1, Spread::Scattered),
            (7, Spread::Clustered(13)),
        ] {
            let options = LargeOptions {
                mappings: 1000,
                one_in,
                spread,
                entries: 6,
            };
            let mut counted = 0;
            for thin in 0..1000 {
                assert_eq!(
                    options.changed_below(thin),
                    counted,
                    "{options:?} at {thin}"
                );
                counted += u64::from(options.is_changed(thin));
            }
            assert!((one_in == 0) == (counted == 0), "{options:?}");
        }
    }
}
