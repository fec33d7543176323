//! Checking a file system before it is mounted, repairing only what is safe to repair unasked.

use crate::error::Error;
use crate::filesystem::Filesystem;
use crate::mount::{mount, unmount};
use crate::options::MountOptions;
use crate::tool;
use nix::sys::stat;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Output;

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checked {
    /// Nothing wrong.
    Clean,
    /// Something was wrong that is safe to repair without asking, and it was.
    Repaired,
    /// This file system repairs itself when it is mounted: nothing was done.
    OnMount,
}

/// Checks the file system of a device that is not mounted, as a boot would (`e2fsck -p`): journal
/// replayed, safe repairs made. Anything else is [`Error::Damaged`], and nothing more was changed.
/// xfs replays its log on mount and is not touched.
pub fn check_filesystem(device: &Path, fs: Filesystem) -> Result<Checked, Error> {
    if fs == Filesystem::Xfs {
        return Ok(Checked::OnMount);
    }
    let output = tool::run("e2fsck", ["-p".as_ref(), device.as_os_str()])?;
    judge("e2fsck", device, &output, meaning)
}

/// Checks all of a file system whose device may have lost what it was told is written: being marked clean is
/// no reason to skip anything. ext4: `e2fsck -f -p`, which makes only safe repairs. xfs: mounted at `at` for a
/// moment, which replays its log, then `xfs_repair -n`, which changes nothing. The device must not be mounted;
/// damage that needs a person is [`Error::Damaged`].
pub fn check_thoroughly(device: &Path, fs: Filesystem, at: &Path) -> Result<Checked, Error> {
    match fs {
        Filesystem::Ext4 => {
            let words = ["-f".as_ref(), "-p".as_ref(), device.as_os_str()];
            judge("e2fsck", device, &tool::run("e2fsck", words)?, meaning)
        }
        Filesystem::Xfs => {
            replay_log(device, at)?;
            let words = ["-n".as_ref(), device.as_os_str()];
            let output = tool::run("xfs_repair", words)?;
            judge("xfs_repair", device, &output, meaning_for_xfs)
        }
    }
}

/// A log that was not replayed looks like damage to `xfs_repair`.
pub(crate) fn replay_log(device: &Path, at: &Path) -> Result<(), Error> {
    let options = MountOptions {
        nouuid: true,
        ..MountOptions::default()
    };
    mount(device, at, Filesystem::Xfs, &options)?;
    let number = std::fs::metadata(device)
        .map_err(Error::io("look at", device))?
        .rdev();
    let number = (stat::major(number), stat::minor(number));
    let (Ok(major), Ok(minor)) = (u32::try_from(number.0), u32::try_from(number.1)) else {
        unreachable!("Linux's device numbers have 12 and 20 bits")
    };
    unmount(at, (major, minor)).map(drop)
}

fn judge(
    tool: &'static str,
    device: &Path,
    output: &Output,
    meaning: fn(Option<i32>) -> Meaning,
) -> Result<Checked, Error> {
    let said = tool::said(output);
    let device = device.to_owned();
    match meaning(output.status.code()) {
        Meaning::Checked(checked) => Ok(checked),
        Meaning::Damaged(words) => Err(Error::Damaged {
            device,
            message: format!("{words}: {said}"),
        }),
        Meaning::Failed(words) => Err(Error::Tool {
            tool,
            device,
            message: format!("{words}: {said}"),
        }),
    }
}

/// `xfs_repair(8)` with `-n`: 1 is damage.
fn meaning_for_xfs(status: Option<i32>) -> Meaning {
    match status {
        Some(0) => Meaning::Checked(Checked::Clean),
        Some(1) => Meaning::Damaged("errors were found"),
        Some(_) => Meaning::Failed("it could not do its work"),
        None => Meaning::Failed("ended by a signal"),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    Checked(Checked),
    Damaged(&'static str),
    Failed(&'static str),
}

/// `e2fsck(8)`'s exit status is a sum of conditions: the worst one counts.
fn meaning(status: Option<i32>) -> Meaning {
    let Some(status) = status else {
        return Meaning::Failed("ended by a signal");
    };
    let has = |bit: i32| status & bit != 0;
    match status {
        0 => Meaning::Checked(Checked::Clean),
        _ if has(128) => Meaning::Failed("a shared library failed"),
        _ if has(32) => Meaning::Failed("cancelled"),
        _ if has(16) => Meaning::Failed("called wrongly"),
        _ if has(8) => Meaning::Failed("it could not do its work"),
        _ if has(4) => Meaning::Damaged("errors are left that need a person to look"),
        1..=3 => Meaning::Checked(Checked::Repaired),
        _ => Meaning::Failed("an exit status of no known meaning"),
    }
}

#[cfg(test)]
mod tests {
    //! Exit statuses, and real damage in a file.

    use super::*;
    use crate::make::{MakeOptions, make_filesystem};
    use convoy_fault::{Fault, Kind};
    use std::os::unix::fs::FileExt;

    #[test]
    fn the_worst_condition_counts() {
        assert_eq!(meaning(Some(0)), Meaning::Checked(Checked::Clean));
        for repaired in 1..=3 {
            assert_eq!(meaning(Some(repaired)), Meaning::Checked(Checked::Repaired));
        }
        for damaged in [4, 5, 6, 7] {
            assert!(
                matches!(meaning(Some(damaged)), Meaning::Damaged(_)),
                "{damaged}"
            );
        }
        for failed in [8, 9, 12, 16, 32, 64, 128, 255] {
            assert!(
                matches!(meaning(Some(failed)), Meaning::Failed(_)),
                "{failed}"
            );
        }
        assert!(matches!(meaning(None), Meaning::Failed(_)));
    }

    #[test]
    fn xfs_repair_tells_damage_by_one() {
        assert_eq!(meaning_for_xfs(Some(0)), Meaning::Checked(Checked::Clean));
        assert!(matches!(meaning_for_xfs(Some(1)), Meaning::Damaged(_)));
        for failed in [Some(2), Some(127), None] {
            assert!(matches!(meaning_for_xfs(failed), Meaning::Failed(_)));
        }
    }

    /// Marked clean and damaged all the same: what a boot's check passes over, the thorough one must find.
    #[test]
    fn damage_behind_a_clean_mark_is_found() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(64 << 20).unwrap();
        make_filesystem(file.path(), Filesystem::Ext4, &MakeOptions::default()).unwrap();
        let thorough =
            || check_thoroughly(file.path(), Filesystem::Ext4, Path::new("/nonexistent"));
        assert_eq!(thorough().unwrap(), Checked::Clean);
        // The root directory's block, wherever it is: the one that holds an entry `lost+found`.
        let image = std::fs::read(file.path()).unwrap();
        let mut blocks = image.chunks(4096).enumerate().skip(1);
        let (at, _) = blocks
            .find(|(_, block)| block.windows(10).any(|name| name == b"lost+found"))
            .unwrap();
        let at = u64::try_from(at).unwrap() * 4096;
        file.as_file().write_all_at(&[0xff; 4096], at).unwrap();
        assert_eq!(
            check_filesystem(file.path(), Filesystem::Ext4).unwrap(),
            Checked::Clean
        );
        let found = thorough();
        assert!(
            matches!(found, Ok(Checked::Repaired) | Err(Error::Damaged { .. })),
            "{found:?}"
        );
    }

    #[test]
    fn clean_and_damaged_file_systems() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(64 << 20).unwrap();
        make_filesystem(file.path(), Filesystem::Ext4, &MakeOptions::default()).unwrap();
        let check = || check_filesystem(file.path(), Filesystem::Ext4);
        assert_eq!(check().unwrap(), Checked::Clean);
        // Superblock and group descriptors overwritten: no automatic way back.
        file.as_file()
            .write_all_at(&vec![0xff; 64 << 10], 0)
            .unwrap();
        let error = check().unwrap_err();
        assert!(
            matches!(error.kind(), Kind::Integrity | Kind::Failed),
            "{error:?}"
        );
        assert_eq!(
            check_filesystem(file.path(), Filesystem::Xfs).unwrap(),
            Checked::OnMount
        );
    }
}
