//! Giving what a mounted file system does not use back to the device below (`FITRIM`, `fstrim(8)`).

use crate::error::Error;
use crate::mount::open_mounted;
use convoy_units::{ByteRange, Bytes};
use nix::errno::Errno;
use std::path::Path;

/// `struct fstrim_range` of `linux/fs.h`: in, what to look at; out, how much was discarded.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct FstrimRange {
    start: u64,
    len: u64,
    minlen: u64,
}

#[expect(unsafe_code, reason = "the ioctl has no safe wrapper")]
mod ioctl {
    //! The ioctl, and nothing else.

    use super::FstrimRange;
    use nix::errno::Errno;
    use std::fs::File;
    use std::os::fd::AsRawFd;

    nix::ioctl_readwrite!(fitrim, b'X', 121, FstrimRange);

    /// One `FITRIM`.
    pub(super) fn trim(folder: &File, range: &mut FstrimRange) -> Result<(), Errno> {
        // SAFETY: the kernel reads and writes exactly the three words of the struct that is borrowed here for the
        // length of the call, and the descriptor is open as long as `folder` is.
        // JUSTIFICATION: neither nix nor rustix has FITRIM.
        unsafe { fitrim(folder.as_raw_fd(), range) }.map(drop)
    }
}

/// Discards what this device's file system, mounted at this path, does not use in this range of it, in bytes.
/// Says how much it let go of: blocks below may be larger, and only whole ones are given back. ext4 passes over
/// what it gave back since it was mounted. A range past its end is none of it.
///
/// The mount is in use for the time it takes, so the range is to be small where somebody may unmount.
///
/// # Errors
/// [`Error::Covered`] if the path leads to another file system; [`Error::Io`] where the file system or the device
/// cannot discard.
pub fn trim(target: &Path, device: (u32, u32), range: ByteRange) -> Result<Bytes, Error> {
    let folder = open_mounted(target, device)?;
    let mut asked = FstrimRange {
        start: range.begin,
        len: range.end.saturating_sub(range.begin),
        minlen: 0,
    };
    match ioctl::trim(&folder, &mut asked) {
        Ok(()) => Ok(Bytes(asked.len)),
        // What both say of a range that begins behind them: a file system may be smaller than its device.
        Err(Errno::EINVAL) if range.begin > 0 => Ok(Bytes(0)),
        Err(errno) => Err(Error::io("trim", target)(errno.into())),
    }
}
