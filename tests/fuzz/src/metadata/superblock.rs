//! Block 0 is anything: what is taken for a superblock says what its bytes say.

use super::image::{Changed, SUPERBLOCK, base, bases, peek, peek_u32, seal};
use super::{details, tell};
use crate::Target;
use crate::input::Input;
use convoy_thin_metadata::{BLOCK_SIZE, Block, Superblock, SuperblockState, View, read_superblock};
use convoy_units::MetadataBlock;

/// The target.
pub const TARGET: Target = Target {
    name: "superblock",
    about: "block 0, and the copy that a metadata snapshot is",
    run,
    seeds,
    words: &[],
    max_len: 512,
    weight: 2,
};

/// First byte: the base. Second: bit 0 leaves the checksum as it is, bit 1 puts the bytes where the held copy
/// lies. The rest replaces the block from byte 0 on; zeros follow.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let base = base(input.u8());
    let how = input.u8();
    let mut source = Changed::new(base);
    let held = base.field(56);
    let at = if how & 2 != 0 { held } else { 0 };
    let mut block: Block = [0; BLOCK_SIZE];
    let rest = input.rest();
    let length = rest.len().min(BLOCK_SIZE);
    block[..length].copy_from_slice(&rest[..length]);
    if how & 1 == 0 {
        seal(&mut block, SUPERBLOCK);
    }
    source.put(at, &block);
    match read_superblock(&source) {
        Ok(SuperblockState::Zeroed) => assert_eq!(source.block(0), &[0; BLOCK_SIZE]),
        Ok(SuperblockState::Valid(superblock)) => check(source.block(0), 0, &superblock),
        Err(error) => tell(&error),
    }
    match View::live(&source) {
        Ok(view) => details::check(&source, &view),
        Err(error) => tell(&error),
    }
    let root = peek(source.block(0), 56);
    match View::held(&source, MetadataBlock(root)) {
        Ok(view) => {
            check(source.block(root), root, view.superblock());
            details::check(&source, &view);
        }
        Err(error) => tell(&error),
    }
}

/// Field by field, as the format has them.
fn check(block: &Block, number: u64, found: &Superblock) {
    let some = |n: u64| (n != 0).then_some(n);
    assert_eq!((peek(block, 32), peek_u32(block, 40)), (27_022_010, 2));
    assert_eq!((peek(block, 8), peek_u32(block, 360)), (number, 0));
    assert_eq!(found.uuid, block[16..32]);
    assert_eq!(found.time, peek_u32(block, 44));
    assert_eq!(found.transaction.0, peek(block, 48));
    assert_eq!(found.held_root, some(peek(block, 56)).map(MetadataBlock));
    assert_eq!(found.nr_data_blocks, some(peek(block, 64)));
    assert_eq!(found.nr_metadata_blocks, some(peek(block, 192)));
    assert_eq!(found.mapping_root.0, peek(block, 320));
    assert_eq!(found.details_root.0, peek(block, 328));
    assert_eq!(
        found.data_block_size.sectors().0,
        u64::from(peek_u32(block, 336))
    );
    assert_eq!(found.needs_check, peek_u32(block, 4) & 1 == 1);
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for choice in 0..bases() {
        let base = base(choice);
        seeds.push([&[choice, 0], &base.block(0)[..368]].concat());
        let held = base.field(56);
        if held != 0 {
            seeds.push([&[choice, 2], &base.block(held)[..368]].concat());
        }
    }
    // Just beside what is accepted: versions, flags, sizes of data and metadata blocks.
    for (at, value) in [(40, 1), (40, 3), (360, 1), (336, 127), (340, 16)] {
        let mut near = base(0).block(0)[..368].to_vec();
        near[at] = value;
        seeds.push([&[0, 0], &near[..]].concat());
    }
    seeds.push(vec![0, 1]);
    seeds.push([&[0, 1], &b"\x00\x00\x00\x00XFSB".repeat(20)[..]].concat());
    seeds
}
