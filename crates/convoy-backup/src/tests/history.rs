//! Random histories of a device, backed up incrementally, restored byte for byte.

use super::world::{
    Device, Source, Volatile, back_up_image, block_size, facts, make, open, restored,
};
use crate::{CreateOptions, VerifyOptions, create, verify};
use convoy_blockdiff::{Change, ChangeList};
use convoy_units::{Bytes, ThinBlock, ThinRange};
use proptest::prelude::*;
use uuid::Uuid;

#[derive(Debug, Clone)]
enum Step {
    Write(u64, u8),
    Discard(u64),
    Grow(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0u64..24, 0u8..9).prop_map(|(block, seed)| Step::Write(block, seed)),
        2 => (0u64..24).prop_map(Step::Discard),
        1 => (1u64..300).prop_map(Step::Grow),
    ]
}

fn apply(device: &mut Device, step: &Step, block: u64, next_data: &mut u64) {
    match step {
        Step::Write(at, seed) if at * block < device.size => {
            *next_data += 1;
            device.mapped.insert(*at, (*next_data, *seed));
        }
        Step::Write(..) => {}
        Step::Discard(at) => drop(device.mapped.remove(at)),
        Step::Grow(kib) => device.size = (device.size + kib * 1024).min(24 * block),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn every_backup_restores_to_its_image(
        units in 1u64..5,
        chunk_log in 12u32..21,
        size_kib in 1u64..1500,
        generations in prop::collection::vec((prop::collection::vec(step(), 0..12), 0u8..5), 1..6),
    ) {
        let block = block_size(units * 64);
        let bytes = block.bytes().0;
        let store = Volatile::new();
        let repository = make(&store, Bytes(1 << chunk_log)).unwrap();
        let mut device = Device { size: size_kib * 1024, ..Device::default() };
        let mut next_data = 0;
        let mut made = Vec::new();
        for (steps, mode) in generations {
            for step in &steps {
                apply(&mut device, step, bytes, &mut next_data);
            }
            // Mostly against the last backup, sometimes against an older one or in full.
            let base = match mode {
                0 => None,
                1 => made.first(),
                _ => made.last(),
            };
            let base = base.map(|(device, backup): &(Device, _)| (device, backup));
            let image = device.image(bytes);
            let changes = device.changes(base.map(|(device, _)| device));
            let summary = back_up_image(&repository, &image, &changes, block, base.map(|(_, backup)| backup), Uuid::new_v4()).unwrap();
            made.push((device.clone(), summary.backup));
        }
        let reader = open(&store).unwrap();
        prop_assert_eq!(reader.backups().len(), made.len());
        for (device, backup) in &made {
            prop_assert!(restored(&reader, backup).unwrap() == device.image(bytes));
            for read_data in [false, true] {
                let report = verify(&reader, backup, &VerifyOptions { read_data }, &()).unwrap();
                prop_assert_eq!(report.problems, vec![]);
            }
        }
    }
}

/// What the original did: in its fallback to a full backup it still merged the last backup's map, so
/// that a restore brought back blocks that had been discarded, or another volume's. Measured with its
/// own package: s1 = {0,1,5,7}, s2 = {0,1,5,9}; s1 gone; restore of s2 contained block 7 of s1.
#[test]
fn a_full_backup_never_inherits_an_older_map() {
    let block = block_size(2048);
    let device = |blocks: &[u64]| Device {
        size: 10 * block.bytes().0,
        mapped: blocks.iter().map(|at| (*at, (at + 1, 5))).collect(),
    };
    let (s1, s2) = (device(&[0, 1, 5, 7]), device(&[0, 1, 5, 9]));
    let store = Volatile::new();
    let repository = make(&store, Bytes::kib(256)).unwrap();
    let back_up = |device: &Device, base| {
        let image = device.image(block.bytes().0);
        back_up_image(
            &repository,
            &image,
            &device.changes(None),
            block,
            base,
            Uuid::new_v4(),
        )
        .unwrap()
    };
    back_up(&s1, None);
    let second = back_up(&s2, None);
    assert!(restored(&repository, &second.backup).unwrap() == s2.image(block.bytes().0));
    assert_eq!(
        second.chunks_reused,
        3 * 8,
        "it is full, yet stores only what is new"
    );
}

/// The original found the base by the volume's name: a different volume of the same name ended up in
/// one image with the old one's blocks.
#[test]
fn a_base_of_another_volume_is_refused() {
    let block = block_size(2048);
    let store = Volatile::new();
    let repository = make(&store, Bytes::kib(256)).unwrap();
    let made = back_up_image(
        &repository,
        &[1; 4096],
        &ChangeList::new(),
        block,
        None,
        Uuid::new_v4(),
    )
    .unwrap();
    let mut other = facts(4096, Uuid::new_v4());
    other.volume.id = Uuid::from_u128(99);
    let source = Source::new(vec![1; 4096]);
    let error = create(
        &repository,
        &source,
        &ChangeList::new(),
        block,
        Some(&made.backup),
        &other,
        &CreateOptions::default(),
        &(),
    );
    assert!(error.unwrap_err().to_string().contains("is of volume"));
}

#[test]
fn exactly_the_changed_blocks_are_read_once() {
    let block = block_size(2048);
    let size = 64 * block.bytes().0;
    let base = Device {
        size,
        mapped: (0..64).map(|at| (at, (at, 1))).collect(),
    };
    let mut new = base.clone();
    for at in [3, 4, 20, 63] {
        new.mapped.insert(at, (1000 + at, 200));
    }
    new.mapped.remove(&40);
    let store = Volatile::new();
    let repository = make(&store, Bytes::kib(256)).unwrap();
    let image = base.image(block.bytes().0);
    let first = back_up_image(
        &repository,
        &image,
        &base.changes(None),
        block,
        None,
        Uuid::new_v4(),
    )
    .unwrap();

    let before = store.faults.operations();
    let source = Source::new(new.image(block.bytes().0));
    let changes = new.changes(Some(&base));
    let facts = facts(size, Uuid::new_v4());
    let summary = create(
        &repository,
        &source,
        &changes,
        block,
        Some(&first.backup),
        &facts,
        &CreateOptions::default(),
        &(),
    )
    .unwrap();
    let mut reads = source.reads.into_inner().unwrap();
    reads.sort_by_key(|range| range.start);
    let mut joined: Vec<std::ops::Range<u64>> = Vec::new();
    for read in reads {
        match joined.last_mut() {
            Some(last) if last.end == read.start => last.end = read.end,
            _ => joined.push(read),
        }
    }
    let blocks: Vec<_> = joined
        .iter()
        .map(|range| (range.start / block.bytes().0, range.end / block.bytes().0))
        .collect();
    assert_eq!(blocks, [(3, 5), (20, 21), (63, 64)]);
    assert_eq!(summary.read_bytes, Bytes::mib(8));
    assert_eq!(summary.changed_bytes, Bytes::mib(10));
    assert_eq!(
        (
            summary.chunks_holes,
            summary.chunks_new + summary.chunks_reused
        ),
        (8, 32)
    );
    assert_eq!(summary.packs, 2, "one of chunks, one of nodes");
    let requests = store.faults.log().split_off(before);
    assert!(requests.len() <= 12, "{requests:#?}");
}

#[test]
fn a_huge_sparse_volume_costs_what_it_holds() {
    /// 16 TiB of which every byte is asked for never: reads are zeros.
    #[derive(Debug)]
    struct Sparse(u64);
    impl crate::BlockReader for Sparse {
        fn len(&self) -> Bytes {
            Bytes(self.0)
        }
        fn read_at(&self, offset: u64, into: &mut [u8]) -> std::io::Result<()> {
            into.fill(u8::try_from(offset >> 36).unwrap());
            Ok(())
        }
    }
    let block = block_size(2048);
    let size = 16u64 << 40;
    let store = Volatile::new();
    let repository = make(&store, Bytes::kib(256)).unwrap();
    let mut changes = ChangeList::new();
    for at in (0..size / block.bytes().0).step_by(1 << 17) {
        changes.push(Change::Copy(ThinRange {
            begin: ThinBlock(at),
            end: ThinBlock(at + 1),
        }));
    }
    let whole = facts(size, Uuid::new_v4());
    let first = create(
        &repository,
        &Sparse(size),
        &changes,
        block,
        None,
        &whole,
        &CreateOptions::default(),
        &(),
    )
    .unwrap();
    assert_eq!(first.read_bytes, Bytes::mib(2 * 64));
    let mut gone = ChangeList::new();
    gone.push(Change::Hole(ThinRange {
        begin: ThinBlock(1),
        end: ThinBlock(size / block.bytes().0),
    }));
    let later = facts(size, Uuid::new_v4());
    let second = create(
        &repository,
        &Sparse(size),
        &gone,
        block,
        Some(&first.backup),
        &later,
        &CreateOptions::default(),
        &(),
    )
    .unwrap();
    assert_eq!((second.read_bytes, second.chunks_new), (Bytes(0), 0));
    let report = verify(&repository, &second.backup, &VerifyOptions::default(), &()).unwrap();
    assert_eq!(
        (report.chunks, report.problems),
        (0, vec![]),
        "its first block was zeros"
    );
}
