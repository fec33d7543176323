//! A pack's table finds every blob; a pack with any byte changed is not taken.

use super::*;
use crate::codec::{Compression, Sealer, open};
use crate::id::SessionId;
use crate::keys::BlobKind;
use crate::keys::{Keys, Secret};
use uuid::Uuid;

#[test]
fn contents_finds_all_blobs() {
    let keys = Keys::derive(&Secret([1; 32]));
    let repository = Uuid::from_bytes([9; 16]);
    let mut sealer = Sealer::new(Compression::default()).unwrap();
    let mut builder = PackBuilder::new(repository, BlobKind::Chunk, Vec::new());
    let plains: Vec<Vec<u8>> = (0..9u8).map(|n| vec![n; 300]).collect();
    for plain in &plains {
        let id = keys.id(BlobKind::Chunk, plain);
        builder.push(&sealer.seal(BlobKind::Chunk, id, plain).unwrap());
    }
    let pack = builder.finish(SessionId([3; 16]), 4);
    let name = pack.name.to_string();
    assert_eq!(name.len(), 74);
    assert_eq!(ObjectName::parse(&name), Some(pack.name));
    assert!(pack.name.pack_key().as_str().ends_with(&name));

    let (content, placed) = contents(repository, &pack.bytes).unwrap();
    assert_eq!(content, BlobKind::Chunk);
    for (place, plain) in placed.iter().zip(&plains) {
        let (from, length) = (place.offset as usize, place.stored as usize + 64);
        let mut found = Vec::new();
        let blob = &pack.bytes[from..from + length];
        open(&keys, BlobKind::Chunk, place.id, blob, 300, &mut found).unwrap();
        assert_eq!(&found, plain);
    }
    assert!(
        contents(Uuid::nil(), &pack.bytes)
            .unwrap_err()
            .contains("another repository")
    );
    for cut in 0..pack.bytes.len() {
        assert!(contents(repository, &pack.bytes[..cut]).is_err());
    }
}

#[test]
fn names_are_strict() {
    for bad in ["", "a-b-c", "../x", &"0".repeat(74)] {
        assert_eq!(ObjectName::parse(bad), None);
    }
}
