//! Growing a mounted file system to all of its device.

use crate::error::Error;
use crate::filesystem::Filesystem;
use crate::own::succeeded;
use crate::tool;
use std::path::Path;

/// Grows the file system of a device, which is mounted at `target` for writing, to all of the device. One that is
/// as large already is left as it is.
///
/// ext4: `resize2fs`; xfs: `xfs_growfs -d`. Both leave the work to the kernel, which keeps the file system whole
/// at every moment: killed or failing in the middle it has some size between, and the next call goes on.
///
/// # Errors
/// Whatever keeps the tool from doing its work; the file system may have grown by a part.
pub fn grow_filesystem(device: &Path, fs: Filesystem, target: &Path) -> Result<(), Error> {
    match fs {
        Filesystem::Ext4 => {
            let output = tool::run("resize2fs", [device.as_os_str()])?;
            succeeded("resize2fs", device, &output)
        }
        Filesystem::Xfs => {
            let output = tool::run("xfs_growfs", ["-d".as_ref(), target.as_os_str()])?;
            succeeded("xfs_growfs", device, &output)
        }
    }
}
