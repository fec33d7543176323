//! The story itself, told as root on a kernel with dm-thin.

use super::reference::Reference;
use super::screen::{Shell, chapter, proved, say, seconds, size};
use super::world::{self, Equal, Writer};
use crate::run::quietly;
use anyhow::{Context, bail};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const VOLUME: &str = "data";
const VOLUME_SIZE: u64 = 1 << 30;

/// Where everything of the demonstration lies.
struct Place {
    top: PathBuf,
    /// Made for this run only.
    temporary: bool,
}

impl Place {
    fn open(kind: &str) -> anyhow::Result<Self> {
        if kind == "folder" {
            let top = PathBuf::from(format!("/var/tmp/convoy-demo-{}", std::process::id()));
            std::fs::create_dir_all(&top)?;
            return Ok(Self {
                top,
                temporary: true,
            });
        }
        let top = PathBuf::from("/mnt/demo");
        std::fs::create_dir_all(&top)?;
        quietly(Command::new("mkfs.ext4").args([
            "-q",
            "-F",
            "-E",
            "nodiscard,assume_storage_prezeroed=1",
            "/dev/ubda",
        ]))?;
        quietly(Command::new("mount").arg("/dev/ubda").arg(&top))?;
        Ok(Self {
            top,
            temporary: false,
        })
    }

    fn join(&self, name: &str) -> PathBuf {
        self.top.join(name)
    }
}

/// What the closing summary needs of one backup.
struct Backup {
    url: String,
    took: Duration,
    changed: u64,
    read: u64,
    stored: u64,
}

/// Tells the story; an error if anything is not proved.
pub(super) fn tell(bins: &Path, place: &str) -> anyhow::Result<()> {
    let begin = Instant::now();
    let place = Place::open(place)?;
    let socket = place.join("convoy.sock");
    let (root, backups) = (place.join("root"), place.join("backups"));
    std::fs::create_dir_all(&backups)?;
    let dest = format!("vfs://{}", backups.display());

    chapter("A daemon with a pool of its own");
    let daemon = Daemon::start(bins, &root, &socket, &place.join("daemon.log"))?;
    let shell = Shell::new(bins, &socket);
    shell.convoy(&["info"])?;
    let told = told(&shell, &dest, &place);
    let ended = daemon.stop();
    let summary = told?;
    ended?;
    if place.temporary {
        clean_up(&place)?;
    }
    chapter("Proved");
    for line in summary {
        say(line);
    }
    say(format!("All of it took {}.", seconds(begin.elapsed())));
    Ok(())
}

fn told(shell: &Shell, dest: &str, place: &Place) -> anyhow::Result<Vec<String>> {
    chapter("A volume with files");
    let size_flag = VOLUME_SIZE.to_string();
    shell.convoy(&["create", VOLUME, "--size", &size_flag])?;
    let (mounted, _) = shell.convoy(&["mount", VOLUME])?;
    let mounted = PathBuf::from(mounted);
    let filling = Instant::now();
    let bytes = world::populate(&mounted)?;
    say(format!(
        "{} files, {}, half of them incompressible, written and flushed in {}",
        world::FILES * 2,
        size(bytes),
        seconds(filling.elapsed())
    ));

    chapter("A snapshot while somebody writes, and a backup");
    let monday = snapshot(shell, &mounted, "monday", place)?;
    let first = backup(shell, "monday", dest)?;

    chapter("About 1 % changes; the second backup reads and stores just that");
    world::change(&mounted)?;
    say(format!("{} overwritten in place", size(world::CHANGED)));
    let tuesday = snapshot(shell, &mounted, "tuesday", place)?;
    let second = backup(shell, "tuesday", dest)?;
    shell.convoy(&["backup", "list", dest])?;
    shell.convoy(&["backup", "verify", &second.url])?;

    chapter("A folder is lost; both days come back");
    std::fs::remove_dir_all(mounted.join("photos"))?;
    say(format!("$ rm -r {}/photos", mounted.display()));
    let mut lines = Vec::new();
    for (day, backup, reference) in [("monday", &first, &monday), ("tuesday", &second, &tuesday)] {
        lines.push(restore(shell, day, backup, reference)?);
    }
    shell.convoy(&["list"])?;

    chapter("Tidying up");
    for name in ["restored-monday", "restored-tuesday", VOLUME] {
        shell.convoy(&["umount", name])?;
        shell.convoy(&["delete", name])?;
    }
    for (what, backup) in [("first backup", &first), ("second backup", &second)] {
        lines.push(format!(
            "{what}: {} changed, {} read, {} stored, in {}",
            size(backup.changed),
            size(backup.read),
            size(backup.stored),
            seconds(backup.took)
        ));
    }
    if second.stored > first.stored / 10 || second.read > first.read / 5 {
        bail!("the second backup was no small one");
    }
    Ok(lines)
}

/// Takes a snapshot while a writer appends to the volume, and copies it aside.
fn snapshot(shell: &Shell, mounted: &Path, day: &str, place: &Place) -> anyhow::Result<Reference> {
    let journal = mounted.join("journal");
    if journal.exists() {
        std::fs::remove_file(&journal)?;
    }
    let writer = Writer::start(mounted);
    let waiting = Instant::now();
    while writer.records() < 20 {
        anyhow::ensure!(
            waiting.elapsed() < Duration::from_mins(1),
            "the writer does not get on"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    let before = writer.records();
    shell.convoy(&["snapshot", "create", VOLUME, "--name", day])?;
    let after = writer.stop()?;
    let info = shell.ask(&["snapshot", "inspect", day])?;
    let driver = |key: &str| {
        info.get("DriverInfo")
            .and_then(|driver| driver.get(key))
            .and_then(|v| v.as_str())
    };
    let dev_id = driver("DevID").context("the snapshot has no DevID")?;
    let reference = Reference::take("convoy-pool", dev_id, VOLUME_SIZE, &place.join(day))?;
    let held = world::records_in(&reference.files)?;
    if held < before || held > after {
        bail!(
            "the snapshot holds {held} records, but {before} were flushed before it and {after} in all"
        );
    }
    proved(format!(
        "the writer flushed {before} records before the snapshot and {after} in all; the snapshot holds the first {held}"
    ));
    Ok(reference)
}

fn backup(shell: &Shell, day: &str, dest: &str) -> anyhow::Result<Backup> {
    let (_, took) = shell.convoy(&["backup", "create", day, "--dest", dest])?;
    let all = shell.ask(&["backup", "list", dest])?;
    let all = all.as_object().context("a list of backups")?;
    let mine = all
        .iter()
        .find(|(_, info)| info.get("SnapshotName").and_then(|v| v.as_str()) == Some(day));
    let (url, info) = mine.context("the backup is not in the list")?;
    let figure = |key: &str| -> anyhow::Result<u64> {
        let text = info.get(key).and_then(|v| v.as_str());
        let text = text.with_context(|| format!("the backup tells no {key}"))?;
        text.parse().with_context(|| format!("read {key}"))
    };
    Ok(Backup {
        url: url.clone(),
        took,
        changed: figure("ChangedSize")?,
        read: figure("ReadSize")?,
        stored: figure("StoredSize")?,
    })
}

fn restore(
    shell: &Shell,
    day: &str,
    backup: &Backup,
    reference: &Reference,
) -> anyhow::Result<String> {
    let name = format!("restored-{day}");
    let (_, took) = shell.convoy(&["create", &name, "--backup", &backup.url])?;
    let info = shell.ask(&["inspect", &name])?;
    let device = info
        .get("DriverInfo")
        .and_then(|driver| driver.get("Device"))
        .and_then(|v| v.as_str());
    let device = device.context("the volume tells no device")?;
    let bytes = world::compare_bytes(&reference.image, Path::new(device))?;
    proved(format!(
        "every byte of the device ({}) is as it was on {day}",
        size(bytes)
    ));
    let (mounted, _) = shell.convoy(&["mount", &name])?;
    let Equal { files, bytes } = world::compare_trees(&reference.files, Path::new(&mounted))?;
    proved(format!(
        "every one of {files} files ({}) is as it was on {day}",
        size(bytes)
    ));
    Ok(format!(
        "{day}: {files} files and every byte of the device equal to the copy kept aside; restored in {}",
        seconds(took)
    ))
}

/// The daemon, in a process of its own.
struct Daemon(Child);

impl Daemon {
    fn start(bins: &Path, root: &Path, socket: &Path, log: &Path) -> anyhow::Result<Self> {
        let (root, socket_text) = (root.display().to_string(), socket.display().to_string());
        println!("\n $ convoy daemon --root {root} --socket {socket_text} &");
        let log_file = std::fs::File::create(log)?;
        let child = Command::new(bins.join("convoy"))
            .args(["daemon", "--root", &root, "--socket", &socket_text])
            .stdin(Stdio::null())
            .stdout(log_file.try_clone()?)
            .stderr(log_file)
            .spawn()
            .context("start the daemon")?;
        let mut daemon = Self(child);
        let begin = Instant::now();
        while std::os::unix::net::UnixStream::connect(socket).is_err() {
            let ended = daemon.0.try_wait()?.is_some();
            if ended || begin.elapsed() > Duration::from_mins(1) {
                bail!(
                    "the daemon does not come up:\n{}",
                    std::fs::read_to_string(log).unwrap_or_default()
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        for line in std::fs::read_to_string(log)?.lines() {
            say(line);
        }
        say(format!("(ready in {})", seconds(begin.elapsed())));
        Ok(daemon)
    }

    /// Asks it to end, and waits until it has.
    fn stop(mut self) -> anyhow::Result<()> {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.0.id()).context("a process id")?);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM)
            .context("stop the daemon")?;
        let status = self.0.wait().context("wait for the daemon")?;
        anyhow::ensure!(status.success(), "the daemon ended with {status}");
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Already gone after `stop`: then there is nothing to kill.
        let _gone = self.0.kill().is_err();
    }
}

/// On a machine that lives on: takes the pool down and removes what the demonstration made.
fn clean_up(place: &Place) -> anyhow::Result<()> {
    quietly(Command::new("dmsetup").args(["remove", "--retry", "convoy-pool"]))?;
    for file in [
        "root/devicemapper/data.img",
        "root/devicemapper/metadata.img",
    ] {
        let file = place.join(file);
        let device = quietly(
            Command::new("losetup")
                .args(["--noheadings", "--output", "NAME", "--associated"])
                .arg(&file),
        )?;
        for device in device.split_whitespace() {
            quietly(Command::new("losetup").args(["--detach", device]))?;
        }
    }
    std::fs::remove_dir_all(&place.top).with_context(|| format!("remove {}", place.top.display()))
}
