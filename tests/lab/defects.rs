//! Defects of the original that no other module has a test of; `docs/defects.md` is the table of all.

use crate::verbs::{
    back_up, delete_snapshot, delete_volume, is_sound, mount, name, refusal, restore, silent,
    snapshot, thin_ids, unmount, volume, volume_names,
};
use crate::world::World;
use convoy_fault::Kind;
use convoy_tests::command::tool as run;
use convoy_units::Bytes;
use std::fs;

/// Small: nothing is said about sizes here.
const SIZE: Bytes = Bytes::mib(16);

/// The original gave a volume's device the volume's own name. A volume called as the pool, or as the node that
/// device mapper is controlled by, could not be made, or took something else's place; and any other volume
/// manager's device of that name was in the way.
#[test]
fn a_volume_may_be_called_as_what_device_mapper_has() {
    let (_, engine) = World::opened("called");
    let pool = engine.info().unwrap().pool.name.to_string();
    let taken = ["control", &pool, "mapper", "kept-metadata"];
    run(
        "dmsetup",
        &["create", "kept-metadata", "--table", "0 8 error"],
    );
    for called in taken {
        let made = volume(&engine, called, SIZE);
        let device = made.device.file_name().unwrap().to_str().unwrap();
        assert_eq!(
            device,
            format!("{pool}-{}", made.uuid.simple()),
            "identity, and no label"
        );
        let target = mount(&engine, called);
        fs::write(target.join("file"), called).unwrap();
        assert_eq!(fs::read_to_string(target.join("file")).unwrap(), called);
        unmount(&engine, called);
    }
    assert_eq!(volume_names(&engine).len(), taken.len());
    for called in taken {
        delete_volume(&engine, called);
    }
    run("dmsetup", &["remove", "kept-metadata"]);
    engine.stop().unwrap();
}

/// The original kept names in two indexes. A volume that was deleted took its snapshots out of one of them only:
/// whoever used such a name again was told `BUG: Conflict when updating index` after the snapshot was made, and
/// could not delete it.
#[test]
fn a_snapshots_name_is_free_again_when_its_volume_is_gone() {
    let (_, engine) = World::opened("index");
    volume(&engine, "old", SIZE);
    volume(&engine, "other", SIZE);
    snapshot(&engine, "old", "s");
    let taken = engine.create_snapshot(&name("other"), Some(&name("s")), &silent());
    assert_eq!(refusal(taken).0, Kind::Conflict);
    delete_volume(&engine, "old");
    assert_eq!(
        thin_ids(&engine).len(),
        1,
        "the volume and its snapshot are gone"
    );
    let again = snapshot(&engine, "other", "s");
    assert_eq!(again.volume_name, name("other"));
    assert_eq!(engine.snapshots(None).unwrap().len(), 1);
    delete_snapshot(&engine, "s");
    assert_eq!(thin_ids(&engine).len(), 1);
    engine.stop().unwrap();
}

/// The original removed a volume's folder by its prefix when its last backup was deleted. The prefix had no
/// slash at its end: with the last backup of `data`, all backups of `data2` went, and nobody was told.
#[test]
fn deleting_the_last_backup_of_a_volume_leaves_a_longer_name_alone() {
    let (world, engine) = World::opened("longer");
    let dest = world.dest();
    let mut urls = Vec::new();
    for called in ["data", "data2", "dat"] {
        volume(&engine, called, SIZE);
        let target = mount(&engine, called);
        fs::write(target.join("file"), called).unwrap();
        unmount(&engine, called);
        snapshot(&engine, called, &format!("{called}-s"));
        urls.push(back_up(&engine, &format!("{called}-s"), &dest).backup.url);
    }
    engine.delete_backup(&urls[0], &silent()).unwrap();
    let left = engine.backups(&dest, None).unwrap();
    let left: Vec<&str> = left
        .iter()
        .map(|backup| backup.volume_name.as_str())
        .collect();
    assert_eq!(left, ["data2", "dat"]);
    for (called, url) in [("data2", &urls[1]), ("dat", &urls[2])] {
        is_sound(&engine, url);
        let back = format!("{called}-back");
        restore(&engine, &back, url);
        let target = mount(&engine, &back);
        assert_eq!(fs::read_to_string(target.join("file")).unwrap(), called);
        unmount(&engine, &back);
    }
    engine.stop().unwrap();
}
