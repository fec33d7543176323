//! Looking changes nothing, sees everything, and tells damage as opening does.

use tempfile::TempDir;

use super::*;
use crate::samples::{Fixture, State, volume};
use crate::{Catalog, Change};

#[test]
fn what_is_read_is_what_is_there_the_log_included() {
    let fixture = Fixture::new();
    fixture
        .catalog
        .apply(&[Change::PutVolume(volume(1))])
        .unwrap();
    let wal = beside(&fixture.path(), "-wal");
    assert!(fs::metadata(&wal).unwrap().len() > 0, "it is in the log");
    let seen = Catalog::read(&fixture.path()).unwrap();
    assert_eq!(State::of(&seen), State::of(&fixture.catalog));
    assert_eq!(seen.host(), fixture.catalog.host());
    let error = seen.apply(&[Change::PutVolume(volume(2))]).unwrap_err();
    assert!(matches!(error, Error::ToRead { .. }), "{error}");
    assert_eq!(fixture.catalog.volumes().unwrap().len(), 1);
}

#[test]
fn a_closed_catalog_is_read_without_a_trace() {
    let fixture = Fixture::new();
    let path = fixture.path();
    let Fixture { directory, catalog } = fixture;
    drop(catalog);
    // A name that SQLite's URIs would understand otherwise.
    let odd = directory.path().join("50% #1?a=b");
    fs::create_dir(&odd).unwrap();
    let moved = odd.join("catalog.db");
    fs::rename(&path, &moved).unwrap();
    let before = fs::read(&moved).unwrap();
    assert_eq!(Catalog::read(&moved).unwrap().pools().unwrap().len(), 1);
    assert_eq!(fs::read(&moved).unwrap(), before);
    assert_eq!(fs::read_dir(&odd).unwrap().count(), 1);
}

#[test]
fn damage_is_told_and_nothing_is_made() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("catalog.db");
    let error = Catalog::read(&path).unwrap_err();
    assert!(matches!(error, Error::Missing { .. }), "{error}");
    fs::write(path.with_extension("guard"), "").unwrap();
    let error = Catalog::read(&path).unwrap_err();
    assert!(matches!(error, Error::Lost { .. }), "{error}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);

    let fixture = Fixture::new();
    let path = fixture.path();
    let Fixture {
        directory: _d,
        catalog,
    } = fixture;
    drop(catalog);
    let sound = fs::read(&path).unwrap();
    let zeroed = vec![0; sound.len()];
    let mut torn = sound.clone();
    torn[4096..].fill(0x5a);
    for bytes in [
        &zeroed[..],
        &sound[..sound.len() / 2],
        &sound[..50],
        &[],
        &torn,
    ] {
        fs::write(&path, bytes).unwrap();
        let error = Catalog::read(&path).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
        let opened = Catalog::open(&path).unwrap_err();
        assert_eq!(error.to_string(), opened.to_string());
    }
}

#[test]
fn a_newer_catalog_is_told_by_the_name_of_its_writer() {
    let fixture = Fixture::new();
    let path = fixture.path();
    let Fixture {
        directory: _kept,
        catalog,
    } = fixture;
    drop(catalog);
    let future = |min_reader: i64| {
        let connection = Connection::open(&path).unwrap();
        let row = "UPDATE meta SET schema = 99, min_reader = ?1, written_by = 'convoy 9'";
        connection.execute(row, [min_reader]).unwrap();
        connection.pragma_update(None, "user_version", 99).unwrap();
    };
    future(99);
    let error = Catalog::read(&path).unwrap_err();
    assert!(
        matches!(&error, Error::Newer { written_by, .. } if written_by == "convoy 9"),
        "{error}"
    );
    future(1);
    assert_eq!(Catalog::read(&path).unwrap().pools().unwrap().len(), 1);
}
