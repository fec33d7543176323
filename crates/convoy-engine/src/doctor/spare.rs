//! Metadata that is damaged, or that the kernel wants checked, into a spare; the original is only ever read.
//!
//! The writing is done by Debian's tools (`thin_repair`, `thin_check --clear-needs-check-flag`), each by an
//! argument list; whether the result is sound is found out by our own check.

use super::Remedy;
use super::facts::{PoolFacts, Reading};
use crate::error::{Doing, Error};
use crate::machine::Machine;
use crate::root::Root;
use convoy_fault::Kind;
use convoy_thin_metadata::{CheckOptions, Severity, check};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How much is copied at once; what of it is zero is left out of a file.
const PIECE: usize = 1 << 20;

/// A sound copy of the pool's metadata, and what was done for it.
pub(super) fn mend(
    pool: &PoolFacts,
    reading: &Reading,
    remedy: &Remedy,
    root: &Root,
    machine: &dyn Machine,
) -> Result<(PathBuf, Vec<String>), Error> {
    let metadata = &pool.record.metadata;
    let damaged = reading.report.worst() == Some(Severity::Fatal);
    let (spare, is_file) = if pool.record.loop_backed {
        (new_file(metadata, remedy, root)?, true)
    } else {
        (blank_device(metadata, remedy, machine)?, false)
    };
    let (from, to) = (metadata.display(), spare.display());
    let written = if damaged {
        tool(
            "thin_repair",
            &["-i".as_ref(), metadata, "-o".as_ref(), &spare],
        )
    } else {
        copy(metadata, &spare)
            .doing(|| format!("copying {from} to {to}"))
            .and_then(|()| tool("thin_check", &["--clear-needs-check-flag".as_ref(), &spare]))
    };
    let sound = written.and_then(|()| verify(&spare, machine));
    if let Err(error) = sound {
        if is_file {
            // Made a moment ago, by us, and good for nothing.
            drop(fs::remove_file(&spare));
        }
        return Err(error);
    }
    let done = if damaged {
        format!("thin_repair wrote a repaired copy of {from} to {to}, which verifies")
    } else {
        format!(
            "{from} was copied to {to}, where thin_check cleared the flag that asks for a check"
        )
    };
    let mut said = vec![
        done,
        format!("{from} stays as it was: keep it until every volume was looked at"),
    ];
    if !is_file {
        said.push(format!(
            "from now on the daemon is started with dm.metadatadev={to}"
        ));
    }
    Ok((spare, said))
}

/// For a loop-backed pool: a file as long as the original.
fn new_file(metadata: &Path, remedy: &Remedy, root: &Root) -> Result<PathBuf, Error> {
    let (_, own) = root.loop_files()?;
    let numbered = (1..=u32::MAX).map(|n| own.with_extension(format!("mended-{n}.img")));
    let spare = match &remedy.spare {
        Some(spare) => spare.clone(),
        None => numbered
            .into_iter()
            .find(|path| fs::symlink_metadata(path).is_err())
            .expect("there are more numbers than files in a directory"),
    };
    let doing = || format!("making the spare {}", spare.display());
    let len = fs::metadata(metadata).doing(doing)?.len();
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&spare)
        .and_then(|file| file.set_len(len).and_then(|()| file.sync_all()))
        .doing(doing)?;
    Ok(spare)
}

/// For a pool on devices: another one, at least as large, with nothing on it.
fn blank_device(metadata: &Path, remedy: &Remedy, machine: &dyn Machine) -> Result<PathBuf, Error> {
    let Some(spare) = &remedy.spare else {
        let what = "repaired metadata needs a device to be written to";
        return Err(Error::new(Kind::Invalid, what)
            .hinting("give a blank one, as large as the metadata device, with --spare DEVICE"));
    };
    let refuse = |why: String| {
        let what = format!("{} cannot be the spare: {why}", spare.display());
        Err(Error::new(Kind::Conflict, what).hinting("nothing was written"))
    };
    let doing = || format!("looking at the spare {}", spare.display());
    if machine.number_of(spare).doing(doing)? == machine.number_of(metadata).doing(doing)? {
        return refuse("it is the metadata device itself".to_owned());
    }
    let (has, needs) = (
        machine.size_of(spare).doing(doing)?,
        machine.size_of(metadata).doing(doing)?,
    );
    if has < needs {
        return refuse(format!("it has {has}, the metadata device {needs}"));
    }
    if let Some(found) = machine.signature_of(spare).doing(doing)? {
        return refuse(format!("it carries {}", found.what));
    }
    if !machine.first_block_is_zero(spare).doing(doing)? {
        return refuse("its first block is not zero".to_owned());
    }
    Ok(spare.clone())
}

/// Byte for byte, durably.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    let mut source = File::open(from)?;
    let mut target = OpenOptions::new().write(true).open(to)?;
    let is_file = target.metadata()?.is_file();
    let mut piece = vec![0; PIECE];
    loop {
        let len = source.read(&mut piece)?;
        let Some(bytes) = piece.get(..len).filter(|bytes| !bytes.is_empty()) else {
            break;
        };
        if is_file && bytes.iter().all(|byte| *byte == 0) {
            target.seek(SeekFrom::Current(
                i64::try_from(len).expect("a piece is small"),
            ))?;
        } else {
            target.write_all(bytes)?;
        }
    }
    target.sync_all()
}

fn verify(spare: &Path, machine: &dyn Machine) -> Result<(), Error> {
    let doing = || format!("checking the spare {}", spare.display());
    File::open(spare)
        .and_then(|file| file.sync_all())
        .doing(doing)?;
    let source = machine.metadata(spare).doing(doing)?;
    let report = check(&source, &CheckOptions::default()).doing(doing)?;
    let why = match (report.worst(), report.findings.first()) {
        (Some(Severity::Fatal), Some(finding)) => finding.to_string(),
        _ if report.needs_check => "it still asks for a check".to_owned(),
        _ => return Ok(()),
    };
    let what = format!(
        "the repaired metadata on {} is not used, it does not verify: {why}",
        spare.display()
    );
    Err(Error::new(Kind::PoolUnhealthy, what).hinting("the original is unchanged; restore the volumes from backups, or ask somebody who knows thin metadata before anything else is written"))
}

/// Runs one of Debian's tools.
fn tool(name: &str, words: &[&Path]) -> Result<(), Error> {
    let output = Command::new(name).args(words).stdin(Stdio::null()).output();
    let output = output.map_err(|error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            return Error::new(Kind::Unsupported, format!("{name} is not installed"))
                .hinting("install the package thin-provisioning-tools");
        }
        Error::of(format!("running {name}"), error)
    })?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let text: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .take(3)
        .collect();
    let what = format!("{name} failed ({}): {}", output.status, text.join("; "));
    Err(Error::new(Kind::PoolUnhealthy, what).hinting("the original is unchanged; restore the volumes from backups, or ask somebody who knows thin metadata before anything else is written"))
}
