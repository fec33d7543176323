//! Pools that run full: refused in time, emptied, grown, and what it does to who writes meanwhile.

mod data;
mod many;
mod metadata;
mod writers;

use crate::faulty::device::Device;
use crate::world::World;
use convoy_engine::Engine;
use convoy_tests::disk::disks;
use convoy_units::Bytes;
use std::fs;

/// How long writers wait for space, in seconds; a module parameter of the kernel.
const PATIENCE: &str = "/sys/module/dm_thin_pool/parameters/no_space_timeout";

/// Sets the kernel's patience, and sets it back at the end.
struct Patience(String);

impl Patience {
    fn seconds(seconds: &str) -> Self {
        let before = fs::read_to_string(PATIENCE).unwrap();
        fs::write(PATIENCE, seconds).unwrap();
        Self(before)
    }
}

impl Drop for Patience {
    fn drop(&mut self) {
        fs::write(PATIENCE, &self.0).unwrap();
    }
}

/// A pool over devices that can be made longer.
struct Pool {
    world: World,
    data: Device,
    metadata: Device,
    engine: Engine,
}

impl Pool {
    #[track_caller]
    fn new(test: &str, data: Bytes, metadata: Bytes) -> Self {
        let world = World::new(test);
        let [_, data_disk, metadata_disk] = &disks()[..] else {
            panic!("three disks")
        };
        let data = Device::new("lab-data", data_disk, Bytes(0), data);
        let metadata = Device::new("lab-metadata", metadata_disk, Bytes(0), metadata);
        let engine = world.open(&[
            ("dm.datadev", data.word()),
            ("dm.metadatadev", metadata.word()),
            ("dm.thinpoolblocksize", "128"),
        ]);
        Self {
            world,
            data,
            metadata,
            engine,
        }
    }

    /// The pool's mode, as `info` says it.
    fn mode(&self) -> String {
        self.engine.info().unwrap().pool.mode
    }

    /// What was said of it so far.
    fn said(&self) -> String {
        let events = self.engine.pool_events();
        let lines: Vec<String> = events.into_iter().map(|event| event.what).collect();
        lines.join("\n")
    }
}
