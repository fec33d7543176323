//! A machine of the test's: a mount table, a boot, a store, and a way to hang all of them.

use crate::desk::BLOCKS;
use convoy_backup::{BlockReader, BlockWriter, FileReader, FileWriter};
use convoy_engine::Machine;
use convoy_engine::machine::Metadata;
use convoy_mount::{Checked, Filesystem, Holder, MakeOptions, MountEntry, MountOptions, Unmounted};
use convoy_objectstore::{Location, MemoryStore, ObjectStore};
use convoy_repository::{Patience, Sleep};
use convoy_thin_metadata::MemorySource;
use convoy_thinpool::blockdev::Discarded;
use convoy_thinpool::fake::FakeKernel;
use convoy_thinpool::signature::{self, Signature};
use convoy_thinpool::{Control, DeviceNumber};
use convoy_units::{ByteRange, Bytes, DataBlockSize, Sectors};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use uuid::Uuid;

/// What the machine is like now.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) mounts: Vec<MountEntry>,
    pub(crate) boot: String,
    /// Who holds any device.
    pub(crate) holders: Vec<Holder>,
}

/// The machine; clones are handles.
#[derive(Clone)]
pub(crate) struct Table {
    pub(crate) kernel: FakeKernel,
    pub(crate) state: Arc<Mutex<State>>,
    /// Whatever is asked of it waits while this is set.
    stuck: Arc<(Mutex<bool>, Condvar)>,
    asked: Arc<AtomicU64>,
    store: Arc<MemoryStore>,
}

impl Table {
    pub(crate) fn new(kernel: FakeKernel) -> Self {
        let state = State {
            boot: Uuid::now_v7().to_string(),
            ..State::default()
        };
        Self {
            kernel,
            state: Arc::new(Mutex::new(state)),
            stuck: Arc::default(),
            asked: Arc::default(),
            store: Arc::new(MemoryStore::new()),
        }
    }

    /// How often the machine, or device mapper, was asked for anything but the time and the boot.
    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst) + self.kernel.operations()
    }

    /// Hangs, or goes on.
    pub(crate) fn stick(&self, stuck: bool) {
        *self.stuck.0.lock().unwrap() = stuck;
        self.stuck.1.notify_all();
    }

    fn ask(&self) {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut stuck = self.stuck.0.lock().unwrap();
        while *stuck {
            stuck = self.stuck.1.wait(stuck).unwrap();
        }
    }

    fn number(&self, node: &Path) -> DeviceNumber {
        let name = self.kernel.named(node).expect("a node of the model");
        self.kernel.info(&name).unwrap().expect("it is up").number
    }
}

impl Machine for Table {
    fn number_of(&self, device: &Path) -> io::Result<DeviceNumber> {
        self.ask();
        let backing = self.kernel.backing(device).map_err(io::Error::other)?;
        Ok(backing.number)
    }

    fn size_of(&self, device: &Path) -> io::Result<Bytes> {
        self.ask();
        let backing = self.kernel.backing(device).map_err(io::Error::other)?;
        Ok(backing.size)
    }

    fn signature_of(&self, device: &Path) -> Result<Option<Signature>, signature::Error> {
        self.ask();
        let pool = self.kernel.committed(device);
        Ok(pool.map(|_| Signature {
            what: "the metadata of a thin pool".to_owned(),
        }))
    }

    fn first_block_is_zero(&self, device: &Path) -> io::Result<bool> {
        self.ask();
        Ok(self.kernel.committed(device).is_none())
    }

    fn read_at(&self, _: &Path, _: u64, into: &mut [u8]) -> io::Result<()> {
        self.ask();
        into.fill(0);
        Ok(())
    }

    fn metadata(&self, device: &Path) -> Result<Metadata, convoy_thin_metadata::Error> {
        self.ask();
        let content = self.kernel.committed(device).unwrap_or_default();
        let block = DataBlockSize::new(Sectors(128)).unwrap();
        let image = convoy_simulation::image(&content, BLOCKS, block);
        Ok(Box::new(MemorySource::new(image.bytes)))
    }

    fn reader(&self, device: &Path) -> Result<Box<dyn BlockReader>, convoy_backup::Error> {
        self.ask();
        Ok(Box::new(FileReader::open_direct(device)?))
    }

    fn writer(&self, device: &Path) -> Result<Box<dyn BlockWriter>, convoy_backup::Error> {
        self.ask();
        Ok(Box::new(FileWriter::open(device)?))
    }

    fn flush(&self, _: &Path) -> io::Result<()> {
        self.ask();
        self.kernel.commit();
        Ok(())
    }

    fn discard(&self, _: &Path, _: ByteRange) -> io::Result<Discarded> {
        self.ask();
        Ok(Discarded::Unsupported)
    }

    fn make_filesystem(
        &self,
        _: &Path,
        _: Filesystem,
        _: &MakeOptions,
    ) -> Result<(), convoy_mount::Error> {
        self.ask();
        Ok(())
    }

    fn check_filesystem(
        &self,
        _: &Path,
        _: Filesystem,
        _: &Path,
    ) -> Result<Checked, convoy_mount::Error> {
        self.ask();
        Ok(Checked::Clean)
    }

    fn own_filesystem(
        &self,
        _: &Path,
        _: Filesystem,
        _: Uuid,
        _: &Path,
    ) -> Result<(), convoy_mount::Error> {
        self.ask();
        Ok(())
    }

    fn grow_filesystem(
        &self,
        _: &Path,
        _: Filesystem,
        _: &Path,
    ) -> Result<(), convoy_mount::Error> {
        self.ask();
        Ok(())
    }

    fn mounts(&self) -> Result<Vec<MountEntry>, convoy_mount::Error> {
        self.ask();
        Ok(self.state.lock().unwrap().mounts.clone())
    }

    fn mount(
        &self,
        device: &Path,
        target: &Path,
        _: Filesystem,
        _: &MountOptions,
    ) -> Result<(), convoy_mount::Error> {
        self.ask();
        let number = self.number(device);
        let mut state = self.state.lock().unwrap();
        let again = state.mounts.iter().any(|mount| mount.target == target);
        assert!(!again, "mounted twice at {}", target.display());
        state.mounts.push(MountEntry {
            mount_id: 1,
            parent_id: 1,
            device: (number.major, number.minor),
            root: PathBuf::from("/"),
            target: target.to_owned(),
            options: Vec::new(),
            fs_type: "ext4".to_owned(),
            source: device.to_owned(),
        });
        drop(state);
        let name = self.kernel.named(device).expect("a node of the model");
        self.kernel.open(&name);
        Ok(())
    }

    fn unmount(&self, target: &Path, _: (u32, u32)) -> Result<Unmounted, convoy_mount::Error> {
        self.ask();
        let mut state = self.state.lock().unwrap();
        let Some(index) = state.mounts.iter().position(|mount| mount.target == target) else {
            return Ok(Unmounted::NotMounted);
        };
        let entry = state.mounts.remove(index);
        drop(state);
        if let Some(name) = self.kernel.named(&entry.source) {
            self.kernel.close(&name);
        }
        Ok(Unmounted::Unmounted)
    }

    fn sync_filesystem(&self, _: &Path, _: (u32, u32)) -> Result<(), convoy_mount::Error> {
        self.ask();
        Ok(())
    }

    fn holders(&self, _: (u32, u32)) -> Vec<Holder> {
        self.state.lock().unwrap().holders.clone()
    }

    fn boot_id(&self) -> String {
        self.state.lock().unwrap().boot.clone()
    }

    fn store(&self, _: &Location) -> Result<Arc<dyn ObjectStore>, convoy_objectstore::Error> {
        self.ask();
        Ok(Arc::clone(&self.store) as Arc<dyn ObjectStore>)
    }

    fn patience(&self) -> Arc<dyn Patience> {
        Arc::new(Sleep)
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }
}
