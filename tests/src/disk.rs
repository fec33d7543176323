//! The scratch disks of a guest, filesystems on them, and what the kernel counts of a device.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use convoy_thinpool::blockdev;

use crate::command::{tool, word};

/// The scratch disks, three of several GiB, holding whatever the test before left.
///
/// # Panics
///
/// Outside `cargo xtask test`.
#[track_caller]
pub fn disks() -> Vec<PathBuf> {
    let named = std::env::var("CONVOY_DISKS").unwrap_or_default();
    let named: Vec<PathBuf> = named
        .split(':')
        .filter(|disk| !disk.is_empty())
        .map(PathBuf::from)
        .collect();
    assert!(
        named.len() >= 3,
        "run by `cargo xtask test`, which names three disks in CONVOY_DISKS"
    );
    named
}

/// Makes an ext4 on a disk and mounts it, unless something is mounted there already.
///
/// # Panics
///
/// When that fails, for instance since the disk is in use.
#[track_caller]
pub fn mount_scratch(disk: &Path, place: &Path) {
    let mounted = convoy_mount::mounted_at(place).expect("the mount table can be read");
    if mounted.is_some() {
        return;
    }
    std::fs::create_dir_all(place).expect("a mount point can be made");
    // Few inodes, and no work left for the background: this is made for every guest.
    let words = ["-q", "-F", "-N", "16384", "-E", "nodiscard", word(disk)];
    tool("mkfs.ext4", &words);
    tool("mount", &["-o", "noinit_itable", word(disk), word(place)]);
}

/// Reads a device, or a file where its filesystem can, past the page cache: what is on the disk, fast.
#[derive(Debug)]
pub struct Direct {
    file: File,
    memory: Vec<u8>,
    begin: usize,
}

impl Direct {
    /// What offsets, lengths and addresses are multiples of.
    const ALIGNMENT: usize = 4096;

    /// Opens it for reads of up to `most` bytes.
    ///
    /// # Panics
    ///
    /// When it cannot be opened so.
    #[track_caller]
    pub fn open(path: &Path, most: usize) -> Self {
        let file = blockdev::open_direct(path);
        assert!(
            file.is_ok(),
            "{} cannot be opened: {file:?}",
            path.display()
        );
        let memory = vec![0; most + Self::ALIGNMENT];
        Self {
            file: file.expect("checked in the line above"),
            begin: memory.as_ptr().align_offset(Self::ALIGNMENT),
            memory,
        }
    }

    /// Exactly these bytes; offset and length are multiples of 4096.
    ///
    /// # Panics
    ///
    /// When they cannot be read, or are more than was announced.
    #[track_caller]
    pub fn read(&mut self, offset: u64, len: usize) -> &[u8] {
        let bytes = self.memory.get_mut(self.begin..self.begin + len);
        let bytes = bytes.expect("no more is read than was announced");
        self.file
            .read_exact_at(bytes, offset)
            .expect("the device can be read");
        bytes
    }

    fn len(&mut self) -> u64 {
        self.file
            .seek(SeekFrom::End(0))
            .expect("a device has a size")
    }
}

/// What stands for all bytes of a device, or of a file of whole pages: BLAKE3 in hexadecimal.
///
/// # Panics
///
/// When it cannot be read past the page cache.
#[track_caller]
pub fn digest(path: &Path) -> String {
    digest_of_first(path, u64::MAX)
}

/// What stands for the first `most` bytes, or all if there are fewer.
///
/// # Panics
///
/// As [`digest`].
#[track_caller]
pub fn digest_of_first(path: &Path, most: u64) -> String {
    const PIECE: usize = 512 << 10;
    let mut device = Direct::open(path, PIECE);
    let end = device.len().min(most);
    let mut hasher = blake3::Hasher::new();
    for at in (0..end).step_by(PIECE) {
        let len = usize::try_from(end - at).map_or(PIECE, |left| left.min(PIECE));
        hasher.update(device.read(at, len));
    }
    hasher.finalize().to_hex().to_string()
}

/// The kernel's counters of one block device since it came up.
///
/// From `/sys/dev/block/MAJOR:MINOR/stat` (Documentation/block/stat.rst), in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskStat {
    /// Bytes read.
    pub read: u64,
    /// Bytes written.
    pub written: u64,
    /// Bytes discarded.
    pub discarded: u64,
}

impl DiskStat {
    /// Reads the counters of a device node.
    ///
    /// # Panics
    ///
    /// When there is no such block device.
    #[track_caller]
    pub fn of(device: &Path) -> Self {
        let number = std::fs::metadata(device).expect("the device exists").rdev();
        let (major, minor) = (nix::sys::stat::major(number), nix::sys::stat::minor(number));
        let stat = std::fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat"));
        parse_stat(&stat.expect("the device is a block device"))
    }

    /// What happened since an earlier reading.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            read: self.read - earlier.read,
            written: self.written - earlier.written,
            discarded: self.discarded - earlier.discarded,
        }
    }
}

/// Sectors of 512 bytes: read is the third field, written the seventh, discarded the fourteenth.
fn parse_stat(text: &str) -> DiskStat {
    let fields: Vec<u64> = text
        .split_whitespace()
        .filter_map(|field| field.parse().ok())
        .collect();
    let bytes = |index: usize| fields.get(index).copied().unwrap_or(0) * 512;
    DiskStat {
        read: bytes(2),
        written: bytes(6),
        discarded: bytes(13),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_the_kernels_fields() {
        let stat = parse_stat("  10 0 2048 5 3 0 16 7 0 9 12 4 0 128 1 0 0\n");
        assert_eq!(
            stat,
            DiskStat {
                read: 1 << 20,
                written: 8192,
                discarded: 65536
            }
        );
        assert_eq!(parse_stat("1 0 8 5 3 0 16").discarded, 0);
    }

    #[test]
    fn a_difference_is_of_each_counter() {
        let one = DiskStat {
            read: 512,
            written: 0,
            discarded: 0,
        };
        let two = DiskStat {
            read: 2048,
            written: 512,
            discarded: 0,
        };
        assert_eq!(
            two.since(one),
            DiskStat {
                read: 1536,
                written: 512,
                discarded: 0
            }
        );
    }
}
