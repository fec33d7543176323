//! Every object truncated, flipped, removed, swapped: it is named, and wrong bytes are never delivered.

mod packs;
mod table;

use super::world::{Device, Volatile, back_up_image, block_size, make, open, restored};
use crate::{Error, VerifyOptions, verify};
use convoy_blockdiff::{Change, ChangeList};
use convoy_fault::{Fault as _, Kind};
use convoy_objectstore::{ErrorKind, Fault, Key, ObjectStore, PutMode, Rule};
use convoy_repository::{Impatient, OpenOptions, Repository};
use convoy_units::{Bytes, ThinBlock, ThinRange};
use std::sync::Arc;
use uuid::Uuid;

const BLOCK_KIB: u64 = 64;

/// A repository with three backups, and their images.
fn images_and_store() -> (Arc<Volatile>, Vec<(Uuid, Vec<u8>)>) {
    let store = Volatile::new();
    let repository = make(&store, Bytes::kib(16)).unwrap();
    let block = block_size(BLOCK_KIB);
    let mut device = Device {
        size: 8 * BLOCK_KIB * 1024,
        ..Device::default()
    };
    device
        .mapped
        .extend((0..4).map(|at| (at, (at, u8::try_from(40 + at).unwrap()))));
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

/// What the next backup of the last image, with one block changed, does: incremental if it can, else full.
/// What is published is restored by another host.
fn next_backup(
    store: &Arc<Volatile>,
    images: &[(Uuid, Vec<u8>)],
    verify_first: bool,
) -> &'static str {
    let Ok(repository) = open(store) else {
        return "refused";
    };
    let backups = repository.backups();
    for backup in backups.iter().filter(|_| verify_first) {
        verify(&repository, backup, &VerifyOptions::default(), &()).unwrap();
    }
    let block = block_size(BLOCK_KIB);
    let length = usize::try_from(block.bytes().0).unwrap();
    let whole = |blocks: std::ops::Range<u64>| {
        let mut changes = ChangeList::new();
        changes.push(Change::Copy(ThinRange {
            begin: ThinBlock(blocks.start),
            end: ThinBlock(blocks.end),
        }));
        changes
    };
    let base = backups.last();
    let mut image = base.map_or_else(
        || images[0].1.clone(),
        |base| {
            images
                .iter()
                .find(|(id, _)| *id == base.id)
                .unwrap()
                .1
                .clone()
        },
    );
    image[3 * length..4 * length].fill(0xa5);
    let back_up = |changes: &ChangeList, base| {
        back_up_image(&repository, &image, changes, block, base, Uuid::new_v4())
    };
    let blocks = (image.len() / length) as u64;
    let incremental = base.map(|base| back_up(&whole(3..4), Some(base)));
    let (made, how) = match incremental {
        Some(Ok(made)) => (made, "incremental"),
        Some(Err(error)) if !matches!(error, Error::Base { .. }) => {
            assert!(
                matches!(error.kind(), Kind::Integrity | Kind::Unsupported),
                "{error}"
            );
            return "refused";
        }
        _ => match back_up(&whole(0..blocks), None) {
            Ok(made) => (made, "full"),
            Err(error) => {
                assert_eq!(error.kind(), Kind::Unsupported, "{error}");
                return "refused";
            }
        },
    };
    let fresh = open(store).unwrap();
    match restored(&fresh, &made.backup) {
        Ok(bytes) => {
            assert!(bytes == image, "wrong bytes");
            how
        }
        Err(_) => "ON DAMAGE",
    }
}

#[test]
fn a_backup_does_not_build_on_a_damaged_tree() {
    let (store, images) = images_and_store();
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

/// The host that had made the backups believed its own copies, where every other host saw damage.
#[test]
fn who_asks_the_store_sees_what_this_hosts_cache_hides() {
    let (store, images) = images_and_store();
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

/// One object that may not be read ended the whole verification, and nothing was said of the others.
#[test]
fn a_refused_object_is_named_and_a_refused_store_is_no_damage() {
    let (store, images) = images_and_store();
    let key = store
        .keys()
        .into_iter()
        .find(|key| key.as_str().starts_with("packs/") && store.get(key).unwrap()[10] == 0);
    let key = key.unwrap();
    for kind in [ErrorKind::Auth, ErrorKind::Permanent] {
        store.faults.inject(Rule {
            prefix: key.as_str().to_owned(),
            times: u64::MAX,
            ..Rule::on_any(Fault::Before(kind))
        });
        let repository = open(&store).unwrap();
        let mut named = 0;
        for (id, image) in &images {
            let backup = repository.backup(*id).unwrap();
            let report = verify(&repository, &backup, &VerifyOptions::default(), &()).unwrap();
            named += report.problems.len();
            assert!(
                report
                    .problems
                    .iter()
                    .all(|problem| problem.object == key.as_str())
            );
            match restored(&repository, &backup) {
                Ok(bytes) => assert!(bytes == *image && report.problems.is_empty()),
                Err(error) => assert!(matches!(error, Error::Damaged { .. }), "{error}"),
            }
        }
        assert!(named > 0);
        store.faults.revive();
    }
    // Lost access is not damage of anything.
    let repository = open(&store).unwrap();
    let backup = repository.backup(images[2].0).unwrap();
    repository.locate(&backup.root.unwrap()).unwrap();
    store.faults.inject(Rule {
        times: u64::MAX,
        ..Rule::on_any(Fault::Before(ErrorKind::Auth))
    });
    let error = verify(&repository, &backup, &VerifyOptions::default(), &()).unwrap_err();
    assert_eq!(error.kind(), Kind::NotPermitted);
}
