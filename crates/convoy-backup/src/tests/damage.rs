//! Every object truncated, flipped, removed, swapped: it is named, and wrong bytes are never delivered.

use super::world::{Device, Volatile, back_up_image, block_size, make, open, restored};
use crate::{Error, VerifyOptions, verify};
use convoy_blockdiff::{Change, ChangeList};
use convoy_fault::{Fault as _, Kind, chain};
use convoy_objectstore::{Key, ObjectStore, PutMode};
use convoy_repository::{Impatient, OpenOptions, Repository};
use convoy_units::{Bytes, ThinBlock, ThinRange};
use std::sync::Arc;
use uuid::Uuid;

const BLOCK_KIB: u64 = 64;

/// A repository with three backups, and their images.
fn world() -> (Arc<Volatile>, Vec<(Uuid, Vec<u8>)>) {
    let store = Volatile::new();
    let repository = make(&store, Bytes::kib(16)).unwrap();
    let block = block_size(BLOCK_KIB);
    let mut device = Device {
        size: 16 * BLOCK_KIB * 1024,
        ..Device::default()
    };
    device
        .mapped
        .extend((0..6).map(|at| (at, (at, u8::try_from(40 + at).unwrap()))));
    let mut images = Vec::new();
    let mut base: Option<(Device, _)> = None;
    for n in 0..3u8 {
        device
            .mapped
            .insert(u64::from(n), (100 + u64::from(n), 90 + n));
        let image = device.image(block.bytes().0);
        let changes = device.changes(base.as_ref().map(|(device, _)| device));
        let made = back_up_image(
            &repository,
            &image,
            &changes,
            block,
            base.as_ref().map(|(_, b)| b),
            Uuid::new_v4(),
        )
        .unwrap();
        images.push((made.backup.id, image));
        base = Some((device.clone(), made.backup));
    }
    (store, images)
}

fn put(store: &Volatile, key: &Key, bytes: &[u8]) {
    let _ = store
        .faults
        .inner()
        .put(key, bytes, PutMode::Overwrite)
        .unwrap();
}

/// Opens, restores and verifies everything. Only right bytes or named damage may come out; whether
/// damage was met.
#[track_caller]
fn check(store: &Arc<Volatile>, images: &[(Uuid, Vec<u8>)], damaged: &Key, context: &str) -> bool {
    let repository = match open(store) {
        Ok(repository) => repository,
        Err(error) => {
            assert!(
                matches!(
                    error.kind(),
                    Kind::Integrity | Kind::NotFound | Kind::Unsupported
                ),
                "{context}: {error}"
            );
            return true;
        }
    };
    let mut met = false;
    for backup in repository.backups() {
        let image = &images.iter().find(|(id, _)| *id == backup.id).unwrap().1;
        let restored = restored(&repository, &backup);
        let report = verify(&repository, &backup, &VerifyOptions::default(), &()).unwrap();
        match restored {
            Ok(bytes) => {
                assert!(bytes == *image, "{context}: wrong bytes were delivered");
                assert_eq!(report.problems, [], "{context}");
            }
            Err(error) => {
                met = true;
                assert_eq!(error.kind(), Kind::Integrity, "{context}: {error}");
                assert!(
                    matches!(&error, Error::Damaged { backup: name, .. } if *name == backup.name),
                    "{context}"
                );
                let text = chain(&error);
                assert!(text.contains(damaged.as_str()), "{context}: {text}");
                assert!(
                    report
                        .problems
                        .iter()
                        .any(|problem| problem.object == damaged.as_str()),
                    "{context}"
                );
                assert!(
                    report
                        .problems
                        .iter()
                        .all(|problem| problem.range.is_some_and(|range| !range.is_empty()))
                );
            }
        }
    }
    met || repository.backups().len() < images.len()
}

#[test]
fn every_object_removed_or_truncated() {
    let (store, images) = world();
    let keys = store.keys();
    assert!(keys.len() > 12);
    for key in &keys {
        let whole = store.get(key).unwrap();
        store.faults.inner().delete(key).unwrap();
        assert!(
            check(&store, &images, key, &format!("{key} removed")),
            "{key} is not needed"
        );
        for length in [0, 1, 63, 64, 65, whole.len() / 2, whole.len() - 1] {
            let context = format!("{key} cut to {length} of {}", whole.len());
            put(&store, key, whole.get(..length).unwrap_or(&whole));
            let met = check(&store, &images, key, &context);
            // A pack's end is for rebuilding an index only.
            assert!(
                met || key.as_str().starts_with("packs/") || length >= whole.len(),
                "{context}"
            );
        }
        put(&store, key, &whole);
    }
    assert!(!check(&store, &images, &keys[0], "all put back"));
}

#[test]
fn every_object_with_a_bit_flipped() {
    let (store, images) = world();
    for key in store.keys() {
        let whole = store.get(&key).unwrap();
        let is_pack = key.as_str().starts_with("packs/");
        // Every byte of small objects and of headers; samples of the rest.
        let step = (whole.len() / 150).max(1);
        let places = (0..whole.len().min(140)).chain((0..whole.len()).step_by(step));
        for at in places {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            put(&store, &key, &bytes);
            let context = format!("{key} with byte {at} of {} changed", whole.len());
            let met = check(&store, &images, &key, &context);
            assert!(met || is_pack, "{context}: not noticed");
        }
        put(&store, &key, &whole);
    }
}

#[test]
fn objects_swapped_or_of_another_repository() {
    let (store, images) = world();
    let (other, _) = world();
    let keys = store.keys();
    for key in &keys {
        let whole = store.get(key).unwrap();
        let folder = |key: &Key| key.as_str().split('/').next().unwrap().to_owned();
        let alike = keys
            .iter()
            .filter(|second| *second != key && folder(second) == folder(key));
        let mut replacements: Vec<Vec<u8>> =
            alike.map(|second| store.get(second).unwrap()).collect();
        let foreign = other
            .keys()
            .into_iter()
            .filter(|second| folder(second) == folder(key));
        replacements.extend(foreign.map(|second| other.get(&second).unwrap()));
        for bytes in replacements {
            put(&store, key, &bytes);
            assert!(
                check(&store, &images, key, &format!("{key} swapped")),
                "{key} swapped: not noticed"
            );
        }
        put(&store, key, &whole);
    }
}

#[test]
fn a_backup_does_not_build_on_a_damaged_tree() {
    let (store, images) = world();
    let repository = open(&store).unwrap();
    let base = repository.backup(images[2].0).unwrap();
    for key in store
        .keys()
        .iter()
        .filter(|key| key.as_str().starts_with("packs/"))
    {
        let mut bytes = store.get(key).unwrap();
        if bytes[10] == 1 {
            bytes.truncate(100);
            put(&store, key, &bytes);
        }
    }
    let image = &images[2].1;
    let mut device = Device {
        size: image.len() as u64,
        ..Device::default()
    };
    let before = device.clone();
    device.mapped.insert(3, (7, 7));
    let made = back_up_image(
        &repository,
        image,
        &device.changes(Some(&before)),
        block_size(BLOCK_KIB),
        Some(&base),
        Uuid::new_v4(),
    );
    assert_eq!(made.unwrap_err().kind(), Kind::Integrity);
    assert_eq!(open(&store).unwrap().backups().len(), 3);
}

/// Whatever was found damaged went on into every later backup, which was then reported complete.
#[test]
fn a_backup_after_verification_is_whole_again() {
    let names = world().0.keys().len();
    for nth in 0..names {
        let (store, images) = world();
        let key = store.keys()[nth].clone();
        if !key.as_str().starts_with("packs/") && !key.as_str().starts_with("index/") {
            continue;
        }
        let whole = store.get(&key).unwrap();
        for damage in ["removed", "truncated", "flipped"] {
            store.faults.inner().delete(&key).unwrap();
            match damage {
                "truncated" => put(&store, &key, &whole[..whole.len() / 2]),
                "flipped" => {
                    let bytes: Vec<u8> = whole.iter().map(|byte| byte ^ 1).collect();
                    put(&store, &key, &bytes);
                }
                _ => {}
            }
            let repository = open(&store).unwrap();
            let backups = repository.backups();
            for backup in &backups {
                verify(&repository, backup, &VerifyOptions::default(), &()).unwrap();
            }
            let (base, image) = (backups.last().unwrap(), &images.last().unwrap().1);
            let block = block_size(BLOCK_KIB);
            let none = ChangeList::new();
            let back_up = |changes: &ChangeList, base| {
                back_up_image(&repository, image, changes, block, base, Uuid::new_v4())
            };
            let made = back_up(&none, Some(base)).or_else(|error| {
                assert_eq!(error.kind(), Kind::Integrity, "{key} {damage}: {error}");
                assert!(matches!(&error, Error::Base { base: name, .. } if *name == base.name));
                let mut all = ChangeList::new();
                all.push(Change::Copy(ThinRange {
                    begin: ThinBlock(0),
                    end: ThinBlock(16),
                }));
                back_up(&all, None)
            });
            let made = made.unwrap().backup;
            let fresh = open(&store).unwrap();
            let restored = restored(&fresh, &made);
            assert!(restored.unwrap() == *image, "{key} {damage}");
            store.faults.inner().delete(&key).unwrap();
            put(&store, &key, &whole);
        }
    }
}

/// The host that had made the backups believed its own copies, where every other host saw damage.
#[test]
fn who_asks_the_store_sees_what_this_hosts_cache_hides() {
    let (store, images) = world();
    let cache = tempfile::tempdir().unwrap();
    let options = |ask_store| OpenOptions {
        cache_dir: Some(cache.path().to_owned()),
        ask_store,
        patience: Arc::new(Impatient),
        ..OpenOptions::default()
    };
    let cached = || Repository::open(store.clone(), &options(false)).unwrap();
    let asking = || Repository::open(store.clone(), &options(true));
    let check = |repository: &Repository| {
        let problems = repository.backups().into_iter().map(|backup| {
            let report = verify(repository, &backup, &VerifyOptions::default(), &());
            report.unwrap().problems.len()
        });
        problems.sum::<usize>()
    };
    assert_eq!((check(&cached()), check(&asking().unwrap())), (0, 0));
    for key in store.keys() {
        let whole = store.get(&key).unwrap();
        store.faults.inner().delete(&key).unwrap();
        if key.as_str().starts_with("log/") {
            let error = asking().map(|repository| repository.backups().len());
            // The last one of all was seen by this host.
            assert!(error.is_err(), "{key}");
        } else if key.as_str().starts_with("index/") {
            assert_eq!(check(&cached()), 0);
            assert!(check(&asking().unwrap()) > 0, "{key}");
            // It is known now.
            assert!(check(&cached()) > 0, "{key}");
        }
        put(&store, &key, &whole);
    }
    assert_eq!(asking().unwrap().backups().len(), images.len());
}
