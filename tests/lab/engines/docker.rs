//! Docker: what its users do, with daemons that are restarted and killed under running containers.

use super::image::{GIVEN, archive};
use super::recorder::Recorder;
use super::{eventually, is_mounted, program};
use crate::world::World;
use convoy_tests::daemon::Daemon;
use serde_json::Value;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// Writes a number, makes it durable, and says so where no volume is; ends at the first error.
const WRITER: &str = "i=0; while echo $i >/data/number && sync -d /data/number && echo $i >/tmp/new && mv /tmp/new /tmp/last; do i=$((i+1)); sleep 0.1; done; echo failed >/tmp/last";

/// Debian's Docker in this guest.
struct Docker {
    engine: Child,
    folder: PathBuf,
    begin: Instant,
}

impl Docker {
    fn start(folder: &Path) -> Self {
        let engine = spawn(folder);
        let docker = Self {
            engine,
            folder: folder.to_owned(),
            begin: Instant::now(),
        };
        Self::answers();
        docker
    }

    fn answers() {
        eventually("dockerd answers", || {
            std::os::unix::net::UnixStream::connect("/var/run/docker.sock").is_ok()
                && program("docker", &["version"]).code == Some(0)
        });
    }

    /// A kill -9 of dockerd, and another one after it.
    fn kill_and_restart(&mut self) {
        self.engine.kill().unwrap();
        self.engine.wait().unwrap();
        std::fs::remove_file("/var/run/docker.pid").ok();
        self.engine = spawn(&self.folder);
        Self::answers();
    }

    #[track_caller]
    fn ok(&self, line: &str) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        self.words(&words)
    }

    #[track_caller]
    fn words(&self, words: &[&str]) -> String {
        let ran = program("docker", words);
        let said = ran.ok().to_owned();
        println!(
            "{:6.1} docker {}",
            self.begin.elapsed().as_secs_f64(),
            words.join(" ")
        );
        said
    }

    /// The number that the writer last made durable.
    #[track_caller]
    fn number(&self, container: &str) -> u64 {
        let last = self.ok(&format!("exec {container} cat /tmp/last"));
        last.parse()
            .unwrap_or_else(|_| panic!("the writer says {last:?}"))
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        // Containers outlive a killed engine: a clean end takes them along.
        program("sh", &["-c", "docker ps -q | xargs -r docker rm -f"]);
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.engine.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).ok();
        self.engine.wait().ok();
    }
}

fn spawn(folder: &Path) -> Child {
    let log = File::options()
        .create(true)
        .append(true)
        .open(folder.join("dockerd.log"))
        .unwrap();
    let data = folder.join("docker");
    Command::new("dockerd")
        .args(["--iptables=false", "--ip6tables=false", "--bridge=none"])
        .args(["--live-restore", "--data-root", data.to_str().unwrap()])
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

fn plugin(world: &World) -> (PathBuf, Daemon) {
    let socket = world.path("plugin.sock");
    let words = ["--docker-socket", socket.to_str().unwrap()];
    let daemon = Daemon::start(&world.root(), &words);
    (socket, daemon)
}

fn inspected(docker: &Docker, volume: &str) -> Value {
    let shown: Value =
        serde_json::from_str(&docker.ok(&format!("volume inspect {volume}"))).unwrap();
    shown[0].clone()
}

#[test]
fn docker_keeps_its_volumes_through_everything() {
    let world = World::new("docker");
    let (socket, mut daemon) = plugin(&world);
    let recorder = Recorder::start(Path::new("/run/docker/plugins/convoy.sock"), socket.clone());
    let mut docker = Docker::start(&world.dir);
    let image = archive(&world.dir);
    docker.words(&["import", image.to_str().unwrap(), "bb"]);

    docker.ok("volume create -d convoy -o size=256M -o labels=app=web v1");
    assert!(docker.ok("volume ls -q").contains("v1"));
    let shown = inspected(&docker, "v1");
    let status = &shown["Status"];
    assert_eq!(status["size"], 256 << 20, "{shown}");
    assert_eq!(
        (status["state"].as_str(), status["health"].as_str()),
        (Some("ready"), Some("ok"))
    );
    let uuid = status["uuid"].as_str().unwrap().to_owned();
    let unknown = program(
        "docker",
        &["volume", "create", "-d", "convoy", "-o", "iops=9", "v0"],
    );
    assert!(
        unknown.stderr.contains("the options are size, fs"),
        "{}",
        unknown.stderr
    );

    // The image's data is in a fresh volume: it was empty to Docker.
    docker.words(&[
        "run",
        "-d",
        "--name",
        "c1",
        "--network=none",
        "-v",
        "v1:/data",
        "bb",
        "sh",
        "-c",
        WRITER,
    ]);
    assert_eq!(docker.ok("exec c1 cat /data/given"), GIVEN);
    assert!(is_mounted(&uuid));

    // A second container beside it, and a copy into the first, take nothing away from it.
    assert_eq!(
        docker.ok("run --rm --network=none -v v1:/x bb cat /x/given"),
        GIVEN
    );
    let file = world.path("file");
    std::fs::write(&file, "copied").unwrap();
    docker.words(&["cp", file.to_str().unwrap(), "c1:/data/copied"]);
    std::thread::sleep(std::time::Duration::from_secs(5));
    assert!(is_mounted(&uuid), "docker cp unmounted it");
    assert_eq!(docker.ok("exec c1 cat /data/copied"), "copied");

    // Our daemon is restarted, and killed, while the container writes.
    let before = docker.number("c1");
    assert_eq!(daemon.stop(), Some(0));
    (_, daemon) = plugin(&world);
    drop(daemon);
    (_, daemon) = plugin(&world);
    let after = docker.number("c1");
    assert!(after > before, "{before} {after}");
    assert_eq!(inspected(&docker, "v1")["Status"]["mount_refs"], 1);

    // A snapshot and a backup of what is being written; it is not to be removed.
    assert_eq!(
        daemon.ok(&["snapshot", "create", "v1", "--name", "s1"]),
        "s1"
    );
    let made = daemon.back_up("s1", &world.dest());
    let url = made["URL"].as_str().unwrap();
    daemon.fails(&["delete", "v1"], 12, "hasn't been umounted");
    daemon.fails(&["umount", "v1"], 12, "used by a container engine");
    assert!(
        program("docker", &["volume", "rm", "v1"])
            .stderr
            .contains("in use")
    );

    // dockerd is killed; its containers live on, and it takes them up again.
    docker.kill_and_restart();
    assert!(docker.number("c1") > after);
    docker.ok("rm -f c1");
    eventually("the volume is unmounted", || !is_mounted(&uuid));

    // Volumes without a name come and go with their container.
    docker.ok("run --rm --network=none --volume-driver=convoy -v /anonymous bb true");
    let trash = daemon.json(&["--output", "json", "trash", "list"]);
    assert_eq!(trash.as_object().unwrap().len(), 1, "{trash}");

    // What needs a backup cannot be replayed.
    recorder.stop();
    // A backup is had back by an option.
    docker.words(&[
        "volume",
        "create",
        "-d",
        "convoy",
        "-o",
        &format!("from-backup={url}"),
        "v2",
    ]);
    assert_eq!(
        docker.ok("run --rm --network=none -v v2:/x bb cat /x/copied"),
        "copied"
    );

    // Removed, made anew under the same name, and had back all the same.
    docker.ok("volume rm v1");
    docker.ok("volume create -d convoy -o size=64M v1");
    daemon.fails(&["undelete", "v1"], 11, "already exists");
    assert_eq!(
        daemon.ok(&["undelete", "v1", "--name", "v1-back"]),
        "v1-back"
    );
    assert_eq!(
        docker.ok("run --rm --network=none -v v1-back:/x bb cat /x/copied"),
        "copied"
    );
    assert_eq!(
        daemon.ok(&["trash", "empty"]).len(),
        64,
        "the one without a name"
    );
    let begin = docker.begin.elapsed();
    eight_at_once(&docker);
    let eight = docker.begin.elapsed().checked_sub(begin).unwrap();
    println!(
        "MEASURED eight containers at once: {:.1} s",
        eight.as_secs_f64()
    );
    let version = docker.ok("version --format {{.Server.Version}}");
    println!(
        "MEASURED Docker {version}: {} calls, {:.1} s",
        recorder.calls().len(),
        docker.begin.elapsed().as_secs_f64()
    );
    recorder.print(&format!("Docker {version}"));
    drop(docker);
    daemon.stop();
}

/// Eight containers that start at once are all given the one volume, and none takes it from another.
fn eight_at_once(docker: &Docker) {
    docker.ok("volume create -d convoy -o size=256M shared");
    std::thread::scope(|scope| {
        for number in 0..8 {
            scope.spawn(move || {
                let script = format!("echo {number} >/data/{number} && sync");
                let run = ["run", "--rm", "--network=none", "-v", "shared:/data", "bb"];
                docker.words(&[&run[..], &["sh", "-c", &script]].concat());
            });
        }
    });
    let there = docker.ok("run --rm --network=none -v shared:/data bb ls /data");
    for number in 0..8 {
        let number = number.to_string();
        assert!(there.lines().any(|line| line == number), "{there}");
    }
    let shown = inspected(docker, "shared");
    let uuid = shown["Status"]["uuid"].as_str().unwrap();
    eventually("the volume is unmounted", || !is_mounted(uuid));
}
