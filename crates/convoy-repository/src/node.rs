//! Tree nodes: 1024 slots with runs of empty ones left out; one encoding per content (format §8).

use crate::id::BlobId;
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Slots of a node.
pub(crate) const FANOUT: usize = 1024;
/// The greatest level: 1024^6 chunks are more than any volume has.
pub(crate) const MAX_LEVEL: u8 = 5;
/// The longest encoding of a node: header, 512 runs, 1024 ids.
pub(crate) const MAX_NODE: usize = 16 + 512 * 4 + FANOUT * 32;

/// The slots of one node; `None` is a hole throughout.
pub type Slots = Vec<Option<BlobId>>;

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Header {
    magic: [u8; 8],
    version: u8,
    level: u8,
    runs: U16,
    ids: U32,
}

/// The bytes of a node, `None` if no slot is used. `slots` has at most 1024.
pub fn encode(level: u8, slots: &[Option<BlobId>]) -> Option<Vec<u8>> {
    let mut runs: Vec<[u16; 2]> = Vec::new();
    let mut ids: Vec<u8> = Vec::new();
    let mut empty = 0;
    for slot in slots {
        match (slot, runs.last_mut()) {
            (None, _) => empty += 1,
            (Some(_), Some(run)) if empty == 0 => run[1] += 1,
            (Some(_), _) => {
                runs.push([empty, 1]);
                empty = 0;
            }
        }
        ids.extend(slot.iter().flat_map(|id| id.0));
    }
    if runs.is_empty() {
        return None;
    }
    let header = Header {
        magic: *b"CNVYNODE",
        version: 1,
        level,
        runs: U16::new(u16::try_from(runs.len()).expect("at most 512")),
        ids: U32::new(u32::try_from(ids.len() / 32).expect("at most 1024")),
    };
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend(runs.iter().flatten().flat_map(|count| count.to_le_bytes()));
    bytes.extend(ids);
    Some(bytes)
}

/// The 1024 slots of a node of this level; `Err` names the broken rule.
pub fn decode(level: u8, bytes: &[u8]) -> Result<Slots, String> {
    let (header, rest) =
        Header::read_from_prefix(bytes).map_err(|_| "it is shorter than a node")?;
    if header.magic != *b"CNVYNODE" || header.version != 1 {
        return Err("it does not begin like a node of a known version".to_owned());
    }
    if header.level != level {
        return Err(format!("it is of level {}, not {level}", header.level));
    }
    let (runs, ids) = rest
        .split_at_checked(usize::from(header.runs.get()) * 4)
        .ok_or("it ends within its runs")?;
    let (ids, odd) = ids.as_chunks::<32>();
    if !odd.is_empty() || header.ids.get() as usize != ids.len() {
        return Err("it does not have as many ids as it says".to_owned());
    }
    let slots = unroll(runs, ids)?;
    if encode(level, &slots).as_deref() == Some(bytes) {
        Ok(slots)
    } else {
        Err("it is not in the one valid encoding".to_owned())
    }
}

fn unroll(runs: &[u8], ids: &[[u8; 32]]) -> Result<Slots, String> {
    let mut slots: Slots = Vec::with_capacity(FANOUT);
    let mut ids = ids.iter();
    for [a, b, c, d] in runs.as_chunks::<4>().0 {
        let empty = usize::from(u16::from_le_bytes([*a, *b]));
        let used = usize::from(u16::from_le_bytes([*c, *d]));
        if slots.len() + empty + used > FANOUT {
            return Err("its runs are longer than a node".to_owned());
        }
        slots.resize(slots.len() + empty, None);
        slots.extend(ids.by_ref().take(used).map(|id| Some(BlobId(*id))));
    }
    slots.resize(FANOUT, None);
    Ok(slots)
}

/// The level of the root of a tree over this many chunks.
pub fn root_level(chunks: u64) -> u8 {
    (0..MAX_LEVEL)
        .find(|level| span(level + 1) >= u128::from(chunks))
        .unwrap_or(MAX_LEVEL)
}

/// Chunks under one slot of a node of this level; of `level + 1`, chunks under the node itself.
pub(crate) fn span(level: u8) -> u128 {
    1 << (10 * u32::from(level))
}

#[cfg(test)]
mod tests {
    //! One encoding per content.

    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn there_and_back(used in prop::collection::vec(prop::option::weighted(0.6, 1u8..), 1..FANOUT)) {
            let mut slots: Slots = used.iter().map(|id| id.map(|byte| BlobId([byte; 32]))).collect();
            let bytes = encode(3, &slots);
            slots.resize(FANOUT, None);
            match bytes {
                None => prop_assert!(slots.iter().all(Option::is_none)),
                Some(bytes) => {
                    prop_assert!(bytes.len() <= MAX_NODE);
                    prop_assert_eq!(decode(3, &bytes), Ok(slots));
                    prop_assert!(decode(2, &bytes).is_err());
                }
            }
        }

        #[test]
        fn noise_is_refused(noise in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = b"CNVYNODE\x01\x00".to_vec();
            bytes.extend(noise);
            // Never a panic, and what is accepted is canonical.
            if let Ok(slots) = decode(0, &bytes) {
                prop_assert_eq!(encode(0, &slots), Some(bytes));
            }
        }
    }

    #[test]
    fn levels() {
        for (chunks, level) in [
            (1, 0),
            (1024, 0),
            (1025, 1),
            (1 << 20, 1),
            ((1 << 20) + 1, 2),
            (u64::MAX >> 12, 5),
        ] {
            assert_eq!(root_level(chunks), level, "{chunks}");
        }
    }
}
