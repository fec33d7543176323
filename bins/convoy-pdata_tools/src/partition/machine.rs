//! What partitioning asks of the machine: a trait, and the host behind it. Programs get argument lists, and sfdisk(8)
//! its script on its standard input; nothing runs a shell.

use super::carried::{Carried, described, in_first_block};
use super::disk::{self, Disk, Part, cannot_read};
use super::layout::Layout;
use super::nodes::named;
use crate::failure::Failure;
use convoy_thin_metadata::BLOCK_SIZE;
use convoy_units::ByteRange;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long the kernel and udev may take to show new partitions.
const PATIENCE: Duration = Duration::from_secs(5);

/// The machine that a disk is in.
pub(crate) trait Machine {
    /// Looks at a disk.
    fn disk(&self, path: &Path) -> Result<Disk, Failure>;

    /// What the whole disk carries, or what lies in a range of it; that it is in use, too.
    fn carried(&self, disk: &Disk, range: Option<ByteRange>) -> Result<Option<Carried>, Failure>;

    /// Makes the metadata block at this byte zero, durably: only then does the kernel make a new pool of it.
    fn clear(&self, disk: &Disk, at: u64) -> Result<(), Failure>;

    /// Writes a partition table, durably.
    fn write_table(&self, disk: &Disk, script: &str) -> Result<(), Failure>;

    /// The paths of the two partitions, once the kernel has them and they are as large as they should be.
    fn partitions(&self, disk: &Disk, layout: Layout) -> Result<[PathBuf; 2], Failure>;

    /// The partition table for a person to read.
    fn listing(&self, disk: &Disk) -> Result<String, Failure>;
}

/// The machine we run on.
#[derive(Debug)]
pub(crate) struct Host;

impl Machine for Host {
    fn disk(&self, path: &Path) -> Result<Disk, Failure> {
        disk::look(path)
    }

    fn carried(&self, disk: &Disk, range: Option<ByteRange>) -> Result<Option<Carried>, Failure> {
        let file = match exclusively(&disk.path, OpenOptions::new().read(true)) {
            Err(error) if error.raw_os_error() == Some(Errno::EBUSY as i32) => {
                return Ok(Some(Carried::InUse));
            }
            file => file.map_err(|error| cannot_read(&disk.path, &error))?,
        };
        let mut block = vec![0; BLOCK_SIZE];
        let begin = range.map_or(0, |range| range.begin);
        file.read_exact_at(&mut block, begin)
            .map_err(|error| cannot_read(&disk.path, &error))?;
        drop(file);
        match in_first_block(&block) {
            Some(carried) => Ok(Some(carried)),
            None => probe(&disk.path, range),
        }
    }

    fn clear(&self, disk: &Disk, at: u64) -> Result<(), Failure> {
        let zero = || {
            let file = exclusively(&disk.path, OpenOptions::new().write(true))?;
            file.write_all_at(&[0; BLOCK_SIZE], at)?;
            file.sync_all()
        };
        zero().map_err(|error| {
            let message = format!("cannot write to {}: {error}", disk.path.display());
            Failure::told(message, Some("no partition table was written"))
        })
    }

    fn write_table(&self, disk: &Disk, script: &str) -> Result<(), Failure> {
        // No old signature is wiped: there is none, or we would not be here.
        let words: [&OsStr; 6] = [
            "--color=never".as_ref(),
            "--quiet".as_ref(),
            "--wipe=never".as_ref(),
            "--wipe-partitions=never".as_ref(),
            "--".as_ref(),
            disk.path.as_os_str(),
        ];
        let output = run("sfdisk", &words, script)?;
        if output.status.success() {
            return Ok(());
        }
        let message = format!(
            "sfdisk cannot partition {} ({}): {}",
            disk.path.display(),
            output.status,
            said(&output.stderr)
        );
        let hint = format!(
            "see what is there now: sfdisk --list {}",
            disk.path.display()
        );
        Err(Failure::told(message, Some(&hint)))
    }

    fn partitions(&self, disk: &Disk, layout: Layout) -> Result<[PathBuf; 2], Failure> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let parts =
                disk::parts(&disk.sysfs).map_err(|error| cannot_read(&disk.path, &error))?;
            if let Some([data, metadata]) = as_planned(&parts, layout) {
                return Ok([
                    path_of(disk, data, deadline),
                    path_of(disk, metadata, deadline),
                ]);
            }
            if Instant::now() >= deadline {
                let name = disk.path.display();
                let message = format!(
                    "{name} was partitioned, but the kernel does not show its partitions: {parts:?}"
                );
                let hint = format!(
                    "partprobe {name}; a loop device shows partitions only after losetup --partscan"
                );
                return Err(Failure::told(message, Some(&hint)));
            }
            sleep(Duration::from_millis(50));
        }
    }

    fn listing(&self, disk: &Disk) -> Result<String, Failure> {
        let words: [&OsStr; 4] = [
            "--color=never".as_ref(),
            "--list".as_ref(),
            "--".as_ref(),
            disk.path.as_os_str(),
        ];
        let output = run("sfdisk", &words, "")?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// Fails with `EBUSY` while somebody has the disk or a part of it: `O_EXCL` without `O_CREAT` (open(2)).
fn exclusively(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    options.custom_flags(OFlag::O_EXCL.bits()).open(path)
}

/// `blkid --probe`: 0 found, 2 nothing found (or not readable: it was read before), 8 several contradict.
fn probe(path: &Path, range: Option<ByteRange>) -> Result<Option<Carried>, Failure> {
    let place = range.map(|range| {
        [
            format!("--offset={}", range.begin),
            format!("--size={}", range.len().0),
        ]
    });
    let mut words: Vec<&OsStr> = vec!["--probe".as_ref(), "--output".as_ref(), "export".as_ref()];
    words.extend(place.iter().flatten().map(OsStr::new));
    words.extend(["--".as_ref(), path.as_os_str()]);
    let output = run("blkid", &words, "")?;
    match output.status.code() {
        Some(0) => Ok(described(&String::from_utf8_lossy(&output.stdout))),
        Some(2) => Ok(None),
        Some(8) => {
            let what = "several signatures that contradict each other";
            Ok(Some(Carried::Data(what.to_owned())))
        }
        _ => {
            let message = format!(
                "blkid cannot tell what {} carries ({}): {}",
                path.display(),
                output.status,
                said(&output.stderr)
            );
            Err(Failure::told(message, None))
        }
    }
}

/// Runs a program of util-linux with a text on its standard input.
fn run(program: &str, words: &[&OsStr], input: &str) -> Result<Output, Failure> {
    let started = Command::new(program)
        .args(words)
        .env("LC_ALL", "C")
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = started.map_err(|error| not_run(program, &error))?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read its input says why by its exit status.
        drop(stdin.write_all(input.as_bytes()));
    }
    child
        .wait_with_output()
        .map_err(|error| not_run(program, &error))
}

fn not_run(program: &str, error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::NotFound {
        let message = format!("Cannot find \"{program}\" command");
        let hint = "install util-linux; on Debian sfdisk is in the package fdisk";
        return Failure::told(message, Some(hint));
    }
    Failure::told(format!("cannot run {program}: {error}"), None)
}

/// What a program complained of, in one line that a terminal bears.
fn said(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let line = lines.join("; ");
    line.chars().filter(|c| !c.is_control()).take(300).collect()
}

/// The two partitions, if these are they.
fn as_planned(parts: &[Part], layout: Layout) -> Option<[&Part; 2]> {
    let [data, metadata] = parts else { return None };
    let sizes = (data.size, metadata.size) == (layout.data.len(), layout.metadata.len());
    (sizes && (data.number, metadata.number) == (1, 2)).then_some([data, metadata])
}

/// By the disk's kind of name once udev has made that, else by the kernel's.
fn path_of(disk: &Disk, part: &Part, deadline: Instant) -> PathBuf {
    let named = named(&disk.path, &part.name, part.number);
    while !named.path.exists() && Instant::now() < deadline {
        sleep(Duration::from_millis(50));
    }
    if named.path.exists() {
        named.path
    } else {
        named.node
    }
}
