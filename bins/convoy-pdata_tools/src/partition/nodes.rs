//! What the partitions of a disk are called, as a person named the disk.

use std::path::{Path, PathBuf};

/// How a partition is reached: by the same kind of name as its disk, if the disk was named by one of udev's links.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// The name to print.
    pub(crate) path: PathBuf,
    /// The kernel's own name, which is there at once.
    pub(crate) node: PathBuf,
}

/// The names of partition `number` of `disk`, called `kernel` by the kernel (`!` there is `/` in a path).
pub(crate) fn named(disk: &Path, kernel: &str, number: u32) -> Named {
    let node = Path::new("/dev").join(kernel.replace('!', "/"));
    let linked = disk.starts_with("/dev/disk");
    let path = match disk.to_str() {
        Some(disk) if linked => PathBuf::from(format!("{disk}-part{number}")),
        _ => node.clone(),
    };
    Named { path, node }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(disk: &str, kernel: &str, path: &str, node: &str) {
        let expected = Named {
            path: path.into(),
            node: node.into(),
        };
        assert_eq!(named(Path::new(disk), kernel, 2), expected);
    }

    #[test]
    fn a_partition_is_named_as_its_disk_was() {
        check("/dev/sdb", "sdb2", "/dev/sdb2", "/dev/sdb2");
        check(
            "/dev/nvme0n1",
            "nvme0n1p2",
            "/dev/nvme0n1p2",
            "/dev/nvme0n1p2",
        );
        check(
            "/dev/cciss/c0d0",
            "cciss!c0d0p2",
            "/dev/cciss/c0d0p2",
            "/dev/cciss/c0d0p2",
        );
        check(
            "/dev/disk/by-id/wwn-1",
            "sdb2",
            "/dev/disk/by-id/wwn-1-part2",
            "/dev/sdb2",
        );
    }
}
