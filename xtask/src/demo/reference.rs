//! What a backup must restore, kept outside Convoy: a snapshot's device, opened through dmsetup by its
//! number alone, copied byte by byte and file by file.

use super::world;
use crate::run::quietly;
use anyhow::Context;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A copy of a snapshot.
pub(super) struct Reference {
    /// Its device, as a file with holes.
    pub(super) image: PathBuf,
    /// Its files.
    pub(super) files: PathBuf,
}

impl Reference {
    /// Copies thin device `dev_id` of `pool` into folder `into`, which must not exist.
    pub(super) fn take(pool: &str, dev_id: &str, bytes: u64, into: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(into)?;
        let name = format!("demo-reference-{dev_id}");
        let columns = [
            "info",
            "--columns",
            "--noheadings",
            "--separator",
            ":",
            "--options",
            "major,minor",
        ];
        let pool = dmsetup(&[&columns[..], &[pool]].concat())?;
        let table = format!("0 {} thin {} {dev_id}", bytes / 512, pool.trim());
        dmsetup(&["create", &name, "--readonly", "--table", &table])?;
        let taken = copy(&Path::new("/dev/mapper").join(&name), into);
        dmsetup(&["remove", "--retry", &name])?;
        taken
    }
}

fn copy(device: &Path, into: &Path) -> anyhow::Result<Reference> {
    let reference = Reference {
        image: into.join("device.img"),
        files: into.join("files"),
    };
    copy_device(device, &reference.image).context("copy the snapshot's device")?;
    let mounted = into.join("mounted");
    std::fs::create_dir_all(&mounted)?;
    quietly(
        Command::new("mount")
            .args(["-o", "ro"])
            .arg(device)
            .arg(&mounted),
    )?;
    let copied = world::copy_tree(&mounted, &reference.files);
    quietly(Command::new("umount").arg(&mounted))?;
    copied.map(|()| reference)
}

/// Copies all bytes; runs of zeros become holes.
fn copy_device(device: &Path, image: &Path) -> anyhow::Result<()> {
    let (mut from, mut to) = (File::open(device)?, File::create_new(image)?);
    let (mut piece, mut len) = (vec![0; 1 << 20], 0);
    loop {
        let n = world::fill(&mut from, &mut piece)?;
        let bytes = piece.get(..n).unwrap_or_default();
        len += n as u64;
        if n == 0 {
            return Ok(to.set_len(len)?);
        }
        if bytes.iter().any(|byte| *byte != 0) {
            to.seek(SeekFrom::Start(len - n as u64))?;
            to.write_all(bytes)?;
        }
    }
}

fn dmsetup(words: &[&str]) -> anyhow::Result<String> {
    quietly(
        Command::new("dmsetup")
            .args(words)
            .env("DM_DISABLE_UDEV", "1"),
    )
}
