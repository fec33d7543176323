//! A catalog that is lost, damaged, old or new.

use super::*;

/// Keeps a copy as an engine does.
fn keep(world: &World) {
    assert!(world.catalog().keep_copy().unwrap());
}

fn damage(world: &World, how: &dyn Fn(&mut Vec<u8>)) {
    let path = world.path("catalog.db");
    let mut bytes = fs::read(&path).unwrap();
    how(&mut bytes);
    fs::write(path, bytes).unwrap();
}

fn lose(world: &World) {
    fs::remove_file(world.path("catalog.db")).unwrap();
}

#[test]
fn every_damage_is_told_and_fixed_from_the_copy() {
    let check = |code: &str, how: &dyn Fn(&World)| {
        let world = World::new();
        keep(&world);
        how(&world);
        assert_eq!(world.codes(), [code]);
        let diagnosis = world.fix(&Remedy::default());
        is_well(&diagnosis);
        world.has(&["1 web", "2 db"], &["3 nightly"]);
        assert_eq!(world.codes(), [""; 0]);
    };
    check("catalog-lost", &lose);
    check("catalog-damaged", &|w| damage(w, &|bytes| bytes.clear()));
    check("catalog-damaged", &|w| damage(w, &|bytes| bytes.fill(0)));
    check("catalog-damaged", &|w| {
        damage(w, &|bytes| bytes.truncate(bytes.len() / 2));
    });
    check("catalog-damaged", &|w| {
        damage(w, &|bytes| bytes[4096..].fill(0x5a));
    });
    check("catalog-damaged", &|w| damage(w, &|bytes| bytes[0] ^= 1));
}

/// The newest copy is damaged too: the one before is taken.
#[test]
fn a_damaged_copy_is_passed_over() {
    let world = World::new();
    keep(&world);
    world
        .catalog()
        .apply(&[Change::PutVolume(Volume {
            labels: [("a".to_owned(), "b".to_owned())].into(),
            ..volume(1, "web")
        })])
        .unwrap();
    keep(&world);
    fs::write(world.path("catalog.db.kept-1"), "what is this").unwrap();
    lose(&world);
    is_well(&world.fix(&Remedy::default()));
    world.has(&["1 web", "2 db"], &["3 nightly"]);
}

/// Names are gone with the catalog; volumes are known by their filesystems.
#[test]
fn without_a_copy_the_catalog_is_made_of_the_pool() {
    let world = World::new();
    world.write_filesystem(2, uuid(2), "database");
    lose(&world);
    assert_eq!(world.codes(), ["catalog-lost"]);
    let diagnosis = world.fix(&Remedy::default());
    is_well(&diagnosis);
    world.has(&["1 recovered-1", "2 database"], &["3 recovered-3"]);
    let catalog = world.catalog();
    let volumes = catalog.volumes().unwrap();
    assert!(volumes.iter().all(|v| v.uuid == uuid(v.dev_id.get())));
    let snapshot = catalog.snapshots().unwrap().remove(0);
    assert_eq!(snapshot.volume, uuid(1), "3 is a snapshot of 1");
    let pool = catalog.pools().unwrap().remove(0);
    assert_eq!(
        (pool.transaction, pool.initialised),
        (TransactionId(3), true)
    );
    // An id of the pool is never given again.
    assert_eq!(catalog.allocate_dev_id(pool.uuid).unwrap(), id(4));
}

#[test]
fn an_older_catalog_takes_from_the_pool_what_it_does_not_know() {
    let mut world = World::new();
    let old = fs::read(world.path("catalog.db")).unwrap();
    world.make_volume(4, "new");
    world.delete(3, Change::RemoveSnapshot(uuid(3)));
    world.write_pool();
    fs::write(world.path("catalog.db"), old).unwrap();
    assert_eq!(
        world.codes(),
        ["pool-ahead", "thin-devices-missing", "thin-devices-unknown"]
    );
    is_well(&world.fix(&Remedy::default()));
    world.has(&["1 web", "2 db", "4 recovered-4"], &[]);
    assert_eq!(
        world.catalog().pools().unwrap()[0].transaction,
        TransactionId(5)
    );
}

/// What an old catalog calls half made may have been finished and used for a year: an engine that believed it
/// would undo it, data and all.
#[test]
fn what_an_older_catalog_calls_half_done_is_not_undone() {
    let mut world = World::new();
    world.make_volume(4, "used");
    world.make_volume(5, "unknown");
    let catalog = world.catalog();
    let half = |n, name| Volume {
        state: VolumeState::Formatting,
        ..volume(n, name)
    };
    let half = [half(4, "used"), half(5, "unknown")].map(Change::PutVolume);
    catalog.apply(&half).unwrap();
    drop(catalog);
    let old = fs::read(world.path("catalog.db")).unwrap();
    // Whose filesystem cannot be seen.
    world.write_filesystem(5, Uuid::nil(), "");
    world.make_volume(6, "later");
    world.write_pool();
    fs::write(world.path("catalog.db"), old).unwrap();
    is_well(&world.fix(&Remedy::default()));
    let volumes = world.catalog().volumes().unwrap();
    assert!(
        volumes.iter().all(|v| v.state == VolumeState::Ready),
        "{volumes:?}"
    );
    assert!(
        volumes
            .iter()
            .any(|v| v.dev_id == id(4) && v.name.as_str() == "used")
    );
}

/// A version that stands in one place only is meddling, and no newer catalog.
#[test]
fn a_catalog_of_two_versions_is_damaged() {
    let world = World::new();
    drop(world.catalog());
    // `user_version` in SQLite's header.
    damage(&world, &|bytes| {
        bytes[60..64].copy_from_slice(&99_u32.to_be_bytes());
    });
    assert_eq!(world.codes(), ["catalog-damaged"]);
}

#[test]
fn a_root_without_anything_has_no_catalog() {
    let directory = TempDir::new().unwrap();
    let patient = Patient {
        root: directory.path().to_owned(),
        pool: PoolConfig::default(),
    };
    let diagnosis = diagnose(&patient, &instruments()).unwrap();
    assert_eq!(diagnosis.findings[0].code, Code::CatalogMissing);
    assert!(!diagnosis.findings[0].fixable);
    fix(&patient, &accepting(), &instruments()).unwrap_err();
}

/// Killed while the new catalog was written, and again: the old one counts until the new one is in place.
#[test]
fn a_fix_that_was_cut_short_is_done_again() {
    let world = World::new();
    keep(&world);
    lose(&world);
    fs::create_dir(world.path("doctor")).unwrap();
    fs::write(world.path("doctor/catalog.db"), "half").unwrap();
    fs::write(world.path("doctor/catalog.db-wal"), "half").unwrap();
    assert_eq!(world.codes(), ["catalog-lost"]);
    // What is half made is no catalog, and may go.
    let remedied = fix(&world.patient(), &Remedy::default(), &instruments()).unwrap();
    is_well(&remedied);
    assert!(!world.path("doctor").exists());
}
