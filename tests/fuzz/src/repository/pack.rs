//! A pack's table and end, under a valid hash.

use super::{REPOSITORY, overwrite};
use crate::Target;
use crate::input::Input;
use convoy_repository::format::pack_contents;

/// The target.
pub const TARGET: Target = Target {
    name: "pack",
    about: "the table of a pack",
    run,
    seeds,
    words: &["CNVYPACK", "CNVYPEND", "CVBL"],
    max_len: 1500,
    weight: 2,
};

const HEADER: usize = 64;
const ROW: usize = 64;
const END: usize = 64;

/// First byte: bit 0 leaves the hash as it is, bit 1 the length, bit 2 the repository. Then the pack.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let how = input.u8();
    let mut bytes = input.rest().to_vec();
    let length = bytes.len();
    if length >= HEADER + END {
        if how & 4 == 0 {
            overwrite(&mut bytes, 16, REPOSITORY.as_bytes());
        }
        if how & 2 == 0 {
            overwrite(
                &mut bytes,
                length - END + 16,
                &(length as u64).to_le_bytes(),
            );
        }
        if how & 1 == 0
            && let Some(hash) = hash(&bytes)
        {
            overwrite(&mut bytes, length - 32, &hash);
        }
    }
    let Ok((content, placed)) = pack_contents(REPOSITORY, &bytes) else {
        return;
    };
    assert_eq!(
        hash(&bytes).as_ref().map(|hash| &hash[..]),
        Some(&bytes[length - 32..])
    );
    assert_eq!(content.code(), bytes[10]);
    // Blobs lie one after the other, fill the pack, and are those of the table.
    let table = length - END - ROW * placed.len();
    let mut at = HEADER;
    for (index, blob) in placed.iter().enumerate() {
        assert_eq!(blob.offset as usize, at);
        let row = &bytes[table + ROW * index..][..ROW];
        assert_eq!(blob.id.0, row[32..]);
        assert_eq!(blob.stored.to_le_bytes(), row[12..16]);
        at += ROW + blob.stored as usize;
    }
    assert_eq!(at, table);
}

/// Of the header and of as many rows as the end counts; nothing if they do not fit.
fn hash(bytes: &[u8]) -> Option<[u8; 32]> {
    let end = bytes.len().checked_sub(END)?;
    let count = u32::from_le_bytes(*bytes[end + 8..].first_chunk()?);
    let table = end
        .checked_sub(ROW * count as usize)
        .filter(|at| *at >= HEADER)?;
    let mut hasher = blake3::Hasher::new();
    hasher.update(&bytes[..HEADER]).update(&bytes[table..end]);
    Some(*hasher.finalize().as_bytes())
}

fn seeds() -> Vec<Vec<u8>> {
    [&[][..], &[5], &[0, 9], &[1, 2, 3, 4]].map(pack).to_vec()
}

/// A pack of blobs of these lengths.
fn pack(stored: &[u8]) -> Vec<u8> {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(b"CNVYPACK");
    header[8] = 1;
    header[16..32].copy_from_slice(REPOSITORY.as_bytes());
    let mut bytes = [&[0][..], &header].concat();
    let mut table = Vec::new();
    for (number, length) in (0..).zip(stored) {
        let mut row = [0; ROW];
        row[..4].copy_from_slice(b"CVBL");
        row[4] = 1;
        row[8] = *length;
        row[12] = *length;
        row[20] = number;
        row[32..].fill(number);
        bytes.extend(row);
        bytes.extend(vec![number; usize::from(*length)]);
        table.extend(row);
    }
    bytes.extend(&table);
    let mut end = [0; END];
    end[..8].copy_from_slice(b"CNVYPEND");
    end[8] = u8::try_from(stored.len()).expect("few");
    bytes.extend(end);
    bytes
}
