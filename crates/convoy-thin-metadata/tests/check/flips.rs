//! Every flipped bit of a block in use is found.

use super::*;
use convoy_testkit::thin::Space;
use convoy_thin_metadata::BLOCK_SIZE;

/// An image with one bit turned over.
struct Flipped<'a> {
    image: &'a [Block],
    block: usize,
    bit: usize,
}

impl BlockSource for Flipped<'_> {
    fn nr_blocks(&self) -> u64 {
        self.image.len() as u64
    }

    fn read(&self, block: MetadataBlock, into: &mut Block) -> io::Result<()> {
        let at = usize::try_from(block.0).unwrap();
        *into = *self.image.get(at).ok_or(io::ErrorKind::UnexpectedEof)?;
        if at == self.block {
            into[self.bit / 8] ^= 1 << (self.bit % 8);
        }
        Ok(())
    }
}

fn blocks(bytes: &[u8]) -> Vec<Block> {
    let (blocks, rest) = bytes.as_chunks::<BLOCK_SIZE>();
    assert!(rest.is_empty());
    blocks.to_vec()
}

/// Flips every `step`-th bit of each block that `used` names; returns how many were flipped.
fn flip(image: &[Block], used: impl Fn(u64) -> bool, step: usize) -> u64 {
    let mut flips = 0;
    for block in (0..image.len()).filter(|block| used(*block as u64)) {
        for bit in (block % step..8 * BLOCK_SIZE).step_by(step) {
            let source = Flipped { image, block, bit };
            let found = match check(&source, &CheckOptions::default()) {
                Ok(report) => !report.is_clean(),
                Err(_) => true,
            };
            assert!(found, "bit {bit} of block {block} passed");
            flips += 1;
        }
    }
    flips
}

/// The smallest pool that has every kind of block: all bits of all blocks.
#[test]
fn every_bit_of_a_small_pool() {
    let mut pool = PoolModel::new(64, 252);
    pool.create_thin(1);
    pool.write(1, 5);
    pool.create_snap(2, 1);
    pool.reserve();
    pool.write(2, 5);
    let small = pool.image(ImageOptions {
        metadata_blocks: 16,
        ..ImageOptions::default()
    });
    let used = |block: u64| small.count(Space::Metadata, block) > 0;
    let started = std::time::Instant::now();
    let flips = flip(&blocks(&small.bytes), used, 1);
    println!("{flips} flips in {:?}", started.elapsed());
    assert_eq!(flips, 14 * 32_768);
}

/// A sample of the bits of larger pools; `CONVOY_FLIPS=all` takes all, which is minutes.
fn step() -> usize {
    let all = std::env::var("CONVOY_FLIPS").is_ok_and(|value| value == "all");
    if all { 1 } else { 509 }
}

#[test]
fn bits_of_a_tall_tree() {
    let image = image();
    let used = |block: u64| image.count(Space::Metadata, block) > 0;
    let flips = flip(&blocks(&image.bytes), used, step());
    println!("{flips} flips");
}

#[test]
fn bits_of_kernel_made_metadata() {
    let kernel = Image {
        bytes: KERNEL.to_vec(),
        ..image()
    };
    let used = |block: u64| kernel.count(Space::Metadata, block) > 0;
    let flips = flip(&blocks(KERNEL), used, step());
    println!("{flips} flips");
}
