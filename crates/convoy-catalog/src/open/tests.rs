//! Making and opening: what is lost or damaged stays as it is and is told.

use std::os::unix::fs::PermissionsExt;

use convoy_fault::{Fault, Kind};
use tempfile::TempDir;

use super::*;
use crate::samples::{Fixture, State, volume};
use crate::{Catalog, Change};

/// A closed catalog with one pool and one volume.
fn closed() -> (TempDir, PathBuf, State) {
    let fixture = Fixture::new();
    fixture
        .catalog
        .apply(&[Change::PutVolume(volume(1))])
        .unwrap();
    let (path, state) = (fixture.path(), State::of(&fixture.catalog));
    (fixture.directory, path, state)
}

#[track_caller]
fn refused(path: &Path, words: &str) {
    let before = fs::read(path).ok();
    for _ in 0..2 {
        let error = Catalog::open(path).unwrap_err();
        assert_eq!(error.kind(), Kind::Integrity, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(
            fs::read(path).ok(),
            before,
            "what is damaged stays as it is"
        );
    }
}

#[test]
fn a_new_catalog_is_private_and_keeps_its_host() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("catalog.db");
    let host = Catalog::open(&path).unwrap().host();
    assert_eq!(host.get_version_num(), 4);
    assert_eq!(Catalog::open(&path).unwrap().host(), host);
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let mut names: Vec<_> = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["catalog.db", "catalog.guard"]);
}

#[test]
fn a_crash_while_making_leaves_nothing_that_counts() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("catalog.db");
    fs::write(beside(&path, ".new"), "half made").unwrap();
    fs::write(beside(&path, ".new-journal"), "its journal").unwrap();
    Catalog::open(&path).unwrap();
    // Between the rename and the guard.
    fs::remove_file(guard_of(&path)).unwrap();
    Catalog::open(&path).unwrap();
    assert!(guard_of(&path).exists());
}

#[test]
fn a_missing_directory_is_an_error() {
    let directory = TempDir::new().unwrap();
    let error = Catalog::open(&directory.path().join("nowhere/catalog.db")).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
}

#[test]
fn a_lost_catalog_is_not_begun_anew() {
    for evidence in [
        "catalog.guard",
        "catalog.db-wal",
        "catalog.db-journal",
        "catalog.db.before-v2",
    ] {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("catalog.db");
        fs::write(directory.path().join(evidence), "").unwrap();
        refused(&path, evidence);
        assert!(!path.exists());
    }
    let (_directory, path, _) = closed();
    fs::remove_file(&path).unwrap();
    refused(&path, "is lost");
}

#[test]
fn damaged_files_are_refused_and_kept() {
    let check = |words: &str, damage: &dyn Fn(&mut Vec<u8>)| {
        let (_directory, path, _) = closed();
        let mut bytes = fs::read(&path).unwrap();
        damage(&mut bytes);
        fs::write(&path, bytes).unwrap();
        refused(&path, words);
    };
    check("it is empty", &|bytes| bytes.clear());
    check("it is zeroed", &|bytes| bytes.fill(0));
    check("it is cut short", &|bytes| bytes.truncate(50));
    check("is damaged", &|bytes| bytes.truncate(bytes.len() / 2));
    check("not a SQLite database", &|bytes| bytes[0] ^= 1);
    check("another program", &|bytes| bytes[68] ^= 1);
    check("is damaged", &|bytes| bytes[4096..].fill(0x5a));
    // The begin of the first b-tree page: its type.
    check("is damaged", &|bytes| bytes[100] = 0);
}

#[test]
fn any_zeroed_page_is_an_error_or_harmless() {
    let (_directory, path, state) = closed();
    let sound = fs::read(&path).unwrap();
    let mut told = 0;
    for page in 0..sound.len() / 4096 {
        let mut bytes = sound.clone();
        bytes[page * 4096..][..4096].fill(0);
        fs::write(&path, bytes).unwrap();
        match Catalog::open(&path) {
            Err(error) => {
                assert_eq!(error.kind(), Kind::Integrity, "page {page}: {error}");
                told += 1;
            }
            Ok(catalog) => assert_eq!(State::of(&catalog), state, "page {page}"),
        }
    }
    assert!(told > 10, "{told}");
}

#[test]
fn rows_that_break_the_rules_are_told() {
    let check = |sql: &str, words: &str| {
        let (_directory, path, _) = closed();
        connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)
            .unwrap()
            .execute_batch(&format!("PRAGMA foreign_keys = OFF; {sql}"))
            .unwrap();
        let error = Catalog::open(&path)
            .and_then(|catalog| catalog.volumes())
            .unwrap_err();
        assert_eq!(error.kind(), Kind::Integrity, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    };
    check(
        "UPDATE volumes SET name = '../../etc'",
        "column name of table volumes holds \"../../etc\"",
    );
    check("UPDATE volumes SET uuid = 'x'", "column uuid");
    check("UPDATE volumes SET labels = '[1]'", "column labels");
    check("UPDATE volumes SET created = 'yesterday'", "column created");
    check("DELETE FROM pools", "refers to one that is not there");
    check("DELETE FROM meta", "meta");
    check(
        "UPDATE meta SET schema = 9",
        &format!("schema is 9 and {VERSION} at once"),
    );
    check("UPDATE meta SET host = ''", "host");
}

fn from_the_future(min_reader: i64) -> (TempDir, PathBuf, State) {
    let (directory, path, state) = closed();
    connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .unwrap()
        .execute_batch(&format!(
            "ALTER TABLE volumes ADD COLUMN colour TEXT; CREATE TABLE of_the_future (id INTEGER) STRICT;
             UPDATE meta SET schema = 9, min_reader = {min_reader}, written_by = 'convoy 7.5.3';
             PRAGMA user_version = 9"
        ))
        .unwrap();
    (directory, path, state)
}

#[test]
fn a_newer_catalog_is_refused_by_the_name_of_its_writer() {
    let (_directory, path, _) = from_the_future(8);
    let error = Catalog::open(&path).unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
    assert!(error.to_string().contains("convoy 7.5.3"), "{error}");
}

#[test]
fn a_newer_catalog_that_allows_it_is_read_and_not_written() {
    let (_directory, path, state) = from_the_future(1);
    let catalog = Catalog::open(&path).unwrap();
    assert_eq!(State::of(&catalog), state);
    let error = catalog.apply(&[Change::PutVolume(volume(2))]).unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
    let direct = catalog.lock().execute("DELETE FROM volumes", ());
    assert!(direct.is_err(), "not even by mistake");
}

const NEXT: &[Migration] = &[Migration {
    to: VERSION + 1,
    sql: "ALTER TABLE volumes ADD COLUMN colour TEXT;",
}];
const BROKEN: &[Migration] = &[Migration {
    to: VERSION + 1,
    sql: "ALTER TABLE volumes ADD COLUMN colour TEXT; INSERT INTO nowhere VALUES (1);",
}];

#[test]
fn a_migration_copies_first() {
    let (_directory, path, state) = closed();
    let schema = |opened: &Opened| -> i64 {
        opened
            .connection
            .query_row("SELECT schema FROM meta", (), |row| row.get(0))
            .unwrap()
    };
    assert_eq!(
        schema(&open_with(&path, VERSION + 1, NEXT).unwrap()),
        VERSION + 1
    );
    let copy = beside(&path, &format!(".before-v{}", VERSION + 1));
    assert_eq!(
        fs::metadata(&copy).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(
        schema(&open_with(&path, VERSION + 1, NEXT).unwrap()),
        VERSION + 1,
        "and only once"
    );
    assert!(!beside(&path, ".copy").exists());
    // The copy is the catalog as it was: an older version goes on from there.
    let elsewhere = TempDir::new().unwrap();
    let restored = elsewhere.path().join("catalog.db");
    fs::copy(&copy, &restored).unwrap();
    assert_eq!(State::at(&restored), state);
}

#[test]
fn a_migration_that_fails_changes_nothing() {
    let (_directory, path, state) = closed();
    assert!(open_with(&path, VERSION + 1, BROKEN).is_err());
    assert_eq!(State::at(&path), state);
    open_with(&path, VERSION + 1, NEXT).unwrap();
}

/// A catalog of schema 1 is brought to the present with all it said, and the volumes in it are suspected of nothing.
#[test]
fn schema_1_is_brought_to_the_present() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("catalog.db");
    let old = Connection::open(&path).unwrap();
    old.execute_batch(include_str!("tests/schema-1.sql"))
        .unwrap();
    let host = Uuid::new_v4();
    old.execute_batch(&format!(
        "INSERT INTO meta VALUES (1, 1, 1, 'convoy 0.1.0', '{host}', '2026-11-22T00:00:00Z');
         PRAGMA user_version = 1; PRAGMA application_id = {APPLICATION_ID};"
    ))
    .unwrap();
    drop(old);
    let catalog = Catalog::open(&path).unwrap();
    assert_eq!(catalog.host(), host);
    assert!(beside(&path, &format!(".before-v{VERSION}")).exists());
    let (pool, volume) = (crate::samples::pool(), volume(1));
    catalog
        .apply(&[Change::PutPool(pool), Change::PutVolume(volume)])
        .unwrap();
    assert_eq!(catalog.suspects().unwrap(), []);
    catalog
        .apply(&[Change::PutSuspect(crate::samples::suspect(1, "a disk"))])
        .unwrap();
    drop(catalog);
    assert_eq!(Catalog::open(&path).unwrap().suspects().unwrap().len(), 1);
}
