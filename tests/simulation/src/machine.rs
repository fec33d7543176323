//! The machine around a model kernel: its mounts, its filesystems of one block, its bytes.

use crate::content::{BLOCK, Content};
use crate::control::block_size;
use crate::image::image;
use crate::planted::Planted;
use crate::store::SimStore;
use crate::world::World;
use convoy_backup::{BlockReader, BlockWriter};
use convoy_engine::machine::Metadata;
use convoy_mount::{Checked, Filesystem, Holder, MakeOptions, MountEntry, MountOptions, Unmounted};
use convoy_objectstore::{Location, ObjectStore};
use convoy_repository::{Impatient, Patience};
use convoy_thin_metadata::MemorySource;
use convoy_thinpool::blockdev::Discarded;
use convoy_thinpool::fake::FakeKernel;
use convoy_thinpool::signature::{self, Signature};
use convoy_thinpool::{Control, DeviceNumber, DmName, ThinTable};
use convoy_units::{ByteRange, Bytes};
use nix::errno::Errno;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;
use uuid::Uuid;

/// What a machine has besides its kernel's devices.
#[derive(Default)]
pub(crate) struct MachineState {
    pub(crate) mounts: Vec<MountEntry>,
    pub(crate) boot: u32,
    /// The pool's metadata as it was written out when its snapshot was reserved.
    pub(crate) image: Option<Vec<u8>>,
}

pub(crate) struct SimMachine {
    pub(crate) world: Weak<World>,
    pub(crate) host: usize,
    pub(crate) kernel: FakeKernel,
}

impl SimMachine {
    fn world(&self) -> Arc<World> {
        self.world
            .upgrade()
            .expect("the world outlives its machines")
    }

    fn dead(&self) -> bool {
        self.world().is_dead(self.host)
    }

    fn device(&self, node: &Path) -> io::Result<Device> {
        let name = self.kernel.named(node).ok_or(Errno::ENODEV)?;
        let table = self.kernel.table(&name).map_err(io::Error::other)?;
        let thin = table.first().and_then(|line| ThinTable::parse(line).ok());
        let len = thin.and_then(|thin| thin.len.bytes()).ok_or(Errno::EIO)?;
        Ok(Device {
            kernel: self.kernel.clone(),
            name,
            len,
            flushes: !self.planted(Planted::RestoreNotFlushed),
            world: self.world.clone(),
            host: self.host,
        })
    }

    fn planted(&self, planted: Planted) -> bool {
        self.world().planted == Some(planted)
    }
}

/// An open thin device.
struct Device {
    kernel: FakeKernel,
    name: DmName,
    len: Bytes,
    flushes: bool,
    world: Weak<World>,
    host: usize,
}

impl Device {
    fn block(&self, block: u64) -> io::Result<Vec<u8>> {
        let bytes = self.kernel.read_block(&self.name, block)?;
        Ok(bytes.map_or_else(|| vec![0; BLOCK], |bytes| bytes.to_vec()))
    }
}

/// The parts of whole blocks that a range has: block, where in it, how much.
fn pieces(offset: u64, len: usize) -> Vec<(u64, usize, usize)> {
    let mut pieces = Vec::new();
    let mut done = 0;
    while done < len {
        let at = offset + done as u64;
        let inside = usize::try_from(at % BLOCK as u64).unwrap_or(0);
        let piece = (BLOCK - inside).min(len - done);
        pieces.push((at / BLOCK as u64, inside, piece));
        done += piece;
    }
    pieces
}

impl BlockReader for Device {
    fn len(&self) -> Bytes {
        self.len
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let mut rest = into;
        for (block, inside, len) in pieces(offset, rest.len()) {
            let bytes = self.block(block)?;
            let (now, later) = rest.split_at_mut(len);
            now.copy_from_slice(bytes.get(inside..inside + len).unwrap_or_default());
            rest = later;
        }
        Ok(())
    }
}

impl BlockWriter for Device {
    fn len(&self) -> Bytes {
        self.len
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if self
            .world
            .upgrade()
            .is_none_or(|world| world.is_dead(self.host))
        {
            return Err(Errno::ESHUTDOWN.into());
        }
        let mut rest = bytes;
        for (block, inside, len) in pieces(offset, bytes.len()) {
            let mut whole = self.block(block)?;
            let (now, later) = rest.split_at(len);
            if let Some(place) = whole.get_mut(inside..inside + len) {
                place.copy_from_slice(now);
            }
            self.kernel.write_block(&self.name, block, Some(&whole))?;
            rest = later;
        }
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        if self.flushes {
            self.kernel.commit();
        }
        Ok(())
    }
}

impl convoy_engine::Machine for SimMachine {
    fn number_of(&self, device: &Path) -> io::Result<DeviceNumber> {
        let backing = self.kernel.backing(device).map_err(io::Error::other)?;
        Ok(backing.number)
    }

    fn size_of(&self, device: &Path) -> io::Result<Bytes> {
        let backing = self.kernel.backing(device).map_err(io::Error::other)?;
        Ok(backing.size)
    }

    fn signature_of(&self, device: &Path) -> Result<Option<Signature>, signature::Error> {
        let pool = self.kernel.committed(device);
        Ok(pool.map(|_| Signature {
            what: "the metadata of a thin pool".to_owned(),
        }))
    }

    fn first_block_is_zero(&self, device: &Path) -> io::Result<bool> {
        Ok(self.kernel.committed(device).is_none())
    }

    fn read_at(&self, device: &Path, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let mut rest = into;
        for (block, inside, len) in pieces(offset, rest.len()) {
            let bytes = self.kernel.data_block(device, block).ok_or(Errno::ENODEV)?;
            let (now, later) = rest.split_at_mut(len);
            now.copy_from_slice(bytes.get(inside..inside + len).unwrap_or_default());
            rest = later;
        }
        Ok(())
    }

    fn metadata(&self, device: &Path) -> Result<Metadata, convoy_thin_metadata::Error> {
        let world = self.world();
        let content = self.kernel.committed(device).unwrap_or_default();
        let held = content.held.is_some();
        let written = world.host(self.host).machine().image.clone();
        let bytes = match written.filter(|_| held) {
            Some(bytes) => bytes,
            None => image(&content, crate::world::DATA_BLOCKS, block_size()).bytes,
        };
        Ok(Box::new(MemorySource::new(bytes)))
    }

    fn reader(&self, device: &Path) -> Result<Box<dyn BlockReader>, convoy_backup::Error> {
        Ok(Box::new(self.device(device).map_err(opening(device))?))
    }

    fn writer(&self, device: &Path) -> Result<Box<dyn BlockWriter>, convoy_backup::Error> {
        Ok(Box::new(self.device(device).map_err(opening(device))?))
    }

    fn flush(&self, _: &Path) -> io::Result<()> {
        self.kernel.commit();
        Ok(())
    }

    fn discard(&self, device: &Path, range: ByteRange) -> io::Result<Discarded> {
        if self.dead() {
            return Err(Errno::ESHUTDOWN.into());
        }
        let device = self.device(device)?;
        let end = range.end.min(device.len.0) / BLOCK as u64;
        let begin = range.begin.div_ceil(BLOCK as u64);
        self.kernel.discard_blocks(&device.name, begin, end)?;
        Ok(Discarded::Discarded)
    }

    fn make_filesystem(
        &self,
        device: &Path,
        _: Filesystem,
        options: &MakeOptions,
    ) -> Result<(), convoy_mount::Error> {
        let failed = |source| convoy_mount::Error::Io {
            what: "make a filesystem on",
            path: device.to_owned(),
            source,
        };
        let uuid = options.uuid.as_deref().unwrap_or_default();
        let uuid = Uuid::parse_str(uuid).map_err(|error| failed(io::Error::other(error)))?;
        let open = self.device(device).map_err(failed)?;
        open.write_at(0, &Content::Head(uuid).bytes())
            .map_err(failed)?;
        self.kernel.commit();
        Ok(())
    }

    fn check_filesystem(
        &self,
        _: &Path,
        _: Filesystem,
        _: &Path,
    ) -> Result<Checked, convoy_mount::Error> {
        Ok(Checked::Clean)
    }

    fn own_filesystem(
        &self,
        device: &Path,
        filesystem: Filesystem,
        uuid: Uuid,
        _: &Path,
    ) -> Result<(), convoy_mount::Error> {
        let options = MakeOptions {
            uuid: Some(uuid.to_string()),
            ..MakeOptions::default()
        };
        self.make_filesystem(device, filesystem, &options)
    }

    /// Filesystems of the model are as large as their device is.
    fn grow_filesystem(
        &self,
        _: &Path,
        _: Filesystem,
        _: &Path,
    ) -> Result<(), convoy_mount::Error> {
        Ok(())
    }

    fn mounts(&self) -> Result<Vec<MountEntry>, convoy_mount::Error> {
        Ok(self.world().host(self.host).machine().mounts.clone())
    }

    fn mount(
        &self,
        device: &Path,
        target: &Path,
        _: Filesystem,
        _: &MountOptions,
    ) -> Result<(), convoy_mount::Error> {
        let failed = |source| convoy_mount::Error::Io {
            what: "mount",
            path: device.to_owned(),
            source,
        };
        let world = self.world();
        let host = world.host(self.host);
        if self.dead() {
            return Err(failed(Errno::ESHUTDOWN.into()));
        }
        if self.planted(Planted::MountForgotten) && host.is_opening() {
            return Ok(());
        }
        let name = self.kernel.named(device);
        let name = name.ok_or_else(|| failed(Errno::ENODEV.into()))?;
        let info = self.kernel.info(&name).ok().flatten();
        let number = info.ok_or_else(|| failed(Errno::ENODEV.into()))?.number;
        let head = self.kernel.read_block(&name, 0);
        let head = head.map_err(|errno| failed(errno.into()))?;
        if head.and_then(|head| head.get(1024 + 0x38).copied()) != Some(0x53) {
            world.violation(format!("{name} was mounted, which has no filesystem"));
        }
        host.machine().mounts.push(MountEntry {
            mount_id: 1,
            parent_id: 1,
            device: (number.major, number.minor),
            root: PathBuf::from("/"),
            target: target.to_owned(),
            options: Vec::new(),
            fs_type: "ext4".to_owned(),
            source: device.to_owned(),
        });
        self.kernel.open(&name);
        Ok(())
    }

    fn unmount(&self, target: &Path, device: (u32, u32)) -> Result<Unmounted, convoy_mount::Error> {
        let world = self.world();
        if self.dead() {
            return Err(convoy_mount::Error::Io {
                what: "unmount",
                path: target.to_owned(),
                source: Errno::ESHUTDOWN.into(),
            });
        }
        let mut machine = world.host(self.host).machine();
        let here = |mount: &MountEntry| mount.target == target && mount.device == device;
        let Some(index) = machine.mounts.iter().position(here) else {
            return Ok(Unmounted::NotMounted);
        };
        let entry = machine.mounts.remove(index);
        drop(machine);
        self.kernel.commit();
        if let Some(name) = self.kernel.named(&entry.source) {
            self.kernel.close(&name);
        }
        Ok(Unmounted::Unmounted)
    }

    fn sync_filesystem(&self, _: &Path, _: (u32, u32)) -> Result<(), convoy_mount::Error> {
        self.kernel.commit();
        Ok(())
    }

    fn holders(&self, _: (u32, u32)) -> Vec<Holder> {
        Vec::new()
    }

    fn boot_id(&self) -> String {
        self.world().host(self.host).machine().boot.to_string()
    }

    fn store(&self, _: &Location) -> Result<Arc<dyn ObjectStore>, convoy_objectstore::Error> {
        Ok(Arc::new(SimStore {
            world: self.world.clone(),
            host: self.host,
            store: Arc::clone(&self.world().store),
        }))
    }

    fn patience(&self) -> Arc<dyn Patience> {
        Arc::new(Impatient)
    }

    fn sleep(&self, _: Duration) {}
}

fn opening(device: &Path) -> impl FnOnce(io::Error) -> convoy_backup::Error {
    let path = device.display().to_string();
    move |source| convoy_backup::Error::Open { path, source }
}
