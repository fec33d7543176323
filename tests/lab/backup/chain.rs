//! What a backup is compared with, and that whatever it was, the restored volume is right.

use super::{BLOCK, put};
use crate::verbs::{
    SIZE, back_up, delete_snapshot, delete_volume, name, refusal, restore, restore_request, silent,
    snapshot, volume,
};
use crate::world::{World, write_device};
use convoy_engine::CreateVolume;
use convoy_fault::Kind;
use convoy_tests::disk::digest;
use convoy_tests::noise::{fill, noise};
use convoy_thinpool::blockdev;
use convoy_units::{ByteRange, Bytes};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

fn discard(device: &Path, block: u64) {
    blockdev::discard(
        device,
        ByteRange {
            begin: block * BLOCK,
            end: (block + 1) * BLOCK,
        },
    )
    .unwrap();
}

/// The original's "full backup" after its base was deleted was merged with the backup before: blocks that
/// had been discarded since came back from the dead in the restored volume.
#[test]
fn without_its_base_a_backup_is_full_and_correct() {
    let (world, engine) = World::opened("no-base");
    let made = volume(&engine, "v", SIZE);
    put(&made.device, &[16, 17, 21, 23], 1);
    snapshot(&engine, "v", "one");
    let first = back_up(&engine, "one", &world.dest());
    assert_eq!(first.backup.base, None);
    let one = digest(&made.device);
    discard(&made.device, 23);
    put(&made.device, &[25], 2);
    snapshot(&engine, "v", "two");
    let two = digest(&made.device);
    delete_snapshot(&engine, "one");
    let second = back_up(&engine, "two", &world.dest());
    assert_eq!(
        second.backup.base, None,
        "its base is gone: it is a full one"
    );
    // Known chunks are found again all the same.
    assert!(
        second.summary.new <= Bytes(BLOCK + (2 << 20)),
        "{:?}",
        second.summary
    );
    assert_eq!(
        digest(&restore(&engine, "back-two", &second.backup.url).device),
        two
    );
    assert_eq!(
        digest(&restore(&engine, "back-one", &first.backup.url).device),
        one
    );

    // With its base here it is an increment, and the discarded block is a hole.
    discard(&made.device, 16);
    snapshot(&engine, "v", "three");
    let three = digest(&made.device);
    let third = back_up(&engine, "three", &world.dest());
    assert_eq!(third.backup.base, Some(second.backup.uuid));
    assert_eq!(third.summary.read, Bytes(0), "a hole is not read");
    assert_eq!(
        digest(&restore(&engine, "back-three", &third.backup.url).device),
        three
    );
    engine.stop().unwrap();
}

/// The original found the backups of a volume by its name: a new volume under an old one's name went on
/// with the old one's chain, and its restored image was a mixture of both.
#[test]
fn a_new_volume_of_an_old_name_begins_its_own_chain() {
    let (world, engine) = World::opened("same-name");
    let old = volume(&engine, "data", SIZE);
    put(&old.device, &[16, 17, 18, 30], 1);
    snapshot(&engine, "data", "old");
    let first = back_up(&engine, "old", &world.dest());
    let before = digest(&old.device);
    delete_volume(&engine, "data");
    let new = volume(&engine, "data", Bytes::mib(48));
    put(&new.device, &[17], 2);
    snapshot(&engine, "data", "new");
    let second = back_up(&engine, "new", &world.dest());
    assert_eq!(second.backup.base, None);
    assert_ne!(second.backup.volume, first.backup.volume);
    let back = restore(&engine, "back", &second.backup.url);
    assert_eq!(
        (back.size, digest(&back.device)),
        (Bytes::mib(48), digest(&new.device))
    );
    let back = restore(&engine, "back-old", &first.backup.url);
    assert_eq!((back.size, digest(&back.device)), (SIZE, before));
    // Both are listed under the name they had.
    assert_eq!(
        engine
            .backups(&world.dest(), Some(&name("data")))
            .unwrap()
            .len(),
        2
    );
    engine.stop().unwrap();
}

#[test]
fn a_backup_is_restored_into_a_pool_of_any_block_size() {
    let world = World::new("sizes");
    let pools = [("128", 640u64 << 10), ("384", 576 << 10), ("8192", 4 << 20)];
    let mut engines = Vec::new();
    for (sectors, _) in pools {
        let other = world.beside(sectors);
        let pool = format!("pool-{sectors}");
        engines.push(other.open(&[
            ("dm.thinpoolname", &pool),
            ("dm.thinpoolblocksize", sectors),
        ]));
    }
    for (from, (sectors, odd)) in pools.into_iter().enumerate() {
        // A size that is a whole number of this pool's blocks, and of no other's.
        let size = Bytes((36 << 20) + odd);
        let made = volume(&engines[from], "v", size);
        for at in [0, 20 << 20, (30 << 20) + 12_288, size.0 - (300 << 10)] {
            write_device(&made.device, at, &noise(at, 300 << 10));
        }
        snapshot(&engines[from], "v", "s");
        let first = back_up(&engines[from], "s", &world.dest());
        write_device(&made.device, 21 << 20, &noise(9, 1 << 20));
        snapshot(&engines[from], "v", "s2");
        let second = back_up(&engines[from], "s2", &world.dest());
        assert_eq!(second.backup.base, Some(first.backup.uuid));
        let expected = digest(&made.device);
        for (to, (other, _)) in pools.into_iter().enumerate() {
            let back = restore(&engines[to], &format!("from-{sectors}"), &second.backup.url);
            let what = format!("from blocks of {sectors} to {other} sectors");
            assert_eq!(
                (back.size, digest(&back.device)),
                (size, expected.clone()),
                "{what}"
            );
        }
    }
    for engine in engines {
        engine.stop().unwrap();
    }
}

#[test]
fn another_size_than_the_backups_is_refused() {
    let (world, engine) = World::opened("other-size");
    volume(&engine, "v", SIZE);
    snapshot(&engine, "v", "s");
    let url = back_up(&engine, "s", &world.dest()).backup.url;
    for size in [SIZE.0 - BLOCK, SIZE.0 + BLOCK, 1] {
        let request = CreateVolume {
            size: Some(Bytes(size)),
            ..restore_request("back", &url)
        };
        let (kind, words) = refusal(engine.create_volume(&request, &silent()));
        assert_eq!(kind, Kind::Invalid, "{words}");
        assert!(
            words.contains("Volume size must match with backup's size"),
            "{words}"
        );
        assert!(words.contains(&SIZE.0.to_string()), "{words}");
    }
    assert_eq!(engine.volumes().unwrap().len(), 1);
    let request = CreateVolume {
        size: Some(SIZE),
        ..restore_request("back", &url)
    };
    engine
        .create_volume(&request, &silent())
        .expect("the same size may be said");
    engine.stop().unwrap();
}

#[test]
fn an_operation_repeated_makes_one_backup() {
    let (world, engine) = World::opened("once");
    volume(&engine, "v", SIZE);
    snapshot(&engine, "v", "s");
    let op = silent();
    let first = engine
        .create_backup(&name("s"), &world.dest(), &op)
        .unwrap();
    let again = engine
        .create_backup(&name("s"), &world.dest(), &op)
        .unwrap();
    assert_eq!(first.backup.uuid, again.backup.uuid);
    assert_eq!(first.backup.operation, op.id);
    assert_eq!(engine.backups(&world.dest(), None).unwrap().len(), 1);
    engine.stop().unwrap();
}

/// What a percent costs, printed for the record.
#[test]
fn an_increment_of_one_percent_reads_and_stores_one_percent() {
    const BLOCK: u64 = 512 << 10;
    let world = World::new("percent");
    let engine = world.open(&[("dm.thinpoolblocksize", "1024")]);
    let made = volume(&engine, "v", SIZE);
    fill_blocks(&made.device, 100, BLOCK);
    snapshot(&engine, "v", "s1");
    let full = back_up(&engine, "s1", &world.dest()).summary;
    let changed = noise(30, usize::try_from(BLOCK).unwrap());
    write_device(&made.device, 30 * BLOCK, &changed);
    snapshot(&engine, "v", "s2");

    let percent = back_up(&engine, "s2", &world.dest()).summary;

    for (what, summary) in [("full", &full), ("1 %", &percent)] {
        println!(
            "MEASURED {what}: changed {}, read {}, stored {}, {} requests, {:?}",
            summary.changed, summary.read, summary.stored, summary.requests, summary.duration
        );
    }
    assert!(full.stored > Bytes(100 * BLOCK), "it cannot be compressed");
    assert_eq!(percent.read, Bytes(BLOCK));
    assert!(
        percent.stored <= Bytes(BLOCK + (128 << 10)),
        "{}",
        percent.stored
    );
    engine.stop().unwrap();
}

/// Fills a device's first blocks, each with other bytes that cannot be compressed.
fn fill_blocks(device: &Path, count: u64, size: u64) {
    let file = fs::OpenOptions::new().write(true).open(device).unwrap();
    let mut bytes = vec![0; usize::try_from(size).unwrap()];
    for block in 0..count {
        fill(block, &mut bytes);
        file.write_all_at(&bytes, block * size).unwrap();
    }
    file.sync_all().unwrap();
}
