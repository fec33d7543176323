//! One node of any tree is anything, under a valid checksum.

use super::difference::{check_pair, id};
use super::image::{Changed, NODE, base, bases, peek, peek_u32, seal};
use super::{details, tell};
use crate::Target;
use crate::input::Input;
use convoy_thin_metadata::{BLOCK_SIZE, Block, View};

/// The target.
pub const TARGET: Target = Target {
    name: "node",
    about: "one node of the device, details or mapping trees",
    run,
    seeds,
    words: &[],
    max_len: 1024,
    weight: 3,
};

/// First byte: the base. Second: which node, and bit 7 leaves the checksum as it is. Then flags, entries, room and
/// value size, one byte each with a byte that goes to the top of each; then keys and values, zeros after.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let base = base(input.u8());
    let place = input.u8();
    let mut source = Changed::new(base);
    let number = find(&source, place % 5);
    source.put(number, &node(number, place & 0x80 == 0, input));
    let view = match View::live(&source) {
        Ok(view) => view,
        Err(error) => return tell(&error),
    };
    details::check(&source, &view);
    for (left, right) in [(None, id(1)), (Some(id(1)), id(2)), (Some(id(2)), id(1))] {
        check_pair(&source, &view, left, right);
    }
}

/// Device tree, details tree, first and second device's mapping tree, a child of the latter.
fn find(source: &Changed, place: u8) -> u64 {
    let base = source.base;
    let root = |index: usize| {
        let devices = base.block(base.field(320));
        let room = peek_u32(devices, 20) as usize;
        peek(devices, 32 + 8 * room + 8 * index)
    };
    match place {
        0 => base.field(320),
        1 => base.field(328),
        2 => root(0),
        3 => root(1),
        _ => {
            let block = base.block(root(1));
            let internal = peek_u32(block, 4) == 1;
            let child = peek(block, 32 + 8 * peek_u32(block, 20) as usize);
            if internal { child } else { root(1) }
        }
    }
}

fn node(number: u64, sealed: bool, mut input: Input<'_>) -> Block {
    let mut block: Block = [0; BLOCK_SIZE];
    for at in [4, 16, 20, 24] {
        block[at] = input.u8();
        block[at + 3] = input.u8();
    }
    block[8..16].copy_from_slice(&number.to_le_bytes());
    let rest = input.rest();
    let length = rest.len().min(BLOCK_SIZE - 32);
    block[32..32 + length].copy_from_slice(&rest[..length]);
    if sealed {
        seal(&mut block, NODE);
    }
    block
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for choice in 0..bases() {
        for place in 0..5 {
            let source = Changed::new(base(choice));
            let block = source.block(find(&source, place));
            let room = peek_u32(block, 20) as usize;
            let value = peek_u32(block, 24) as usize;
            let used = (32 + room * (8 + value)).min(600);
            let mut seed = vec![choice, place];
            for at in [4, 16, 20, 24] {
                seed.extend([block[at], block[at + 3]]);
            }
            seed.extend_from_slice(&block[32..used]);
            seeds.push(seed);
        }
    }
    seeds
}
