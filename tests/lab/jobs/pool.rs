//! `pool status`, `pool check`, `pool grow`.

use super::text;
use crate::world::World;
use convoy_tests::daemon::Daemon;

#[test]
fn a_pool_is_shown_checked_and_grown() {
    let world = World::new("pool-doors");
    let options = ["--driver-opts", "dm.fs=ext4"];
    let daemon = Daemon::start(&world.root(), &options);
    daemon.ok(&["create", "v", "--size", "3G"]);
    let before = daemon.json(&["pool", "status"]);
    assert_eq!(text(&before, "/Provisioned"), (3u64 << 30).to_string());
    let size: u64 = text(&before, "/ThinpoolSize").parse().unwrap();
    let check = daemon.json(&["--output", "json", "pool", "check"]);
    assert_eq!(check["Sound"], true, "{check}");
    assert_eq!(check["Devices"], 1, "{check}");
    let larger = (size + (1 << 30)).to_string();
    daemon.fails(&["pool", "grow", "--data", "1M"], 2, "only grows");
    daemon.ok(&["pool", "grow", "--data", &larger]);
    let after = daemon.json(&["pool", "status"]);
    assert_eq!(text(&after, "/ThinpoolSize"), larger);
    let table = daemon.ok(&["--output", "table", "pool", "status"]);
    assert!(table.contains("3.0 GiB together"), "{table}");
    assert_eq!(daemon.stop(), Some(0));
}
