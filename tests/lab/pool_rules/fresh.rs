//! Devices and settings for a new pool.

use super::{DATA, METADATA, bytes_of, devices};
use crate::signatures::SIGNATURES;
use crate::world::{World, detach};
use convoy_engine::pool_options;
use convoy_fault::{Fault, Kind};
use convoy_tests::command::tool as run;
use convoy_tests::disk::disks;
use convoy_tests::mapper;
use std::fs;
use std::path::Path;

/// What an engine may have left under its root when it was refused.
#[track_caller]
fn nothing_made(root: &Path) {
    for entry in fs::read_dir(root).into_iter().flatten() {
        let entry = entry.unwrap().file_name().into_string().unwrap();
        let known = entry == "lock" || entry.starts_with("catalog.");
        assert!(known, "{entry} was made under the root");
    }
    let devices = mapper::devices();
    assert!(devices.is_empty(), "{devices:?}");
}

#[test]
fn a_device_that_carries_anything_is_refused_and_untouched() {
    let world = World::new("signatures");
    for (number, (what, make)) in SIGNATURES.into_iter().enumerate() {
        let dirty = world.disk(&format!("dirty-{number}"), DATA);
        let clean = world.disk(&format!("clean-{number}"), DATA);
        make(&dirty);
        let before = bytes_of(&[&dirty, &clean]);
        for options in [devices(&dirty, &clean), devices(&clean, &dirty)] {
            println!("{what}");
            let (kind, words) = world.refused(&options);
            assert_eq!(kind, Kind::Conflict, "{what}: {words}");
            assert!(words.contains(&dirty), "{what}: {words}");
            assert!(
                words.contains("not blank") || words.contains("carries"),
                "{what}: {words}"
            );
            if what != "btrfs" {
                assert!(
                    words.to_lowercase().contains(&what.to_lowercase()),
                    "{what}: {words}"
                );
            }
            nothing_made(&world.root());
        }
        assert!(
            bytes_of(&[&dirty, &clean]) == before,
            "{what}: a refused device was written"
        );
        detach(&[&dirty, &clean]);
    }
}

#[test]
fn a_device_in_use_is_refused() {
    let world = World::new("in-use");
    let clean = world.disk("clean", DATA);
    // Our own scratch filesystem's disk, mounted.
    let mounted = disks().remove(0);
    let (kind, words) = world.refused(&devices(mounted.to_str().unwrap(), &clean));
    assert_eq!(kind, Kind::Conflict, "{words}");
    assert!(words.contains("in use"), "{words}");
    // A blank one that another device is made of.
    let under = world.disk("under", DATA);
    run(
        "dmsetup",
        &[
            "create",
            "over",
            "--table",
            &format!("0 1000 linear {under} 0"),
        ],
    );
    let (kind, words) = world.refused(&devices(&under, &clean));
    assert_eq!(kind, Kind::Conflict, "{words}");
    assert!(words.contains("in use"), "{words}");
    run("dmsetup", &["remove", "over"]);
    world.open(&devices(&under, &clean)).stop().unwrap();
}

#[test]
fn values_that_break_a_rule_are_refused_with_it() {
    let check = |options: &[(&str, &str)], rule: &str| {
        let options: Vec<_> = options
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let error = pool_options(&options).unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid, "{options:?}");
        let words = convoy_fault::chain(&error);
        assert!(words.contains(rule), "{options:?}: {words}");
    };
    let sectors = "must between 128 and 2097152, and must be a multiple of 128";
    for wrong in ["0", "127", "129", "64", "2097280", "4294967296"] {
        check(&[("dm.thinpoolblocksize", wrong)], sectors);
    }
    for wrong in ["", "many", "-128", "1.5M"] {
        check(
            &[("dm.thinpoolblocksize", wrong)],
            "Illegal block size specified",
        );
    }
    for wrong in ["", "0", "big", "10X", "-1"] {
        check(
            &[("dm.defaultvolumesize", wrong)],
            "Illegal default volume size specified",
        );
    }
    check(&[("dm.fs", "ntfs")], "ext4 or xfs");
    for wrong in ["", "-a", ".a", "a/b", "a b"] {
        check(&[("dm.thinpoolname", wrong)], convoy_names::RULE);
    }
    check(&[("dm.datadev", "/dev/a")], "needs both");
    check(&[("dm.metadatadev", "/dev/a")], "needs both");
    check(
        &[("dm.datadev", "/dev/a"), ("dm.metadatadev", "/dev/a")],
        "same device",
    );
    check(
        &[("dm.datadev", "sdb"), ("dm.metadatadev", "/dev/a")],
        "absolute path",
    );
    check(&[("dm.blocksize", "128")], "unknown driver option");
    check(&[("dm.fs", "ext4"), ("dm.fs", "xfs")], "given twice");
}

#[test]
fn devices_that_cannot_be_a_pool_are_refused_before_anything_is_touched() {
    let world = World::new("unfit");
    let (data, metadata) = (world.disk("data", DATA), world.disk("metadata", METADATA));
    let before = bytes_of(&[&data, &metadata]);
    // One device under two names.
    let alias = world.path("alias");
    std::os::unix::fs::symlink(&data, &alias).unwrap();
    let (kind, words) = world.refused(&devices(&data, alias.to_str().unwrap()));
    assert_eq!(kind, Kind::Invalid, "{words}");
    assert!(words.contains("same device"), "{words}");
    nothing_made(&world.root());
    // Too small for one block.
    let mut options = devices(&data, &metadata).to_vec();
    options.push(("dm.thinpoolblocksize", "262144"));
    let (kind, words) = world.refused(&options);
    assert_eq!(kind, Kind::Invalid, "{words}");
    assert!(words.contains("less than one block"), "{words}");
    nothing_made(&world.root());
    // No device at all, and a file where a device should be.
    let (_, words) = world.refused(&devices("/dev/no-such-disk", &metadata));
    assert!(words.contains("/dev/no-such-disk"), "{words}");
    nothing_made(&world.root());
    let file = world.path("data");
    let (_, words) = world.refused(&devices(file.to_str().unwrap(), &metadata));
    assert!(words.contains(file.to_str().unwrap()), "{words}");
    nothing_made(&world.root());
    assert!(
        bytes_of(&[&data, &metadata]) == before,
        "a refused device was written"
    );
    // After all that the right ones are taken.
    world.open(&devices(&data, &metadata)).stop().unwrap();
}
