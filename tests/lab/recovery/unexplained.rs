//! Pools and catalogs that no kill explains: refused, and nothing is changed.

use super::{POOL, all_is_settled, set_transaction};
use crate::verbs::{SIZE, snapshot, thin_ids, volume};
use crate::world::{World, sweep};
use convoy_catalog::Change;
use convoy_fault::Kind;
use convoy_tests::disk::{digest, digest_of_first};
use convoy_tests::mapper;
use convoy_thinpool::blockdev;
use convoy_units::TransactionId;
use std::fs;
use std::path::Path;

#[test]
fn a_transaction_id_that_nothing_explains_is_refused() {
    let (world, engine) = World::opened("rolled");
    let pool = engine.info().unwrap().pool;
    volume(&engine, "v", SIZE);
    snapshot(&engine, "v", "s");
    drop(engine);
    for other in [7, 3, 1, 0] {
        set_transaction(&world, pool.uuid, other);
        for reboot in [false, true] {
            if reboot {
                sweep();
            }
            let before = digest(&pool.metadata_device);

            let (kind, words) = world.refused(&[]);

            assert_eq!(kind, Kind::PoolUnhealthy, "{words}");
            assert!(
                words.contains(&format!("is at transaction 2, the catalog at {other}")),
                "{words}"
            );
            assert!(words.contains("nothing was changed"), "{words}");
            if reboot {
                let after = digest(&pool.metadata_device);
                assert_eq!(after, before, "the metadata was written");
            }
            let catalog = world.catalog();
            let rows = (catalog.volumes().unwrap(), catalog.snapshots().unwrap());
            assert_eq!((rows.0.len(), rows.1.len()), (1, 1));
            let recorded = catalog.pools().unwrap()[0].transaction;
            assert_eq!(recorded, TransactionId(other));
        }
        // As it was before the next round: active.
        set_transaction(&world, pool.uuid, 2);
        drop(world.open(&[]));
    }
    let engine = world.open(&[]);
    assert_eq!(engine.volumes().unwrap().len(), 1);
    all_is_settled(&engine);
    engine.stop().unwrap();
}

/// A volume's thin device is gone: by no doing of ours.
#[test]
fn a_thin_device_that_is_missing_is_refused() {
    let (world, engine) = World::opened("missing");
    volume(&engine, "v", SIZE);
    let lost = snapshot(&engine, "v", "s");
    drop(engine);
    mapper::message(POOL, &format!("delete {}", lost.dev_id));
    for reboot in [false, true] {
        if reboot {
            sweep();
        }
        let (kind, words) = world.refused(&[]);
        assert_eq!(kind, Kind::PoolUnhealthy, "{words}");
        assert!(
            words.contains(&format!(
                "lacks thin devices that the catalog has: {}",
                lost.dev_id
            )),
            "{words}"
        );
    }
    assert_eq!(world.catalog().snapshots().unwrap().len(), 1);
}

/// One that the catalog does not know is somebody's: it stays.
#[test]
fn a_foreign_thin_device_is_left_alone() {
    let (world, engine) = World::opened("foreign-thin");
    let made = volume(&engine, "v", SIZE);
    drop(engine);
    mapper::message(POOL, "create_thin 4711");
    for reboot in [false, true] {
        if reboot {
            sweep();
        }
        let engine = world.open(&[]);
        assert_eq!(
            thin_ids(&engine),
            [made.dev_id.to_string(), "4711".to_owned()]
        );
        drop(engine);
    }
}

#[test]
fn a_lost_catalog_formats_nothing() {
    let (world, engine) = World::opened("lost");
    volume(&engine, "v", SIZE);
    let pool = engine.info().unwrap().pool;
    engine.stop().unwrap();
    let hidden = world.path("hidden");
    fs::create_dir(&hidden).unwrap();
    let hide = |all: bool| {
        for entry in fs::read_dir(world.root()).unwrap() {
            let entry = entry.unwrap();
            let label = entry.file_name().into_string().unwrap();
            if label.starts_with("catalog.") && (all || label != "catalog.guard") {
                fs::rename(entry.path(), hidden.join(label)).unwrap();
            }
        }
    };
    let images = || [&pool.data_device, &pool.metadata_device].map(|file| head(file));
    let before = images();
    hide(false);
    let (kind, words) = world.refused(&[]);
    println!("{kind}: {words}");
    assert!(words.contains("catalog"), "{words}");
    assert!(images() == before);
    hide(true);
    let (kind, words) = world.refused(&[]);
    println!("{kind}: {words}");
    assert_eq!(kind, Kind::Conflict, "{words}");
    assert!(words.contains("thin pool"), "{words}");
    assert!(images() == before);
    // Back in its place, all is well.
    sweep();
    put_back(&world, &hidden);
    assert_eq!(world.open(&[]).volumes().unwrap().len(), 1);
}

/// What stands for the first 64 MiB: sparse files of 100 GiB are not read whole.
fn head(file: &Path) -> String {
    digest_of_first(file, 64 << 20)
}

/// Puts the true catalog back in place of the one that was begun.
fn put_back(world: &World, hidden: &Path) {
    for entry in fs::read_dir(world.root()).unwrap() {
        let entry = entry.unwrap();
        if entry
            .file_name()
            .into_string()
            .unwrap()
            .starts_with("catalog.")
        {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    for entry in fs::read_dir(hidden).unwrap() {
        let entry = entry.unwrap();
        fs::rename(entry.path(), world.root().join(entry.file_name())).unwrap();
    }
}

/// Killed after the record of the pool, before or after the kernel formatted it.
#[test]
fn a_first_start_cut_short_goes_on() {
    let (world, engine) = World::opened("first");
    let pool = engine.info().unwrap().pool;
    engine.stop().unwrap();
    let unmade = || {
        let catalog = world.catalog();
        let record = catalog.pools().unwrap().remove(0);
        let record = convoy_catalog::Pool {
            initialised: false,
            ..record
        };
        catalog.apply(&[Change::PutPool(record)]).unwrap();
    };
    // Formatted, and nobody wrote that down.
    unmade();
    world.open(&[]).stop().unwrap();
    // Not formatted.
    unmade();
    blockdev::zero_first_block(&pool.metadata_device).unwrap();
    let engine = world.open(&[]);
    assert_eq!(engine.info().unwrap().pool.uuid, pool.uuid);
    volume(&engine, "v", SIZE);
    engine.stop().unwrap();
    // A pool with a volume is not freshly formatted, whatever the record says.
    unmade();
    let before = head(&pool.metadata_device);
    let (kind, words) = world.refused(&[]);
    assert_eq!(kind, Kind::Conflict, "{words}");
    assert!(head(&pool.metadata_device) == before);
}
