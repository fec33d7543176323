//! A filesystem that asks for a check gets it before it is mounted; what needs a person is not mounted.

use crate::verbs::{SIZE, mount, name, refusal, silent, unmount, volume};
use crate::world::World;
use convoy_fault::Kind;
use convoy_tests::command::tool as run;
use std::fs;
use std::path::Path;

fn set(device: &Path, what: &str) {
    run("debugfs", &["-w", "-R", what, device.to_str().unwrap()]);
}

#[test]
fn an_ext4_that_met_errors_is_checked_before_it_is_mounted() {
    let (_, engine) = World::opened("met-errors");
    let device = volume(&engine, "v", SIZE).device;
    let target = mount(&engine, "v");
    fs::write(target.join("file"), "kept").unwrap();
    unmount(&engine, "v");
    set(&device, "set_super_value state 2");
    mount(&engine, "v");
    assert_eq!(fs::read(target.join("file")).unwrap(), b"kept");
    assert!(!target.join("lost+found").exists());
    let said = |words: &str| {
        let events = engine.pool_events();
        events
            .iter()
            .filter(|event| event.what.contains(words))
            .count()
    };
    assert_eq!(said("it met errors when it was last used"), 1);
    unmount(&engine, "v");
    mount(&engine, "v");
    assert_eq!(
        said("it met errors when it was last used"),
        1,
        "it does not ask again"
    );
    unmount(&engine, "v");

    // Damage that no check repairs unasked: the root directory is a file.
    set(&device, "set_super_value state 2");
    set(&device, "set_inode_field <2> mode 0100644");
    for _ in 0..2 {
        let (kind, words) = refusal(engine.mount_volume(&name("v"), None, &silent()));
        assert_eq!(kind, Kind::Integrity, "{words}");
        assert!(words.contains("convoy snapshot create v"), "{words}");
        assert!(words.contains("e2fsck -f /dev/"), "{words}");
    }
    assert_eq!(engine.volume(&name("v")).unwrap().mountpoint, None);
    // What was said to do helps.
    std::process::Command::new("e2fsck")
        .args(["-f", "-y", device.to_str().unwrap()])
        .output()
        .unwrap();
    mount(&engine, "v");
    engine.stop().unwrap();
}
