//! A clean world for one test: a root directory on ext4 on a scratch disk, and nothing left of the test
//! before.

use convoy_catalog::Catalog;
use convoy_engine::{Config, Engine, Operation, SnapshotInfo, VolumeInfo, pool_options};
use convoy_fault::{Fault, Kind};
use convoy_names::VolumeName;
use convoy_tests::command::{tool as run, word};
use convoy_tests::disk::disks;
use convoy_tests::mapper;
use convoy_units::Bytes;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Where the scratch filesystem of this guest is mounted.
const SCRATCH: &str = "/mnt/lab";
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
        if convoy_mount::mounted_at(Path::new(SCRATCH))
            .unwrap()
            .is_none()
        {
            fs::create_dir_all(SCRATCH).unwrap();
            run("mkfs.ext4", &["-q", "-F", word(&disks()[0])]);
            run("mount", &[word(&disks()[0]), SCRATCH]);
        }
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

/// Attaches a file as a loop device.
pub(crate) fn attach(file: &Path) -> String {
    let file = file.to_str().unwrap();
    run("losetup", &["--find", "--show", "--direct-io=on", file])
        .trim()
        .to_owned()
}

/// The kind and all the words of a failure.
#[track_caller]
pub(crate) fn refusal<T>(result: Result<T, convoy_engine::Error>) -> (Kind, String) {
    let Err(error) = result else {
        panic!("it was not refused")
    };
    let hint = error
        .hint()
        .map(|hint| format!(" [{hint}]"))
        .unwrap_or_default();
    (error.kind(), convoy_fault::chain(&error) + &hint)
}

/// A snapshot.
#[track_caller]
pub(crate) fn snapshot(engine: &Engine, volume: &str, snapshot: &str) -> SnapshotInfo {
    let (volume, snapshot) = (name::<VolumeName>(volume), name(snapshot));
    match engine.create_snapshot(&volume, Some(&snapshot), &Operation::silent()) {
        Ok(created) => created.into_inner(),
        Err(error) => panic!("{}", convoy_fault::chain(&error)),
    }
}

/// A volume, mounted at its own place under the root; where.
#[track_caller]
pub(crate) fn mount(engine: &Engine, volume: &str) -> PathBuf {
    match engine.mount_volume(&name(volume), None, &Operation::silent()) {
        Ok(volume) => volume.mountpoint.unwrap(),
        Err(error) => panic!("{}", convoy_fault::chain(&error)),
    }
}

/// A name in a test.
pub(crate) fn name<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().unwrap()
}

/// A volume, with its filesystem.
#[track_caller]
pub(crate) fn volume(engine: &Engine, volume: &str, size: Bytes) -> VolumeInfo {
    let request = convoy_engine::CreateVolume {
        name: Some(name::<VolumeName>(volume)),
        size: Some(size),
        ..convoy_engine::CreateVolume::default()
    };
    match engine.create_volume(&request, &Operation::silent()) {
        Ok(created) => created.into_inner(),
        Err(error) => panic!("{}", convoy_fault::chain(&error)),
    }
}

/// Writes bytes to a device, durably.
#[track_caller]
pub(crate) fn write_device(device: &Path, offset: u64, bytes: &[u8]) {
    let file = fs::OpenOptions::new().write(true).open(device).unwrap();
    file.write_all_at(bytes, offset).unwrap();
    file.sync_all().unwrap();
}

/// Damages a file: no byte of its middle half stays what it was. (A single byte may be one that no
/// reader needs: zstd's frames have unused bits.)
#[track_caller]
pub(crate) fn damage(file: &Path) {
    run("chmod", &["u+w", file.to_str().unwrap()]);
    let mut bytes = fs::read(file).unwrap();
    let quarter = bytes.len() / 4;
    for byte in &mut bytes[quarter..3 * quarter] {
        *byte ^= 0x40;
    }
    fs::write(file, bytes).unwrap();
}

/// What stands for all bytes of a device or file.
#[track_caller]
pub(crate) fn digest(path: &Path) -> String {
    run("sha256sum", &[path.to_str().unwrap()])[..64].to_owned()
}

/// The number of a device-mapper device, as tables name it.
pub(crate) fn dm_number(name: &str) -> String {
    let columns = [
        "info",
        "--columns",
        "--noheadings",
        "--separator",
        ":",
        "-o",
        "major,minor",
        name,
    ];
    run("dmsetup", &columns).trim().to_owned()
}

/// Thin devices that the pool has, by the kernel's own listing through Debian's tools.
pub(crate) fn thin_ids(engine: &Engine) -> Vec<String> {
    let pool = engine.info().unwrap().pool.name;
    let message = |text: &str| run("dmsetup", &["message", pool.as_str(), "0", text]);
    message("reserve_metadata_snap");
    let metadata = run("dmsetup", &["table", pool.as_str()]);
    let number = metadata.split_whitespace().nth(3).unwrap().to_owned();
    let node = fs::canonicalize(format!("/dev/block/{number}")).unwrap_or_else(|_| {
        PathBuf::from(format!("/dev/loop{}", number.split(':').nth(1).unwrap()))
    });
    let listed = run(
        "thin_ls",
        &["--no-headers", "-m", "-o", "DEV", node.to_str().unwrap()],
    );
    message("release_metadata_snap");
    listed.split_whitespace().map(str::to_owned).collect()
}

/// What a reboot takes down: mounts below the scratch folder, device-mapper devices, loop devices.
pub(crate) fn sweep() {
    mapper::unmount_below(Path::new(ROOT));
    mapper::sweep(Path::new(SCRATCH));
    if convoy_mount::mounted_at(Path::new(ROOT)).unwrap().is_some() {
        run("umount", &[ROOT]);
    }
}
