//! The block-device ioctls that no safe crate offers (`linux/fs.h`).
#![expect(unsafe_code, reason = "ioctls on block devices have no safe wrapper")]

use convoy_units::Bytes;
use nix::errno::Errno;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

mod raw {
    //! As `linux/fs.h` numbers them.
    // BLKGETSIZE64 is declared with `size_t` as its type, and writes a u64.
    nix::ioctl_read!(blkgetsize64, 0x12, 114, usize);
    nix::ioctl_read_bad!(blksszget, nix::request_code_none!(0x12, 104), libc::c_int);
    nix::ioctl_write_ptr_bad!(blkdiscard, nix::request_code_none!(0x12, 119), [u64; 2]);
}

pub(super) fn size(file: &File) -> io::Result<Bytes> {
    // A u64 is written whatever `usize` is here: a buffer of that size, seen as the declared type.
    let mut size = 0_u64;
    let pointer = std::ptr::from_mut(&mut size).cast::<usize>();
    // SAFETY: the descriptor is open for the call and `pointer` is valid for the u64 the kernel writes.
    // JUSTIFICATION: seeking to the end tells 0 for some devices; sysfs is not there in every container.
    unsafe { raw::blkgetsize64(file.as_raw_fd(), pointer) }?;
    Ok(Bytes(size))
}

pub(super) fn logical_block(file: &File) -> io::Result<Bytes> {
    let mut size: libc::c_int = 0;
    // SAFETY: the descriptor is open for the call and `size` is the int the kernel writes.
    // JUSTIFICATION: statx tells it on kernels from 6.1 only.
    unsafe { raw::blksszget(file.as_raw_fd(), &raw mut size) }?;
    u64::try_from(size).map(Bytes).map_err(io::Error::other)
}

pub(super) fn discard(file: &File, begin: u64, len: u64) -> Result<(), Errno> {
    let range = [begin, len];
    // SAFETY: the descriptor is open for the call and the kernel reads two u64 from `range`.
    // JUSTIFICATION: fallocate on block devices zeroes or fails where this would unmap.
    unsafe { raw::blkdiscard(file.as_raw_fd(), &raw const range) }.map(drop)
}
