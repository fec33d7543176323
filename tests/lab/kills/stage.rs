//! What the verbs act on: one pool, a few small volumes whose content is known, a destination.

use super::hook::Hook;
use crate::verbs::{back_up, mount, name, restore, snapshot, volume};
use crate::world::{World, attach};
use convoy_engine::{Config, Engine, Seams, pool_options};
use convoy_thinpool::{KernelControl, loopdev};
use convoy_units::Bytes;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// Small: a filesystem is made, and backed up, in no time.
pub(crate) const SIZE: Bytes = Bytes::mib(16);
pub(crate) const POOL: &str = "convoy-pool";
/// Blocks of the file whose content is known.
const BLOCKS: u64 = 16;
const BLOCK: usize = 4096;

/// The world as one process sees it.
pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) hook: Arc<Hook>,
    pub(crate) control: KernelControl,
    engine: Option<Engine>,
    url: OnceLock<String>,
    config: OnceLock<Config>,
    /// What the verb is about, where that has to be looked for first.
    pub(crate) doomed: Option<String>,
}

impl Stage {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self {
            world: World { dir },
            hook: Arc::default(),
            control: KernelControl::open().unwrap(),
            engine: None,
            url: OnceLock::new(),
            config: OnceLock::new(),
            doomed: None,
        }
    }

    /// What the engine is opened with; loop devices over files, attached where they are not. Attached once: an
    /// opening must not come by there while system calls fail.
    fn config(&self) -> &Config {
        self.config.get_or_init(|| self.attached())
    }

    fn attached(&self) -> Config {
        let file = |of: &str| attach(&self.world.path(of));
        let options = [
            ("dm.datadev", file("data")),
            ("dm.metadatadev", file("metadata")),
            ("dm.thinpoolblocksize", "128".to_owned()),
        ];
        let mut config = Config::new(self.world.root());
        let options = options.map(|(key, value)| (key.to_owned(), value));
        config.pool = pool_options(&options).unwrap();
        config
    }

    /// Makes the pool's devices a little larger.
    pub(crate) fn widen(&self) {
        for (file, more) in [("data", Bytes::mib(1)), ("metadata", Bytes::kib(64))] {
            let file = self.world.path(file);
            let size = fs::metadata(&file).unwrap().len() + more.0;
            loopdev::extend(&file, Path::new(&attach(&file)), Bytes(size)).unwrap();
        }
    }

    /// What the pool's data device has room for.
    pub(crate) fn data_size(&self) -> Bytes {
        Bytes(fs::metadata(self.world.path("data")).unwrap().len())
    }

    pub(crate) fn seams(&self) -> Seams {
        self.try_seams().unwrap()
    }

    fn try_seams(&self) -> Result<Seams, convoy_engine::Error> {
        let mut seams = Seams::kernel()?;
        seams.failpoints = Some(Arc::clone(&self.hook) as _);
        Ok(seams)
    }

    /// Opens the engine, which must work when nothing stands in its way.
    #[track_caller]
    pub(crate) fn open(&mut self) {
        match self.try_open() {
            Ok(()) => (),
            Err(error) => panic!("it does not open: {}", convoy_fault::chain(&error)),
        }
    }

    pub(crate) fn try_open(&mut self) -> Result<(), convoy_engine::Error> {
        if self.engine.is_none() {
            self.engine = Some(Engine::open_with(self.config(), self.try_seams()?)?);
        }
        Ok(())
    }

    pub(crate) fn close(&mut self) {
        self.engine = None;
    }

    pub(crate) fn take(&mut self) -> Engine {
        self.engine.take().expect("it was opened")
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("it was opened")
    }

    /// Makes everything there is.
    pub(crate) fn set_up(&mut self) {
        for (file, size) in [("data", Bytes::mib(512)), ("metadata", Bytes::mib(8))] {
            let file = File::create(self.world.path(file)).unwrap();
            file.set_len(size.0).unwrap();
        }
        self.open();
        let engine = self.engine();
        volume(engine, "keep", SIZE);
        let target = mount(engine, "keep");
        self.write_generation(&target, 1);
        snapshot(engine, "keep", "b1");
        let url = back_up(engine, "b1", &self.world.dest()).backup.url;
        fs::write(self.world.path("url"), url).unwrap();
        self.write_generation(&target, 2);
        snapshot(engine, "keep", "b2");
        restore(engine, "m", &self.url());
    }

    /// The backup of generation 1. Read once: what a verb acts with must not be read while system calls fail.
    pub(crate) fn url(&self) -> String {
        let read = || fs::read_to_string(self.world.path("url")).unwrap();
        self.url.get_or_init(read).clone()
    }

    /// Writes the next generation to the mounted volume; it is acknowledged when this returns.
    pub(crate) fn next_generation(&self) {
        let target = self.engine().volume(&name("keep")).unwrap().mountpoint;
        self.write_generation(&target.unwrap(), self.generation() + 1);
    }

    fn write_generation(&self, target: &Path, generation: u64) {
        let path = target.join("generations");
        let options = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path);
        let file = options.unwrap();
        for block in 0..BLOCKS {
            file.write_all_at(&content(block, generation), block * BLOCK as u64)
                .unwrap();
        }
        file.sync_all().unwrap();
        let text = generation.to_string();
        fs::write(self.world.path("generation"), text).unwrap();
    }

    /// The generation that was acknowledged.
    pub(crate) fn generation(&self) -> u64 {
        let text = fs::read_to_string(self.world.path("generation")).unwrap();
        text.parse().unwrap()
    }
}

/// A block that says what it is.
fn content(block: u64, generation: u64) -> Vec<u8> {
    let mark = [block, generation].map(u64::to_le_bytes).concat();
    mark.iter().copied().cycle().take(BLOCK).collect()
}

/// The one generation of all blocks below a mount point.
#[track_caller]
pub(crate) fn read_generation(target: &Path) -> u64 {
    let bytes = fs::read(target.join("generations")).unwrap();
    let generation = u64::from_le_bytes(bytes[8..16].try_into().unwrap());
    let whole: Vec<u8> = (0..BLOCKS)
        .flat_map(|block| content(block, generation))
        .collect();
    assert!(
        bytes == whole,
        "blocks are of several generations, or of none"
    );
    generation
}
