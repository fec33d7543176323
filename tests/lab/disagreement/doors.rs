//! The daemon and the command line while catalog and pool disagree.

use super::*;
use crate::verbs::{back_up, unmount};
use convoy_catalog::Change;
use convoy_tests::command::run as ran;
use convoy_tests::daemon::Daemon;
use convoy_tests::programs;
use convoy_units::TransactionId;
use std::process::Command;

fn set_transaction(world: &World, transaction: u64) {
    let catalog = world.catalog();
    let pool = catalog.pools().unwrap()[0].uuid;
    let transaction = TransactionId(transaction);
    let change = Change::SetTransaction { pool, transaction };
    catalog.apply(&[change]).unwrap();
}

#[test]
fn the_daemon_serves_what_it_can_and_the_doctor_puts_it_right() {
    let (world, engine) = World::opened("doors");
    filled(&engine, "v", "text");
    unmount(&engine, "v");
    let url = back_up(&engine, "v-s", &world.dest()).backup.url;
    engine.stop().unwrap();
    set_transaction(&world, 7);
    let before = state(&world);

    let daemon = Daemon::start(&world.root(), &[]);

    assert!(daemon.log().contains("only to be read"), "{}", daemon.log());
    assert!(daemon.ok(&["list"]).contains("\"v\""));
    assert!(daemon.ok(&["inspect", "v"]).contains("v-s"));
    assert!(daemon.ok(&["snapshot", "list"]).contains("v-s"));
    let info = daemon.json(&["info"]);
    let why = info["General"]["ReadOnly"].as_str().unwrap();
    assert!(
        why.contains("is at transaction 2, the catalog at 7"),
        "{why}"
    );
    assert!(
        daemon
            .ok(&["backup", "list", &world.dest()])
            .contains("v-s")
    );
    daemon.ok(&["backup", "inspect", &url]);
    daemon.ok(&["backup", "verify", &url]);
    for words in [
        &["create", "w", "--size", "64M"][..],
        &["create", "w", "--backup", &url],
        &["delete", "v"],
        &["mount", "v"],
        &["umount", "v"],
        &["snapshot", "create", "v"],
        &["snapshot", "delete", "v-s"],
        &["backup", "create", "v-s", "--dest", &world.dest()],
        &["backup", "delete", &url],
    ] {
        daemon.fails(words, 13, "convoy doctor");
    }
    let told = daemon.convoy(&["--output", "json", "doctor"]);
    told.expect_code(13);
    let told: serde_json::Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(told["Findings"][0]["Code"], "pool-behind");
    let root = world.root();
    let root = root.to_str().unwrap();
    // It has the root: the doctor asks it, and goes round it for nothing.
    daemon.fails(&["doctor", "--root", root], 12, "another daemon");
    assert!(state(&world) == before, "something was changed");
    assert_eq!(daemon.stop(), Some(0));
    assert!(state(&world) == before, "something was changed at the end");

    let doctor = |words: &[&str]| {
        let words = [&["doctor", "--root", root], words].concat();
        ran(Command::new(programs().join("convoy")).args(words))
    };
    let told = doctor(&[]);
    told.expect_code(13);
    assert!(told.stdout.contains("fatal pool-behind: "), "{told:?}");
    assert!(told.stdout.contains("  cure: "), "{told:?}");
    let told = doctor(&["--fix"]);
    told.expect_code(13);
    assert!(told.stderr.contains("would be given up"), "{told:?}");
    let told = doctor(&["--fix", "--accept-loss"]);
    told.expect_code(0);
    assert!(
        told.stdout.contains("done: ") && told.stdout.contains("all is well"),
        "{told:?}"
    );
    doctor(&["--spare", "/x"]).expect_code(2);

    let daemon = Daemon::start(&world.root(), &[]);
    daemon.convoy(&["doctor"]).expect_code(0);
    daemon.ok(&["mount", "v"]);
    daemon.ok(&["umount", "v"]);
    daemon.ok(&["create", "w", "--size", "64M"]);
    daemon.stop();
}
