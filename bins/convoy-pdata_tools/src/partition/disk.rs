//! A disk as the kernel describes it: its size, its sectors, and whether it is one to be partitioned.

use crate::failure::Failure;
use nix::sys::stat::{major, minor};
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use convoy_units::Bytes;

/// A whole disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Disk {
    /// As the caller named it.
    pub(crate) path: PathBuf,
    pub(crate) size: Bytes,
    /// Its logical sector in bytes: what partition tables count in.
    pub(crate) sector: u64,
    /// The kernel knows partitions on it.
    pub(crate) partitioned: bool,
    /// The kernel would show partitions on it: not on a loop device without `--partscan`, nor on device mapper's.
    pub(crate) partitionable: bool,
    /// Its folder in sysfs (Documentation/ABI/stable/sysfs-block).
    pub(crate) sysfs: PathBuf,
}

/// Looks at a disk without reading what is on it.
pub(crate) fn look(path: &Path) -> Result<Disk, Failure> {
    let name = path.display();
    let Ok(metadata) = path.metadata() else {
        let hint = "lsblk lists the disks there are";
        return Err(Failure::told(
            format!("Cannot find device {name}"),
            Some(hint),
        ));
    };
    if !metadata.file_type().is_block_device() {
        let message = format!("{name} is not a block device");
        return Err(Failure::told(message, Some("name a disk such as /dev/sdb")));
    }
    let number = format!("{}:{}", major(metadata.rdev()), minor(metadata.rdev()));
    let sysfs = Path::new("/sys/dev/block").join(number);
    if sysfs.join("partition").exists() {
        let message = format!("{name} is a partition and not a disk");
        let hint = "name the disk; a partition of the right size needs no partitioning: give it to the daemon as it is";
        return Err(Failure::told(message, Some(hint)));
    }
    let read = |error: io::Error| cannot_read(path, &error);
    let size = File::open(path)
        .and_then(|mut disk| disk.seek(SeekFrom::End(0)))
        .map_err(read)?;
    let sector = fs::read_to_string(sysfs.join("queue/logical_block_size")).map_err(read)?;
    Ok(Disk {
        path: path.to_owned(),
        size: Bytes(size),
        sector: sector.trim().parse().unwrap_or(512),
        partitioned: !parts(&sysfs).map_err(read)?.is_empty(),
        partitionable: shows_partitions(&sysfs),
        sysfs,
    })
}

/// Not on device mapper's devices ever, and on a loop device when it was attached so (Documentation/ABI/testing:
/// sysfs-block-dm, sysfs-block-loop).
fn shows_partitions(sysfs: &Path) -> bool {
    let unscanned = fs::read_to_string(sysfs.join("loop/partscan"));
    !sysfs.join("dm").exists() && !unscanned.is_ok_and(|text| text.trim() == "0")
}

/// That a disk cannot be looked at, and never "nothing found".
pub(crate) fn cannot_read(path: &Path, error: &io::Error) -> Failure {
    let message = format!("cannot read {}: {error}", path.display());
    let denied = error.kind() == io::ErrorKind::PermissionDenied;
    Failure::told(message, denied.then_some("run it as root"))
}

/// A partition as the kernel has it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) number: u32,
    /// The kernel's name of it: `sdb1`.
    pub(crate) name: String,
    pub(crate) size: Bytes,
}

/// The partitions in a disk's folder in sysfs, by number. Sizes there are in sectors of 512 bytes always.
pub(crate) fn parts(sysfs: &Path) -> io::Result<Vec<Part>> {
    let mut parts = Vec::new();
    for entry in fs::read_dir(sysfs)? {
        let entry = entry?;
        let Ok(number) = fs::read_to_string(entry.path().join("partition")) else {
            continue;
        };
        let sectors = fs::read_to_string(entry.path().join("size"))?;
        let parsed = (number.trim().parse(), sectors.trim().parse::<u64>());
        let (Ok(number), Ok(sectors)) = parsed else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        parts.push(Part {
            number,
            name: entry.file_name().to_string_lossy().into_owned(),
            size: Bytes(sectors.saturating_mul(512)),
        });
    }
    parts.sort_by_key(|part| part.number);
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_read_as_sysfs_has_them() {
        let folder = tempfile::tempdir().unwrap();
        for (name, number, sectors) in [("sdb2", "2\n", "8\n"), ("sdb1", "1\n", "4096\n")] {
            let part = folder.path().join(name);
            fs::create_dir(&part).unwrap();
            fs::write(part.join("partition"), number).unwrap();
            fs::write(part.join("size"), sectors).unwrap();
        }
        fs::create_dir(folder.path().join("queue")).unwrap();
        let found = parts(folder.path()).unwrap();
        let named: Vec<_> = found
            .iter()
            .map(|part| (part.number, part.name.as_str(), part.size.0))
            .collect();
        assert_eq!(named, [(1, "sdb1", 2 << 20), (2, "sdb2", 4096)]);
    }

    #[test]
    fn device_mapper_and_some_loop_devices_show_no_partitions() {
        let folder = tempfile::tempdir().unwrap();
        let looped = folder.path().join("loop");
        fs::create_dir(&looped).unwrap();
        for (text, shows) in [("1\n", true), ("0\n", false)] {
            fs::write(looped.join("partscan"), text).unwrap();
            assert_eq!(shows_partitions(folder.path()), shows);
        }
        fs::remove_dir_all(looped).unwrap();
        assert!(shows_partitions(folder.path()));
        fs::create_dir(folder.path().join("dm")).unwrap();
        assert!(!shows_partitions(folder.path()));
    }

    #[test]
    fn what_is_no_disk_is_said_so() {
        let told = |path: &str| look(Path::new(path)).unwrap_err().text();
        assert!(told("/dev/none-such").starts_with("Cannot find device /dev/none-such\n"));
        assert!(told("/dev/null").starts_with("/dev/null is not a block device\n"));
    }
}
