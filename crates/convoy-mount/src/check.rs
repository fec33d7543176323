//! Checking a file system before it is mounted, repairing only what is safe to repair unasked.

use crate::error::Error;
use crate::filesystem::Filesystem;
use crate::tool;
use std::path::Path;

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
    let said = tool::said(&output);
    match meaning(output.status.code()) {
        Meaning::Checked(checked) => Ok(checked),
        Meaning::Damaged(words) => Err(Error::Damaged {
            device: device.to_owned(),
            message: format!("{words}: {said}"),
        }),
        Meaning::Failed(words) => Err(Error::Tool {
            tool: "e2fsck",
            device: device.to_owned(),
            message: format!("{words}: {said}"),
        }),
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
