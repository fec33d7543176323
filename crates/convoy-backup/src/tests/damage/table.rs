//! Every kind of object, damaged in every way: what opening, verifying, restoring and the next backup make of it.
//!
//! The table is printed, and kept in `table.txt` beside this file: a cell that changes is a change of what
//! Convoy promises. Wrong bytes and damage under another's name are failures whatever the table says.

use super::{images_and_store, next_backup, put};
use crate::tests::world::{Volatile, open, restored};
use crate::{Error, VerifyOptions, verify};
use convoy_fault::{Fault as _, Kind, chain};
use convoy_objectstore::{Key, ObjectStore};
use convoy_repository::{BackupRecord, Impatient, OpenOptions, Repository};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use uuid::Uuid;

const OBJECTS: [&str; 8] = [
    "config",
    "log: init",
    "log: volume",
    "log: a commit",
    "log: last commit",
    "pack of chunks",
    "pack of nodes",
    "index segment",
];
const DAMAGES: [&str; 6] = [
    "truncated",
    "bit flipped",
    "removed",
    "swapped",
    "copied",
    "foreign",
];
const COLUMNS: [&str; 6] = [
    "opens",
    "opens, seen before",
    "verify",
    "restore",
    "next backup",
    "after a verify",
];

/// What becomes of the object.
enum Damage {
    Bytes(Vec<u8>),
    Gone,
    /// It stays, and its bytes are there under another name too.
    Copy(Key),
}

type Cells = [BTreeSet<&'static str>; COLUMNS.len()];

struct World {
    store: Arc<Volatile>,
    images: Vec<(Uuid, Vec<u8>)>,
    /// The folder of a host that has seen all of it.
    seen: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let (store, images) = images_and_store();
        let seen = tempfile::tempdir().unwrap();
        open_asking(&store, seen.path(), false).unwrap();
        Self {
            store,
            images,
            seen,
        }
    }

    fn object(&self, key: &Key) -> &'static str {
        let last = self.store.keys().into_iter().rev();
        let last = last
            .into_iter()
            .find(|key| key.as_str().starts_with("log/"));
        match key.as_str() {
            "config" => "config",
            "log/000000000/000000000000" => "log: init",
            "log/000000000/000000000001" => "log: volume",
            text if text.starts_with("log/") && last.as_ref() == Some(key) => "log: last commit",
            text if text.starts_with("log/") => "log: a commit",
            text if text.starts_with("index/") => "index segment",
            _ if self.store.get(key).unwrap()[10] == 0 => "pack of chunks",
            _ => "pack of nodes",
        }
    }
}

fn open_asking(
    store: &Arc<Volatile>,
    cache: &Path,
    ask_store: bool,
) -> Result<Repository, convoy_repository::Error> {
    let options = OpenOptions {
        cache_dir: Some(cache.to_owned()),
        ask_store,
        patience: Arc::new(Impatient),
        ..OpenOptions::default()
    };
    Repository::open(store.clone(), &options)
}

/// Another key of the same kind, which nothing names; of the log, the next slot.
fn another_name(key: &Key, slots: u64) -> Key {
    let text = key.as_str();
    let other = match text.rsplit_once('/') {
        Some((folder, _)) if folder.starts_with("log/") => format!("{folder}/{slots:012x}"),
        Some((folder, name)) => format!("{folder}/{}{}", "0".repeat(32), &name[32..]),
        None => "config-1".to_owned(),
    };
    other.parse().unwrap()
}

fn damages(world: &World, other: &World, key: &Key) -> Vec<(&'static str, Damage)> {
    let whole = world.store.get(key).unwrap();
    let mut list = vec![("removed", Damage::Gone)];
    for length in [0, 1, 63, 64, 65, 128, whole.len() / 2, whole.len() - 1] {
        if length < whole.len() {
            list.push(("truncated", Damage::Bytes(whole[..length].to_vec())));
        }
    }
    let step = (whole.len() / 24).max(1);
    let ends = (0..whole.len()).rev().step_by(9).take(12);
    for at in (0..96.min(whole.len()))
        .step_by(7)
        .chain((0..whole.len()).step_by(step))
        .chain(ends)
    {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        list.push(("bit flipped", Damage::Bytes(bytes)));
    }
    let slots = world
        .store
        .keys()
        .iter()
        .filter(|key| key.as_str().starts_with("log/"))
        .count();
    list.push(("copied", Damage::Copy(another_name(key, slots as u64))));
    let kind = |world: &World, key: &Key| world.object(key).split(':').next().unwrap().to_owned();
    let folder = |key: &Key| key.as_str().split('/').next().unwrap().to_owned();
    for alike in world.store.keys() {
        if alike != *key && folder(&alike) == folder(key) {
            list.push(("swapped", Damage::Bytes(world.store.get(&alike).unwrap())));
        }
    }
    for foreign in other.store.keys() {
        if kind(other, &foreign) == kind(world, key) {
            list.push(("foreign", Damage::Bytes(other.store.get(&foreign).unwrap())));
        }
    }
    list
}

/// How opening went, and the repository.
fn opens(
    opened: Result<Repository, convoy_repository::Error>,
    backups: usize,
    named: &Key,
    context: &str,
) -> (&'static str, Option<Repository>) {
    let repository = match opened {
        Err(error) if error.kind() == Kind::NotFound => return ("no repository", None),
        Err(error) => {
            let text = chain(&error);
            assert!(text.contains(named.as_str()), "{context}: {text}");
            assert!(
                matches!(error.kind(), Kind::Integrity | Kind::Unsupported),
                "{context}: {text}"
            );
            return ("no, names it", None);
        }
        Ok(repository) => repository,
    };
    let outcome = match repository.read_only() {
        Some(why) => {
            assert!(why.contains(named.as_str()), "{context}: {why}");
            "read-only, names it"
        }
        None if repository.backups().len() < backups => "fewer backups",
        None => "yes",
    };
    (outcome, Some(repository))
}

/// What verification and restore say of one backup: they agree, and name the object.
fn examine(
    repository: &Repository,
    backup: &BackupRecord,
    image: &[u8],
    named: &Key,
    context: &str,
) -> (&'static str, &'static str) {
    let report = verify(repository, backup, &VerifyOptions::default(), &()).unwrap();
    for problem in &report.problems {
        assert_eq!(problem.object, named.as_str(), "{context}: {problem:?}");
    }
    let lost = report
        .problems
        .iter()
        .any(|problem| problem.range.is_some_and(|range| !range.is_empty()));
    let verified = match report.problems.first() {
        None => "good",
        Some(_) if lost => "names object, bytes",
        Some(_) => "names object, none lost",
    };
    let outcome = match restored(repository, backup) {
        Ok(bytes) => {
            assert!(bytes == *image, "{context}: wrong bytes were delivered");
            assert!(!lost, "{context}: {:?}", report.problems);
            "same bytes"
        }
        Err(error) => {
            assert!(lost, "{context}: verification did not see it: {error}");
            assert_eq!(error.kind(), Kind::Integrity, "{context}");
            let is_named = matches!(&error, Error::Damaged { backup: name, range, .. }
                if *name == backup.name && !range.is_empty());
            let text = chain(&error);
            assert!(
                is_named && text.contains(named.as_str()),
                "{context}: {text}"
            );
            "names object, bytes"
        }
    };
    (verified, outcome)
}

fn cells(world: &World, named: &Key, deep: bool, context: &str) -> Cells {
    let mut cells = Cells::default();
    let count = world.images.len();
    let (opened, repository) = opens(open(&world.store), count, named, context);
    cells[0].insert(opened);
    let asked = open_asking(&world.store, world.seen.path(), true);
    cells[1].insert(opens(asked, count, named, context).0);
    for backup in repository.iter().flat_map(Repository::backups) {
        let (_, image) = world
            .images
            .iter()
            .find(|(id, _)| *id == backup.id)
            .unwrap();
        let repository = repository.as_ref().unwrap();
        let (verified, restored) = examine(repository, &backup, image, named, context);
        cells[2].insert(verified);
        cells[3].insert(restored);
    }
    if cells[2].is_empty() {
        // There is no backup to be seen.
        cells[2].insert("-");
        cells[3].insert("-");
    }
    if deep {
        let before: Vec<_> = world.store.keys();
        for (column, verify_first) in [(4, false), (5, true)] {
            let outcome = next_backup(&world.store, &world.images, verify_first);
            cells[column].insert(outcome);
            for key in world
                .store
                .keys()
                .iter()
                .filter(|key| !before.contains(key))
            {
                world.store.faults.inner().delete(key).unwrap();
            }
        }
        assert!(!cells[5].contains("ON DAMAGE"), "{context}");
    }
    cells
}

fn table() -> BTreeMap<(usize, usize), (usize, Cells)> {
    let (world, other) = (World::new(), World::new());
    let mut table: BTreeMap<(usize, usize), (usize, Cells)> = BTreeMap::new();
    for key in world.store.keys() {
        let whole = world.store.get(&key).unwrap();
        let object = world.object(&key);
        for (turn, (name, damage)) in damages(&world, &other, &key).into_iter().enumerate() {
            let mut named = key.clone();
            match &damage {
                Damage::Bytes(bytes) => put(&world.store, &key, bytes),
                Damage::Gone => drop(world.store.faults.inner().delete(&key).unwrap()),
                Damage::Copy(at) => {
                    named = at.clone();
                    put(&world.store, at, &whole);
                }
            }
            let context = format!("{key} ({object}) {name}, variant {turn}");
            let deep = name != "bit flipped" || turn % 5 == 0;
            let found = cells(&world, &named, deep, &context);
            let row = OBJECTS.iter().position(|row| *row == object).unwrap();
            let column = DAMAGES.iter().position(|column| *column == name).unwrap();
            let (count, all) = table.entry((row, column)).or_default();
            *count += 1;
            for (all, found) in all.iter_mut().zip(found) {
                all.extend(found);
            }
            if named != key {
                world.store.faults.inner().delete(&named).unwrap();
            }
            put(&world.store, &key, &whole);
        }
    }
    table
}

#[test]
fn every_object_in_every_way() {
    let table = table();
    let mut text = String::new();
    writeln!(text, "object, damage | {}", COLUMNS.join(" | ")).unwrap();
    let mut variants = 0;
    for (row, object) in OBJECTS.iter().enumerate() {
        for (column, damage) in DAMAGES.iter().enumerate() {
            let Some((count, cells)) = table.get(&(row, column)) else {
                // There is one config, and one entry of each of the others has no like.
                assert_eq!((*object, *damage), ("config", "swapped"));
                continue;
            };
            variants += count;
            let cells: Vec<String> = cells
                .iter()
                .map(|cell| cell.iter().copied().collect::<Vec<_>>().join("; "))
                .map(|cell| {
                    if cell.is_empty() {
                        "-".to_owned()
                    } else {
                        cell
                    }
                })
                .collect();
            assert!(
                cells.iter().all(|cell| !cell.is_empty()),
                "{object}, {damage}: {cells:?}"
            );
            writeln!(text, "{object}, {damage} | {}", cells.join(" | ")).unwrap();
        }
    }
    println!("{text}{variants} variants");
    let kept = include_str!("table.txt");
    assert!(
        text == kept,
        "the table is not the one in table.txt any more"
    );
}
