//! The partition helper on a real disk, and a daemon started with the very line that it prints; which is asked by
//! UUID then, as the original's documentation has it.

use crate::signatures::{SIGNATURES, write};
use crate::world::World;
use convoy_tests::command::{Ran, run, tool, word};
use convoy_tests::disk::digest;
use convoy_tests::programs;
use convoy_units::Bytes;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Enough for a pool that a daemon serves.
const LARGE: u64 = 256 << 20;
/// Enough for what is refused: all of it is read again and again.
const SMALL: u64 = 32 << 20;

/// What the rule comes to for a disk of this size and 1000 thin devices.
const fn metadata(size: u64) -> u64 {
    4096 * (1 + 2 * size / (2 << 20) / 252 + 1000)
}

/// Where the metadata will begin: at the end of the disk, but for what a partition table needs.
const fn begin(size: u64) -> u64 {
    size - (1 << 20) - metadata(size).next_multiple_of(1 << 20)
}

/// A blank disk that can have partitions.
fn disk(world: &World, size: u64) -> String {
    let file = world.path("disk");
    fs::File::create(&file).unwrap().set_len(size).unwrap();
    let words = ["--find", "--show", "--partscan", word(&file)];
    tool("losetup", &words).trim().to_owned()
}

/// Runs the helper under its own name.
fn helper(world: &World, words: &[&str]) -> Ran {
    let link = world.path("dm_dev_partition.sh");
    if !link.exists() {
        symlink(programs().join("convoy-pdata_tools"), &link).unwrap();
    }
    run(Command::new(link).args(words))
}

fn figures(disk: &str, size: u64) -> String {
    let metadata = metadata(size);
    let data = size - metadata;
    format!(
        "{disk} size is {size} bytes\nMaximum volume and snapshot counts is 1000\nMetadata Device size would be {metadata} bytes\nData Device size would be {data} bytes\nData Device would be {} sectors\n",
        data / 512
    )
}

/// The size of a partition in bytes, as the kernel has it.
fn size_of(partition: &str) -> u64 {
    let name = partition.trim_start_matches("/dev/");
    let sectors = fs::read_to_string(format!("/sys/class/block/{name}/size")).unwrap();
    sectors.trim().parse::<u64>().unwrap() * 512
}

/// A daemon by its command line; killed when dropped.
struct Told {
    child: Child,
    socket: PathBuf,
}

impl Drop for Told {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Told {
    /// Starts a line that begins with `sudo convoy`; only where root and socket lie comes from elsewhere.
    fn start(world: &World, line: &str) -> Self {
        let words = line.strip_prefix("sudo convoy ").unwrap().split(' ');
        let socket = world.path("convoy.sock");
        let child = Command::new(programs().join("convoy"))
            .args(words)
            .env("CONVOY_ROOT", world.root())
            .env("CONVOY_SOCKET", &socket)
            .env("CONVOY_LOG", world.path("convoy.log"))
            .stdin(Stdio::null())
            .spawn();
        let mut told = Self {
            child: child.unwrap(),
            socket,
        };
        let begun = Instant::now();
        while UnixStream::connect(&told.socket).is_err() {
            assert_eq!(told.child.try_wait().unwrap(), None, "the daemon ended");
            assert!(begun.elapsed() < Duration::from_mins(1), "no answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        told
    }

    fn convoy(&self, line: &str) -> Ran {
        let mut command = Command::new(programs().join("convoy"));
        run(command
            .env("CONVOY_SOCKET", &self.socket)
            .args(line.split(' ')))
    }
}

#[test]
fn the_printed_line_starts_a_daemon() {
    let world = World::new("partition");
    let disk = disk(&world, LARGE);
    // Old data without a signature, where the metadata will begin: the kernel makes a pool of zeros only.
    write(&disk, begin(LARGE), &[0xa5; 4096]);
    let done = helper(&world, &["--write-to-disk", "-m", "1000", &disk]);
    let said = done.ok();
    assert!(said.starts_with(&figures(&disk, LARGE)), "{said}");
    let (data, metadata_device) = (format!("{disk}p1"), format!("{disk}p2"));
    let line = format!(
        "sudo convoy daemon --drivers devicemapper --driver-opts dm.datadev={data} --driver-opts dm.metadatadev={metadata_device}"
    );
    let end = format!("Now you can start Convoy Daemon using: \n\n{line}");
    assert!(said.ends_with(&end), "{said}");
    assert!(said.contains(&format!("\nComplete the partition of {disk}\n")));
    assert!(
        said.contains("Linux filesystem"),
        "the listing is in {said}"
    );
    assert!(size_of(&metadata_device) >= metadata(LARGE));
    assert!(size_of(&data) + (4 << 20) > LARGE - metadata(LARGE));

    let daemon = Told::start(&world, &line);
    assert_eq!(daemon.convoy("create data --size 64M").ok(), "data");
    let place = daemon.convoy("mount data").ok().to_owned();
    fs::write(Path::new(&place).join("file"), "bytes").unwrap();
    assert_eq!(daemon.convoy("snapshot create data --name s1").ok(), "s1");
    asked_by_uuid(&daemon);
    daemon.convoy("umount data").ok();
    daemon.convoy("delete data").ok();
    drop(daemon);

    let again = helper(&world, &["--write-to-disk", &disk]);
    again.expect_code(1);
    let because = format!("{disk} already partitioned, can't start partition\n");
    assert!(again.stderr.starts_with(&because), "{}", again.stderr);
}

/// A UUID, or enough of its beginning, stands for a name wherever one is asked for.
fn asked_by_uuid(daemon: &Told) {
    let volume = daemon.convoy("inspect data").json();
    let uuid = volume["UUID"].as_str().unwrap().to_owned();
    for name in [&uuid[..], &uuid[..13]] {
        let found = daemon.convoy(&format!("inspect {name}")).json();
        assert_eq!(found["Name"], "data", "{name}");
    }
    let short = daemon.convoy(&format!("inspect {}", &uuid[..7]));
    short.expect_code(10);
    let snapshot = daemon.convoy("snapshot inspect s1").json();
    let id = snapshot["UUID"].as_str().unwrap();
    for name in [format!("data@{id}"), format!("{uuid}@s1")] {
        let found = daemon.convoy(&format!("snapshot inspect {name}")).json();
        assert_eq!(found["Name"], "s1", "{name}");
    }
    // A name wins, whatever it looks like.
    let named = &uuid[..18];
    assert_eq!(
        daemon.convoy(&format!("create {named} --size 64M")).ok(),
        named
    );
    let found = daemon.convoy(&format!("inspect {named}")).json();
    assert_eq!(found["Name"], named);
    // A volume that is mounted stays, by whatever name its deletion was asked for.
    daemon.convoy(&format!("delete {uuid}")).expect_code(12);
    let dry = daemon.convoy("snapshot delete --dry-run s1");
    assert!(
        dry.ok()
            .starts_with("would delete snapshot s1 of volume data"),
        "{dry:?}"
    );
    daemon.convoy(&format!("snapshot delete {id}")).ok();
}

#[test]
fn a_disk_that_carries_anything_is_left_as_it_is() {
    let world = World::new("partition");
    let disk = disk(&world, SMALL);
    let before = digest(Path::new(&disk));
    let dry = helper(&world, &["-m", "1000", &disk]);
    assert_eq!(dry.ok(), figures(&disk, SMALL).trim_end());
    assert_eq!(digest(Path::new(&disk)), before, "a dry run writes nothing");
    for (what, make) in SIGNATURES {
        make(&disk);
        refused(&world, &disk, what);
        // Everything that any of them writes lies in the first and the last MiB.
        blank(&disk);
    }
    // A pool's metadata is known to nobody but us: on the disk, and where the partition would begin.
    let mut superblock = [0; 4096];
    superblock[32..40].copy_from_slice(&27_022_010u64.to_le_bytes());
    for at in [0, begin(SMALL)] {
        write(&disk, at, &superblock);
        refused(&world, &disk, "the metadata of a thin pool");
        write(&disk, at, &[0; 4096]);
    }
    // The table was lost, the filesystem behind it was not.
    tool(
        "mkfs.ext4",
        &["-q", "-F", "-E", "offset=1048576", &disk, "16M"],
    );
    refused(&world, &disk, "a filesystem (ext4) at byte 1048576");
    tool("mkfs.ext4", &["-q", "-F", &disk]);
    let place = world.path("place");
    fs::create_dir(&place).unwrap();
    tool("mount", &["-o", "ro", &disk, word(&place)]);
    refused(&world, &disk, "is in use");
    tool("umount", &[word(&place)]);
}

/// A table that the kernel does not look at was written first, and complained of then.
#[test]
fn a_disk_that_shows_no_partitions_gets_none() {
    let world = World::new("partition");
    let disk = world.disk("disk", Bytes(SMALL));
    let before = digest(Path::new(&disk));
    let ran = helper(&world, &["--write-to-disk", "-m", "1000", &disk]);
    assert_eq!(ran.expect_code(1), figures(&disk, SMALL).trim_end());
    let because = format!("the kernel shows no partitions on {disk}, ");
    assert!(ran.stderr.starts_with(&because), "{}", ran.stderr);
    assert_eq!(digest(Path::new(&disk)), before);
}

/// Writes nothing, and says why.
#[track_caller]
fn refused(world: &World, disk: &str, what: &str) {
    let before = digest(Path::new(disk));
    let ran = helper(world, &["--write-to-disk", "-m", "1000", disk]);
    assert_eq!(
        ran.expect_code(1),
        figures(disk, SMALL).trim_end(),
        "{what}"
    );
    let table = ["gpt", "partition table"].contains(&what);
    let because = if table { "already partitioned" } else { what };
    assert!(ran.stderr.contains(because), "{what}: {}", ran.stderr);
    assert!(
        ran.stderr.contains("can't start partition\nhint: "),
        "{}",
        ran.stderr
    );
    assert_eq!(digest(Path::new(disk)), before, "{what}");
}

fn blank(disk: &str) {
    tool("wipefs", &["--quiet", "--all", "--force", disk]);
    let mib = vec![0; 1 << 20];
    write(disk, 0, &mib);
    write(disk, SMALL - (1 << 20), &mib);
    tool("blockdev", &["--rereadpt", disk]);
}
