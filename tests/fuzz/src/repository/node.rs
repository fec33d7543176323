//! A tree node: what is taken has one encoding, and this is it.

use super::overwrite;
use crate::Target;
use crate::input::Input;
use convoy_repository::format::{decode_node, encode_node};

/// The target.
pub const TARGET: Target = Target {
    name: "tree-node",
    about: "a node of a backup's tree",
    run,
    seeds,
    words: &["CNVYNODE"],
    max_len: 1000,
    weight: 2,
};

const HEADER: usize = 16;

/// First byte: bit 0 leaves the number of ids as it is. Second: the level expected. Then the node.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let (how, level) = (input.u8(), input.u8());
    let mut bytes = input.rest().to_vec();
    if how & 1 == 0 && bytes.len() >= HEADER {
        let runs = usize::from(u16::from_le_bytes([bytes[10], bytes[11]]));
        let ids = bytes.len().saturating_sub(HEADER + 4 * runs) / 32;
        bytes.truncate(HEADER + 4 * runs + 32 * ids);
        let ids = u32::try_from(ids).expect("a short input");
        overwrite(&mut bytes, 12, &ids.to_le_bytes());
    }
    let Ok(slots) = decode_node(level, &bytes) else {
        return;
    };
    assert_eq!(slots.len(), 1024);
    assert_eq!(encode_node(level, &slots).as_deref(), Some(&bytes[..]));
    assert!(decode_node(level.wrapping_add(1), &bytes).is_err());
    // The ids lie in the order of their slots.
    let used = slots.iter().flatten().flat_map(|id| id.0);
    let ids = slots.iter().flatten().count();
    assert!(used.eq(bytes[bytes.len() - 32 * ids..].iter().copied()));
}

fn seeds() -> Vec<Vec<u8>> {
    let id = |n: u8| Some(convoy_repository::BlobId([n; 32]));
    let shapes = [
        vec![id(1)],
        vec![None, None, id(1), id(2), None, id(3)],
        [vec![None; 1023], vec![id(9)]].concat(),
        (0..8).flat_map(|n| [None, id(n)]).collect(),
    ];
    let node = |(level, slots): (u8, &Vec<Option<convoy_repository::BlobId>>)| {
        [
            vec![0, level],
            encode_node(level, slots).expect("a slot is used"),
        ]
        .concat()
    };
    (0..).zip(&shapes).map(node).collect()
}
