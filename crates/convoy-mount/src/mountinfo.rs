//! The kernel's mount table, read as it is: `/proc/self/mountinfo` (`proc(5)`).
//!
//! Spaces and the like come as octal escapes; a path is bytes, not text. A line we cannot read fails
//! the whole: an answer of "not mounted" that is wrong loses data (the original searched the output of
//! `mount` for a substring, and took `vol10` for `vol1`).

use crate::error::Error;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountEntry {
    /// Unique among mounts that exist, used again later.
    pub mount_id: u64,
    /// The mount it is in.
    pub parent_id: u64,
    /// The device of the file system: major and minor.
    pub device: (u32, u32),
    /// What part of the file system is mounted: `/` unless it is a bind mount.
    pub root: PathBuf,
    /// Where.
    pub target: PathBuf,
    /// Options of this mount and of the file system, each once.
    pub options: Vec<String>,
    /// The file system's type.
    pub fs_type: String,
    /// What was mounted, as whoever did it called it.
    pub source: PathBuf,
}

/// A line that is none of a mount table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is not a line of mountinfo: {0:?}")]
pub struct InvalidMountInfo(String);

impl MountEntry {
    /// Whether writes are refused.
    pub fn is_read_only(&self) -> bool {
        self.options.iter().any(|option| option == "ro")
    }
}

/// Every mount that this process sees, in the kernel's order: later ones cover earlier ones.
pub fn mounts() -> Result<Vec<MountEntry>, Error> {
    let path = Path::new("/proc/self/mountinfo");
    let text = std::fs::read(path).map_err(Error::io("read", path))?;
    Ok(parse_mountinfo(&text)?)
}

/// What is mounted at exactly this path now: the topmost, if there are several. The path is made
/// absolute and free of links first; one that does not exist has nothing mounted.
pub fn mounted_at(target: &Path) -> Result<Option<MountEntry>, Error> {
    let target = match target.canonicalize() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        canonical => canonical.map_err(Error::io("resolve", target))?,
    };
    let found = mounts()?
        .into_iter()
        .rev()
        .find(|entry| entry.target == target);
    Ok(found)
}

/// Where this device is mounted, as a whole or in part, in this process's mount namespace.
pub fn targets_of(device: (u32, u32)) -> Result<Vec<PathBuf>, Error> {
    let entries = mounts()?.into_iter().filter(|entry| entry.device == device);
    Ok(entries.map(|entry| entry.target).collect())
}

/// Reads a whole table.
pub fn parse_mountinfo(text: &[u8]) -> Result<Vec<MountEntry>, InvalidMountInfo> {
    let lines = text
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    lines
        .map(|line| parse_line(line).ok_or_else(|| invalid(line)))
        .collect()
}

fn invalid(line: &[u8]) -> InvalidMountInfo {
    InvalidMountInfo(String::from_utf8_lossy(line).chars().take(200).collect())
}

fn parse_line(line: &[u8]) -> Option<MountEntry> {
    let mut words = line.split(|byte| *byte == b' ');
    let mount_id = number(words.next()?)?;
    let parent_id = number(words.next()?)?;
    let device = parse_device(words.next()?)?;
    let root = decode(words.next()?);
    let target = decode(words.next()?);
    let mut options = list(words.next()?);
    // Optional fields of any number, ended by a lone dash.
    words.by_ref().find(|word| *word == b"-")?;
    let fs_type = String::from_utf8(decode_bytes(words.next()?)).ok()?;
    let source = decode(words.next()?);
    // The file system's own; old kernels may have none.
    for option in list(words.next().unwrap_or_default()) {
        if !options.contains(&option) {
            options.push(option);
        }
    }
    Some(MountEntry {
        mount_id,
        parent_id,
        device,
        root,
        target,
        options,
        fs_type,
        source,
    })
}

fn number<T: std::str::FromStr>(word: &[u8]) -> Option<T> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

fn parse_device(word: &[u8]) -> Option<(u32, u32)> {
    let text = std::str::from_utf8(word).ok()?;
    let (major, minor) = text.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn list(word: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(word);
    let options = text.split(',').filter(|option| !option.is_empty());
    options.map(str::to_owned).collect()
}

fn decode(word: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(decode_bytes(word)))
}

/// Undoes the kernel's `mangle`: a backslash and three octal digits stand for a byte.
pub(crate) fn decode_bytes(word: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((first, after)) = rest.split_first() {
        let escaped = (*first == b'\\')
            .then(|| after.get(..3).and_then(octal))
            .flatten();
        bytes.push(escaped.unwrap_or(*first));
        rest = match escaped {
            Some(_) => after.get(3..).unwrap_or_default(),
            None => after,
        };
    }
    bytes
}

fn octal(digits: &[u8]) -> Option<u8> {
    let digit = |byte: &u8| matches!(byte, b'0'..=b'7').then(|| u32::from(byte - b'0'));
    let value = digits
        .iter()
        .try_fold(0, |value, byte| Some(value * 8 + digit(byte)?))?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests;
