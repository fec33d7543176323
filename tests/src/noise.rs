//! Made-up data: the same for the same seed.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_bytes_of_the_length_asked() {
        assert_eq!(noise(7, 1001), noise(7, 1001));
        assert_eq!(noise(7, 1001).len(), 1001);
        assert_ne!(noise(7, 1001), noise(8, 1001));
    }
}
