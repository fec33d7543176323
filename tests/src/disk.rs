//! The scratch disks of a guest, filesystems on them, and what the kernel counts of a device.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::command::{tool, word};

/// The scratch disks, each of several GiB, holding whatever the test before left.
pub fn disks() -> Vec<PathBuf> {
    let named = std::env::var("CONVOY_DISKS").unwrap_or_default();
    let named: Vec<PathBuf> = named
        .split(':')
        .filter(|disk| !disk.is_empty())
        .map(PathBuf::from)
        .collect();
    if named.is_empty() {
        ["a", "b", "c"]
            .map(|x| format!("/dev/ubd{x}").into())
            .into()
    } else {
        named
    }
}

/// A fresh ext4 on a disk, mounted until dropped.
#[derive(Debug)]
pub struct Scratch {
    place: PathBuf,
}

impl Scratch {
    /// Formats `disk` and mounts it at `place`.
    ///
    /// # Panics
    ///
    /// When that fails, for instance since the disk is in use.
    #[track_caller]
    pub fn mount(disk: &Path, place: &Path) -> Self {
        std::fs::create_dir_all(place).expect("a mount point can be made");
        tool("mkfs.ext4", &["-q", "-F", "-E", "nodiscard", word(disk)]);
        tool("mount", &[word(disk), word(place)]);
        Self {
            place: place.to_owned(),
        }
    }

    /// A path on it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.place.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A test that fails half-way may leave it busy: the mount goes when its last user does.
        crate::command::run(
            std::process::Command::new("umount")
                .arg("-l")
                .arg(&self.place),
        );
    }
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
