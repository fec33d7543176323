//! A pool of another moment, another pool, and devices that nobody knows.

use super::*;

/// Takes the pool's metadata now, to put it back later.
fn saved(world: &World) -> Vec<u8> {
    fs::read(world.metadata()).unwrap()
}

#[test]
fn a_pool_rolled_back_by_one_is_taken_only_when_the_loss_is_accepted() {
    let mut world = World::new();
    let old = saved(&world);
    world.make_volume(4, "new");
    fs::write(world.metadata(), &old).unwrap();
    assert_eq!(world.codes(), ["pool-behind", "thin-devices-missing"]);
    world.refuses_to_fix(&Remedy::default(), "volume new");
    let diagnosis = world.fix(&accepting());
    is_well(&diagnosis);
    world.has(&["1 web", "2 db"], &["3 nightly"]);
    let suspects = world.catalog().suspects().unwrap();
    assert_eq!(suspects.len(), 2, "every filesystem is checked");
}

#[test]
fn a_pool_rolled_back_by_many_is_told_by_number() {
    let mut world = World::new();
    let old = saved(&world);
    for n in 4..24 {
        world.make_volume(n, &format!("v{n}"));
    }
    fs::write(world.metadata(), &old).unwrap();
    let diagnosis = world.diagnosis();
    let behind = &diagnosis.findings[0];
    assert_eq!(
        behind.evidence,
        ["the pool is at transaction 3, the catalog at 23"]
    );
    let missing = &diagnosis.findings[1];
    assert!(
        missing.what.contains("4, 5, 6") && missing.what.contains("and 4 more"),
        "{missing:?}"
    );
    is_well(&world.fix(&accepting()));
}

/// The same moment and the same devices: nothing tells, but that is what the transaction id is for.
#[test]
fn a_pool_rolled_back_over_a_deletion_lacks_nothing_and_is_still_told() {
    let mut world = World::new();
    let old = saved(&world);
    world.delete(3, Change::RemoveSnapshot(uuid(3)));
    fs::write(world.metadata(), &old).unwrap();
    assert_eq!(world.codes(), ["pool-behind", "thin-devices-unknown"]);
    world.refuses_to_fix(&Remedy::default(), "older than the catalog");
    is_well(&world.fix(&accepting()));
    world.has(&["1 web", "2 db"], &["3 recovered-3"]);
}

/// The deletion of a device by somebody else, at the same transaction.
#[test]
fn a_missing_device_is_forgotten_only_when_accepted() {
    let mut world = World::new();
    assert!(world.model.delete(3));
    world.write_pool();
    assert_eq!(world.codes(), ["thin-devices-missing"]);
    world.refuses_to_fix(&Remedy::default(), "snapshot nightly");
    is_well(&world.fix(&accepting()));
    world.has(&["1 web", "2 db"], &[]);
}

/// A volume's device is gone and a snapshot of it is there: what can be kept is.
#[test]
fn a_snapshot_whose_volume_is_lost_takes_its_place() {
    let mut world = World::new();
    assert!(world.model.delete(1));
    world.write_pool();
    is_well(&world.fix(&accepting()));
    world.has(&["2 db", "3 web"], &[]);
    let web = world.catalog().volume(uuid(1)).unwrap().unwrap();
    assert_eq!(web.dev_id, id(3));
}

#[test]
fn unknown_devices_are_a_note_and_never_deleted() {
    let mut world = World::new();
    assert!(world.model.create_thin(7));
    assert!(world.model.write(7, 0));
    assert!(world.model.create_thin(8));
    world.write_filesystem(7, uuid(70), "mine");
    world.write_pool();
    let diagnosis = world.diagnosis();
    is_well(&diagnosis);
    assert_eq!(diagnosis.findings[0].code, Code::DevicesUnknown);
    let diagnosis = world.fix(&Remedy::default());
    is_well(&diagnosis);
    world.has(&["1 web", "2 db", "7 mine"], &["3 nightly"]);
    // The empty one is nobody's, and stays.
    assert!(
        diagnosis.findings[0].what.ends_with(": 8"),
        "{:?}",
        diagnosis.findings
    );
    assert_eq!(diagnosis.pool.unwrap().thin_devices, Some(5));
}

/// A name that is taken, and one that is none.
#[test]
fn adopted_names_are_free_and_valid() {
    let mut world = World::new();
    for (n, label) in [(7, "web"), (8, "../etc"), (9, "nightly")] {
        assert!(world.model.create_thin(n));
        assert!(world.model.write(n, 0));
        world.write_filesystem(n, uuid(n * 10), label);
    }
    world.write_pool();
    is_well(&world.fix(&Remedy::default()));
    world.has(
        &[
            "1 web",
            "2 db",
            "7 recovered-7",
            "8 recovered-8",
            "9 recovered-9",
        ],
        &["3 nightly"],
    );
}

#[test]
fn an_interrupted_operation_is_a_note_and_left_to_the_engine() {
    let world = World::new();
    let catalog = world.catalog();
    let plan = NewIntent {
        pool: uuid(1000),
        op: uuid(2001),
        verb: "create volume".to_owned(),
        actions: vec![Action::CreateThin { dev_id: id(4) }],
    };
    let creating = Volume {
        state: VolumeState::Creating,
        ..volume(4, "half")
    };
    catalog
        .begin(&plan, &[Change::PutVolume(creating)])
        .unwrap();
    drop(catalog);
    assert_eq!(world.codes(), ["interrupted"]);
    is_well(&world.fix(&Remedy::default()));
    assert_eq!(world.catalog().pending_intents().unwrap().len(), 1);
}

/// Metadata of another pool that happens to be at the same transaction with the same ids: the data tells.
#[test]
fn another_pools_data_is_never_taken() {
    let world = World::new();
    let other = World::new();
    for n in 1..=3 {
        other.write_filesystem(n, uuid(n + 500), "");
    }
    fs::copy(other.data(), world.data()).unwrap();
    assert_eq!(world.codes(), ["data-foreign"]);
    world.refuses_to_fix(&accepting(), "does not hold what pool");
    // Nor is a catalog made of it: a copy says whose it was.
    world.catalog().keep_copy().unwrap();
    fs::remove_file(world.path("catalog.db")).unwrap();
    world.refuses_to_fix(&accepting(), "does not hold what pool");
}

#[test]
fn another_pools_metadata_is_never_taken() {
    let world = World::new();
    let options = ImageOptions {
        data_block_sectors: 256,
        ..ImageOptions::default()
    };
    fs::write(world.metadata(), world.model.image(options).bytes).unwrap();
    assert_eq!(world.codes(), ["another-pool"]);
    world.refuses_to_fix(&accepting(), "another pool");
}

#[test]
fn blank_foreign_and_missing_devices_are_not_to_be_fixed() {
    let check = |code: &str, how: &dyn Fn(&World)| {
        let world = World::new();
        how(&world);
        assert_eq!(world.codes(), [code]);
        world.refuses_to_fix(&accepting(), "not to be fixed");
    };
    check("metadata-blank", &|w| {
        fs::write(w.metadata(), vec![0; 1 << 20]).unwrap();
    });
    check("metadata-foreign", &|w| {
        fs::write(w.metadata(), vec![0x5a; 1 << 20]).unwrap();
    });
    check("metadata-unreadable", &|w| {
        fs::remove_file(w.metadata()).unwrap();
    });
    check("data-unreadable", &|w| fs::remove_file(w.data()).unwrap());
}

#[test]
fn a_smaller_data_device_is_not_to_be_fixed() {
    let world = World::new();
    let file = fs::OpenOptions::new()
        .write(true)
        .open(world.data())
        .unwrap();
    file.set_len(BLOCKS * BLOCK - BLOCK).unwrap();
    assert_eq!(world.codes(), ["data-smaller"]);
    world.refuses_to_fix(&accepting(), "not to be fixed");
}

/// A root that was copied describes the same pool: one of the two has it.
#[test]
fn a_pool_that_another_root_serves_is_not_fixed() {
    let mut world = World::new();
    assert!(world.model.delete(3));
    world.write_pool();
    let _held = crate::pool::hold(&world.record(), &Host).unwrap();
    world.refuses_to_fix(&accepting(), "served by another daemon");
}
