//! After every restart: finished or undone, nothing suspended, nothing leaked, everything acknowledged there and right.

use crate::expect::{Block, Expected, Known, Volume};
use crate::hook::{Died, Event};
use crate::verbs::DESTINATION;
use crate::world::{Host, World, lock};
use convoy_backup::MemoryDevice;
use convoy_engine::{SnapshotInfo, VolumeInfo, VolumeState};
use convoy_repository::{Impatient, OpenOptions, Repository};
use convoy_thinpool::Control;
use convoy_units::DevId;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl World {
    /// Starts what died, and looks at what it finds; now and then also what is well, or does not know what it has.
    pub(crate) fn restart_the_dead(self: &Arc<Self>) {
        for host in 0..self.hosts.len() {
            let doubts = self.host(host).expected().doubts();
            let again = self.random().below(if doubts { 3 } else { 12 }) == 0;
            if self.is_dead(host) || again {
                self.restart(host);
            }
        }
    }

    /// A new process, until one comes up.
    pub(crate) fn restart(self: &Arc<Self>, host: usize) {
        self.stop(host);
        for attempt in 0.. {
            let calm = attempt >= 3;
            if !calm {
                self.plan_opening(host);
            }
            self.story().event(host, "a process starts");
            self.story().count("openings");
            let planned = !self.host(host).plan().is_empty();
            let opened = catch_unwind(AssertUnwindSafe(|| self.open(host)));
            self.host(host).plan().clear();
            match opened {
                Ok(Ok(engine)) if !self.is_dead(host) => {
                    // One that had steps fail comes up and says what it could not do: the next does it.
                    let failed = self.host(host).faulted.load(Ordering::SeqCst);
                    self.opened(host, Some(engine).filter(|_| !failed));
                    if !failed {
                        break;
                    }
                }
                Ok(Err(error)) if !self.is_dead(host) && !planned => {
                    let error = convoy_fault::chain(&error);
                    self.violation(format!("host {host} does not open: {error}"));
                    return;
                }
                Err(payload) if !payload.is::<Died>() => {
                    self.violation(format!("host {host} panicked at its opening"));
                    return;
                }
                // Dead again, or kept from opening by what was planned.
                _ => self.opened(host, None),
            }
        }
        self.look(host);
    }

    /// Ends a process that is alive: in good order, or as it is.
    fn stop(&self, host: usize) {
        let engine = lock(&self.host(host).engine).take();
        let Some(engine) = engine.filter(|_| !self.is_dead(host)) else {
            return;
        };
        if self.random().one_in(3)
            && let Ok(engine) = Arc::try_unwrap(engine)
        {
            self.story().event(host, "it stops");
            if let Err(error) = engine.stop() {
                let error = convoy_fault::chain(&error);
                self.violation(format!("host {host} does not stop: {error}"));
            }
        }
    }

    fn plan_opening(&self, host: usize) {
        let mut random = self.random();
        let mut plan = Vec::new();
        for event in [Event::Kill, Event::PowerCut, Event::Fail] {
            if random.one_in(8) {
                plan.push((random.below(24), event));
            }
        }
        drop(random);
        *self.host(host).plan() = plan;
    }

    /// Compares all there is with what must be.
    fn look(&self, host: usize) {
        let state = self.host(host);
        let Some(engine) = state.engine() else { return };
        self.story().count("looks");
        let cut = state.cut.swap(false, Ordering::SeqCst);
        let (volumes, snapshots) = match (engine.volumes(), engine.snapshots(None)) {
            (Ok(volumes), Ok(snapshots)) => (volumes, snapshots),
            (Err(error), _) | (_, Err(error)) => {
                let error = convoy_fault::chain(&error);
                return self.violation(format!("host {host} does not list: {error}"));
            }
        };
        self.look_at_kernel(host, &volumes, &snapshots);
        let mut expected = state.expected();
        let mut problems = Vec::new();
        look_at_volumes(state, &mut expected, &volumes, cut, &mut problems);
        look_at_snapshots(self, state, &mut expected, &snapshots, &mut problems);
        drop(expected);
        for problem in problems {
            self.violation(format!("host {host}: {problem}"));
        }
    }

    fn look_at_kernel(&self, host: usize, volumes: &[VolumeInfo], snapshots: &[SnapshotInfo]) {
        let state = self.host(host);
        let say = |what: String| self.violation(format!("host {host}: {what}"));
        for listed in state.kernel.list().unwrap_or_default() {
            let info = state.kernel.info(&listed.name).ok().flatten();
            if info.is_some_and(|info| info.suspended || !info.live_table) {
                say(format!("{} is left suspended or half made", listed.name));
            }
        }
        let content = state.kernel.committed(&state.metadata).unwrap_or_default();
        if content.held.is_some() {
            say("the metadata snapshot is left reserved".to_owned());
        }
        if state.watch().intent {
            say("an intent is left pending".to_owned());
        }
        let mut known: BTreeSet<DevId> = volumes.iter().map(|volume| volume.dev_id).collect();
        known.extend(snapshots.iter().map(|snapshot| snapshot.dev_id));
        let found: BTreeSet<DevId> = content.thins.keys().copied().collect();
        if known != found {
            say(format!("the pool has {found:?}, the catalog {known:?}"));
        }
        let mounted: BTreeSet<_> = state
            .machine()
            .mounts
            .iter()
            .map(|m| m.target.clone())
            .collect();
        let told: BTreeSet<_> = volumes
            .iter()
            .filter_map(|v| v.mountpoint.clone())
            .collect();
        if mounted != told {
            say(format!("mounted is {mounted:?}, told is {told:?}"));
        }
    }

    /// Every backup is compared with the snapshot it is of, by who has nothing but the destination.
    pub(crate) fn look_at_backups(&self) {
        let options = OpenOptions {
            read_only: true,
            patience: Arc::new(Impatient),
            ..OpenOptions::default()
        };
        let store: Arc<dyn convoy_objectstore::ObjectStore> = self.store.clone();
        let repository = match Repository::open(store, &options) {
            Ok(repository) => repository,
            Err(error) => {
                if !self.backups().there.is_empty() {
                    let error = convoy_fault::chain(&error);
                    self.violation(format!("the repository does not open: {error}"));
                }
                return;
            }
        };
        let backups = self.backups().clone();
        let mut live = BTreeSet::new();
        for backup in repository.backups() {
            let url = format!(
                "{DESTINATION}?backup={}&volume={}",
                backup.name, backup.volume.name
            );
            self.story().count("backups compared");
            live.insert(url.clone());
            let Some(contents) = backups.contents.get(&backup.snapshot.id) else {
                self.violation(format!("{url} is of a snapshot that nobody knows"));
                continue;
            };
            let device = MemoryDevice::zeroed(backup.volume_size);
            if let Err(error) = convoy_backup::restore(&repository, &backup, &device, &()) {
                let error = convoy_fault::chain(&error);
                self.violation(format!("{url} cannot be restored: {error}"));
                continue;
            }
            let wanted: Vec<Vec<u8>> = contents.iter().map(|content| content.bytes()).collect();
            if device.content() != wanted.concat() {
                self.violation(format!("{url} holds something else than its snapshot"));
            }
        }
        for url in backups
            .there
            .keys()
            .filter(|url| !backups.doubtful.contains(*url))
        {
            if !live.contains(url) {
                self.violation(format!("{url} was acknowledged and is not there"));
            }
        }
        for url in backups.gone.intersection(&live) {
            self.violation(format!("{url} was deleted and is there"));
        }
    }

    /// The last look at everything.
    pub(crate) fn finish(self: &Arc<Self>) {
        for host in 0..self.hosts.len() {
            self.restart(host);
        }
        self.look_at_backups();
    }
}

impl Expected {
    fn doubts(&self) -> bool {
        let unknown = |known: &Known| *known == Known::Unknown;
        self.volumes
            .values()
            .any(|volume| unknown(&volume.known) || volume.mounted.is_none())
            || self
                .snapshots
                .values()
                .any(|snapshot| unknown(&snapshot.known))
    }
}

fn look_at_volumes(
    host: &Host,
    expected: &mut Expected,
    found: &[VolumeInfo],
    cut: bool,
    problems: &mut Vec<String>,
) {
    for info in found {
        let name = info.name.to_string();
        let Some(volume) = expected.volumes.get_mut(&name) else {
            problems.push(format!("volume {name} is there, and nobody made it"));
            continue;
        };
        if info.state != VolumeState::Ready {
            let why = info.problem.clone().unwrap_or_default();
            problems.push(format!("volume {name} is {:?}: {why}", info.state));
        }
        if volume.known == Known::There && volume.uuid != Some(info.uuid) {
            problems.push(format!("volume {name} is another one"));
        }
        if volume.uuid.is_none() {
            volume.uuid = Some(info.uuid);
            volume.identified();
        }
        volume.known = Known::There;
        let mounted = info.mountpoint.is_some();
        if volume.mounted.is_some_and(|expected| expected != mounted) {
            problems.push(format!("volume {name}: mounted is {mounted}"));
        }
        volume.mounted = Some(mounted);
        compare(host, info, volume, cut, problems);
    }
    expected.volumes.retain(|name, volume| {
        let there = found.iter().any(|info| info.name.as_str() == name);
        if !there && volume.known == Known::There {
            problems.push(format!("volume {name} was acknowledged and is not there"));
        }
        there
    });
}

fn compare(
    host: &Host,
    info: &VolumeInfo,
    volume: &mut Volume,
    cut: bool,
    problems: &mut Vec<String>,
) {
    for (number, block) in (0..).zip(&mut volume.blocks) {
        let bytes = host.kernel.peek(&host.metadata, info.dev_id, number);
        let bytes = bytes.as_deref();
        let old = block.before.iter().rev().filter(|_| cut);
        let found = std::iter::once(&block.now)
            .chain(old)
            .find(|content| content.is(bytes));
        match found.copied() {
            // What a power cut left is on the disk.
            Some(content) if cut => *block = Block::durable(content),
            Some(_) => (),
            None => problems.push(format!(
                "block {number} of volume {} should be {block:?}",
                info.name
            )),
        }
    }
}

fn look_at_snapshots(
    world: &World,
    host: &Host,
    expected: &mut Expected,
    found: &[SnapshotInfo],
    problems: &mut Vec<String>,
) {
    for info in found {
        let name = info.name.to_string();
        let Some(snapshot) = expected.snapshots.get_mut(&name) else {
            problems.push(format!("snapshot {name} is there, and nobody took it"));
            continue;
        };
        snapshot.known = Known::There;
        let Some(contents) = snapshot.contents.clone() else {
            problems.push(format!("snapshot {name} is there without a message"));
            continue;
        };
        for (number, content) in (0..).zip(&contents) {
            let bytes = host.kernel.peek(&host.metadata, info.dev_id, number);
            if !content.is(bytes.as_deref()) {
                problems.push(format!(
                    "block {number} of snapshot {name} should be {content:?}"
                ));
            }
        }
        world.backups().contents.insert(info.uuid, contents);
    }
    expected.snapshots.retain(|name, snapshot| {
        let there = found.iter().any(|info| info.name.as_str() == name);
        if !there && snapshot.known == Known::There {
            problems.push(format!("snapshot {name} was acknowledged and is not there"));
        }
        there
    });
}
