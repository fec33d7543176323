//! What a device already carries: nothing of anybody's is ever overwritten by a pool of ours.
//!
//! The kernel takes any data device, one with a file system too, and revives whatever pool it finds on a
//! metadata device. So a new pool's devices are probed first, and everything but blank is refused:
//! with `blkid` (it knows some hundred formats, and is essential on Debian) and, for what it does not
//! know, by hand. A probe that cannot be made is a failure, never "nothing found".

use crate::blockdev;
use convoy_fault::{Fault, Kind};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The superblock's magic number, at byte 32, little-endian (`drivers/md/dm-thin-metadata.c`).
const THIN_MAGIC: u64 = 27_022_010;

/// Something that a device carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// In words: `an ext4 file system`.
    pub what: String,
}

/// A probe that could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The device could not be read.
    #[error("cannot read {path} to see what it carries")]
    Read {
        /// The device.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// `blkid` could not be run.
    #[error("cannot run blkid to see what {path} carries")]
    Run {
        /// The device.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// `blkid` failed.
    #[error("blkid cannot tell what {path} carries (exit status {status}): {message}")]
    Blkid {
        /// The device.
        path: PathBuf,
        /// Its exit status; -1 if a signal ended it.
        status: i32,
        /// What it said.
        message: String,
    },
    /// The device carries something.
    #[error("{path} carries {what}")]
    Carries {
        /// The device.
        path: PathBuf,
        /// What it carries.
        what: String,
    },
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Carries { .. } => Kind::Conflict,
            Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => Kind::NotFound,
            Self::Read { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Kind::NotPermitted
            }
            _ => Kind::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Carries { path, .. } => Some(format!(
                "give another device; if nothing on this one is needed, erase it first: wipefs -a {0} && dd if=/dev/zero of={0} bs=4096 count=1 conv=fsync",
                path.display()
            )),
            Self::Run { .. } => Some("install util-linux, which has blkid".into()),
            _ => None,
        }
    }
}

/// What this device carries: a file system, RAID member, LVM volume, partition table, swap area or thin
/// pool; or that it is in use. `None` is said only after every probe was made and found nothing.
pub fn probe(path: &Path) -> Result<Option<Signature>, Error> {
    let read = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let file = match open(path) {
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
            return Ok(Some(signature(
                "something in use: it is mounted, or another device is made of it",
            )));
        }
        file => file.map_err(read)?,
    };
    let block = blockdev::first_block(&file).map_err(read)?;
    if has_thin_superblock(&block) {
        return Ok(Some(signature("the metadata of a thin pool")));
    }
    run_blkid(path)
}

/// Refuses a device for a new pool's data unless it is free and carries nothing.
pub fn require_blank(path: &Path) -> Result<(), Error> {
    match probe(path)? {
        None => Ok(()),
        Some(Signature { what }) => Err(Error::Carries {
            path: path.to_owned(),
            what,
        }),
    }
}

/// Refuses a device for a new pool's metadata unless it carries nothing and its first 4 KiB are zero:
/// the kernel formats it only then, and fails, or revives an old pool, otherwise.
pub fn require_blank_metadata(path: &Path) -> Result<(), Error> {
    require_blank(path)?;
    let read = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    if blockdev::first_block_is_zero(path).map_err(read)? {
        return Ok(());
    }
    let what = "data of an unknown kind in its first 4 KiB".into();
    Err(Error::Carries {
        path: path.to_owned(),
        what,
    })
}

/// Whether a metadata device holds a thin pool, by its magic number alone.
pub fn is_thin_metadata(path: &Path) -> Result<bool, Error> {
    let block = File::open(path).and_then(|file| blockdev::first_block(&file));
    block
        .map(|block| has_thin_superblock(&block))
        .map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })
}

fn signature(what: impl Into<String>) -> Signature {
    Signature { what: what.into() }
}

/// Opens for reading; a block device exclusively, which fails with `EBUSY` while it is in use.
fn open(path: &Path) -> io::Result<File> {
    let is_device = std::fs::metadata(path)?.file_type().is_block_device();
    let flags = if is_device { libc::O_EXCL } else { 0 };
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

fn has_thin_superblock(block: &[u8]) -> bool {
    block.get(32..40) == Some(THIN_MAGIC.to_le_bytes().as_slice())
}

/// `blkid -p`: 0 found, 2 nothing found (or not readable: we read it before), 8 several contradict.
fn run_blkid(path: &Path) -> Result<Option<Signature>, Error> {
    let output = Command::new("blkid")
        .args(["--probe", "--output", "export", "--"])
        .arg(path)
        .env("LC_ALL", "C")
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .output()
        .map_err(|source| Error::Run {
            path: path.to_owned(),
            source,
        })?;
    match output.status.code() {
        Some(0) => Ok(described(&String::from_utf8_lossy(&output.stdout))),
        Some(2) => Ok(None),
        Some(8) => Ok(Some(signature(
            "several signatures that contradict each other",
        ))),
        status => Err(Error::Blkid {
            path: path.to_owned(),
            status: status.unwrap_or(-1),
            message: String::from_utf8_lossy(&output.stderr)
                .trim()
                .chars()
                .take(200)
                .collect(),
        }),
    }
}

/// What blkid's `KEY=value` lines stand for. A blank partition has lines too (`PART_ENTRY_…`, about
/// itself), and sizes (`MINIMUM_IO_SIZE`): only a type is a signature.
fn described(export: &str) -> Option<Signature> {
    let value = |key: &str| {
        let mut lines = export.lines().filter_map(|line| line.split_once('='));
        lines
            .find(|(found, _)| *found == key)
            .map(|(_, value)| value)
    };
    let what = match (value("TYPE"), value("PTTYPE"), value("USAGE")) {
        (Some(kind), _, Some("filesystem")) => format!("a file system ({kind})"),
        (Some(kind), _, _) => format!("a signature of type {kind}"),
        (None, Some(kind), _) => format!("a partition table ({kind})"),
        (None, None, Some(usage)) => format!("a signature for use as {usage}"),
        (None, None, None) => return None,
    };
    // A file's content must not speak in a terminal.
    let visible: String = what.chars().filter(|c| !c.is_control()).collect();
    Some(signature(visible))
}

#[cfg(test)]
mod tests {
    //! Images of everything that must not be overwritten, made with the tools at hand or by hand.

    use super::*;
    use std::os::unix::fs::FileExt;

    const SIZE: u64 = 64 << 20;

    #[track_caller]
    fn check(make: impl FnOnce(&Path, &File), expected: &str) {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(SIZE).unwrap();
        make(file.path(), file.as_file());
        let found = probe(file.path()).unwrap().map(|signature| signature.what);
        assert!(
            found.as_ref().is_some_and(|what| what.contains(expected)),
            "{found:?}"
        );
        assert_eq!(
            require_blank(file.path()).unwrap_err().kind(),
            Kind::Conflict
        );
    }

    fn run(program: &str, args: &[&str], path: &Path) {
        let output = Command::new(program).args(args).arg(path).output().unwrap();
        assert!(output.status.success(), "{program}: {output:?}");
    }

    #[test]
    fn file_systems_and_swap() {
        check(
            |path, _| run("/usr/sbin/mke2fs", &["-q", "-F", "-t", "ext4"], path),
            "ext4",
        );
        check(|path, _| run("/usr/sbin/mkswap", &["-q"], path), "swap");
        // btrfs by its magic number: its tools are not everywhere.
        check(
            |_, file| file.write_all_at(b"_BHRfS_M", 0x10040).unwrap(),
            "",
        );
    }

    #[test]
    fn an_lvm_physical_volume() {
        // Label sector 1 as LVM2 writes it, with the CRC blkid checks.
        let mut label = [0_u8; 512];
        label[..8].copy_from_slice(b"LABELONE");
        label[8..16].copy_from_slice(&1_u64.to_le_bytes());
        label[20..24].copy_from_slice(&32_u32.to_le_bytes());
        label[24..32].copy_from_slice(b"LVM2 001");
        label[32..64].copy_from_slice(b"abcdefghijklmnopqrstuvwxyz012345");
        let crc = crc(0xf597_a6cf, &label[20..]);
        label[16..20].copy_from_slice(&crc.to_le_bytes());
        check(
            |_, file| file.write_all_at(&label, 512).unwrap(),
            "LVM2_member",
        );
    }

    /// CRC-32 (reflected, polynomial 0xEDB88320) from this initial value, not inverted at the end.
    fn crc(initial: u32, bytes: &[u8]) -> u32 {
        bytes.iter().fold(initial, |crc, byte| {
            let step = |crc: u32, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
            (0..8).fold(crc ^ u32::from(*byte), step)
        })
    }

    #[test]
    fn an_xfs() {
        let mut superblock = [0_u8; 512];
        superblock[..4].copy_from_slice(b"XFSB");
        superblock[4..8].copy_from_slice(&4096_u32.to_be_bytes());
        superblock[8..16].copy_from_slice(&16_384_u64.to_be_bytes());
        superblock[80..84].copy_from_slice(&1_u32.to_be_bytes());
        superblock[84..88].copy_from_slice(&4096_u32.to_be_bytes());
        superblock[88..92].copy_from_slice(&4_u32.to_be_bytes());
        superblock[96..100].copy_from_slice(&1000_u32.to_be_bytes());
        superblock[100..102].copy_from_slice(&0xb4a5_u16.to_be_bytes());
        superblock[102..104].copy_from_slice(&512_u16.to_be_bytes());
        superblock[104..106].copy_from_slice(&512_u16.to_be_bytes());
        superblock[106..108].copy_from_slice(&8_u16.to_be_bytes());
        superblock[120..124].copy_from_slice(&[12, 9, 9, 3]);
        superblock[124..128].copy_from_slice(&[12, 0, 0, 25]);
        check(|_, file| file.write_all_at(&superblock, 0).unwrap(), "xfs");
    }

    #[test]
    fn a_gpt() {
        let last = SIZE / 512 - 1;
        let mut disk = vec![0_u8; 34 * 512];
        disk[446..462].copy_from_slice(&[0, 0, 2, 0, 0xee, 0, 0, 0, 1, 0, 0, 0, 255, 255, 1, 0]);
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        let entries = !crc(!0, &disk[1024..1024 + 128 * 128]);
        let header = &mut disk[512..604];
        header[..8].copy_from_slice(b"EFI PART");
        header[8..12].copy_from_slice(&0x1_0000_u32.to_le_bytes());
        header[12..16].copy_from_slice(&92_u32.to_le_bytes());
        header[24..32].copy_from_slice(&1_u64.to_le_bytes());
        header[32..40].copy_from_slice(&last.to_le_bytes());
        header[40..48].copy_from_slice(&34_u64.to_le_bytes());
        header[48..56].copy_from_slice(&(last - 33).to_le_bytes());
        header[56..72].copy_from_slice(&[7; 16]);
        header[72..80].copy_from_slice(&2_u64.to_le_bytes());
        header[80..84].copy_from_slice(&128_u32.to_le_bytes());
        header[84..88].copy_from_slice(&128_u32.to_le_bytes());
        header[88..92].copy_from_slice(&entries.to_le_bytes());
        let sum = !crc(!0, header);
        header[16..20].copy_from_slice(&sum.to_le_bytes());
        check(|_, file| file.write_all_at(&disk, 0).unwrap(), "gpt");
    }

    #[test]
    fn partition_tables() {
        let mut mbr = [0_u8; 512];
        mbr[446..462].copy_from_slice(&[0, 0, 2, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 16, 0, 0]);
        mbr[510..].copy_from_slice(&[0x55, 0xaa]);
        check(|_, file| file.write_all_at(&mbr, 0).unwrap(), "dos");
    }

    #[test]
    fn an_old_pool_is_known_without_blkid() {
        let mut superblock = [0_u8; 4096];
        superblock[32..40].copy_from_slice(&THIN_MAGIC.to_le_bytes());
        check(
            |_, file| file.write_all_at(&superblock, 0).unwrap(),
            "thin pool",
        );
    }

    #[test]
    fn blank_is_blank_and_stray_bytes_are_not_blank_metadata() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(SIZE).unwrap();
        assert_eq!(probe(file.path()).unwrap(), None);
        require_blank_metadata(file.path()).unwrap();
        file.as_file().write_all_at(b"x", 4000).unwrap();
        require_blank(file.path()).unwrap();
        assert!(require_blank_metadata(file.path()).is_err());
    }

    #[test]
    fn a_blank_partition_is_blank() {
        let export = "DEVNAME=/dev/vdb1\nPART_ENTRY_SCHEME=gpt\nPART_ENTRY_NUMBER=1\n";
        assert_eq!(described(export), None);
        let export = "PTUUID=1\nPTTYPE=gpt\n";
        assert!(described(export).unwrap().what.contains("gpt"));
    }

    #[test]
    fn what_cannot_be_read_is_not_blank() {
        assert_eq!(
            probe(Path::new("/nonexistent")).unwrap_err().kind(),
            Kind::NotFound
        );
    }
}
