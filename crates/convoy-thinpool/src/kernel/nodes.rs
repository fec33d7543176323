//! Device nodes by number: `/dev/dm-N`, and `/dev/mapper/NAME` for people where udev makes none.
//!
//! We open `/dev/dm-N` alone: a number cannot be taken for another device's, a name can. devtmpfs makes
//! that node; a private `/dev` of a container may lack it, or have kept one of an older device. The
//! link by name is what people and scripts look for; failing to make it fails nothing.

use crate::blockdev;
use crate::control::DeviceNumber;
use crate::names::DmName;
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// The socket of a running udevd; crate `devicemapper` decides by it whether to send cookies.
const UDEV_SOCKET: &str = "/run/udev/control";

pub(super) fn udev_is_running() -> bool {
    Path::new(UDEV_SOCKET).exists()
}

/// The node of this number, made if need be, and the link that carries its name.
pub(super) fn ensure(name: &DmName, number: DeviceNumber) -> io::Result<PathBuf> {
    let node = PathBuf::from(format!("/dev/dm-{}", number.minor));
    match blockdev::number_of(&node) {
        Ok(found) if found == number => {}
        Ok(_) => {
            std::fs::remove_file(&node)?;
            make(&node, number)?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(&node, number)?,
        Err(error) => return Err(error),
    }
    if !udev_is_running()
        && let Err(error) = link(name, number)
    {
        tracing::debug!(device = %name, %error, "no link in /dev/mapper");
    }
    Ok(node)
}

/// Removes the link of a device that is gone, unless somebody made it another's meanwhile.
pub(super) fn forget(name: &DmName, number: DeviceNumber) {
    let link = by_name(name);
    let ours = std::fs::read_link(&link).is_ok_and(|target| target == relative(number));
    if ours
        && !udev_is_running()
        && let Err(error) = std::fs::remove_file(&link)
    {
        tracing::debug!(device = %name, %error, "a link of a removed device stays");
    }
}

fn by_name(name: &DmName) -> PathBuf {
    Path::new("/dev/mapper").join(name.as_str())
}

fn relative(number: DeviceNumber) -> PathBuf {
    PathBuf::from(format!("../dm-{}", number.minor))
}

fn make(node: &Path, number: DeviceNumber) -> io::Result<()> {
    let device = makedev(u64::from(number.major), u64::from(number.minor));
    let mode = Mode::S_IRUSR | Mode::S_IWUSR;
    match mknod(node, SFlag::S_IFBLK, mode, device) {
        // devtmpfs was quicker: see whether its node is the right one.
        Err(nix::errno::Errno::EEXIST) if blockdev::number_of(node)? == number => Ok(()),
        result => result.map_err(io::Error::from),
    }
}

fn link(name: &DmName, number: DeviceNumber) -> io::Result<()> {
    let link = by_name(name);
    if blockdev::number_of(&link).is_ok_and(|found| found == number) {
        return Ok(());
    }
    if std::fs::symlink_metadata(&link).is_ok() {
        // Of a device that is no more: this name is ours now, the kernel made sure of that.
        std::fs::remove_file(&link)?;
    }
    symlink(relative(number), link)
}
