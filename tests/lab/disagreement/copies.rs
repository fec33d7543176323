//! The catalog: lost, damaged, old.

use super::*;
use crate::verbs::{delete_snapshot, unmount, volume_names};
use std::path::Path;

fn files_of_catalog(root: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let is_catalog = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with("catalog.db")
    };
    entries.filter(is_catalog).collect()
}

#[test]
fn a_lost_or_damaged_catalog_is_served_from_its_copy_and_restored() {
    let (world, engine) = World::opened("catalog");
    filled(&engine, "v", "hello");
    unmount(&engine, "v");
    engine.stop().unwrap();
    let path = world.root().join("catalog.db");
    let sound = fs::read(&path).unwrap();
    let cut = &sound[..sound.len() / 2];
    let mut flipped = sound.clone();
    flipped[4096..].iter_mut().for_each(|byte| *byte ^= 4);
    let zeroed = vec![0; sound.len()];
    for (bytes, code) in [
        (None, Code::CatalogLost),
        (Some(&zeroed[..]), Code::CatalogDamaged),
        (Some(cut), Code::CatalogDamaged),
        (Some(&flipped), Code::CatalogDamaged),
    ] {
        match bytes {
            None => fs::remove_file(&path).unwrap(),
            Some(bytes) => fs::write(&path, bytes).unwrap(),
        }
        both_refuse(&world, &[code], "catalog");
        let looking = looks(&world);
        assert_eq!(volume_names(&looking), ["v"]);
        assert!(looking.read_only().unwrap().contains("catalog.db.kept-1"));
        drop(looking);
        let fixed = fix(&world, &Remedy::default());
        assert!(fixed.is_well(), "{:?}", fixed.findings);
        let engine = works(&world);
        holds(&engine, "v", "hello");
        assert_eq!(engine.snapshots(None).unwrap().len(), 1);
        engine.stop().unwrap();
    }
}

/// No copy at all: the filesystems tell which volume is which. The engine serves nothing meanwhile, rather than
/// an empty list.
#[test]
fn without_any_copy_the_volumes_are_found_again_by_their_filesystems() {
    let (world, engine) = World::opened("rebuilt");
    filled(&engine, "one", "first");
    filled(&engine, "two", "second");
    unmount(&engine, "one");
    unmount(&engine, "two");
    let before = engine.volumes().unwrap();
    engine.stop().unwrap();
    for file in files_of_catalog(&world.root()) {
        fs::remove_file(file).unwrap();
    }
    both_refuse(&world, &[Code::CatalogLost], "is lost");
    let error = Engine::open_or_look(&world.config(&[]), Seams::kernel().unwrap()).unwrap_err();
    assert_eq!(convoy_fault::Fault::kind(&error), Kind::Integrity);

    assert!(fix(&world, &Remedy::default()).is_well());

    let engine = works(&world);
    let after = engine.volumes().unwrap();
    for old in before {
        let new = after.iter().find(|new| new.uuid == old.uuid).unwrap();
        assert_eq!((new.dev_id, new.size), (old.dev_id, old.size));
        assert_eq!(new.snapshots.len(), 1);
        assert_eq!(new.snapshots[0].dev_id, old.snapshots[0].dev_id);
        let text = if old.name.as_str() == "one" {
            "first"
        } else {
            "second"
        };
        holds(&engine, new.name.as_str(), text);
    }
    // A new device gets a number that the pool never had.
    volume(&engine, "three", crate::verbs::SIZE);
    engine.stop().unwrap();
}

#[test]
fn an_older_catalog_is_refused_and_takes_from_the_pool_what_it_lacks() {
    let (world, engine) = World::opened("older");
    filled(&engine, "kept", "kept");
    unmount(&engine, "kept");
    engine.stop().unwrap();
    let path = world.root().join("catalog.db");
    let old = fs::read(&path).unwrap();
    let engine = world.open(&[]);
    filled(&engine, "new", "new");
    unmount(&engine, "new");
    delete_snapshot(&engine, "kept-s");
    engine.stop().unwrap();
    fs::write(&path, old).unwrap();
    both_refuse(
        &world,
        &[Code::PoolAhead, Code::DevicesMissing],
        "is at transaction 5, the catalog at 2",
    );
    drop(looks(&world));

    assert!(fix(&world, &Remedy::default()).is_well());

    let engine = works(&world);
    holds(&engine, "kept", "kept");
    let names = volume_names(&engine);
    let adopted = names.iter().find(|name| *name != "kept").unwrap();
    holds(&engine, adopted, "new");
    assert_eq!(
        engine.snapshots(None).unwrap().len(),
        1,
        "that of the new volume"
    );
    engine.stop().unwrap();
}

/// A copy of the catalog that was taken while a volume was being made, put back a year later at the very same
/// transaction id: an engine that believed it would delete the volume with everything on it.
#[test]
fn a_volume_in_use_that_an_older_catalog_calls_half_made_is_not_deleted() {
    let (world, engine) = World::opened("half-made");
    let made = volume(&engine, "v", crate::verbs::SIZE);
    let target = crate::verbs::mount(&engine, "v");
    fs::write(target.join("file"), "a year's work").unwrap();
    unmount(&engine, "v");
    engine.stop().unwrap();
    let rewrite = |state| {
        let catalog = world.catalog();
        let volume = catalog.volume(made.uuid).unwrap().unwrap();
        let volume = convoy_catalog::Volume { state, ..volume };
        let change = convoy_catalog::Change::PutVolume(volume);
        catalog.apply(&[change]).unwrap();
    };
    rewrite(convoy_catalog::VolumeState::Formatting);
    for _ in 0..2 {
        let engine = world.open(&[]);
        assert_eq!(crate::verbs::thin_ids(&engine), [made.dev_id.to_string()]);
        let info = engine.volume(&crate::verbs::name("v")).unwrap();
        let problem = info.problem.unwrap();
        assert!(problem.contains("older copy"), "{problem}");
        engine.stop().unwrap();
    }
    rewrite(convoy_catalog::VolumeState::Ready);
    let engine = world.open(&[]);
    holds(&engine, "v", "a year's work");
    engine.stop().unwrap();
}
