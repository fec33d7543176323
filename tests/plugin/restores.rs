//! A volume made of a backup: the answer comes first, the content later.

use crate::desk::Desk;
use serde_json::json;
use std::time::{Duration, Instant};

const URL: &str = "vfs:///backups?backup=backup-0123456789abcdef&volume=v";

#[test]
fn a_restore_goes_on_after_the_answer() {
    let mut desk = Desk::new();
    desk.settings.restore_from_any = true;
    desk.settings.create_patience = Duration::from_millis(200);
    desk.settings.mount_patience = Duration::from_millis(300);
    let daemon = desk.start();
    // The store does not answer.
    desk.table.stick(true);
    let options = json!({ "from-backup": URL });
    let begin = Instant::now();
    daemon.create("v", &options);
    assert!(
        begin.elapsed() < Duration::from_secs(4),
        "an engine waits for five"
    );
    let shown = daemon.get("v");
    assert_eq!(shown["Status"]["progress"], "being restored");
    assert!(
        shown["CreatedAt"]
            .as_str()
            .unwrap()
            .parse::<jiff::Timestamp>()
            .is_ok()
    );
    let listed = daemon.ok("List", &json!({}));
    assert_eq!(
        listed["Volumes"],
        json!([{ "Name": "v", "Mountpoint": "" }])
    );
    daemon.create("v", &options);
    let other = json!({ "Name": "v", "Opts": {} });
    assert!(
        daemon
            .refused("Create", &other)
            .contains("with other options")
    );
    let refused = daemon.refused("Mount", &json!({ "Name": "v", "ID": "a" }));
    assert!(refused.contains("is being restored"), "{refused}");
    assert!(
        daemon
            .refused("Remove", &json!({ "Name": "v" }))
            .contains("is being restored")
    );
    daemon.unmount("v", "a");
    // It does, and has no such backup.
    desk.table.stick(false);
    while daemon.call("Get", &json!({ "Name": "v" })).status == 200 {
        assert!(begin.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(5));
    }
    for verb in ["Get", "Mount", "Path"] {
        let why = daemon.refused(verb, &json!({ "Name": "v", "ID": "a" }));
        assert!(
            why.contains("could not be made") && why.contains("repository"),
            "{verb}: {why}"
        );
    }
    assert_eq!(daemon.ok("List", &json!({}))["Volumes"], json!([]));
    daemon.ok("Remove", &json!({ "Name": "v" }));
    assert!(
        daemon
            .refused("Get", &json!({ "Name": "v" }))
            .contains("doesn't exist")
    );
    daemon.create("v", &json!({}));
    daemon.mount("v", "a");
}

#[test]
fn a_backup_of_a_strange_place_is_refused_before_anybody_is_asked() {
    let desk = Desk::new();
    let mut daemon = desk.start();
    daemon.look_away();
    let before = desk.table.asked();
    for url in [
        URL,
        "vfs:///etc?backup=backup-0123456789abcdef&volume=v",
        "s3://bucket@region/path/?backup=backup-0123456789abcdef&volume=v",
        "http://169.254.169.254/latest",
        "file:///etc/passwd",
        "nonsense",
    ] {
        let request = json!({ "Name": "v", "Opts": { "backup": url } });
        daemon.refused("Create", &request);
    }
    assert_eq!(desk.table.asked(), before);
}
