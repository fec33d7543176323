//! What went wrong in other plugins, each once: `docs/docker.md` tells what happened there.

use crate::desk::Desk;
use convoy_engine::Operation;
use convoy_fault::{Fault, Kind};
use convoy_mount::Holder;
use serde_json::json;
use std::time::Duration;

#[test]
fn docker_cp_does_not_unmount_a_running_containers_volume() {
    let desk = Desk::new();
    let daemon = desk.start();
    daemon.create("v", &json!({}));
    let at = daemon.mount("v", "container");
    // The copy mounts and unmounts under the id that the container has.
    assert_eq!(daemon.mount("v", "container"), at);
    daemon.unmount("v", "container");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(desk.mounted().len(), 1, "the container has it still");
    daemon.unmount("v", "container");
    assert!(desk.comes_to_rest());
}

#[test]
fn a_mount_that_is_never_given_back_does_not_keep_the_volume() {
    let desk = Desk::new();
    let daemon = desk.start();
    daemon.create("v", &json!({}));
    daemon.mount("v", "container");
    daemon.mount("v", "container");
    daemon.unmount("v", "container");
    let name = "v".parse().unwrap();
    let device = || {
        let state = desk.table.state.lock().unwrap();
        state.mounts[0].device
    };
    let _its_number = device();
    desk.table.state.lock().unwrap().holders = vec![Holder {
        pid: 7,
        comm: "nginx".to_owned(),
        target: "/data".into(),
    }];
    let refused = daemon
        .engine
        .unmount_volume(&name, &Operation::silent())
        .unwrap_err();
    assert_eq!(refused.kind(), Kind::Busy);
    assert!(refused.to_string().contains("nginx (pid 7)"), "{refused}");
    assert!(
        daemon
            .refused("Remove", &json!({ "Name": "v" }))
            .contains("nginx")
    );
    assert_eq!(desk.mounted().len(), 1);
    desk.table.state.lock().unwrap().holders.clear();
    daemon.ok("Remove", &json!({ "Name": "v" }));
    assert!(desk.mounted().is_empty());
}

#[test]
fn counts_outlive_the_daemon() {
    let desk = Desk::new();
    let daemon = desk.start();
    daemon.create("v", &json!({}));
    let at = daemon.mount("v", "a");
    daemon.mount("v", "b");
    assert!(daemon.stop());
    assert_eq!(desk.mounted().len(), 1, "containers run on");
    let daemon = desk.start();
    assert_eq!(daemon.get("v")["Status"]["mount_refs"], 2);
    assert_eq!(daemon.get("v")["Mountpoint"], at.as_str());
    daemon.unmount("v", "a");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(desk.mounted().len(), 1);
    daemon.unmount("v", "b");
    assert!(desk.comes_to_rest());
    assert_eq!(daemon.get("v")["Mountpoint"], "");
}

#[test]
fn a_daemon_that_ended_before_the_unmount_makes_up_for_it() {
    let desk = Desk::new();
    let mut daemon = desk.start();
    daemon.create("v", &json!({}));
    daemon.mount("v", "a");
    daemon.look_away();
    daemon.unmount("v", "a");
    daemon.stop();
    assert_eq!(desk.mounted().len(), 1);
    let _daemon = desk.start();
    assert!(desk.comes_to_rest());
}

#[test]
fn nothing_is_in_use_after_a_reboot() {
    let desk = Desk::new();
    let daemon = desk.start();
    daemon.create("v", &json!({}));
    daemon.create("desired", &json!({}));
    daemon.mount("v", "a");
    let desired = "desired".parse().unwrap();
    daemon
        .engine
        .mount_volume(&desired, None, &Operation::silent())
        .unwrap();
    daemon.stop();
    desk.reboot();
    let daemon = desk.start();
    assert_eq!(daemon.get("v")["Status"]["mount_refs"], 0);
    assert_eq!(
        daemon.get("v")["Mountpoint"],
        "",
        "an engine's mount ends with the boot"
    );
    assert_ne!(
        daemon.get("desired")["Mountpoint"],
        "",
        "a person's does not"
    );
    // The engine gives back what it had before.
    daemon.unmount("v", "a");
    daemon.mount("v", "a");
    daemon.unmount("v", "a");
    daemon.ok("Remove", &json!({ "Name": "v" }));
}

#[test]
fn what_a_person_mounted_is_not_an_engines_to_unmount() {
    let desk = Desk::new();
    let daemon = desk.start();
    daemon.create("v", &json!({}));
    let name = "v".parse().unwrap();
    let mounted = daemon
        .engine
        .mount_volume(&name, None, &Operation::silent())
        .unwrap();
    let at = mounted.mountpoint.unwrap().display().to_string();
    assert_eq!(daemon.mount("v", "a"), at);
    daemon.unmount("v", "a");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(desk.mounted().len(), 1);
    assert!(
        daemon
            .refused("Remove", &json!({ "Name": "v" }))
            .contains("is mounted at")
    );
    // And what an engine mounted first becomes a person's when one says so.
    daemon.create("w", &json!({}));
    daemon.mount("w", "a");
    let name = "w".parse().unwrap();
    daemon
        .engine
        .mount_volume(&name, None, &Operation::silent())
        .unwrap();
    daemon.unmount("w", "a");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(desk.mounted().len(), 2);
}

#[test]
fn a_name_that_begins_a_uuid_is_no_other_volume() {
    let desk = Desk::new();
    let daemon = desk.start();
    daemon.create("v", &json!({}));
    let uuid = daemon.get("v")["Status"]["uuid"]
        .as_str()
        .unwrap()
        .to_owned();
    for name in [uuid.as_str(), &uuid[..8], &uuid[..13]] {
        daemon.refused("Get", &json!({ "Name": name }));
        daemon.refused("Mount", &json!({ "Name": name, "ID": "a" }));
        daemon.ok("Remove", &json!({ "Name": name }));
        daemon.unmount(name, "a");
    }
    daemon.get("v");
}

#[test]
fn anonymous_volumes_come_and_go_in_bulk() {
    let desk = Desk::new();
    let daemon = desk.start();
    for number in 0..30 {
        let name = format!("{number:064x}");
        daemon.create(&name, &json!({}));
        daemon.mount(&name, "c");
        daemon.unmount(&name, "c");
        daemon.ok("Remove", &json!({ "Name": name }));
    }
    assert_eq!(daemon.ok("List", &json!({}))["Volumes"], json!([]));
    assert_eq!(daemon.engine.trash().unwrap().len(), 30);
}
