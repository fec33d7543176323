//! Made-up data: the same for the same seed, compressible or not.

use std::fs::File;
use std::io::Write;
use std::path::Path;

/// How much of a file is made at a time.
const PIECE: usize = 1 << 20;

/// Bytes that no compressor shortens.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    fill(seed, &mut bytes);
    bytes
}

/// Fills memory with the noise of this seed: BLAKE3's endless output, which is made fast even where the
/// tests themselves are not optimised.
pub fn fill(seed: u64, bytes: &mut [u8]) {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.finalize_xof().fill(bytes);
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
