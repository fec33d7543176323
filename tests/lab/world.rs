//! A clean world for one test: a root directory on ext4 on a scratch disk, and nothing left of the test
//! before.

use crate::verbs::refusal;
use convoy_catalog::Catalog;
use convoy_engine::{Config, Engine, pool_options};
use convoy_fault::Kind;
use convoy_tests::disk::{Direct, disks, mount_scratch};
use convoy_tests::mapper::{self, SCRATCH};
use convoy_units::Bytes;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The daemon's default root, which a test may mount something on.
const ROOT: &str = "/var/lib/convoy";

/// One test's world.
pub(crate) struct World {
    pub(crate) dir: PathBuf,
}

impl World {
    /// Cleans up after whatever ran before, and makes an empty folder.
    pub(crate) fn new(test: &str) -> Self {
        sweep();
        mount_scratch(&disks()[0], Path::new(SCRATCH));
        for old in fs::read_dir(SCRATCH).unwrap() {
            let old = old.unwrap().path();
            if old.file_name().is_some_and(|name| name != "lost+found") {
                fs::remove_dir_all(old).unwrap();
            }
        }
        let dir = Path::new(SCRATCH).join(test);
        fs::create_dir(&dir).unwrap();
        fs::create_dir(dir.join("backups")).unwrap();
        Self { dir }
    }

    /// A clean world with an engine that has just made its pool over loop files.
    #[track_caller]
    pub(crate) fn opened(test: &str) -> (Self, Engine) {
        let world = Self::new(test);
        let engine = world.open(&[]);
        (world, engine)
    }

    /// A second host's world inside this one: a root of its own, on the same machine.
    pub(crate) fn beside(&self, name: &str) -> Self {
        let dir = self.path(name);
        fs::create_dir(&dir).unwrap();
        Self { dir }
    }

    /// A path in this world.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The engine's root.
    pub(crate) fn root(&self) -> PathBuf {
        self.path("root")
    }

    /// A destination that exists.
    pub(crate) fn dest(&self) -> String {
        format!("vfs://{}", self.path("backups").display())
    }

    /// The packs of the repository at the destination, largest first.
    pub(crate) fn packs(&self) -> Vec<PathBuf> {
        let folders = fs::read_dir(self.path("backups/convoy-repository/packs")).unwrap();
        let folders = folders.map(|folder| folder.unwrap().path());
        let packs = folders.flat_map(|folder| fs::read_dir(folder).unwrap());
        let mut packs: Vec<PathBuf> = packs.map(|pack| pack.unwrap().path()).collect();
        packs.sort_by_key(|pack| std::cmp::Reverse(fs::metadata(pack).unwrap().len()));
        packs
    }

    /// What to open an engine with, driver options as on the command line.
    pub(crate) fn config(&self, options: &[(&str, &str)]) -> Config {
        let options: Vec<(String, String)> = options
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let mut config = Config::new(self.root());
        config.pool = pool_options(&options).unwrap();
        config
    }

    /// An engine over a loop-backed pool.
    #[track_caller]
    pub(crate) fn open(&self, options: &[(&str, &str)]) -> Engine {
        match Engine::open(&self.config(options)) {
            Ok(engine) => engine,
            Err(error) => panic!("{}", convoy_fault::chain(&error)),
        }
    }

    /// Why an engine cannot be opened: the kind, and all its words.
    #[track_caller]
    pub(crate) fn refused(&self, options: &[(&str, &str)]) -> (Kind, String) {
        refusal(Engine::open(&self.config(options)))
    }

    /// A loop device over a new sparse file in this world.
    pub(crate) fn disk(&self, name: &str, size: Bytes) -> String {
        let file = self.path(name);
        fs::File::create(&file).unwrap().set_len(size.0).unwrap();
        attach(&file)
    }

    /// The catalog of this world's engine, while none is open.
    pub(crate) fn catalog(&self) -> Catalog {
        Catalog::open(&self.root().join("catalog.db")).unwrap()
    }
}

/// Lets loop devices go.
#[track_caller]
pub(crate) fn detach(devices: &[&str]) {
    for device in devices {
        convoy_thinpool::loopdev::detach(Path::new(device)).unwrap();
    }
}

/// Attaches a file as a loop device.
pub(crate) fn attach(file: &Path) -> String {
    let attached = convoy_thinpool::loopdev::attach(file).unwrap();
    attached.node.to_str().unwrap().to_owned()
}

/// Writes bytes to a device, durably.
#[track_caller]
pub(crate) fn write_device(device: &Path, offset: u64, bytes: &[u8]) {
    let file = fs::OpenOptions::new().write(true).open(device).unwrap();
    file.write_all_at(bytes, offset).unwrap();
    file.sync_all().unwrap();
}

/// Reads bytes of a device, past the page cache; offset and length are whole pages.
#[track_caller]
pub(crate) fn read_device(device: &Path, offset: u64, len: usize) -> Vec<u8> {
    Direct::open(device, len).read(offset, len).to_vec()
}

/// Damages a file: no byte of its middle half stays what it was. (A single byte may be one that no
/// reader needs: zstd's frames have unused bits.)
#[track_caller]
pub(crate) fn damage(file: &Path) {
    make_writable(file);
    let mut bytes = fs::read(file).unwrap();
    let quarter = bytes.len() / 4;
    for byte in &mut bytes[quarter..3 * quarter] {
        *byte ^= 0x40;
    }
    fs::write(file, bytes).unwrap();
}

/// Lets a file be written that was stored to be read only.
pub(crate) fn make_writable(file: &Path) {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(file, mode).unwrap();
}

/// Takes a pool down that no engine can: what is mounted of it, its thin devices, itself.
#[track_caller]
pub(crate) fn sweep_pool(mounted: &str) {
    nix::mount::umount2(mounted, nix::mount::MntFlags::MNT_DETACH).ok();
    for _ in 0..20 {
        let left = mapper::devices();
        let ours: Vec<&String> = left
            .iter()
            .filter(|name| name.starts_with("convoy"))
            .collect();
        if ours.is_empty() {
            return;
        }
        for device in ours {
            let removed = std::process::Command::new("dmsetup")
                .args(["remove", device])
                .output();
            drop(removed.unwrap());
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("the pool stays: {:?}", mapper::devices());
}

/// What a reboot takes down: mounts below the scratch folder, device-mapper devices, loop devices.
pub(crate) fn sweep() {
    mapper::unmount_below(Path::new(ROOT));
    mapper::sweep();
    if convoy_mount::mounted_at(Path::new(ROOT)).unwrap().is_some() {
        nix::mount::umount(ROOT).unwrap();
    }
}
