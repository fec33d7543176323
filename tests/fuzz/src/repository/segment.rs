//! An index segment, with counts and fan-out made right.

use super::REPOSITORY;
use crate::Target;
use crate::input::Input;
use convoy_repository::format::{Head, Record, decode_segment};

/// The target.
pub const TARGET: Target = Target {
    name: "segment",
    about: "an index segment",
    run,
    seeds,
    words: &["CNVYINDX"],
    max_len: 1500,
    weight: 2,
};

const HEADER: usize = 64;
const PACK: usize = 44;
const RECORD: usize = 44;

/// First byte: bit 0 leaves the counts as they are, bit 1 the order of the records, bit 2 the repository. Second:
/// how many packs. Then header, packs and records; the fan-out between them is computed.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let bytes = segment(input.u8(), usize::from(input.u8() % 8), input.rest());
    if let Ok((head, records)) = decode_segment(REPOSITORY, &bytes) {
        assert_eq!(
            written(&bytes, &head, &records),
            bytes,
            "there is one text of a segment"
        );
        for record in &records {
            let pack = &head.packs[record.pack as usize];
            let end = u64::from(record.offset) + 64 + u64::from(record.stored);
            assert!(record.offset >= 64 && end <= u64::from(pack.length));
        }
    }
}

fn segment(how: u8, packs: usize, body: &[u8]) -> Vec<u8> {
    let mut header = [0; HEADER];
    let (head, rest) = body.split_at(body.len().min(HEADER));
    header[..head.len()].copy_from_slice(head);
    let (packs, rest) = rest.split_at(rest.len().min(packs * PACK));
    let (records, odd) = rest.as_chunks::<RECORD>();
    let mut records = records.to_vec();
    if how & 1 == 0 {
        header[12..16].copy_from_slice(&length(packs.len() / PACK));
        header[16..20].copy_from_slice(&length(records.len()));
    }
    if how & 2 == 0 {
        records.sort_unstable();
    }
    if how & 4 == 0 {
        header[32..48].copy_from_slice(REPOSITORY.as_bytes());
    }
    let firsts: Vec<u8> = records.iter().map(|record| record[0]).collect();
    [&header, packs, &fanout(&firsts), &records.concat(), odd].concat()
}

fn length(n: usize) -> [u8; 4] {
    u32::try_from(n).expect("a short input").to_le_bytes()
}

/// How many ids begin with at most 0, 1 … 255.
fn fanout(firsts: &[u8]) -> Vec<u8> {
    (0..=255)
        .flat_map(|first| length(firsts.iter().filter(|found| **found <= first).count()))
        .collect()
}

/// The segment as the format has it, with only the session taken from `bytes`.
fn written(bytes: &[u8], head: &Head, records: &[Record]) -> Vec<u8> {
    let mut written = b"CNVYINDX\x01\0\0\0".to_vec();
    written.extend(length(head.packs.len()));
    written.extend(length(records.len()));
    written.extend([0; 12]);
    written.extend(REPOSITORY.as_bytes());
    assert_eq!(head.session.0, bytes[48..64]);
    written.extend(head.session.0);
    for pack in &head.packs {
        written.extend(pack.name.session.0);
        written.extend(pack.name.seq.to_le_bytes());
        written.extend(pack.length.to_le_bytes());
        written.extend(u32::from(pack.content.code()).to_le_bytes());
        written.extend(pack.name.hash.0);
    }
    let firsts: Vec<u8> = records.iter().map(|record| record.id.0[0]).collect();
    written.extend(fanout(&firsts));
    for record in records {
        written.extend(record.id.0);
        written.extend(record.pack.to_le_bytes());
        written.extend(record.offset.to_le_bytes());
        written.extend(record.stored.to_le_bytes());
    }
    written
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = shapes();
    // A record that begins in its pack's header, and one that ends in its table.
    let first = HEADER + 2 + PACK;
    for (at, value) in [(first + 36, 63), (first + 42, 16)] {
        let mut near = seeds[1].clone();
        near[at] = value;
        seeds.push(near);
    }
    seeds
}

fn shapes() -> Vec<Vec<u8>> {
    [(0, 0), (1, 1), (1, 3), (3, 8)]
        .map(|(packs, records)| {
            let mut seed = vec![0, packs];
            seed.extend(b"CNVYINDX\x01\0\0\0");
            seed.extend([0; 36]);
            seed.extend([5; 16]);
            for pack in 0..packs {
                seed.extend([5; 16]);
                seed.extend(u32::from(pack).to_le_bytes());
                seed.extend((1_u32 << 20).to_le_bytes());
                seed.extend(u32::from(pack % 2).to_le_bytes());
                seed.extend([6; 16]);
            }
            for record in 0..records {
                seed.extend([record * 31; 32]);
                seed.extend(u32::from(record % packs.max(1)).to_le_bytes());
                seed.extend((64 + 100 * u32::from(record)).to_le_bytes());
                seed.extend(9_u32.to_le_bytes());
            }
            seed
        })
        .to_vec()
}
