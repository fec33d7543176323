//! The judge is judged: what is allowed passes, and everything else is found.

use super::*;
use std::collections::BTreeSet;

fn world(lines: &[&str]) -> World {
    World::after(lines.iter().copied()).unwrap()
}

/// A world in which volume `v1` is mounted and holds generation 4.
const BASE: &[&str] = &[
    "begin a create v1 -",
    "done a",
    "begin a mount v1 -",
    "done a",
    "begin a write v1 4",
    "done a",
];

fn base(more: &[&str]) -> World {
    world(&[BASE, more].concat())
}

fn seen(mounted: bool, contents: Contents) -> Seen {
    Seen {
        volumes: [("v1".to_owned(), (mounted, contents))].into(),
        ..Seen::default()
    }
}

fn half(first: u64, second: u64) -> Contents {
    [[first; 8], [second; 8]].concat()
}

#[track_caller]
fn refused(world: &World, seen: &Seen, words: &str) {
    let problems = world.settle(seen).unwrap_err().join("\n");
    assert!(problems.contains(words), "{problems}");
}

#[test]
fn what_was_acknowledged_must_be_there() {
    let world = base(&[]);
    assert_eq!(
        world.settle(&seen(true, vec![4; 16])).unwrap(),
        ["holds volume v1 4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4"]
    );
    refused(&world, &seen(true, half(4, 0)), "holds 4,4");
    refused(&world, &seen(true, half(4, 5)), "not 4,4");
    refused(&world, &seen(false, vec![4; 16]), "mounted is false");
    refused(&world, &Seen::default(), "volumes are [], not [\"v1\"]");
    let mut more = seen(true, vec![4; 16]);
    more.backups.insert("s9".to_owned());
    refused(&world, &more, "backups are");
}

#[test]
fn a_write_that_was_begun_may_be_there_in_part_and_then_stays_so() {
    let mut world = base(&["begin a write v1 5"]);
    for contents in [vec![4; 16], vec![5; 16], half(5, 4), half(4, 5)] {
        world.settle(&seen(true, contents)).unwrap();
    }
    refused(&world, &seen(true, half(5, 0)), "holds 5,5");
    for line in world.settle(&seen(true, half(4, 5))).unwrap() {
        world.hear(&line).unwrap();
    }
    refused(&world, &seen(true, half(5, 4)), "holds 5,5");
    world.settle(&seen(true, half(4, 5))).unwrap();
}

#[test]
fn a_verb_that_was_begun_is_finished_or_undone() {
    let world = base(&["begin a create v5 -"]);
    let one = seen(true, vec![4; 16]);
    assert_eq!(world.settle(&one).unwrap()[0], "settled a undone");
    let mut two = one.clone();
    two.volumes.insert("v5".to_owned(), (false, vec![0; 16]));
    assert_eq!(world.settle(&two).unwrap()[0], "settled a finished");
    two.volumes.insert("v5".to_owned(), (true, vec![0; 16]));
    refused(&world, &two, "mounted is true");
}

#[test]
fn a_snapshot_holds_what_was_there_or_was_being_written() {
    let mut world = base(&["begin a snapshot s1 v1", "begin b write v1 6", "done b"]);
    let mut found = seen(true, vec![6; 16]);
    let snapshot = |g| ("v1".to_owned(), vec![g; 16]);
    for generation in [4, 6] {
        found
            .snapshots
            .insert("s1".to_owned(), snapshot(generation));
        assert_eq!(world.settle(&found).unwrap()[0], "settled a finished");
    }
    found.snapshots.insert("s1".to_owned(), snapshot(5));
    refused(&world, &found, "snapshot s1 holds 5");
    // What is written later is not in it.
    for line in ["done a", "begin b write v1 7", "done b"] {
        world.hear(line).unwrap();
    }
    let mut found = seen(true, vec![7; 16]);
    found.snapshots.insert("s1".to_owned(), snapshot(7));
    refused(&world, &found, "snapshot s1 holds 7");
}

#[test]
fn a_deleted_volume_takes_its_snapshots_along() {
    let lines = ["begin a snapshot s1 v1", "done a", "begin a delete v1 -"];
    let world = base(&lines);
    assert_eq!(
        world.settle(&Seen::default()).unwrap()[0],
        "settled a finished"
    );
    // Half of it is neither.
    refused(&world, &seen(true, vec![4; 16]), "snapshots are []");
}

#[test]
fn a_restored_volume_is_what_was_backed_up() {
    let lines = [
        "begin a snapshot s1 v1",
        "done a",
        "begin a backup s1 -",
        "done a",
        "begin a write v1 9",
        "done a",
        "begin a restore v2 s1",
        "done a",
    ];
    let world = base(&lines);
    let mut found = seen(true, vec![9; 16]);
    let snapshot = ("v1".to_owned(), vec![4; 16]);
    found.snapshots.insert("s1".to_owned(), snapshot);
    found.backups.insert("s1".to_owned());
    found.volumes.insert("v2".to_owned(), (false, vec![4; 16]));
    world.settle(&found).unwrap();
    found.volumes.insert("v2".to_owned(), (false, vec![9; 16]));
    refused(&world, &found, "volume v2 holds 9");
}

#[test]
fn lines_that_cannot_follow_are_refused() {
    let begun = ["begin a create v1 -", "begin a create v2 -"];
    assert!(World::after(begun).unwrap_err().contains("has not done"));
    assert!(World::after(["done a"]).is_err());
    assert!(World::after(["begin a write v9 1"]).is_err());
    assert!(World::after(["begin a dance v9 1"]).is_err());
    let said = ["said anything", "cut after dm.create 1"];
    assert_eq!(World::after(said).unwrap(), World::default());
}

#[test]
fn blocks_say_what_they_are() {
    let bytes: Vec<u8> = (0..BLOCKS).flat_map(|n| Seen::block(n, 7)).collect();
    assert_eq!(Seen::contents(&bytes), vec![7; 16]);
    assert_eq!(Seen::contents(&[]), vec![0; 16]);
    assert_eq!(Seen::contents(&bytes[..8 * 1024]), half(7, 0));
    // In another place, or torn, it is no block of ours.
    let foreign = u64::MAX;
    assert_eq!(Seen::contents(&bytes[1024..])[0], foreign);
    let mut torn = bytes.clone();
    torn[1016] = 8;
    assert_eq!(Seen::contents(&torn)[0], foreign);
    assert_eq!(Seen::contents(&bytes[..1024 + 5])[1], foreign);
}

#[test]
fn every_choice_can_be_done_and_every_verb_comes() {
    let mut dice = Dice::new(1);
    let start = [
        "begin a open - -",
        "done a",
        "begin a create v0 -",
        "done a",
        "begin a mount v0 -",
        "done a",
    ];
    let mut world = world(&start);
    let mut done = BTreeSet::new();
    for _ in 0..3000 {
        let deed = choose(&world, &Verb::ALL, &mut dice);
        assert!(deed.verb == Verb::Snapshot || (deed.what != BUSY && deed.with != BUSY));
        done.insert(deed.verb);
        world.hear(&format!("begin a {deed}")).unwrap();
        world.hear("done a").unwrap();
        assert!(world.volumes.len() <= 4 && world.snapshots.len() <= 5);
    }
    assert_eq!(done.len(), Verb::ALL.len() - 1, "all but the first opening");
    for verb in Verb::ALL {
        assert_eq!(verb.word().parse(), Ok(verb));
    }
}
