//! Damage in a repository: found, named, never restored, and not inherited.

use super::put;
use crate::verbs::{
    SIZE, back_up, is_sound, name, refusal, restore, restore_request, silent, snapshot, volume,
};
use crate::world::{World, make_writable};
use convoy_fault::Kind;
use convoy_tests::disk::digest;
use std::fs;

#[test]
fn damage_is_found_named_and_never_restored() {
    let (world, engine) = World::opened("damage");
    let made = volume(&engine, "v", SIZE);
    put(&made.device, &[16, 17, 18], 1);
    snapshot(&engine, "v", "s");
    let url = back_up(&engine, "s", &world.dest()).backup.url;
    is_sound(&engine, &url);
    let pack = world.packs().remove(0);
    let whole = fs::read(&pack).unwrap();
    let file_name = pack.file_name().unwrap().to_str().unwrap();
    make_writable(&pack);
    // One flipped bit; and a pack that lost its end; and one that is gone.
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x10;
    for (what, bytes) in [
        ("flipped", Some(&flipped[..])),
        ("short", Some(&whole[..middle])),
        ("gone", None),
    ] {
        match bytes {
            Some(bytes) => fs::write(&pack, bytes).unwrap(),
            None => fs::remove_file(&pack).unwrap(),
        }
        let report = engine.verify_backup(&url, &silent()).unwrap();
        let named = report
            .problems
            .iter()
            .any(|problem| problem.object.contains(file_name));
        assert!(
            named,
            "{what}: {:?} does not name {file_name}",
            report.problems
        );
        let before = engine.info().unwrap().pool.data_used;
        let (kind, words) =
            refusal(engine.create_volume(&restore_request("back", &url), &silent()));
        assert_eq!(kind, Kind::Integrity, "{what}: {words}");
        assert_eq!(
            refusal(engine.volume(&name("back"))).0,
            Kind::NotFound,
            "{what}"
        );
        assert_eq!(
            engine.info().unwrap().pool.data_used,
            before,
            "{what}: its blocks are free again"
        );
    }
    fs::write(&pack, &whole).unwrap();
    is_sound(&engine, &url);
    assert_eq!(
        digest(&restore(&engine, "back", &url).device),
        digest(&made.device)
    );
    engine.stop().unwrap();
}

/// What the index remembers may be gone from the store: a backup that builds on it would be reported
/// complete and could not be restored.
#[test]
fn a_backup_after_damage_is_whole_again() {
    let (world, engine) = World::opened("healed");
    let made = volume(&engine, "v", SIZE);
    put(&made.device, &[16, 17, 21, 23], 1);
    snapshot(&engine, "v", "one");
    let first = back_up(&engine, "one", &world.dest());
    // Every pack loses its end, as on a disk that ran out in a crash.
    let packs = world.packs();
    assert!(packs.len() >= 2, "{packs:?}");
    for pack in packs {
        let pack = fs::OpenOptions::new().write(true).open(pack).unwrap();
        pack.set_len(pack.metadata().unwrap().len() / 2).unwrap();
    }
    let report = engine.verify_backup(&first.backup.url, &silent()).unwrap();
    assert!(!report.problems.is_empty());
    let (kind, words) =
        refusal(engine.create_volume(&restore_request("x", &first.backup.url), &silent()));
    assert_eq!(kind, Kind::Integrity, "{words}");

    put(&made.device, &[17], 2);
    snapshot(&engine, "v", "two");
    let second = back_up(&engine, "two", &world.dest());
    assert_eq!(
        second.backup.base, None,
        "the base is damaged: a full backup"
    );
    is_sound(&engine, &second.backup.url);
    let back = restore(&engine, "back", &second.backup.url);
    assert_eq!(digest(&back.device), digest(&made.device));
    engine.stop().unwrap();
}
