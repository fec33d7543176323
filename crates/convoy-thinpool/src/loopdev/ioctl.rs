//! The loop driver's ioctls (`linux/loop.h`), which no safe crate offers.
#![expect(unsafe_code, reason = "ioctls on loop devices have no safe wrapper")]

use crate::blockdev;
use nix::errno::Errno;
use nix::sys::stat::{Mode, SFlag, major, makedev, minor, mknod};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where free devices are asked for.
pub(super) const CONTROL: &str = "/dev/loop-control";
/// The driver's number (`Documentation/admin-guide/devices.txt`).
const MAJOR: u64 = 7;
const FLAG_DIRECT_IO: u32 = 16;

/// `struct loop_info64`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Info {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config`.
#[repr(C)]
struct Config {
    fd: u32,
    block_size: u32,
    info: Info,
    reserved: [u64; 8],
}

impl Info {
    const EMPTY: Self = Self {
        device: 0,
        inode: 0,
        rdevice: 0,
        offset: 0,
        size_limit: 0,
        number: 0,
        encrypt_type: 0,
        encrypt_key_size: 0,
        flags: 0,
        file_name: [0; 64],
        crypt_name: [0; 64],
        encrypt_key: [0; 32],
        init: [0; 2],
    };
}

mod raw {
    //! As `linux/loop.h` numbers them.
    nix::ioctl_write_int_bad!(loop_set_fd, 0x4C00);
    nix::ioctl_none_bad!(loop_clr_fd, 0x4C01);
    nix::ioctl_read_bad!(loop_get_status64, 0x4C05, super::Info);
    nix::ioctl_none_bad!(loop_set_capacity, 0x4C07);
    nix::ioctl_write_int_bad!(loop_set_direct_io, 0x4C08);
    nix::ioctl_write_ptr_bad!(loop_configure, 0x4C0A, super::Config);
    nix::ioctl_none_bad!(loop_ctl_get_free, 0x4C82);
}

/// A file by its file system and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let metadata = std::fs::metadata(path)?;
        let device = metadata.dev();
        Ok(Self {
            device: huge_encoded(major(device), minor(device)),
            inode: metadata.ino(),
        })
    }
}

/// A device number as the kernel tells it in its own structures (`huge_encode_dev`).
const fn huge_encoded(major: u64, minor: u64) -> u64 {
    (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}

/// The number of a device nobody uses; somebody else may take it before we do.
pub(super) fn get_free() -> io::Result<u32> {
    let control = OpenOptions::new().read(true).write(true).open(CONTROL)?;
    // SAFETY: the descriptor is open for the call, which takes no argument.
    // JUSTIFICATION: the loop driver is spoken to by ioctl only.
    let number = unsafe { raw::loop_ctl_get_free(control.as_raw_fd()) }?;
    u32::try_from(number).map_err(io::Error::other)
}

/// The node of a loop device, made if nobody made it.
pub(super) fn ensure_node(number: u32) -> io::Result<PathBuf> {
    let node = PathBuf::from(format!("/dev/loop{number}"));
    match blockdev::number_of(&node) {
        Ok(_) => Ok(node),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let device = makedev(MAJOR, u64::from(number));
            match mknod(&node, SFlag::S_IFBLK, Mode::S_IRUSR | Mode::S_IWUSR, device) {
                // devtmpfs was quicker.
                Ok(()) | Err(Errno::EEXIST) => Ok(node),
                Err(errno) => Err(errno.into()),
            }
        }
        Err(error) => Err(error),
    }
}

/// Gives a device its file in one step.
pub(super) fn configure(device: &File, file: &File, direct_io: bool) -> Result<(), Errno> {
    let fd = u32::try_from(file.as_raw_fd()).map_err(|_| Errno::EBADF)?;
    let flags = if direct_io { FLAG_DIRECT_IO } else { 0 };
    let config = Config {
        fd,
        block_size: 0,
        info: Info {
            flags,
            ..Info::EMPTY
        },
        reserved: [0; 8],
    };
    // SAFETY: both descriptors are open for the call and the kernel reads one `loop_config`.
    // JUSTIFICATION: the loop driver is spoken to by ioctl only.
    unsafe { raw::loop_configure(device.as_raw_fd(), &raw const config) }.map(drop)
}

/// Gives a device its file, as kernels before 5.8 want it.
pub(super) fn set_fd(device: &File, file: &File) -> Result<(), Errno> {
    // SAFETY: both descriptors are open for the call, which takes an int.
    // JUSTIFICATION: the loop driver is spoken to by ioctl only.
    unsafe { raw::loop_set_fd(device.as_raw_fd(), file.as_raw_fd()) }.map(drop)
}

pub(super) fn set_direct_io(device: &File) -> Result<(), Errno> {
    // SAFETY: the descriptor is open for the call, which takes an int.
    // JUSTIFICATION: the loop driver is spoken to by ioctl only.
    unsafe { raw::loop_set_direct_io(device.as_raw_fd(), 1) }.map(drop)
}

/// Makes a device as large as its file is now.
pub(super) fn set_capacity(device: &File) -> Result<(), Errno> {
    // SAFETY: the descriptor is open for the call, which takes no argument.
    // JUSTIFICATION: the loop driver is spoken to by ioctl only.
    unsafe { raw::loop_set_capacity(device.as_raw_fd()) }.map(drop)
}

/// Which file a device has and whether direct IO is on; `ENXIO` if it has none.
pub(super) fn status(device: &File) -> Result<(Identity, bool), Errno> {
    let mut info = Info::EMPTY;
    // SAFETY: the descriptor is open for the call and the kernel writes one `loop_info64`.
    // JUSTIFICATION: sysfs tells a path, which may mean another file by now.
    unsafe { raw::loop_get_status64(device.as_raw_fd(), &raw mut info) }?;
    let identity = Identity {
        device: info.device,
        inode: info.inode,
    };
    Ok((identity, info.flags & FLAG_DIRECT_IO != 0))
}

pub(super) fn clear(device: &File) -> Result<(), Errno> {
    // SAFETY: the descriptor is open for the call, which takes no argument.
    // JUSTIFICATION: the loop driver is spoken to by ioctl only.
    unsafe { raw::loop_clr_fd(device.as_raw_fd()) }.map(drop)
}

const _: () = assert!(size_of::<Info>() == 232, "as sizeof(struct loop_info64)");
const _: () = assert!(size_of::<Config>() == 304, "as sizeof(struct loop_config)");
