//! A flipped bit anywhere in a pack is named, but for those of a zstd frame that change nothing.

use super::put;
use crate::tests::world::{Device, Volatile, back_up_image, block_size, make, open, restored};
use crate::{VerifyOptions, verify};
use convoy_objectstore::ObjectStore;
use convoy_units::Bytes;
use uuid::Uuid;

/// Where the payloads of compressed blobs lie, by the blobs' own headers.
fn frames(pack: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut frames = Vec::new();
    let mut at = 64;
    let u32_at = |at: usize| u32::from_le_bytes(pack[at..at + 4].try_into().unwrap());
    let table = pack.len() - 64 - 64 * u32_at(pack.len() - 56) as usize;
    while at < table {
        let end = at + 64 + u32_at(at + 12) as usize;
        if pack[at + 6] == 1 {
            frames.push(at + 64..end);
        }
        at = end;
    }
    frames
}

/// Damage of a pack's header and table, and of the numbers of its blobs, was never noticed.
#[test]
fn every_bit_of_every_pack() {
    // One block of noise and one that compresses; small chunks make small packs.
    let block = block_size(64);
    let device = Device {
        size: 2 * block.bytes().0,
        mapped: [(0, (1, 40)), (1, (2, 1))].into(),
    };
    let store = Volatile::new();
    let repository = make(&store, Bytes::kib(4)).unwrap();
    let image = device.image(block.bytes().0);
    let changes = device.changes(None);
    let made = back_up_image(&repository, &image, &changes, block, None, Uuid::new_v4());
    let backup = made.unwrap().backup;
    let check = |repository: &convoy_repository::Repository| {
        verify(repository, &backup, &VerifyOptions::default(), &()).unwrap()
    };
    let keys = store.keys();
    let (mut flipped, mut harmless) = (0, 0);
    for key in keys.iter().filter(|key| key.as_str().starts_with("packs/")) {
        let whole = store.get(key).unwrap();
        let frames = frames(&whole);
        let count = u32::from_le_bytes(whole[whole.len() - 56..][..4].try_into().unwrap());
        let table = whole.len() - 64 * (count as usize + 1);
        for at in 0..whole.len() {
            // All of headers and the end; of frames and plain payloads a part.
            let plain = at > 200 && at < table && !frames.iter().any(|frame| frame.contains(&at));
            let inside = frames
                .iter()
                .any(|frame| frame.start + 20 < at && at + 8 < frame.end);
            if inside && at % 3 != 0 {
                continue;
            }
            if plain && at % 61 != 0 && !whole[at..].starts_with(b"CVBL") {
                continue;
            }
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            put(&store, key, &bytes);
            let repository = open(&store).unwrap();
            let report = check(&repository);
            flipped += 1;
            if report.problems.is_empty() {
                let in_frame = frames.iter().any(|frame| frame.contains(&at));
                assert!(in_frame, "{key}: byte {at} of {}", whole.len());
                assert!(restored(&repository, &backup).unwrap() == image);
                harmless += 1;
            }
            let named = |problem: &crate::Problem| problem.object == key.as_str();
            assert!(
                report.problems.iter().all(named),
                "{at}: {:?}",
                report.problems
            );
        }
        put(&store, key, &whole);
    }
    println!("{flipped} bits flipped, {harmless} of them in zstd frames and without consequence");
    assert!(
        flipped > 2000 && harmless * 50 < flipped,
        "{flipped} {harmless}"
    );
}

/// The check costs a bounded number of requests for each pack, and its memory is bounded.
#[test]
fn what_the_check_costs() {
    let block = block_size(64);
    let size = 64 * block.bytes().0;
    let device = Device {
        size,
        mapped: (0..64)
            .map(|at| (at, (at, 4 + u8::try_from(at).unwrap())))
            .collect(),
    };
    let store = Volatile::new();
    let repository = make(&store, Bytes::kib(4)).unwrap();
    let image = device.image(block.bytes().0);
    let made = back_up_image(
        &repository,
        &image,
        &device.changes(None),
        block,
        None,
        Uuid::new_v4(),
    );
    let backup = made.unwrap().backup;
    let packs = store
        .keys()
        .iter()
        .filter(|key| key.as_str().starts_with("packs/"))
        .count();
    let repository = open(&store).unwrap();
    let requests = |work: &dyn Fn()| {
        let before = store.faults.operations();
        work();
        store.faults.operations() - before
    };
    repository.locate(&backup.root.unwrap()).unwrap();
    let restoring = requests(&|| drop(restored(&repository, &backup).unwrap()));
    let verifying = requests(&|| {
        let report = verify(&repository, &backup, &VerifyOptions::default(), &()).unwrap();
        assert_eq!(report.problems, []);
    });
    println!("{packs} packs: {restoring} requests to restore, {verifying} to verify");
    assert!(
        packs >= 3 && verifying - restoring <= 2 * packs,
        "{verifying} {restoring} {packs}"
    );
}
