//! Podman: no daemon, five seconds of patience, and one id for all containers.

use super::image::archive;
use super::recorder::Recorder;
use super::{eventually, is_mounted, program};
use crate::world::World;
use convoy_tests::daemon::Daemon;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::time::Instant;

const CONFIG: &str = r#"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "crun"
[engine.volume_plugins]
convoy = "/run/docker/plugins/convoy.sock"
"#;
const STORAGE: &str = "[storage]\ndriver = \"overlay\"\nrunroot = \"/run/containers/storage\"\ngraphroot = \"GRAPH\"\n";
const POLICY: &str = r#"{"default": [{"type": "insecureAcceptAnything"}]}"#;

#[track_caller]
fn podman(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    program("podman", &words).ok().to_owned()
}

#[test]
fn podman_is_served_within_its_five_seconds() {
    let world = World::new("podman");
    fs::create_dir_all("/etc/containers").unwrap();
    fs::write("/etc/containers/containers.conf", CONFIG).unwrap();
    fs::write("/etc/containers/policy.json", POLICY).unwrap();
    let graph = world.path("graph");
    let storage = STORAGE.replace("GRAPH", graph.to_str().unwrap());
    fs::write("/etc/containers/storage.conf", storage).unwrap();
    let socket = world.path("plugin.sock");
    let words = ["--docker-socket", socket.to_str().unwrap()];
    let daemon = Daemon::start(&world.root(), &words);
    let recorder = Recorder::start(Path::new("/run/docker/plugins/convoy.sock"), socket);
    let begin = Instant::now();
    let image = archive(&world.dir);
    podman(&format!("import -q {} bb", image.display()));
    // A filesystem for a terabyte is made in time.
    podman("volume create --driver convoy -o size=1T v1");
    let shown: Value = serde_json::from_str(&podman("volume inspect v1")).unwrap();
    assert_eq!(shown[0]["Status"]["size"], 1u64 << 40, "{shown}");
    let uuid = shown[0]["Status"]["uuid"].as_str().unwrap().to_owned();
    let run = "run --rm --network=none --cgroups=disabled";
    podman(&format!("{run} -v v1:/x bb sh -c echo>/x/number"));
    assert!(podman(&format!("{run} -v v1:/x bb ls /x")).contains("number"));
    eventually("the volume is unmounted", || !is_mounted(&uuid));
    // One that others made is there for it, and none is lost by asking again.
    daemon.ok(&["create", "v2", "--size", "64M"]);
    recorder.aside("create v2");
    podman("volume reload");
    let listed = podman("volume ls -q");
    assert!(listed.contains("v1") && listed.contains("v2"), "{listed}");
    podman("volume rm v1");
    let trash = daemon.json(&["--output", "json", "trash", "list"]);
    assert_eq!(trash.as_object().unwrap().len(), 1, "{trash}");
    assert_eq!(daemon.ok(&["undelete", "v1"]), "v1");
    recorder.aside("undelete v1");
    podman("volume reload");
    assert!(podman(&format!("{run} -v v1:/x bb ls /x")).contains("number"));
    let version = podman("version --format {{.Client.Version}}");
    println!(
        "MEASURED Podman {version}: {} calls, {:.1} s",
        recorder.calls().len(),
        begin.elapsed().as_secs_f64()
    );
    recorder.print(&format!("Podman {version}"));
    daemon.stop();
}
