//! What the original Convoy left at a destination: shown beside ours, verified and restored to real thin devices;
//! refused where it is damaged or not a volume's; and never changed.

use crate::verbs::{
    SIZE, back_up, mount, name, refusal, restore, restore_request, silent, snapshot, unmount,
    volume,
};
use crate::world::{World, read_device};
use convoy_engine::{BackupFormat, CreateVolume, Engine, Event, Observer, Operation, VolumeInfo};
use convoy_fault::Kind;
use convoy_testkit::original::{self, BLOCK, Blocks, Generation, Repository, Snapshot};
use convoy_tests::command::tool as run;
use convoy_tests::disk::digest;
use convoy_units::Bytes;
use std::fs;
use std::path::Path;
use uuid::Uuid;

/// A volume with a file in it, unmounted; and its blocks as the original would find them mapped.
fn filled(engine: &Engine, text: &str) -> (VolumeInfo, Blocks) {
    let made = volume(engine, "old", SIZE);
    let at = mount(engine, "old");
    fs::write(at.join("file"), text).unwrap();
    unmount(engine, "old");
    let blocks = blocks_of(&made.device);
    (made, blocks)
}

fn blocks_of(device: &Path) -> Blocks {
    let all = 0..SIZE.0 / BLOCK as u64;
    let block = |number: u64| (number, read_device(device, number * BLOCK as u64, BLOCK));
    let mut blocks: Blocks = all.map(block).collect();
    blocks.retain(|_, block| block.iter().any(|byte| *byte != 0));
    blocks
}

fn snapshot_of(blocks: &Blocks, name: &str) -> Snapshot {
    Snapshot {
        name: name.to_owned(),
        blocks: blocks.clone(),
    }
}

/// The URL as the original printed it.
fn url(world: &World, volume: &str, backup: &str) -> String {
    format!("{}?backup={backup}\\u0026volume={volume}", world.dest())
}

/// Everything in a folder: names, sizes, contents and times of change.
fn state_of(folder: &Path) -> String {
    run(
        "sh",
        &[
            "-c",
            "cd \"$1\" && find . -printf '%p %s %T@ %m\\n' | sort && find . -type f | sort | xargs sha256sum",
            "sh",
            folder.to_str().unwrap(),
        ],
    )
}

#[test]
fn an_old_backup_is_listed_verified_and_restored_and_the_next_is_ours() {
    let (world, engine) = World::opened("original");
    let (made, first) = filled(&engine, "as the original knew it");
    let mut second = first.clone();
    second.insert(20, original::block(20));
    second.insert(21, original::block(21));
    let mut old = Repository::new(Generation::Names);
    let (s1, s2) = (snapshot_of(&first, "s1"), snapshot_of(&second, "s2"));
    let b1 = old.back_up("ab", SIZE.0, &s1, &[&s1]);
    let b2 = old.back_up("ab", SIZE.0, &s2, &[&s1, &s2]);
    old.write(&world.path("backups"));
    let place = world.path("backups/convoy-objectstore");
    let before = state_of(&place);

    let listed = engine.backups(&world.dest(), None).unwrap();
    assert_eq!(listed.len(), 2);
    for backup in &listed {
        assert_eq!(backup.format, BackupFormat::Original);
        assert_eq!(
            (backup.volume_name.as_str(), backup.volume_size),
            ("ab", SIZE)
        );
        assert_eq!(
            (backup.uuid, backup.problem.as_deref()),
            (Uuid::nil(), None)
        );
        assert_eq!(engine.backup(&backup.url).unwrap().name, backup.name);
        let report = engine.verify_backup(&backup.url, &silent()).unwrap();
        assert!(
            report.problems.is_empty() && report.chunks > 0,
            "{report:?}"
        );
    }
    let back = restore(&engine, "back", &url(&world, "ab", &b1));
    assert_eq!(digest(&back.device), digest(&made.device));
    assert_eq!((back.size, back.filesystem.as_str()), (SIZE, "ext4"));
    let mapped = Bytes(first.len() as u64 * BLOCK as u64);
    assert_eq!(back.mapped, Some(mapped), "holes stay unmapped");
    let at = mount(&engine, "back");
    assert_eq!(
        fs::read_to_string(at.join("file")).unwrap(),
        "as the original knew it"
    );
    unmount(&engine, "back");
    let later = restore(&engine, "later", &url(&world, "ab", &b2));
    assert!(blocks_of(&later.device) == second);

    // The next backup of what was restored begins anew, beside; and both are listed.
    snapshot(&engine, "back", "new");
    let ours = back_up(&engine, "new", &world.dest()).backup;
    assert_eq!((ours.format, ours.base), (BackupFormat::Convoy, None));
    let formats: Vec<BackupFormat> = engine
        .backups(&world.dest(), None)
        .unwrap()
        .iter()
        .map(|backup| backup.format)
        .collect();
    let (old, new) = (BackupFormat::Original, BackupFormat::Convoy);
    assert_eq!(formats, [old, old, new]);
    let of_old = engine.backups(&world.dest(), Some(&name("ab"))).unwrap();
    assert_eq!(of_old.len(), 2);
    assert_eq!(
        digest(&restore(&engine, "again", &ours.url).device),
        digest(&back.device)
    );

    let (kind, words) = refusal(engine.delete_backup(&url(&world, "ab", &b1), &silent()));
    assert_eq!(kind, Kind::Unsupported, "{words}");
    assert!(words.contains("original"), "{words}");
    let wrong = url(&world, "other", &b1);
    assert_eq!(refusal(engine.backup(&wrong)).0, Kind::NotFound);
    assert_eq!(
        state_of(&place),
        before,
        "nothing of the original's is changed"
    );
    engine.stop().unwrap();
}

/// Wants to stop at once.
struct Stop;

impl Observer for Stop {
    fn event(&self, _: Event) {}

    fn cancelled(&self) -> bool {
        true
    }
}

#[test]
fn damage_ends_a_restore_and_leaves_no_volume() {
    let (world, engine) = World::opened("original-damage");
    let (_, blocks) = filled(&engine, "text");
    let mut old = Repository::new(Generation::Uuids);
    let id = original::uuid(1);
    let backup = old.back_up(&id, SIZE.0, &snapshot_of(&blocks, "s"), &[]);
    let last = blocks.values().last().unwrap();
    let bad = original::block_path(&id, &original::checksum(last));
    old.objects.get_mut(&bad).unwrap().truncate(100);
    old.write(&world.path("backups"));
    let url = url(&world, &id, &backup);
    let report = engine.verify_backup(&url, &silent()).unwrap();
    assert_eq!(report.problems.len(), 1);
    assert_eq!(report.problems[0].object, bad);
    let used = engine.info().unwrap().pool.data_used;
    let (kind, words) = refusal(engine.create_volume(&restore_request("back", &url), &silent()));
    assert_eq!(kind, Kind::Integrity, "{words}");
    assert!(words.contains(&bad), "{words}");
    assert_eq!(refusal(engine.volume(&name("back"))).0, Kind::NotFound);
    assert_eq!(
        engine.info().unwrap().pool.data_used,
        used,
        "its blocks are free again"
    );

    // Stopped in the middle: no volume either.
    old.objects.insert(bad, original::pack(last));
    old.write(&world.path("backups"));
    let stopped = Operation::new(&Stop);
    let (kind, words) = refusal(engine.create_volume(&restore_request("back", &url), &stopped));
    assert_eq!(kind, Kind::Interrupted, "{words}");
    assert_eq!(refusal(engine.volume(&name("back"))).0, Kind::NotFound);
    let back = restore(&engine, "back", &url);
    assert!(blocks_of(&back.device) == blocks);
    engine.stop().unwrap();
}

#[test]
fn a_size_that_is_lost_is_asked_for_and_a_file_is_no_volume() {
    let (world, engine) = World::opened("original-size");
    let (made, blocks) = filled(&engine, "text");
    let mut old = Repository::new(Generation::Names);
    let backup = old.back_up("vol1", SIZE.0, &snapshot_of(&blocks, "s"), &[]);
    let file = old.back_up_directory("files", b"a tar archive");
    let text = format!("{}/volume.cfg", original::directory("vol1"));
    old.objects.insert(text, vec![]);
    old.write(&world.path("backups"));
    let listed = engine.backups(&world.dest(), Some(&name("vol1"))).unwrap();
    assert!(
        listed[0].problem.as_ref().unwrap().contains("empty"),
        "{listed:?}"
    );
    let url_of = |volume, backup: &str| url(&world, volume, backup);
    let request = restore_request("back", &url_of("vol1", &backup));
    let (kind, words) = refusal(engine.create_volume(&request, &silent()));
    assert_eq!(kind, Kind::Invalid, "{words}");
    assert!(words.contains("--size"), "{words}");
    let too_small = CreateVolume {
        size: Some(Bytes::mib(2)),
        ..request.clone()
    };
    assert_eq!(
        refusal(engine.create_volume(&too_small, &silent())).0,
        Kind::Invalid
    );
    let sized = CreateVolume {
        size: Some(SIZE),
        ..request
    };
    let back = engine
        .create_volume(&sized, &silent())
        .unwrap()
        .into_inner();
    assert_eq!(digest(&back.device), digest(&made.device));

    let url = url_of("files", &file);
    assert_eq!(engine.backup(&url).unwrap().driver, "vfs");
    let said = [
        refusal(engine.create_volume(&restore_request("x", &url), &silent())),
        refusal(engine.verify_backup(&url, &silent())),
    ];
    for (kind, words) in said {
        assert_eq!(kind, Kind::Unsupported, "{words}");
        assert!(
            words.contains("Cannot restore backup of vfs to devicemapper"),
            "{words}"
        );
    }
    engine.stop().unwrap();
}
