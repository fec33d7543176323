//! Giving a copied file system an identity of its own, so that it may be used beside what it was copied of.
//!
//! Two file systems of one UUID confuse whoever looks devices up by it, and an xfs is not even mounted beside its
//! twin. Both kinds must be clean first: their journals belong to the old identity.

use crate::check::{check_filesystem, check_thoroughly, replay_log};
use crate::error::Error;
use crate::filesystem::Filesystem;
use crate::tool;
use std::fs::File;
use std::path::Path;
use std::process::Output;

/// Replays the journal of the file system of a device that is not mounted, and gives it this UUID, hyphenated.
///
/// ext4: `e2fsck -p`, then `tune2fs -U`; all of it is checked where tune2fs asks for that, which it does for one
/// made without `metadata_csum_seed`. xfs: mounted at the directory `at` for a moment, then `xfs_admin -U`.
/// The result is durable. Killed in the middle, it may have either UUID, or an ext4 that wants checking: repeat it.
///
/// # Errors
/// [`Error::Damaged`] when it needs a person to look at it; whatever keeps a tool from doing its work.
pub fn set_uuid(device: &Path, fs: Filesystem, uuid: &str, at: &Path) -> Result<(), Error> {
    match fs {
        Filesystem::Ext4 => set_ext4(device, uuid, at),
        Filesystem::Xfs => {
            replay_log(device, at)?;
            let words = ["-U".as_ref(), uuid.as_ref(), device.as_os_str()];
            let output = tool::run("xfs_admin", words)?;
            succeeded("xfs_admin", device, &output)
        }
    }?;
    File::open(device)
        .and_then(|device| device.sync_all())
        .map_err(Error::io("flush", device))
}

fn set_ext4(device: &Path, uuid: &str, at: &Path) -> Result<(), Error> {
    check_filesystem(device, Filesystem::Ext4)?;
    let words = ["-U".as_ref(), uuid.as_ref(), device.as_os_str()];
    let output = tool::run("tune2fs", words)?;
    if output.status.success() {
        return Ok(());
    }
    tracing::info!(device = %device.display(), said = tool::said(&output), "all of it is checked first");
    check_thoroughly(device, Filesystem::Ext4, at)?;
    succeeded("tune2fs", device, &tool::run("tune2fs", words)?)
}

pub(crate) fn succeeded(tool: &'static str, device: &Path, output: &Output) -> Result<(), Error> {
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Tool {
        tool,
        device: device.to_owned(),
        message: format!("{}: {}", output.status, tool::said(output)),
    })
}

#[cfg(test)]
mod tests {
    //! File systems in files.

    use super::*;
    use crate::make::{MakeOptions, make_filesystem};
    use std::os::unix::fs::FileExt;
    use std::process::Command;

    const OLD: &str = "01999999-0000-7000-8000-000000000001";
    const NEW: &str = "01999999-0000-7000-8000-000000000002";

    fn uuid_of(file: &File) -> Vec<u8> {
        let mut uuid = [0; 16];
        file.read_exact_at(&mut uuid, 1024 + 0x68).unwrap();
        uuid.to_vec()
    }

    #[track_caller]
    fn check_sound(path: &Path) {
        let mut check = Command::new("/usr/sbin/e2fsck");
        let output = check.arg("-fn").arg(path).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    #[test]
    fn an_ext4_of_ours_gets_another_uuid_and_stays_sound() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(64 << 20).unwrap();
        let options = MakeOptions {
            uuid: Some(OLD.into()),
            ..MakeOptions::default()
        };
        make_filesystem(file.path(), Filesystem::Ext4, &options).unwrap();
        let nowhere = Path::new("/nonexistent");
        set_uuid(file.path(), Filesystem::Ext4, NEW, nowhere).unwrap();
        assert!(uuid_of(file.as_file()).ends_with(&[2]));
        check_sound(file.path());
        // Again, as after a kill.
        set_uuid(file.path(), Filesystem::Ext4, NEW, nowhere).unwrap();
        check_sound(file.path());
    }

    /// A volume that was restored may hold an ext4 that somebody else made.
    #[test]
    fn an_ext4_of_others_is_checked_whole_first() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(64 << 20).unwrap();
        let made = Command::new("/usr/sbin/mke2fs")
            .args([
                "-q",
                "-F",
                "-t",
                "ext4",
                "-O",
                "^metadata_csum_seed,metadata_csum",
            ])
            .arg(file.path())
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        // Mounted since it was checked, by what it says of itself.
        let tune = Command::new("/usr/sbin/debugfs")
            .args(["-w", "-R", "set_super_value mtime 20380101000000"])
            .arg(file.path())
            .output()
            .unwrap();
        assert!(tune.status.success(), "{tune:?}");
        set_uuid(
            file.path(),
            Filesystem::Ext4,
            NEW,
            Path::new("/nonexistent"),
        )
        .unwrap();
        assert!(uuid_of(file.as_file()).ends_with(&[2]));
        check_sound(file.path());
    }

    #[test]
    fn what_is_no_file_system_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1 << 20).unwrap();
        let nowhere = Path::new("/nonexistent");
        assert!(set_uuid(file.path(), Filesystem::Ext4, NEW, nowhere).is_err());
    }
}
