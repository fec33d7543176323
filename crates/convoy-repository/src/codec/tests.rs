//! Blobs come back as they went in, and damage of any bit is seen.

use super::*;
use crate::keys::Secret;
use proptest::prelude::*;

fn keys() -> Keys {
    Keys::derive(&Secret([7; 32]))
}

fn sealed(plain: &[u8], compression: Compression) -> (BlobId, Vec<u8>) {
    let id = keys().id(BlobKind::Chunk, plain);
    let blob = Sealer::new(compression)
        .unwrap()
        .seal(BlobKind::Chunk, id, plain)
        .unwrap();
    let mut bytes = blob.header.as_bytes().to_vec();
    bytes.extend(&blob.payload);
    assert_eq!(bytes.len(), blob.stored_len());
    (id, bytes)
}

fn opened(id: BlobId, bytes: &[u8], limit: usize) -> Result<Vec<u8>, String> {
    let mut plain = Vec::new();
    open(&keys(), BlobKind::Chunk, id, bytes, limit, &mut plain).map(|_| plain)
}

proptest! {
    #[test]
    fn opens_what_it_sealed(plain in prop::collection::vec(0u8..4, 1..5000), zstd: bool) {
        let (id, bytes) = sealed(&plain, if zstd { Compression::Zstd(1) } else { Compression::None });
        prop_assert_eq!(opened(id, &bytes, plain.len()), Ok(plain));
    }
}

#[test]
fn every_bit_matters_but_reserved_ones() {
    let (id, bytes) = sealed(&b"abcdefgh".repeat(100), Compression::Zstd(1));
    let plain = opened(id, &bytes, 800).unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        if let Ok(other) = opened(id, &damaged, 800) {
            assert_eq!(other, plain, "bit {bit}");
        }
    }
}

#[test]
fn a_bomb_does_not_go_off() {
    // A megabyte of zeros that claims to be 4096 bytes, and one that says so.
    let (id, mut bytes) = sealed(&vec![0; 1 << 20], Compression::Zstd(1));
    assert!(
        opened(id, &bytes, 4096)
            .unwrap_err()
            .contains("claims 1048576 bytes")
    );
    bytes[8..12].copy_from_slice(&4096u32.to_le_bytes());
    assert!(
        opened(id, &bytes, 4096)
            .unwrap_err()
            .contains("does not decompress")
    );
}

#[test]
fn incompressible_bytes_stay_raw() {
    let noise = blake3::hash(b"seed").as_bytes().to_vec();
    let (_, bytes) = sealed(&noise, Compression::Zstd(1));
    assert_eq!(bytes.len(), 64 + noise.len());
    assert_eq!(bytes[6], 0);
}

#[test]
fn a_chunk_is_not_a_node() {
    let (id, bytes) = sealed(b"content", Compression::None);
    let mut plain = Vec::new();
    let error = open(&keys(), BlobKind::Node, id, &bytes, 100, &mut plain).unwrap_err();
    assert!(error.contains("another blob"), "{error}");
    assert_ne!(
        keys().id(BlobKind::Chunk, b"x"),
        keys().id(BlobKind::Node, b"x")
    );
}

#[test]
fn one_frame_and_nothing_else() {
    let (id, bytes) = sealed(&b"abcdefgh".repeat(100), Compression::Zstd(1));
    let with = |more: &[u8], in_front: bool| {
        let (header, frame) = bytes.split_at(64);
        let payload = if in_front {
            [more, frame].concat()
        } else {
            [frame, more].concat()
        };
        let mut blob = [header, &payload].concat();
        let stored = u32::try_from(payload.len()).unwrap();
        blob[12..16].copy_from_slice(&stored.to_le_bytes());
        opened(id, &blob, 800)
    };
    assert!(with(&[], false).is_ok());
    // A frame that decoders skip, and a second one of nothing.
    let skipped = [0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 9];
    let empty = zstd::bulk::compress(b"", 1).unwrap();
    for more in [&skipped[..], &empty, b"x"] {
        assert!(with(more, false).is_err(), "{more:?}");
        assert!(with(more, true).is_err(), "{more:?}");
    }
}
