//! Who keeps a volume busy is named, in other mount namespaces too.

use crate::world::World;
use convoy_tests::daemon::Daemon;
use std::process::{Command, Stdio};
use std::time::Duration;

#[test]
fn a_mount_leaked_into_another_namespace_is_named() {
    let world = World::new("leaked");
    let daemon = Daemon::start(&world.root(), &[]);
    daemon.ok(&["create", "v", "--size", "64M"]);
    daemon.ok(&["mount", "v"]);
    // It takes a copy of every mount with it, and never gives it back.
    let mut leak = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sleep", "1000"])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(500));
    daemon.ok(&["umount", "v"]);
    let pid = leak.id().to_string();
    let said = daemon.fails(&["delete", "v"], 12, "sleep");
    assert!(said.stderr.contains(&pid), "{said:?}");
    leak.kill().unwrap();
    leak.wait().unwrap();
    daemon.ok(&["delete", "v"]);
    assert_eq!(daemon.stop(), Some(0));
}
