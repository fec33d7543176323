//! The same from the command line, through the daemon.

use super::write;
use crate::world::World;
use convoy_tests::daemon::Daemon;
use std::fs;
use std::path::Path;

#[test]
fn a_person_reshapes_volumes_by_name() {
    let world = World::new("reshape-doors");
    let daemon = Daemon::start(&world.root(), &[]);
    daemon.ok(&["create", "data", "--size", "64M"]);
    let at = daemon.ok(&["mount", "data"]);
    write(&Path::new(&at).join("file"), b"then");
    assert_eq!(
        daemon.ok(&["snapshot", "create", "data", "--name", "s"]),
        "s"
    );
    assert_eq!(daemon.ok(&["resize", "data", "128M"]), "data");
    let resized = daemon.json(&["--verbose", "resize", "data", "192M"]);
    assert_eq!(resized["DriverInfo"]["Size"], "201326592", "{resized}");
    assert_eq!(resized["GrowsAtMount"], false, "{resized}");
    daemon.fails(&["resize", "data", "64M"], 2, "cannot be made smaller");
    assert_eq!(
        daemon.ok(&["create", "copy", "--snapshot", "data@s"]),
        "copy"
    );
    let there = daemon.ok(&["mount", "copy"]);
    assert_eq!(fs::read(Path::new(&there).join("file")).unwrap(), b"then");

    write(&Path::new(&at).join("file"), b"now");
    let back = ["snapshot", "rollback", "s", "--yes"];
    daemon.fails(&back[..3], 2, "nobody said yes");
    daemon.fails(&back, 12, "convoy umount data");
    daemon.ok(&["umount", "data"]);
    let safety = daemon.ok(&back);
    assert!(safety.starts_with("before-rollback-"), "{safety}");
    let at = daemon.ok(&["mount", "data"]);
    assert_eq!(fs::read(Path::new(&at).join("file")).unwrap(), b"then");

    assert_eq!(daemon.ok(&["rename", "data", "now"]), "now");
    daemon.fails(&["rename", "copy", "now"], 11, "already exists");
    assert_eq!(daemon.ok(&["label", "now", "tier=gold"]), "now");
    let shown = daemon.json(&["inspect", "now"]);
    assert!(shown.to_string().contains("gold"), "{shown}");
    let taken = daemon.ok(&["snapshot", "create", "now", "copy", "--name", "g"]);
    assert_eq!(taken, "g-now\ng-copy");
    let listed = daemon.json(&["snapshot", "list"]);
    for label in ["s", safety.as_str(), "g-now", "g-copy"] {
        assert!(listed.get(label).is_some(), "{label}: {listed}");
    }
    daemon.ok(&["umount", "now"]);
    daemon.ok(&["umount", "copy"]);
    assert_eq!(daemon.stop(), Some(0));
}
