//! Devices that fail, lie, are slow or go away: below the pool's data, its metadata, and the state directory.

pub(crate) mod device;

mod below_data;
mod below_metadata;
mod below_state;
mod lying;

use crate::world::World;
use convoy_engine::Engine;
use convoy_tests::disk::disks;
use convoy_units::Bytes;
use device::Device;
use std::time::{Duration, Instant};

/// A pool, and a state directory, over devices that can be made faulty.
struct Stage {
    world: World,
    data: Device,
    metadata: Device,
    state: Device,
}

impl Stage {
    #[track_caller]
    fn new(test: &str) -> Self {
        let world = World::new(test);
        let [_, first, second] = &disks()[..] else {
            panic!("three disks")
        };
        let stage = Self {
            data: Device::new("lab-data", first, Bytes(0), Bytes::mib(512)),
            metadata: Device::new("lab-metadata", second, Bytes(0), Bytes::mib(16)),
            state: Device::new("lab-state", second, Bytes::mib(64), Bytes::mib(64)),
            world,
        };
        convoy_tests::disk::mount_scratch(&stage.state.node, &stage.make_root());
        stage
    }

    fn make_root(&self) -> std::path::PathBuf {
        let root = self.world.root();
        std::fs::create_dir_all(&root).unwrap();
        root
    }

    fn options(&self) -> [(&str, &str); 3] {
        [
            ("dm.datadev", self.data.word()),
            ("dm.metadatadev", self.metadata.word()),
            ("dm.thinpoolblocksize", "128"),
        ]
    }

    #[track_caller]
    fn open(&self) -> Engine {
        self.world.open(&self.options())
    }

    /// As flags of the daemon.
    fn flags(&self) -> Vec<String> {
        self.options()
            .iter()
            .flat_map(|(key, value)| ["--driver-opts".to_owned(), format!("{key}={value}")])
            .collect()
    }
}

/// Looks after the pool until its mode is none of these.
#[track_caller]
fn leaves(engine: &Engine, modes: &[&str]) -> (String, Duration) {
    let begin = Instant::now();
    loop {
        let pause = engine.look_after_pool();
        let mode = engine.info().unwrap().pool.mode;
        if !modes.contains(&mode.as_str()) {
            return (mode, begin.elapsed());
        }
        let elapsed = begin.elapsed();
        assert!(elapsed < Duration::from_secs(20), "it is {mode} still");
        std::thread::sleep(pause);
    }
}
