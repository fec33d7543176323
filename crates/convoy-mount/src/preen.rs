//! What a file system says of itself before it is mounted, and the check that this asks for.
//!
//! As a boot would: one that is marked clean is mounted as it is, its journal replayed by the kernel. Offsets after
//! the public descriptions of both superblocks (ext4's begins at byte 1024 and is little-endian, xfs's at byte 0
//! and is big-endian).

use crate::check::{Checked, check_filesystem};
use crate::error::Error;
use crate::filesystem::Filesystem;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// What was done about a file system that asked for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preened {
    /// Why it asked.
    pub why: &'static str,
    /// What came of it.
    pub checked: Checked,
}

/// What a file system asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    /// A check, with the repairs that are safe.
    Check(&'static str),
    /// A person with a repair tool.
    Repair(&'static str),
}

/// How much of a device the superblocks are in.
const HEAD: usize = 4096;

/// Checks the file system of a device that is not mounted if it asks for that (`None`: it does not), repairing only
/// what is safe to repair: an ext4 that met errors, was not unmounted cleanly and has no journal, or has reached
/// its limit of mounts or of time. An xfs replays its log when it is mounted; one that was left half repaired, or
/// half made, must not be.
///
/// The clock decides no more than whether a check by time is due.
///
/// # Errors
/// [`Error::Damaged`] when it needs a person to look at it; nothing more was changed.
pub fn preen(device: &Path, fs: Filesystem) -> Result<Option<Preened>, Error> {
    let mut head = [0; HEAD];
    File::open(device)
        .and_then(|file| file.read_exact_at(&mut head, 0))
        .map_err(Error::io("read the superblock of", device))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    match wish(fs, &head, now.unwrap_or_default().as_secs()) {
        None => Ok(None),
        Some(Wish::Repair(why)) => Err(Error::Damaged {
            device: device.to_owned(),
            message: why.to_owned(),
        }),
        Some(Wish::Check(why)) => {
            let checked = check_filesystem(device, fs)?;
            Ok(Some(Preened { why, checked }))
        }
    }
}

/// `now` in seconds since 1970.
fn wish(fs: Filesystem, head: &[u8; HEAD], now: u64) -> Option<Wish> {
    match fs {
        Filesystem::Ext4 => ext4(head, now),
        Filesystem::Xfs => xfs(head),
    }
}

fn ext4(head: &[u8; HEAD], now: u64) -> Option<Wish> {
    const SUPER: usize = 1024;
    const VALID: u16 = 1;
    const ERRORS: u16 = 2;
    const HAS_JOURNAL: u32 = 4;
    let short = |at| field(head, SUPER + at).map(u16::from_le_bytes);
    let long = |at| field(head, SUPER + at).map(u32::from_le_bytes);
    // What is no ext4 is for the mount to refuse.
    if short(0x38)? != 0xef53 {
        return None;
    }
    let (state, journal) = (short(0x3a)?, long(0x5c)? & HAS_JOURNAL != 0);
    if state & ERRORS != 0 {
        return Some(Wish::Check("it met errors when it was last used"));
    }
    if state & VALID == 0 && !journal {
        return Some(Wish::Check("it has no journal and was not unmounted"));
    }
    let (mounts, most) = (short(0x34)?, short(0x36)?);
    // 0 and what would be negative: no limit.
    if (1..0x8000).contains(&most) && mounts >= most {
        return Some(Wish::Check(
            "it was mounted as often as it may be between checks",
        ));
    }
    let (checked, interval) = (u64::from(long(0x40)?), u64::from(long(0x44)?));
    if interval != 0 && now >= checked + interval {
        return Some(Wish::Check("its last check is as long ago as it may be"));
    }
    None
}

fn xfs(head: &[u8; HEAD]) -> Option<Wish> {
    const NEEDS_REPAIR: u32 = 0x10;
    if &field::<4>(head, 0)? != b"XFSB" {
        return None;
    }
    if field::<1>(head, 126)? != [0] {
        return Some(Wish::Repair("mkfs.xfs did not finish it"));
    }
    let version = u16::from_be_bytes(field(head, 100)?) & 0xf;
    let incompatible = u32::from_be_bytes(field(head, 216)?);
    (version == 5 && incompatible & NEEDS_REPAIR != 0).then_some(Wish::Repair(
        "it says that xfs_repair was not finished with it",
    ))
}

fn field<const N: usize>(head: &[u8; HEAD], at: usize) -> Option<[u8; N]> {
    head.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    //! What real superblocks say, and what is done about it.

    use super::*;
    use crate::make::{MakeOptions, make_filesystem};
    use convoy_fault::{Fault, Kind};
    use std::process::Command;

    fn made() -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(64 << 20).unwrap();
        make_filesystem(file.path(), Filesystem::Ext4, &MakeOptions::default()).unwrap();
        file
    }

    fn tool(tool: &str, arguments: &[&str], image: &Path) {
        let mut command = Command::new(format!("/usr/sbin/{tool}"));
        let output = command.args(arguments).arg(image).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    #[track_caller]
    fn asks(image: &Path, why: &str) {
        let preened = preen(image, Filesystem::Ext4).unwrap();
        let preened = preened.unwrap_or_else(|| panic!("{why}: it does not ask"));
        assert!(preened.why.contains(why), "{preened:?}");
        // It was given what it asked for, and does not ask again.
        assert_eq!(preen(image, Filesystem::Ext4).unwrap(), None);
    }

    #[test]
    fn a_clean_one_asks_for_nothing() {
        assert_eq!(preen(made().path(), Filesystem::Ext4).unwrap(), None);
    }

    #[test]
    fn an_ext4_is_checked_when_it_asks() {
        let file = made();
        let image = file.path();
        tool("debugfs", &["-w", "-R", "set_super_value state 2"], image);
        asks(image, "met errors");
        tool("debugfs", &["-w", "-R", "set_super_value state 3"], image);
        asks(image, "met errors");
        tool("tune2fs", &["-c", "10", "-C", "10"], image);
        asks(image, "as often");
        let long_ago = ["-i", "1d", "-T", "20200101"];
        tool("tune2fs", &long_ago, image);
        asks(image, "as long ago");
        tool("tune2fs", &["-c", "10", "-C", "9", "-i", "1d"], image);
        assert_eq!(preen(image, Filesystem::Ext4).unwrap(), None);
    }

    /// Errors were met, and what is wrong is nothing a check may put right by itself.
    #[test]
    fn what_needs_a_person_is_left_as_it_is() {
        let file = made();
        tool(
            "debugfs",
            &["-w", "-R", "set_super_value state 2"],
            file.path(),
        );
        // The root directory becomes a file.
        let set = "set_inode_field <2> mode 0100644";
        tool("debugfs", &["-w", "-R", set], file.path());
        let error = preen(file.path(), Filesystem::Ext4).unwrap_err();
        assert_eq!(error.kind(), Kind::Integrity, "{error}");
    }

    #[test]
    fn an_xfs_that_was_left_half_repaired_is_refused() {
        let mut head = [0; HEAD];
        assert_eq!(wish(Filesystem::Xfs, &head, 0), None);
        head[..4].copy_from_slice(b"XFSB");
        head[100..102].copy_from_slice(&0xb4a5_u16.to_be_bytes());
        assert_eq!(wish(Filesystem::Xfs, &head, 0), None);
        head[216..220].copy_from_slice(&0x13_u32.to_be_bytes());
        assert!(matches!(
            wish(Filesystem::Xfs, &head, 0),
            Some(Wish::Repair(_))
        ));
        head[216..220].copy_from_slice(&3_u32.to_be_bytes());
        head[126] = 1;
        assert!(matches!(
            wish(Filesystem::Xfs, &head, 0),
            Some(Wish::Repair(_))
        ));
    }

    #[test]
    fn hostile_numbers_do_not_wrap() {
        let mut head = [0xff; HEAD];
        head[1024 + 0x38..1024 + 0x3c].copy_from_slice(&[0x53, 0xef, 1, 0]);
        assert_eq!(wish(Filesystem::Ext4, &head, u64::from(u32::MAX)), None);
    }
}
