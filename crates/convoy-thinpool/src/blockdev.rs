//! Block devices as files: their size, number and sectors, discarding, and the first block.

use crate::control::DeviceNumber;
use convoy_units::{ByteRange, Bytes};
use nix::errno::Errno;
use nix::sys::stat::{major, minor};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

mod ioctl;

/// How much one discard ioctl covers: it cannot be interrupted, and a thin pool is busy meanwhile.
const DISCARD_PIECE: u64 = 1 << 30;

/// What the kernel writes its pool's superblock over: 4 KiB.
const FIRST_BLOCK: usize = 4096;

/// A block device's number and size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Its number.
    pub number: DeviceNumber,
    /// Its size.
    pub size: Bytes,
    /// Its logical block: what direct IO must be aligned to.
    pub logical_block: Bytes,
}

/// Whether the device could discard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discarded {
    /// It did.
    Discarded,
    /// It cannot; nothing changed.
    Unsupported,
}

/// The number of a block device node. Fails with `InvalidInput` for anything that is none.
pub fn number_of(node: &Path) -> io::Result<DeviceNumber> {
    let metadata = std::fs::metadata(node)?;
    if !metadata.file_type().is_block_device() {
        let text = format!("{} is not a block device", node.display());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    split(metadata.rdev())
}

/// Number, size and logical block of a block device. Opens it for reading.
pub fn facts(node: &Path) -> io::Result<Facts> {
    let number = number_of(node)?;
    let file = File::open(node)?;
    Ok(Facts {
        number,
        size: ioctl::size(&file)?,
        logical_block: ioctl::logical_block(&file)?,
    })
}

/// The size of a block device.
pub fn size(node: &Path) -> io::Result<Bytes> {
    facts(node).map(|facts| facts.size)
}

/// Discards a range in pieces, so that nobody waits long for one. What was discarded of a thin device is
/// unmapped where whole blocks are covered. On an error a part may be discarded.
pub fn discard(node: &Path, range: ByteRange) -> io::Result<Discarded> {
    let file = OpenOptions::new().write(true).open(node)?;
    let mut begin = range.begin;
    while begin < range.end {
        let len = (range.end - begin).min(DISCARD_PIECE);
        match ioctl::discard(&file, begin, len) {
            Ok(()) => begin += len,
            Err(Errno::EOPNOTSUPP) => return Ok(Discarded::Unsupported),
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(Discarded::Discarded)
}

/// Opens a device read-only, past the page cache: offsets, lengths and memory must be multiples of
/// the logical block. Fails with `EINVAL` on file systems that have no direct IO.
pub fn open_direct(node: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECT)
        .open(node)
}

/// Whether the first 4 KiB are all zero: then, and only then, the kernel formats a metadata device.
/// A device or file shorter than that is judged by what there is.
pub fn first_block_is_zero(path: &Path) -> io::Result<bool> {
    let block = first_block(&File::open(path)?)?;
    Ok(block.iter().all(|byte| *byte == 0))
}

/// Zeroes the first 4 KiB, durably. **Whatever pool the device held is lost**: never on a path that
/// can reach a device in use.
pub fn zero_first_block(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.write_all_at(&[0; FIRST_BLOCK], 0)?;
    file.sync_all()
}

/// The first 4 KiB, shorter if the device is.
pub(crate) fn first_block(file: &File) -> io::Result<Vec<u8>> {
    let mut block = vec![0; FIRST_BLOCK];
    let mut filled = 0;
    while let Some(rest) = block.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    block.truncate(filled);
    Ok(block)
}

fn split(device: u64) -> io::Result<DeviceNumber> {
    let part = |part: u64| u32::try_from(part).map_err(io::Error::other);
    Ok(DeviceNumber {
        major: part(major(device))?,
        minor: part(minor(device))?,
    })
}

#[cfg(test)]
mod tests {
    //! What needs no device.

    use super::*;

    #[test]
    fn the_first_block_of_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        for (content, zero) in [(vec![], true), (vec![0; 100], true), (vec![0; 8192], true)] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(first_block_is_zero(&path).unwrap(), zero);
        }
        let mut content = vec![0; 8192];
        content[4096] = 1;
        std::fs::write(&path, &content).unwrap();
        assert!(
            first_block_is_zero(&path).unwrap(),
            "the second block is not the first"
        );
        content[4095] = 1;
        std::fs::write(&path, &content).unwrap();
        assert!(!first_block_is_zero(&path).unwrap());
        zero_first_block(&path).unwrap();
        assert!(first_block_is_zero(&path).unwrap());
        assert_eq!(
            std::fs::read(&path).unwrap()[4096],
            1,
            "nothing else is zeroed"
        );
    }

    #[test]
    fn a_file_is_no_block_device() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = facts(file.path()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
