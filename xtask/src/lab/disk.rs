//! Scratch disks: the `--disk FILE:SIZE[:FLAGS]` option and the sparse files behind it.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::run::usage;

/// A disk of the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Disk {
    /// The file that backs it and is kept; none for a scratch disk.
    pub(crate) file: Option<PathBuf>,
    /// Its size in bytes; none for "as large as the file is".
    pub(crate) size: Option<u64>,
    /// Flags of the UML block driver: any of `s r c t`.
    pub(crate) flags: String,
}

/// Parses `FILE:SIZE[:FLAGS]`, where an empty `FILE` means a scratch disk.
pub(crate) fn parse_disk(text: &str) -> anyhow::Result<Disk> {
    let mut parts: Vec<&str> = text.split(':').collect();
    let flags = match parts.last() {
        Some(last) if parts.len() > 2 && last.chars().all(|c| "srct".contains(c)) => {
            parts.pop().unwrap_or_default().to_owned()
        }
        _ => String::new(),
    };
    let size = if parts.len() > 1 {
        parts.pop().unwrap_or_default()
    } else {
        ""
    };
    let file = parts.join(":");
    let disk = Disk {
        file: Some(PathBuf::from(&file)).filter(|file| !file.as_os_str().is_empty()),
        size: if size.is_empty() {
            None
        } else {
            Some(parse_size(size)?)
        },
        flags,
    };
    if disk.file.is_none() && disk.size.is_none() {
        return Err(usage(format!(
            "--disk {text}: a scratch disk needs a size, such as :4G"
        )));
    }
    Ok(disk)
}

/// Parses a size in bytes with an optional binary unit: `512M`, `4G`, `1GiB`.
pub(crate) fn parse_size(text: &str) -> anyhow::Result<u64> {
    let wrong = || usage(format!("not a size: {text}"));
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let unit = unit.to_ascii_uppercase();
    let shift = match unit.trim_end_matches('B').trim_end_matches('I') {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err(wrong()),
    };
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

/// Makes the disk's file when it is missing or too short and returns its path, fit for UML.
pub(crate) fn prepare(disk: &Disk, scratch: &Path) -> anyhow::Result<PathBuf> {
    let file = match &disk.file {
        Some(file) => std::path::absolute(file).context("find the working directory")?,
        None => scratch.to_owned(),
    };
    if file.to_string_lossy().contains([',', ':', ' ', '\t', '\n']) {
        bail!(
            "the kernel takes no comma, colon or space in a disk's path: {}",
            file.display()
        );
    }
    grow(&file, disk.size).with_context(|| format!("prepare the disk {}", file.display()))?;
    Ok(file)
}

fn grow(file: &Path, size: Option<u64>) -> anyhow::Result<()> {
    let Ok(meta) = file.metadata() else {
        let Some(size) = size else {
            bail!("it does not exist, and no size was given")
        };
        return Ok(std::fs::File::create_new(file)?.set_len(size)?);
    };
    match size {
        Some(size) if meta.is_file() && meta.len() < size => Ok(std::fs::File::options()
            .write(true)
            .open(file)?
            .set_len(size)?),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, file: Option<&str>, size: Option<u64>, flags: &str) {
        let expected = Disk {
            file: file.map(PathBuf::from),
            size,
            flags: flags.to_owned(),
        };
        assert_eq!(parse_disk(text).unwrap(), expected);
    }

    #[test]
    fn disks() {
        check(":4G", None, Some(4 << 30), "");
        check(":64M:sr", None, Some(64 << 20), "sr");
        check("/a/b.img:1KiB", Some("/a/b.img"), Some(1024), "");
        check("/a/b.img", Some("/a/b.img"), None, "");
        check("/a/b.img::c", Some("/a/b.img"), None, "c");
        assert!(parse_disk(":").is_err());
        assert!(parse_disk("x:lots").is_err());
    }

    #[test]
    fn sizes() {
        assert_eq!(parse_size("7").unwrap(), 7);
        assert_eq!(parse_size("2t").unwrap(), 2 << 40);
        assert!(parse_size("").is_err());
        assert!(parse_size("1X").is_err());
        assert!(parse_size("99999999999T").is_err());
    }
}
