//! Copies are kept and put back; nothing that was a catalog is ever gone.

use tempfile::TempDir;

use super::*;
use crate::samples::{Fixture, State, volume};
use crate::{Catalog, Change};

fn put(catalog: &Catalog, n: u64) {
    catalog.apply(&[Change::PutVolume(volume(n))]).unwrap();
}

fn names(directory: &TempDir) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.contains("-wal") && !name.contains("-shm"))
        .collect();
    names.sort();
    names
}

#[test]
fn three_copies_are_kept_and_equal_ones_push_none_out() {
    let fixture = Fixture::new();
    let mut states = Vec::new();
    for n in 1..=5 {
        put(&fixture.catalog, n);
        assert!(fixture.catalog.keep_copy().unwrap());
        states.push(State::of(&fixture.catalog));
        for _ in 0..3 {
            assert!(!fixture.catalog.keep_copy().unwrap());
        }
    }
    let copies = Catalog::copies(&fixture.path());
    assert_eq!(copies.len(), 3);
    for (copy, state) in copies.iter().zip(states.iter().rev()) {
        assert_eq!(State::of(&Catalog::read(copy).unwrap()), *state);
    }
    assert!(names(&fixture.directory).contains(&"catalog.db.kept-1".to_owned()));
}

#[test]
fn a_copy_that_was_cut_short_is_made_anew() {
    let fixture = Fixture::new();
    fs::write(beside(&fixture.path(), ".kept"), "half a copy").unwrap();
    assert!(fixture.catalog.keep_copy().unwrap());
    assert_eq!(Catalog::copies(&fixture.path()).len(), 1);
}

#[test]
fn what_is_replaced_stays_beside_with_its_log() {
    let fixture = Fixture::new();
    put(&fixture.catalog, 1);
    fixture.catalog.keep_copy().unwrap();
    put(&fixture.catalog, 2);
    let path = fixture.path();
    // As after a kill: the log holds the last commit.
    let (wal, state) = (beside(&path, "-wal"), State::of(&fixture.catalog));
    let saved = fs::read(&wal).unwrap();
    let Fixture { directory, catalog } = fixture;
    drop(catalog);
    let main = fs::read(&path).unwrap();
    fs::write(&wal, &saved).unwrap();

    let new = directory.path().join("new.db");
    Catalog::read(&Catalog::copies(&path)[0])
        .unwrap()
        .copy_to(&new)
        .unwrap();
    let aside = Catalog::replace(&path, &new).unwrap().unwrap();

    assert_eq!(fs::read(&aside).unwrap(), main);
    assert_eq!(fs::read(beside(&aside, "-wal")).unwrap(), saved);
    assert!(!wal.exists(), "the old log is not replayed into the new");
    assert_eq!(Catalog::open(&path).unwrap().volumes().unwrap().len(), 1);
    assert_eq!(State::of(&Catalog::read(&aside).unwrap()), state);
    // Once more, over one that is gone.
    fs::remove_file(&path).unwrap();
    Catalog::read(&aside).unwrap().copy_to(&new).unwrap();
    assert_eq!(Catalog::replace(&path, &new).unwrap(), None);
    assert_eq!(State::of(&Catalog::open(&path).unwrap()), state);
}

#[test]
fn a_copy_shows_that_there_was_a_catalog() {
    for name in ["catalog.db.kept-2", "catalog.db.replaced-1"] {
        let directory = TempDir::new().unwrap();
        fs::write(directory.path().join(name), "").unwrap();
        let path = directory.path().join("catalog.db");
        let error = Catalog::open(&path).unwrap_err();
        assert!(matches!(error, Error::Lost { .. }), "{error}");
    }
}

#[test]
fn a_copy_is_one_file_and_holds_what_the_log_holds() {
    let fixture = Fixture::new();
    put(&fixture.catalog, 1);
    let log = fs::metadata(beside(&fixture.path(), "-wal")).unwrap();
    assert!(log.len() > 0, "nothing is in the log");
    let copy = fixture.directory.path().join("copy.db");
    fixture.catalog.copy_to(&copy).unwrap();
    let alone = TempDir::new().unwrap();
    let moved = alone.path().join("catalog.db");
    fs::rename(&copy, &moved).unwrap();
    let state = State::of(&Catalog::read(&moved).unwrap());
    assert_eq!(state, State::of(&fixture.catalog));
    // A log is not even looked for.
    assert_eq!(names(&alone), ["catalog.db"]);
    assert_eq!(fs::read_dir(alone.path()).unwrap().count(), 1);
}

#[test]
fn what_went_bad_gets_into_no_copy() {
    let Fixture { directory, catalog } = Fixture::new();
    for n in 1..=30 {
        put(&catalog, n);
    }
    drop(catalog);
    let path = directory.path().join("catalog.db");
    let mut bytes = fs::read(&path).unwrap();
    // All pages but the first, which has the schema.
    bytes.get_mut(4096..).unwrap().fill(0x5a);
    fs::write(&path, &bytes).unwrap();
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE;
    let mut connection = super::super::connect_bare(&path, flags).unwrap();
    let refused = keep(&path, &mut connection);
    assert!(matches!(refused, Err(Error::Damaged { .. })), "{refused:?}");
    assert_eq!(Catalog::copies(&path), Vec::<PathBuf>::new());
}
