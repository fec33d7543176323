//! The engine over models of the kernel, the machine and the destination, with crashes anywhere.
//!
//! What runs is real: the engine, the catalog (`SQLite` on a file), the reader of thin metadata, the diff, the backup
//! pipeline, the repository with its fold. What it runs on is a model: [`convoy_thinpool::fake::FakeKernel`] with the
//! bytes of its data blocks, filesystems of one block, and a destination in memory; one or two hosts share it. One seed
//! is one history: chance calls verbs, and at any step of them (an ioctl, a catalog transaction, a request, a mount) lets
//! the process die, the power go, the step fail or its answer be lost, somebody write, or another verb run from begin to
//! end in between. After each restart everything is compared with what was acknowledged. The same seed does the same.
//!
//! `docs/decisions/0013-simulation.md` has the reasons.

mod check;
mod content;
mod control;
mod expect;
mod hook;
mod image;
mod machine;
mod planted;
mod random;
mod store;
mod story;
mod verbs;
mod world;

pub use image::image;
pub use planted::Planted;

use std::collections::BTreeMap;
use std::path::Path;
use world::World;

/// What came of a seed.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The same for the same seed.
    pub digest: u64,
    /// What must not be, and was; empty if all is well.
    pub violations: Vec<String>,
    /// What happened, line by line, if it was asked for.
    pub story: Vec<String>,
    /// How often what happened.
    pub counts: BTreeMap<&'static str, u64>,
}

/// How a seed is run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// A mistake to make.
    pub planted: Option<Planted>,
    /// Whether to tell what happens.
    pub telling: bool,
}

/// Runs one seed in this directory, which should be in memory: what is lost there is lost to all.
///
/// # Panics
/// When the directory cannot be used.
pub fn run(seed: u64, directory: &Path, options: Options) -> Outcome {
    let directory = tempfile::tempdir_in(directory).expect("a directory for the seed");
    let hosts = if seed.is_multiple_of(3) { 2 } else { 1 };
    let world = World::new(
        seed,
        hosts,
        directory.path(),
        options.planted,
        options.telling,
    );
    for host in 0..hosts {
        world.restart(host);
    }
    let verbs = 6 + world.random().below(12);
    verbs::play(&world, verbs);
    if world.story().violations.is_empty() {
        world.finish();
    }
    for host in &world.hosts {
        drop(world::lock(&host.engine).take());
    }
    let story = world.story();
    Outcome {
        digest: story.digest(),
        violations: story.violations.clone(),
        story: story.lines.clone(),
        counts: story.counts.clone(),
    }
}
