//! The world of one seed: hosts with their kernels, one destination, what must hold, and what chance has planned.

use crate::content::Content;
use crate::control::{SimControl, block_size};
use crate::expect::{Backups, Expected};
use crate::hook::{Event, Hook};
use crate::machine::{MachineState, SimMachine};
use crate::planted::Planted;
use crate::random::Random;
use crate::story::Story;
use convoy_engine::{Config, Engine, Point, PoolConfig, Seams};
use convoy_objectstore::MemoryStore;
use convoy_thinpool::fake::FakeKernel;
use convoy_units::{Bytes, DevId};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Blocks of a pool's data device.
pub(crate) const DATA_BLOCKS: u64 = 1024;

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is seen of a host's requests from outside, for the rules they must keep.
#[derive(Default)]
pub(crate) struct Watch {
    /// Whether the catalog has an intent.
    pub(crate) intent: bool,
    /// Device ids that were ever given to the pool.
    pub(crate) made: BTreeSet<DevId>,
}

/// A machine with an engine.
pub(crate) struct Host {
    pub(crate) kernel: FakeKernel,
    pub(crate) metadata: PathBuf,
    pub(crate) data: PathBuf,
    pub(crate) root: PathBuf,
    dead: AtomicBool,
    opening: AtomicBool,
    pub(crate) engine: Mutex<Option<Arc<Engine>>>,
    machine: Mutex<MachineState>,
    watch: Mutex<Watch>,
    /// What happens, in so many steps.
    plan: Mutex<Vec<(u64, Event)>>,
    pub(crate) expected: Mutex<Expected>,
    /// Whether the power was cut since the last look.
    pub(crate) cut: AtomicBool,
    /// Whether a step of this process was made to fail.
    pub(crate) faulted: AtomicBool,
}

impl Host {
    pub(crate) fn watch(&self) -> MutexGuard<'_, Watch> {
        lock(&self.watch)
    }

    pub(crate) fn machine(&self) -> MutexGuard<'_, MachineState> {
        lock(&self.machine)
    }

    pub(crate) fn expected(&self) -> MutexGuard<'_, Expected> {
        lock(&self.expected)
    }

    pub(crate) fn is_opening(&self) -> bool {
        self.opening.load(Ordering::SeqCst)
    }

    pub(crate) fn engine(&self) -> Option<Arc<Engine>> {
        lock(&self.engine).clone()
    }

    pub(crate) fn plan(&self) -> MutexGuard<'_, Vec<(u64, Event)>> {
        lock(&self.plan)
    }
}

/// A verb that is running.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) host: usize,
    /// The volume it has to itself, or, for a backup, whose backups it has.
    pub(crate) volume: String,
    /// The snapshot that it takes.
    pub(crate) taking: Option<String>,
    pub(crate) backup: bool,
    /// The snapshot that a running backup keeps from being deleted.
    pub(crate) pinned: bool,
    /// Something in it was made to fail, or another verb came between: its answer is not foretold.
    pub(crate) disturbed: bool,
}

/// All there is.
pub(crate) struct World {
    pub(crate) planted: Option<Planted>,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) hosts: Vec<Host>,
    random: Mutex<Random>,
    pub(crate) frames: Mutex<Vec<Frame>>,
    pub(crate) backups: Mutex<Backups>,
    pub(crate) story: Mutex<Story>,
}

impl World {
    pub(crate) fn new(
        seed: u64,
        hosts: usize,
        directory: &std::path::Path,
        planted: Option<Planted>,
        telling: bool,
    ) -> Arc<Self> {
        let hosts = (0..hosts).map(|number| {
            let kernel = FakeKernel::new();
            let metadata = PathBuf::from(format!("/sim/{number}/metadata"));
            let data = PathBuf::from(format!("/sim/{number}/data"));
            kernel.add_device(metadata.clone(), Bytes::mib(16));
            kernel.add_device(data.clone(), Bytes(DATA_BLOCKS * block_size().bytes().0));
            Host {
                kernel,
                metadata,
                data,
                root: directory.join(number.to_string()),
                dead: AtomicBool::new(true),
                opening: AtomicBool::new(false),
                engine: Mutex::default(),
                machine: Mutex::default(),
                watch: Mutex::default(),
                plan: Mutex::default(),
                expected: Mutex::default(),
                cut: AtomicBool::new(false),
                faulted: AtomicBool::new(false),
            }
        });
        Arc::new(Self {
            planted,
            store: Arc::new(MemoryStore::new()),
            hosts: hosts.collect(),
            random: Mutex::new(Random::new(seed)),
            frames: Mutex::default(),
            backups: Mutex::default(),
            story: Mutex::new(Story::new(telling)),
        })
    }

    pub(crate) fn host(&self, host: usize) -> &Host {
        self.hosts.get(host).expect("hosts are numbered from 0")
    }

    pub(crate) fn random(&self) -> MutexGuard<'_, Random> {
        lock(&self.random)
    }

    pub(crate) fn story(&self) -> MutexGuard<'_, Story> {
        lock(&self.story)
    }

    pub(crate) fn frames(&self) -> MutexGuard<'_, Vec<Frame>> {
        lock(&self.frames)
    }

    pub(crate) fn backups(&self) -> MutexGuard<'_, Backups> {
        lock(&self.backups)
    }

    pub(crate) fn violation(&self, what: String) {
        self.story().violation(what);
    }

    pub(crate) fn is_dead(&self, host: usize) -> bool {
        self.host(host).dead.load(Ordering::SeqCst)
    }

    /// Whether a verb of this host is running.
    pub(crate) fn is_busy(&self, host: usize) -> bool {
        self.frames().iter().any(|frame| frame.host == host)
    }

    // -- what happens at a step

    /// A step is seen: what it tells of intents, pins and snapshots is kept.
    pub(crate) fn note(&self, host: usize, point: &Point) {
        self.story().step(host, point);
        let state = self.host(host);
        match (point.step.as_str(), point.done) {
            ("catalog.intent", true) => state.watch().intent = true,
            ("catalog.complete" | "catalog.abandon", true) => state.watch().intent = false,
            // Pinned before the metadata is read.
            ("dm.reserve_metadata_snap", false) => self.pinned(host, true),
            ("catalog.remove-pins", false) => self.pinned(host, false),
            ("dm.create_snap", true) => self.taken(host),
            _ => (),
        }
    }

    fn pinned(&self, host: usize, pinned: bool) {
        let mut frames = self.frames();
        let mut own = frames.iter_mut().rev().filter(|frame| frame.host == host);
        if let Some(frame) = own.next().filter(|frame| frame.backup) {
            frame.pinned = pinned;
        }
    }

    /// The message was sent that takes a snapshot: it holds what its volume holds now.
    fn taken(&self, host: usize) {
        let frames = self.frames();
        let mut own = frames.iter().rev().filter(|frame| frame.host == host);
        let Some(frame) = own.next() else { return };
        let mut expected = self.host(host).expected();
        let contents = expected
            .volumes
            .get(&frame.volume)
            .map(super::expect::Volume::contents);
        if let Some(name) = &frame.taking
            && let Some(snapshot) = expected.snapshots.get_mut(name)
        {
            snapshot.contents = contents;
        }
    }

    /// What is planned for this step.
    pub(crate) fn due(&self, host: usize) -> Vec<Event> {
        let mut plan = self.host(host).plan();
        let mut due = Vec::new();
        plan.retain_mut(|(steps, event)| {
            if *steps == 0 {
                due.push(*event);
                return false;
            }
            *steps -= 1;
            true
        });
        due
    }

    pub(crate) fn kill(&self, host: usize) {
        self.story().event(host, "the process is killed");
        self.story().count(if self.host(host).is_opening() {
            "deaths in an opening"
        } else {
            "deaths"
        });
        self.host(host).dead.store(true, Ordering::SeqCst);
        self.host(host).plan().clear();
    }

    /// What was not committed is lost; what was not synced at the destination too, unless another host is at
    /// work there.
    pub(crate) fn cut_power(&self, host: usize) {
        self.kill(host);
        self.story().event(host, "the power is cut");
        self.story().count("of them power cuts");
        let state = self.host(host);
        state.cut.store(true, Ordering::SeqCst);
        state.kernel.cut_power_keeping(|| self.random().one_in(2));
        let mut machine = state.machine();
        machine.mounts.clear();
        machine.boot += 1;
        drop(machine);
        let others = self.frames().iter().any(|frame| frame.host != host);
        if !others {
            let seed = self.random().next();
            self.store.power_cut(seed);
        }
    }

    pub(crate) fn faulted(&self, host: usize) {
        self.story().event(host, "this step fails");
        self.story().count("failed steps");
        self.host(host).faulted.store(true, Ordering::SeqCst);
        self.disturb(host);
    }

    pub(crate) fn disturb(&self, host: usize) {
        let mut frames = self.frames();
        for frame in frames.iter_mut().filter(|frame| frame.host == host) {
            frame.disturbed = true;
        }
    }

    pub(crate) fn commit(&self, host: usize) {
        let state = self.host(host);
        state.kernel.commit();
        for volume in state.expected().volumes.values_mut() {
            volume.flushed();
        }
        self.story().event(host, "all is flushed");
    }

    /// An application writes a block of a volume, or discards one.
    pub(crate) fn write_somewhere(&self, host: usize) {
        let state = self.host(host);
        let there = |volume: &crate::expect::Volume| {
            let known = volume.known == crate::expect::Known::There;
            volume
                .uuid
                .filter(|_| known)
                .map(|uuid| (uuid, volume.blocks.len()))
        };
        let volumes: Vec<_> = state
            .expected()
            .volumes
            .iter()
            .filter_map(|(name, volume)| Some((name.clone(), there(volume)?)))
            .collect();
        let (block, content) = {
            let mut random = self.random();
            let content = match random.below(8) {
                0 => Content::Zero,
                // Now and then what others hold too, so that there is something to deduplicate.
                1 => Content::Generation(random.below(3)),
                _ => Content::Generation(random.next()),
            };
            (random.next(), content)
        };
        let picked = self.random().pick(&volumes).cloned();
        let Some((name, (uuid, blocks))) = picked else {
            return;
        };
        let block = 1 + block % (blocks as u64).saturating_sub(1).max(1);
        let pool = "convoy-pool".parse().expect("letters and a dash");
        let device = convoy_thinpool::thin_name(&pool, uuid).expect("it is short");
        let done = match content {
            Content::Zero => state.kernel.discard_blocks(&device, block, block + 1),
            _ => state
                .kernel
                .write_block(&device, block, Some(&content.bytes())),
        };
        if done.is_err() {
            return;
        }
        let index = usize::try_from(block).unwrap_or(usize::MAX);
        if let Some(volume) = state.expected().volumes.get_mut(&name) {
            volume.write(index, content);
        }
        self.story().event(
            host,
            &format!("block {block} of {name} becomes {content:?}"),
        );
    }

    // -- processes

    /// Starts a process: an engine over what the last one left.
    pub(crate) fn open(self: &Arc<Self>, host: usize) -> Result<Engine, convoy_engine::Error> {
        let state = self.host(host);
        state.dead.store(false, Ordering::SeqCst);
        state.faulted.store(false, Ordering::SeqCst);
        state.opening.store(true, Ordering::SeqCst);
        state.machine().image = None;
        let world = || Arc::downgrade(self);
        let mut seams = Seams::over(Arc::new(SimControl {
            world: world(),
            host,
            kernel: state.kernel.clone(),
        }));
        seams.machine = Arc::new(SimMachine {
            world: world(),
            host,
            kernel: state.kernel.clone(),
        });
        seams.failpoints = Some(Arc::new(Hook {
            world: world(),
            host,
        }));
        let mut config = Config::new(&state.root);
        config.pool = PoolConfig {
            data: Some(state.data.clone()),
            metadata: Some(state.metadata.clone()),
            block_size: Some(block_size()),
            default_volume_size: Some(Bytes(6 * block_size().bytes().0)),
            ..PoolConfig::default()
        };
        Engine::open_with(&config, seams)
    }

    /// The opening is over: it came up, or did not.
    pub(crate) fn opened(&self, host: usize, engine: Option<Engine>) {
        let state = self.host(host);
        state.opening.store(false, Ordering::SeqCst);
        *lock(&state.engine) = engine.map(Arc::new);
    }

    /// Who has an engine that answers.
    pub(crate) fn up(&self) -> Vec<usize> {
        let all = 0..self.hosts.len();
        all.filter(|host| !self.is_dead(*host) && self.host(*host).engine().is_some())
            .collect()
    }
}
