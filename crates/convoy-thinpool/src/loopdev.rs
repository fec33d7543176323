//! Loop devices over files of ours: the pool one gets without giving devices.
//!
//! Not for production (two file systems under one another), so as careful as can be: direct IO where the
//! file system has it, files never shrunk nor overwritten, and a file found again by device and
//! inode, since the path a loop device reports is what somebody once typed.

use convoy_fault::{Fault, Kind};
use convoy_units::Bytes;
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

mod ioctl;

/// How often a free device may be snatched from us before we give up.
const ATTEMPTS: usize = 32;

/// A failure with a loop device or its file.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {path}")]
pub struct Error {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl Error {
    fn new(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { what, path, source }
    }
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self.source.kind() {
            io::ErrorKind::NotFound => Kind::NotFound,
            io::ErrorKind::PermissionDenied => Kind::NotPermitted,
            io::ErrorKind::AlreadyExists => Kind::Conflict,
            io::ErrorKind::ResourceBusy => Kind::Busy,
            _ => Kind::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        (self.path == Path::new(ioctl::CONTROL))
            .then(|| "loop devices need root and the kernel module loop: modprobe loop".into())
    }
}

/// A loop device that has a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// Its node.
    pub node: PathBuf,
    /// Whether it goes past the page cache.
    pub direct_io: bool,
}

/// Makes a sparse file of this size, durably. A file that is there is an error, whatever its size.
pub fn create_file(path: &Path, size: Bytes) -> Result<(), Error> {
    let error = || Error::new("make the file", path);
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(error())?;
    let fill = || {
        file.set_len(size.0)?;
        file.sync_all()?;
        File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
    };
    fill().map_err(|source| {
        // Ours, made this moment and empty: without it a second attempt succeeds.
        if let Err(source) = std::fs::remove_file(path) {
            tracing::warn!(path = %path.display(), %source, "an empty file is left behind");
        }
        error()(source)
    })
}

/// Attaches a file, unless it is attached already: then that device is returned. Never two for one file.
pub fn attach(path: &Path) -> Result<Attached, Error> {
    if let Some(attached) = find(path)? {
        return Ok(attached);
    }
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(Error::new("open the file", path))?;
    for _ in 0..ATTEMPTS {
        let control = Path::new(ioctl::CONTROL);
        let number =
            ioctl::get_free().map_err(Error::new("find a free loop device with", control))?;
        let node = ioctl::ensure_node(number).map_err(Error::new("make the node for", path))?;
        match configure(&node, &file) {
            Ok(direct_io) => return Ok(Attached { node, direct_io }),
            // Somebody else was quicker with this device: the next one.
            Err(Errno::EBUSY) => {}
            Err(errno) => return Err(Error::new("attach a loop device to", path)(errno.into())),
        }
    }
    Err(Error::new("attach a loop device to", path)(
        io::ErrorKind::ResourceBusy.into(),
    ))
}

/// The loop device that has this file, by the file's device and inode. A loop device that changes
/// or goes away while we look is passed over.
pub fn find(path: &Path) -> Result<Option<Attached>, Error> {
    let wanted = ioctl::Identity::of(path).map_err(Error::new("find the loop device of", path))?;
    let devices = match std::fs::read_dir("/sys/block") {
        Ok(devices) => devices,
        // No sysfs: the loop driver, if any, cannot be asked, and a second device must not be made.
        Err(source) => return Err(Error::new("list loop devices for", path)(source)),
    };
    for device in devices {
        let device = device.map_err(Error::new("list loop devices for", path))?;
        let name = device.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("loop"));
        let Some(number) = number.and_then(|number| number.parse().ok()) else {
            continue;
        };
        // Only attached devices have this folder: the others are not even opened.
        if !device.path().join("loop").exists() {
            continue;
        }
        let node =
            ioctl::ensure_node(number).map_err(Error::new("open a loop device for", path))?;
        let status = File::open(&node)
            .ok()
            .and_then(|file| ioctl::status(&file).ok());
        if let Some((identity, direct_io)) = status
            && identity == wanted
        {
            return Ok(Some(Attached { node, direct_io }));
        }
    }
    Ok(None)
}

/// Takes disk space for a file beyond its end, up to this size: [`extend`] to there cannot fail for want of it.
/// Space that is taken already is taken once. A file system that cannot do so is an error.
pub fn reserve(path: &Path, size: Bytes) -> Result<(), Error> {
    let error = || Error::new("take disk space for the file", path);
    let file = OpenOptions::new().write(true).open(path).map_err(error())?;
    let end = file.metadata().map_err(error())?.len();
    let Some(length) = size.0.checked_sub(end).filter(|length| *length > 0) else {
        return Ok(());
    };
    let (end, length) = (
        offset(end).map_err(error())?,
        offset(length).map_err(error())?,
    );
    fallocate(&file, FallocateFlags::FALLOC_FL_KEEP_SIZE, end, length)
        .map_err(io::Error::from)
        .and_then(|()| file.sync_all())
        .map_err(error())
}

/// Makes a file longer, durably, and then the loop device that has it. Never shorter: a smaller size leaves
/// the file as it is.
pub fn extend(path: &Path, node: &Path, size: Bytes) -> Result<(), Error> {
    let error = || Error::new("make the file longer", path);
    let file = OpenOptions::new().write(true).open(path).map_err(error())?;
    if file.metadata().map_err(error())?.len() < size.0 {
        file.set_len(size.0).map_err(error())?;
        // Its size is durable before anything can rely on it.
        file.sync_all().map_err(error())?;
    }
    let device = File::open(node).map_err(Error::new("open the loop device", node))?;
    ioctl::set_capacity(&device)
        .map_err(|errno| Error::new("tell of its new size the loop device", node)(errno.into()))
}

fn offset(bytes: u64) -> io::Result<libc::off_t> {
    libc::off_t::try_from(bytes).map_err(io::Error::other)
}

/// Lets a loop device's file go. While somebody holds the device, the kernel does so when they let go.
pub fn detach(node: &Path) -> Result<(), Error> {
    let file = File::open(node).map_err(Error::new("open the loop device", node))?;
    match ioctl::clear(&file) {
        // No file: as asked.
        Ok(()) | Err(Errno::ENXIO) => Ok(()),
        Err(errno) => Err(Error::new("detach the loop device", node)(errno.into())),
    }
}

/// Gives a device its file; says whether direct IO is on.
fn configure(node: &Path, file: &File) -> Result<bool, Errno> {
    let device = OpenOptions::new().read(true).write(true).open(node);
    let device =
        device.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?;
    match ioctl::configure(&device, file, true) {
        Ok(()) => {}
        // Kernels before 5.8 have no LOOP_CONFIGURE: attach, then ask for direct IO.
        Err(Errno::EINVAL | Errno::ENOTTY) => attach_in_steps(&device, file)?,
        Err(errno) => return Err(errno),
    }
    let (_, direct_io) = ioctl::status(&device)?;
    if !direct_io {
        tracing::info!(device = %node.display(), "loop device without direct IO: its file system has none");
    }
    Ok(direct_io)
}

fn attach_in_steps(device: &File, file: &File) -> Result<(), Errno> {
    match ioctl::configure(device, file, false) {
        Err(Errno::EINVAL | Errno::ENOTTY) => ioctl::set_fd(device, file)?,
        result => result?,
    }
    if let Err(errno) = ioctl::set_direct_io(device) {
        tracing::debug!(%errno, "no direct IO");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    //! What needs no loop driver.

    use super::*;

    #[test]
    fn a_file_is_never_overwritten_nor_shrunk() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        create_file(&path, Bytes::gib(100)).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 100 << 30);
        let error = create_file(&path, Bytes::mib(1)).unwrap_err();
        assert_eq!(error.kind(), Kind::Conflict);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 100 << 30);
    }

    #[test]
    fn space_is_taken_beyond_the_end_and_the_end_stays() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metadata");
        create_file(&path, Bytes::mib(1)).unwrap();
        let blocks = || std::fs::metadata(&path).unwrap().blocks() * 512;
        assert!(blocks() < 1 << 20);
        for _ in 0..2 {
            reserve(&path, Bytes::mib(3)).unwrap();
            assert_eq!(std::fs::metadata(&path).unwrap().len(), 1 << 20);
            assert!(blocks() >= 2 << 20 && blocks() < 3 << 20, "{}", blocks());
        }
        reserve(&path, Bytes(4096)).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 1 << 20);
    }

    #[test]
    fn a_file_that_is_not_there_is_not_found() {
        assert_eq!(
            attach(Path::new("/nonexistent/x")).unwrap_err().kind(),
            Kind::NotFound
        );
    }
}
