//! What an engine asks of the machine besides device mapper: devices as bytes, filesystems, mounts, the clock's
//! patience, and where backups go.
//!
//! A seam, like [`convoy_thinpool::Control`]: [`Host`] is the machine we run on, a simulation puts a model in its place.
//! One method is one request and keeps nothing back; order and safety are the verbs'. Paths under the root
//! directory, the catalog and the files of a loop-backed pool are not behind it: those are plain files anywhere.

use convoy_backup::{BlockReader, BlockWriter, FileReader, FileWriter};
use convoy_mount::{
    Checked, Filesystem, Holder, MakeOptions, MountEntry, MountOptions, Preened, Unmounted,
};
use convoy_objectstore::{Location, MemoryStore, ObjectStore, ReadOnlyStore, S3Options};
use convoy_repository::{Patience, Sleep};
use convoy_thin_metadata::{BlockSource, FileSource};
use convoy_thinpool::DeviceNumber;
use convoy_thinpool::blockdev::{self, Discarded};
use convoy_thinpool::signature::{self, Signature};
use convoy_units::{ByteRange, Bytes};
use nix::fcntl::{Flock, FlockArg};
use std::any::Any;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// A pool's metadata to read, wherever it is.
pub type Metadata = Box<dyn BlockSource>;

/// Keeps others from holding the same thing, until dropped.
pub type Hold = Box<dyn Any + Send + Sync>;

/// The machine. All methods block and may be called from any thread; errors are those of the column that
/// does it on a real one.
pub trait Machine: Send + Sync {
    /// The number of a block device.
    fn number_of(&self, device: &Path) -> io::Result<DeviceNumber>;

    /// The size of a block device.
    fn size_of(&self, device: &Path) -> io::Result<Bytes>;

    /// Takes a device or file for this process alone, as far as others ask: `WouldBlock` when one has it.
    /// A machine that runs one engine has nothing to keep apart.
    fn hold(&self, _device: &Path) -> io::Result<Option<Hold>> {
        Ok(None)
    }

    /// What a device carries, as [`signature::probe`] tells it.
    fn signature_of(&self, device: &Path) -> Result<Option<Signature>, signature::Error>;

    /// Whether the first 4 KiB of a device are zero.
    fn first_block_is_zero(&self, device: &Path) -> io::Result<bool>;

    /// Fills `into` with what a device has from this byte on.
    fn read_at(&self, device: &Path, offset: u64, into: &mut [u8]) -> io::Result<()>;

    /// Opens a pool's metadata device for reading, past the page cache.
    fn metadata(&self, device: &Path) -> Result<Metadata, convoy_thin_metadata::Error>;

    /// Opens a device for reading, past the page cache.
    fn reader(&self, device: &Path) -> Result<Box<dyn BlockReader>, convoy_backup::Error>;

    /// Opens a device for writing.
    fn writer(&self, device: &Path) -> Result<Box<dyn BlockWriter>, convoy_backup::Error>;

    /// Makes what was written to a device durable.
    fn flush(&self, device: &Path) -> io::Result<()>;

    /// Discards a range of a device.
    fn discard(&self, device: &Path, range: ByteRange) -> io::Result<Discarded>;

    /// Makes a filesystem, durably. **Whatever is on the device is lost.**
    fn make_filesystem(
        &self,
        device: &Path,
        filesystem: Filesystem,
        options: &MakeOptions,
    ) -> Result<(), convoy_mount::Error>;

    /// Checks all of the filesystem of a device that is not mounted, and repairs what is safe to; `at` is a
    /// directory to mount it at for a moment, where that is part of checking it.
    fn check_filesystem(
        &self,
        device: &Path,
        filesystem: Filesystem,
        at: &Path,
    ) -> Result<Checked, convoy_mount::Error>;

    /// Gives the filesystem of a device that is not mounted this UUID, its journal replayed, durably; `at` as in
    /// [`Machine::check_filesystem`].
    fn own_filesystem(
        &self,
        device: &Path,
        filesystem: Filesystem,
        uuid: Uuid,
        at: &Path,
    ) -> Result<(), convoy_mount::Error>;

    /// Grows the filesystem of a device, mounted at `target`, to all of the device.
    fn grow_filesystem(
        &self,
        device: &Path,
        filesystem: Filesystem,
        target: &Path,
    ) -> Result<(), convoy_mount::Error>;

    /// The numbers of devices whose mounted filesystem has counted errors since its last check.
    fn filesystems_with_errors(&self) -> Vec<(u32, u32)> {
        Vec::new()
    }

    /// The mount table.
    fn mounts(&self) -> Result<Vec<MountEntry>, convoy_mount::Error>;

    /// Mounts a device at a directory.
    fn mount(
        &self,
        device: &Path,
        target: &Path,
        filesystem: Filesystem,
        options: &MountOptions,
    ) -> Result<(), convoy_mount::Error>;

    /// Unmounts the device of this number from a directory.
    fn unmount(&self, target: &Path, device: (u32, u32)) -> Result<Unmounted, convoy_mount::Error>;

    /// Makes a mounted filesystem durable: the device of this number, at this directory.
    fn sync_filesystem(&self, target: &Path, device: (u32, u32))
    -> Result<(), convoy_mount::Error>;

    /// Checks the filesystem of a device that is not mounted if it asks for that, as [`convoy_mount::preen`].
    fn preen(
        &self,
        _device: &Path,
        _filesystem: Filesystem,
    ) -> Result<Option<Preened>, convoy_mount::Error> {
        Ok(None)
    }

    /// Discards what a mounted filesystem does not use in this range of it, and says how much that was: the device
    /// of this number, at this directory.
    fn trim(
        &self,
        _target: &Path,
        _device: (u32, u32),
        _range: ByteRange,
    ) -> Result<Bytes, convoy_mount::Error> {
        Ok(Bytes(0))
    }

    /// Who holds the device of this number, as far as we can see.
    fn holders(&self, device: (u32, u32)) -> Vec<Holder>;

    /// Names the running boot: a mount of another boot is history.
    fn boot_id(&self) -> String;

    /// The store at a destination.
    fn store(&self, location: &Location)
    -> Result<Arc<dyn ObjectStore>, convoy_objectstore::Error>;

    /// The store at a destination, reached as these options say if it is a bucket.
    fn store_with(
        &self,
        location: &Location,
        _s3: &S3Options,
    ) -> Result<Arc<dyn ObjectStore>, convoy_objectstore::Error> {
        self.store(location)
    }

    /// What the original Convoy left at a destination, to be read. A machine that has none need not know.
    fn original(
        &self,
        _location: &Location,
        _s3: &S3Options,
    ) -> Result<ReadOnlyStore, convoy_objectstore::Error> {
        Ok(ReadOnlyStore::new(Arc::new(MemoryStore::new())))
    }

    /// How requests to a destination wait between attempts.
    fn patience(&self) -> Arc<dyn Patience>;

    /// Waits.
    fn sleep(&self, time: Duration);
}

/// The machine that this process runs on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Host;

impl Machine for Host {
    fn number_of(&self, device: &Path) -> io::Result<DeviceNumber> {
        blockdev::number_of(device)
    }

    fn size_of(&self, device: &Path) -> io::Result<Bytes> {
        blockdev::size(device)
    }

    /// A `flock`: the kernel lets go when the process ends. On a disk it also keeps udev's probes away.
    fn hold(&self, device: &Path) -> io::Result<Option<Hold>> {
        let lock = Flock::lock(File::open(device)?, FlockArg::LockExclusiveNonblock);
        let lock = lock.map_err(|(_, errno)| io::Error::from(errno))?;
        Ok(Some(Box::new(lock)))
    }

    fn signature_of(&self, device: &Path) -> Result<Option<Signature>, signature::Error> {
        signature::probe(device)
    }

    fn first_block_is_zero(&self, device: &Path) -> io::Result<bool> {
        blockdev::first_block_is_zero(device)
    }

    fn read_at(&self, device: &Path, offset: u64, into: &mut [u8]) -> io::Result<()> {
        File::open(device)?.read_exact_at(into, offset)
    }

    fn metadata(&self, device: &Path) -> Result<Metadata, convoy_thin_metadata::Error> {
        Ok(Box::new(FileSource::open(device)?))
    }

    fn reader(&self, device: &Path) -> Result<Box<dyn BlockReader>, convoy_backup::Error> {
        Ok(Box::new(FileReader::open_direct(device)?))
    }

    fn writer(&self, device: &Path) -> Result<Box<dyn BlockWriter>, convoy_backup::Error> {
        Ok(Box::new(FileWriter::open(device)?))
    }

    fn flush(&self, device: &Path) -> io::Result<()> {
        File::open(device)?.sync_all()
    }

    fn discard(&self, device: &Path, range: ByteRange) -> io::Result<Discarded> {
        blockdev::discard(device, range)
    }

    fn make_filesystem(
        &self,
        device: &Path,
        filesystem: Filesystem,
        options: &MakeOptions,
    ) -> Result<(), convoy_mount::Error> {
        convoy_mount::make_filesystem(device, filesystem, options)
    }

    fn check_filesystem(
        &self,
        device: &Path,
        filesystem: Filesystem,
        at: &Path,
    ) -> Result<Checked, convoy_mount::Error> {
        convoy_mount::check_thoroughly(device, filesystem, at)
    }

    fn own_filesystem(
        &self,
        device: &Path,
        filesystem: Filesystem,
        uuid: Uuid,
        at: &Path,
    ) -> Result<(), convoy_mount::Error> {
        convoy_mount::set_uuid(device, filesystem, &uuid.to_string(), at)
    }

    fn grow_filesystem(
        &self,
        device: &Path,
        filesystem: Filesystem,
        target: &Path,
    ) -> Result<(), convoy_mount::Error> {
        convoy_mount::grow_filesystem(device, filesystem, target)
    }

    fn filesystems_with_errors(&self) -> Vec<(u32, u32)> {
        convoy_mount::ext4_with_errors()
    }

    fn mounts(&self) -> Result<Vec<MountEntry>, convoy_mount::Error> {
        convoy_mount::mounts()
    }

    fn mount(
        &self,
        device: &Path,
        target: &Path,
        filesystem: Filesystem,
        options: &MountOptions,
    ) -> Result<(), convoy_mount::Error> {
        convoy_mount::mount(device, target, filesystem, options)
    }

    fn unmount(&self, target: &Path, device: (u32, u32)) -> Result<Unmounted, convoy_mount::Error> {
        convoy_mount::unmount(target, device)
    }

    fn sync_filesystem(
        &self,
        target: &Path,
        device: (u32, u32),
    ) -> Result<(), convoy_mount::Error> {
        convoy_mount::sync_filesystem(target, device)
    }

    fn preen(
        &self,
        device: &Path,
        filesystem: Filesystem,
    ) -> Result<Option<Preened>, convoy_mount::Error> {
        convoy_mount::preen(device, filesystem)
    }

    fn trim(
        &self,
        target: &Path,
        device: (u32, u32),
        range: ByteRange,
    ) -> Result<Bytes, convoy_mount::Error> {
        convoy_mount::trim(target, device, range)
    }

    fn holders(&self, device: (u32, u32)) -> Vec<Holder> {
        convoy_mount::holders(device)
    }

    fn boot_id(&self) -> String {
        std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .map(|text| text.trim().to_owned())
            .unwrap_or_default()
    }

    fn store(
        &self,
        location: &Location,
    ) -> Result<Arc<dyn ObjectStore>, convoy_objectstore::Error> {
        self.store_with(location, &S3Options::default())
    }

    fn store_with(
        &self,
        location: &Location,
        s3: &S3Options,
    ) -> Result<Arc<dyn ObjectStore>, convoy_objectstore::Error> {
        convoy_objectstore::open(location, s3)
    }

    fn original(
        &self,
        location: &Location,
        s3: &S3Options,
    ) -> Result<ReadOnlyStore, convoy_objectstore::Error> {
        convoy_objectstore::open_original(location, s3)
    }

    fn patience(&self) -> Arc<dyn Patience> {
        Arc::new(Sleep)
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }
}
