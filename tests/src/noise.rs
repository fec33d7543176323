//! Made-up data: the same for the same seed, compressible or not.

use std::fs::File;
use std::io::Write;
use std::path::Path;

/// How much of a file is made at a time.
const PIECE: usize = 1 << 20;

/// Bytes that no compressor shortens (splitmix64).
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bytes.extend_from_slice(&(z ^ (z >> 31)).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Bytes that compress to about a fifth, as text and logs do: lines of words chosen by the seed.
pub fn prose(seed: u64, len: usize) -> Vec<u8> {
    const WORDS: [&str; 8] = [
        "volume", "snapshot", "backup", "chunk", "pool", "mapping", "block", "restore",
    ];
    let mut bytes = Vec::with_capacity(len + 80);
    for choice in noise(seed, len) {
        if bytes.len() >= len {
            break;
        }
        let word = WORDS
            .get(usize::from(choice % 8))
            .copied()
            .unwrap_or_default();
        bytes.extend_from_slice(word.as_bytes());
        bytes.push(if choice > 240 { b'\n' } else { b' ' });
    }
    bytes.truncate(len);
    bytes
}

/// Writes a file of `len` bytes, durably, with little memory.
///
/// # Panics
///
/// When the file cannot be written.
#[track_caller]
pub fn write_file(path: &Path, seed: u64, len: u64, make: fn(u64, usize) -> Vec<u8>) {
    let mut file = File::create(path).expect("the test's folder can be written");
    let mut left = len;
    for piece in 0.. {
        let now = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE);
        if now == 0 {
            break;
        }
        let bytes = make(seed.wrapping_mul(1 << 20).wrapping_add(piece), now);
        file.write_all(&bytes)
            .expect("the test's disk has the space");
        left -= now as u64;
    }
    file.sync_all().expect("the test's disk works");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_bytes_of_the_length_asked() {
        for make in [noise, prose] {
            assert_eq!(make(7, 1001), make(7, 1001));
            assert_eq!(make(7, 1001).len(), 1001);
            assert_ne!(make(7, 1001), make(8, 1001));
        }
    }
}
