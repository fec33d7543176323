//! Mounting and unmounting, by system call and with the mount table as judge.

use crate::error::Error;
use crate::filesystem::Filesystem;
use crate::holders::holders;
use crate::mountinfo::{MountEntry, mounted_at, targets_of};
use crate::options::MountOptions;
use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long whoever holds a mount may take to let go of it before the unmount is refused.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(20);

/// Whether there was something to unmount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmounted {
    /// There was.
    Unmounted,
    /// Nothing was mounted there.
    NotMounted,
}

/// Mounts a device on a folder, which must exist. The device being mounted there already is success,
/// with the options it has; anything else being mounted there is [`Error::Occupied`].
///
/// An ext4's `lost+found` is removed while it is empty, so that an empty volume is an empty folder
/// (engines copy an image's files into one only then).
pub fn mount(
    device: &Path,
    target: &Path,
    fs: Filesystem,
    options: &MountOptions,
) -> Result<(), Error> {
    let (flags, data) = options.resolve(fs)?;
    let target = target
        .canonicalize()
        .map_err(Error::io("find the mount point", target))?;
    let number = device_number(device)?;
    if let Some(entry) = mounted_at(&target)? {
        return already_mounted(&entry, number);
    }
    nix::mount::mount(
        Some(device),
        &target,
        Some(fs.as_str()),
        flags,
        Some(data.as_str()),
    )
    .map_err(|errno| refused(device, &target, fs, errno))?;
    if fs == Filesystem::Ext4 && !options.read_only {
        remove_lost_and_found(&target);
    }
    Ok(())
}

/// Why the kernel did not mount it. Both file systems say `EUCLEAN` or `EBADMSG` of what they find damaged; xfs says
/// `EIO` of a damaged allocation group, as it does of a device that fails.
fn refused(device: &Path, target: &Path, fs: Filesystem, errno: Errno) -> Error {
    let also = match (fs, errno) {
        (_, Errno::EUCLEAN | Errno::EBADMSG) => "",
        (Filesystem::Xfs, Errno::EIO) => {
            ", which is what xfs says of damaged headers, or the device fails"
        }
        _ => return Error::io("mount on", target)(errno.into()),
    };
    Error::Damaged {
        device: device.to_owned(),
        message: format!("the kernel does not mount it: {}{also}", errno.desc()),
    }
}

/// Unmounts this device's file system from exactly this path. [`Error::Busy`] names who holds it;
/// [`Error::Covered`] says that another file system lies over it, or over a folder on the way, which is
/// somebody else's to unmount. When it returns, the file system's data is on the device, unless it is
/// mounted elsewhere too. What holds it may let go within a second; then it is [`Error::Busy`].
pub fn unmount(target: &Path, device: (u32, u32)) -> Result<Unmounted, Error> {
    let covered = || Error::Covered {
        target: target.to_owned(),
    };
    let entry = match mounted_at(target)? {
        Some(entry) if entry.device == device => entry,
        found if is_target_of(device, target)? => {
            tracing::debug!(?found, "the path leads to another file system");
            return Err(covered());
        }
        _ => return Ok(Unmounted::NotMounted),
    };
    match detach(&entry.target) {
        Ok(()) => Ok(Unmounted::Unmounted),
        // Somebody else unmounted it meanwhile.
        Err(Errno::EINVAL) if !is_target_of(device, target)? => Ok(Unmounted::NotMounted),
        Err(Errno::EBUSY) => Err(Error::Busy {
            holders: holders(device),
            target: entry.target,
        }),
        Err(errno) => Err(Error::io("unmount", entry.target)(errno.into())),
    }
}

/// `umount2`, again for a while when something holds the mount. That may be over in a moment: a process that
/// is started anywhere in this one has, until it is another program, every file that is open here, such as the
/// folder that [`sync_filesystem`] flushes.
fn detach(target: &Path) -> Result<(), Errno> {
    let begin = Instant::now();
    loop {
        match umount2(target, MntFlags::UMOUNT_NOFOLLOW) {
            Err(Errno::EBUSY) if begin.elapsed() < PATIENCE => std::thread::sleep(PAUSE),
            done => return done,
        }
    }
}

/// Whether the mount table has this device at this path, reachable or not.
fn is_target_of(device: (u32, u32), target: &Path) -> Result<bool, Error> {
    Ok(targets_of(device)?.iter().any(|at| at == target))
}

/// Writes everything that this device's file system, mounted at this path, has not written yet
/// (`syncfs`). To be done before a snapshot: it holds nobody up, while the suspend after it does. On
/// kernels from 5.8 a write-back error since the last call is reported once.
///
/// [`Error::Covered`] if the path leads to another file system now.
pub fn sync_filesystem(target: &Path, device: (u32, u32)) -> Result<(), Error> {
    let folder = open_mounted(target, device)?;
    nix::unistd::syncfs(&folder).map_err(|errno| Error::io("flush", target)(errno.into()))
}

/// Opens the root of this device's file system, mounted at this path.
pub(crate) fn open_mounted(target: &Path, device: (u32, u32)) -> Result<File, Error> {
    let folder = File::open(target).map_err(Error::io("open", target))?;
    let there = folder
        .metadata()
        .map_err(Error::io("look at", target))?
        .dev();
    let (major, minor) = (nix::sys::stat::major(there), nix::sys::stat::minor(there));
    if (major, minor) != (u64::from(device.0), u64::from(device.1)) {
        return Err(Error::Covered {
            target: target.to_owned(),
        });
    }
    Ok(folder)
}

fn already_mounted(entry: &MountEntry, device: (u32, u32)) -> Result<(), Error> {
    if entry.device == device && entry.root == Path::new("/") {
        return Ok(());
    }
    Err(Error::Occupied {
        target: entry.target.clone(),
        source_device: entry.source.display().to_string(),
    })
}

/// The number of a block device, as the mount table has it.
fn device_number(device: &Path) -> Result<(u32, u32), Error> {
    let what = "find the device";
    let metadata = device.metadata().map_err(Error::io(what, device))?;
    if !metadata.file_type().is_block_device() {
        let reason = io::Error::new(io::ErrorKind::InvalidInput, "it is not a block device");
        return Err(Error::io(what, device)(reason));
    }
    let part = |part: u64| {
        u32::try_from(part).map_err(|error| Error::io(what, device)(io::Error::other(error)))
    };
    let number = metadata.rdev();
    Ok((
        part(nix::sys::stat::major(number))?,
        part(nix::sys::stat::minor(number))?,
    ))
}

/// Removes the folder mkfs made while it is empty and root's. A tenant's link of that name is none of
/// ours: `rmdir` does not follow. e2fsck makes it again where it is needed.
fn remove_lost_and_found(target: &Path) {
    let path: PathBuf = target.join("lost+found");
    let ours = path.symlink_metadata().is_ok_and(|metadata| {
        metadata.is_dir() && metadata.uid() == 0 && metadata.mode() & 0o777 == 0o700
    });
    if !ours {
        return;
    }
    match std::fs::remove_dir(&path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
            tracing::warn!(path = %path.display(), "files were recovered by a file system check");
        }
        Err(error) => tracing::debug!(path = %path.display(), %error, "lost+found stays"),
    }
}

#[cfg(test)]
mod tests {
    //! What needs no privileges.

    use super::*;
    use convoy_fault::{Fault, Kind};

    #[test]
    fn what_is_not_there_is_said_so() {
        let dir = tempfile::tempdir().unwrap();
        let options = MountOptions::default();
        let missing = dir.path().join("missing");
        let device = Path::new("/dev/null");
        let error = mount(device, &missing, Filesystem::Ext4, &options).unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
        let error = mount(device, dir.path(), Filesystem::Ext4, &options).unwrap_err();
        assert!(
            convoy_fault::chain(&error).contains("not a block device"),
            "{error}"
        );
        let nobody = (0, 0);
        assert_eq!(unmount(dir.path(), nobody).unwrap(), Unmounted::NotMounted);
        assert_eq!(unmount(&missing, nobody).unwrap(), Unmounted::NotMounted);
    }

    #[test]
    fn a_bad_option_is_refused_before_anything_is_looked_at() {
        let options = MountOptions {
            extra: vec!["suid".into()],
            ..MountOptions::default()
        };
        let nowhere = Path::new("/nonexistent");
        let error = mount(nowhere, nowhere, Filesystem::Ext4, &options).unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid);
    }

    /// Seen of xfs in 6.1: `EUCLEAN` for a damaged superblock or root directory, `EIO` for a damaged group.
    #[test]
    fn what_the_kernel_finds_damaged_is_said_so() {
        let place = Path::new("/nonexistent");
        let kind = |fs, errno| refused(place, place, fs, errno).kind();
        assert_eq!(kind(Filesystem::Ext4, Errno::EUCLEAN), Kind::Integrity);
        assert_eq!(kind(Filesystem::Xfs, Errno::EBADMSG), Kind::Integrity);
        assert_eq!(kind(Filesystem::Xfs, Errno::EIO), Kind::Integrity);
        assert_eq!(kind(Filesystem::Ext4, Errno::EIO), Kind::Failed);
        assert_eq!(kind(Filesystem::Xfs, Errno::EPERM), Kind::NotPermitted);
    }

    #[test]
    fn flushing_is_for_the_file_system_that_was_meant() {
        let dir = tempfile::tempdir().unwrap();
        let there = dir.path().metadata().unwrap().dev();
        let part = |part: u64| u32::try_from(part).unwrap();
        let device = (
            part(nix::sys::stat::major(there)),
            part(nix::sys::stat::minor(there)),
        );
        sync_filesystem(dir.path(), device).unwrap();
        let error = sync_filesystem(dir.path(), (device.0, device.1 + 1)).unwrap_err();
        assert_eq!(error.kind(), Kind::Busy);
    }
}
