//! Destinations that are gone, another, or full.

use super::put;
use crate::verbs::{
    SIZE, back_up, is_sound, name, refusal, restore_request, silent, snapshot, volume,
};
use crate::world::World;
use convoy_fault::Kind;
use convoy_tests::command::tool as run;
use convoy_tests::tree::{self, Tree};
use convoy_units::Bytes;
use std::fs;
use std::path::Path;

/// Every file below. (Folders tell also when a file came and went in them.)
fn files(folder: &Path) -> Tree {
    let mut tree = tree::read(folder);
    tree.retain(|_, entry| !entry.content.is_empty());
    tree
}

/// An unmounted share leaves an empty folder that looks like a new destination: a backup into it would
/// fill the wrong disk, and vanish under the share when it is mounted again.
#[test]
fn a_destination_that_is_gone_or_another_is_refused() {
    let (world, engine) = World::opened("gone");
    volume(&engine, "v", SIZE);
    snapshot(&engine, "v", "s");
    let url = back_up(&engine, "s", &world.dest()).backup.url;
    let (share, away) = (world.path("backups"), world.path("away"));
    let all = |expected: &str| {
        let said = [
            refusal(engine.create_backup(&name("s"), &world.dest(), &silent())),
            refusal(engine.backups(&world.dest(), None)),
            refusal(engine.backup(&url)),
            refusal(engine.delete_backup(&url, &silent())),
            refusal(engine.verify_backup(&url, &silent())),
            refusal(engine.create_volume(&restore_request("back", &url), &silent())),
        ];
        for (number, (kind, words)) in said.into_iter().enumerate() {
            assert_eq!(kind, Kind::DestinationUnavailable, "{number}: {words}");
            assert!(words.contains(expected), "{number}: {words}");
        }
    };
    fs::rename(&share, &away).unwrap();
    all("backups");
    assert!(!share.exists(), "it was not made");
    fs::create_dir(&share).unwrap();
    all("is the share mounted?");
    assert_eq!(
        fs::read_dir(&share).unwrap().count(),
        0,
        "nothing was written"
    );
    // Another engine's repository in its place.
    let other = world.beside("other");
    let second = other.open(&[("dm.thinpoolname", "other")]);
    volume(&second, "w", SIZE);
    snapshot(&second, "w", "ws");
    back_up(&second, "ws", &world.dest());
    second.stop().unwrap();
    let before = files(&share);
    all("holds repository");
    // The other's repository is as it was.
    tree::assert_same(&files(&share), &before);
    // The right one again.
    fs::rename(&share, world.path("another")).unwrap();
    fs::rename(&away, &share).unwrap();
    assert_eq!(engine.backup(&url).unwrap().url, url);
    back_up(&engine, "s", &world.dest());
    assert_eq!(engine.volumes().unwrap().len(), 1);
    engine.stop().unwrap();
}

#[test]
fn a_full_destination_leaves_no_backup_and_harms_none() {
    let (world, engine) = World::opened("full");
    let made = volume(&engine, "v", SIZE);
    let share = world.path("share");
    fs::create_dir(&share).unwrap();
    let disk = world.disk("share.img", Bytes::mib(10));
    run("mkfs.ext4", &["-q", "-F", "-m", "0", &disk]);
    run("mount", &[&disk, share.to_str().unwrap()]);
    let folder = share.join("backups");
    fs::create_dir(&folder).unwrap();
    let dest = format!("vfs://{}", folder.display());
    put(&made.device, &[16, 17], 1);
    snapshot(&engine, "v", "small");
    let first = back_up(&engine, "small", &dest);
    put(&made.device, &(4..18).collect::<Vec<_>>(), 2);
    snapshot(&engine, "v", "large");
    let (kind, words) = refusal(engine.create_backup(&name("large"), &dest, &silent()));
    println!("{kind}: {words}");
    assert!(
        matches!(kind, Kind::DestinationUnavailable | Kind::Failed),
        "{kind}: {words}"
    );
    assert!(words.contains("No space left"), "{words}");
    let listed = engine.backups(&dest, None).unwrap();
    assert_eq!(
        listed.iter().map(|b| b.uuid).collect::<Vec<_>>(),
        [first.backup.uuid]
    );
    is_sound(&engine, &first.backup.url);
    engine
        .delete_snapshot(&name("large"), &silent())
        .expect("nothing is pinned");
    engine.stop().unwrap();
}
