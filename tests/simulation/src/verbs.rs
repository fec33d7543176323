//! The verbs that chance calls, and what an answer tells.

use crate::content::Content;
use crate::expect::{Block, Known, Snapshot, Volume};
use crate::hook::{Died, Event};
use crate::world::{Frame, World};
use convoy_engine::{CreateVolume, Engine, Error, Operation, Point};
use convoy_fault::{Fault, Kind};
use convoy_names::{SnapshotName, SnapshotRef, VolumeName};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// The destination of all backups.
pub(crate) const DESTINATION: &str = "vfs:///sim/backups";
/// How many names there are for volumes, and for snapshots.
const NAMES: u64 = 3;
/// Blocks of a volume.
const BLOCKS: usize = 6;

/// What came of a verb.
pub(crate) enum Outcome<T> {
    Done(T),
    Refused(Error),
    /// Its process died: nobody heard an answer.
    Died,
}

/// A verb's answer, and whether it could be foretold.
pub(crate) struct Answer<T> {
    pub(crate) outcome: Outcome<T>,
    pub(crate) disturbed: bool,
}

fn frame(host: usize, volume: &str) -> Frame {
    Frame {
        host,
        volume: volume.to_owned(),
        taking: None,
        backup: false,
        pinned: false,
        disturbed: false,
    }
}

fn volume_name(name: &str) -> VolumeName {
    name.parse().expect("a letter and digits")
}

fn snapshot_ref(name: &str) -> SnapshotRef {
    SnapshotRef {
        volume: None,
        snapshot: name.parse().expect("a letter and digits"),
    }
}

impl World {
    /// Runs a verb to its end, or to that of its process.
    pub(crate) fn run<T>(
        &self,
        frame: Frame,
        what: &str,
        act: impl FnOnce(&Engine) -> Result<T, Error>,
    ) -> Answer<T> {
        let host = frame.host;
        let Some(engine) = self.host(host).engine() else {
            return Answer {
                outcome: Outcome::Died,
                disturbed: true,
            };
        };
        self.story().event(host, what);
        self.story().count("verbs");
        self.frames().push(frame);
        let result = catch_unwind(AssertUnwindSafe(|| act(&engine)));
        drop(engine);
        let frame = self.frames().pop();
        let outcome = match result {
            Err(payload) if !payload.is::<Died>() => {
                self.violation(format!("{what} panicked"));
                Outcome::Died
            }
            Err(_) => Outcome::Died,
            Ok(_) if self.is_dead(host) => Outcome::Died,
            Ok(Ok(value)) => Outcome::Done(value),
            Ok(Err(error)) => Outcome::Refused(error),
        };
        let ended = match &outcome {
            Outcome::Done(_) => "done".to_owned(),
            Outcome::Refused(error) => format!("refused: {}", convoy_fault::chain(error)),
            Outcome::Died => "died".to_owned(),
        };
        self.story().event(host, &format!("{what}: {ended}"));
        Answer {
            outcome,
            disturbed: frame.is_none_or(|frame| frame.disturbed),
        }
    }

    /// A refusal that nothing explains is a violation.
    fn unexpected<T>(&self, answer: &Answer<T>, what: &str) {
        if let Outcome::Refused(error) = &answer.outcome
            && !answer.disturbed
        {
            let error = convoy_fault::chain(error);
            self.violation(format!("{what} was refused: {error}"));
        }
    }

    /// Plans what will happen during the next verb of a host.
    pub(crate) fn plan(&self, host: usize, top: bool) {
        let mut random = self.random();
        let mut plan = Vec::new();
        let mut some =
            |one_in: u64, event: Event, within: u64, random: &mut crate::random::Random| {
                if random.one_in(one_in) {
                    plan.push((random.below(within), event));
                }
            };
        let rarer = if top { 1 } else { 4 };
        for event in Event::ALL {
            let (one_in, within) = match event {
                Event::Kill | Event::PowerCut => (11 * rarer, 40),
                Event::Fail => (10 * rarer, 30),
                Event::Interleave => (2 * rarer, 36),
                Event::Write => (2, 30),
                Event::Commit => (6, 30),
            };
            some(one_in, event, within, &mut random);
            some(one_in * 3, event, within, &mut random);
        }
        drop(random);
        *self.host(host).plan() = plan;
    }

    /// Another verb runs inside a step of one of this host's.
    pub(crate) fn interleave(&self, host: usize, point: &Point) {
        if self.frames().len() > 2 {
            return;
        }
        let store = ["put.", "delete.", "sync"];
        let at_store = store.iter().any(|word| point.step.starts_with(word));
        let quiet = ["mkfs", "fill", "mount", "umount", "flush"];
        let unlocked = at_store || quiet.contains(&point.step.as_str());
        let others: Vec<usize> = self
            .up()
            .into_iter()
            .filter(|other| unlocked && *other == host || !self.is_busy(*other) && *other != host)
            .collect();
        let picked = self.random().pick(&others).copied();
        let Some(other) = picked else { return };
        self.story().count("interleaved");
        self.disturb(host);
        let mut busy: Vec<String> = Vec::new();
        let mut backing_up = Vec::new();
        for frame in self.frames().iter().filter(|frame| frame.host == other) {
            if frame.backup && at_store {
                backing_up.push(frame.volume.clone());
            } else {
                busy.push(frame.volume.clone());
                busy.extend(frame.taking.clone());
            }
        }
        if other != host {
            self.plan(other, false);
        } else if self.random().one_in(3) && self.delete_what_is_read(host) {
            return;
        }
        self.step(other, &busy, &backing_up);
        if other != host {
            self.host(other).plan().clear();
        }
    }

    /// Somebody deletes the very snapshot that is being backed up.
    fn delete_what_is_read(&self, host: usize) -> bool {
        let frames = self.frames();
        let mut own = frames.iter().rev().filter(|frame| frame.host == host);
        let Some(frame) = own.next().filter(|frame| frame.backup).cloned() else {
            return false;
        };
        drop(frames);
        let expected = self.host(host).expected();
        let known = frame
            .taking
            .as_ref()
            .and_then(|name| expected.snapshots.get(name));
        let there = known.is_some_and(|snapshot| snapshot.known == Known::There);
        drop(expected);
        if there && let Some(name) = frame.taking {
            self.delete_this_snapshot(host, &name, &frame.volume);
        }
        there
    }

    /// Something by chance, with none of the volumes that are busy; tried a few times, since there may be nothing to
    /// do it with.
    pub(crate) fn step(&self, host: usize, busy: &[String], backing_up: &[String]) {
        let verbs = || self.story().counts.get("verbs").copied();
        let before = verbs();
        for _ in 0..4 {
            self.try_step(host, busy, backing_up);
            if verbs() != before {
                return;
            }
        }
    }

    fn try_step(&self, host: usize, busy: &[String], backing_up: &[String]) {
        let choice = self.random().below(20);
        let free = |name: &String| !busy.contains(name);
        match choice {
            0..=2 => self.create(host, &free),
            3..=5 => self.snapshot(host, &free),
            6..=9 => self.back_up(host, &|name| free(name) && !backing_up.contains(name)),
            10 => self.delete(host, &free),
            11 | 12 => self.delete_snapshot(host, &free),
            13 => self.mount(host, &free),
            14 => self.unmount(host, &free),
            15 => self.restore(host, &free),
            16 => self.delete_backup(host),
            17 => self.verify(host),
            _ => {
                for _ in 0..3 {
                    self.write_somewhere(host);
                }
                if self.random().one_in(3) {
                    self.commit(host);
                }
            }
        }
    }

    /// A volume's name that is free to be used, taken or not.
    fn name(&self, letter: char) -> String {
        format!("{letter}{}", self.random().below(NAMES))
    }

    /// A volume that is known to be there.
    fn volume(&self, host: usize, free: &dyn Fn(&String) -> bool) -> Option<String> {
        let expected = self.host(host).expected();
        let there = expected
            .volumes
            .iter()
            .filter(|(name, volume)| volume.known == Known::There && free(name));
        let names: Vec<String> = there.map(|(name, _)| name.clone()).collect();
        drop(expected);
        self.random().pick(&names).cloned()
    }

    /// A snapshot that is known to be there, and its volume.
    fn a_snapshot(&self, host: usize, free: &dyn Fn(&String) -> bool) -> Option<(String, String)> {
        let expected = self.host(host).expected();
        let there = expected
            .snapshots
            .iter()
            .filter(|(_, snapshot)| snapshot.known == Known::There && free(&snapshot.volume));
        let names: Vec<(String, String)> = there
            .map(|(name, snapshot)| (name.clone(), snapshot.volume.clone()))
            .collect();
        drop(expected);
        self.random().pick(&names).cloned()
    }

    fn create(&self, host: usize, free: &dyn Fn(&String) -> bool) {
        let name = self.name('v');
        if !free(&name) {
            return;
        }
        let mut blocks = vec![Block::durable(Content::Zero); BLOCKS];
        // Its identity is told by the answer.
        blocks.truncate(BLOCKS);
        let request = CreateVolume {
            name: Some(volume_name(&name)),
            ..CreateVolume::default()
        };
        self.make(host, &name, &request, blocks, true);
    }

    fn restore(&self, host: usize, free: &dyn Fn(&String) -> bool) {
        let name = self.name('v');
        let backups = self.backups();
        let there: Vec<_> = backups
            .there
            .iter()
            .filter(|(url, _)| !backups.doubtful.contains(*url))
            .map(|(url, snapshot)| (url.clone(), *snapshot))
            .collect();
        drop(backups);
        let picked = self.random().pick(&there).cloned();
        let Some((url, snapshot)) = picked.filter(|_| free(&name)) else {
            return;
        };
        let contents = self.backups().contents.get(&snapshot).cloned();
        let blocks = contents.unwrap_or_default();
        let blocks = blocks.into_iter().map(Block::durable).collect();
        let request = CreateVolume {
            name: Some(volume_name(&name)),
            backup: Some(url),
            ..CreateVolume::default()
        };
        self.make(host, &name, &request, blocks, false);
    }

    fn make(
        &self,
        host: usize,
        name: &str,
        request: &CreateVolume,
        blocks: Vec<Block>,
        own_head: bool,
    ) {
        let taken = self
            .host(host)
            .expected()
            .volumes
            .get(name)
            .map(|volume| volume.known);
        if taken == Some(Known::Unknown) {
            return;
        }
        if taken.is_none() {
            let volume = Volume {
                uuid: None,
                known: Known::Unknown,
                blocks,
                mounted: Some(false),
                own_head,
            };
            self.host(host)
                .expected()
                .volumes
                .insert(name.to_owned(), volume);
        }
        let what = match &request.backup {
            Some(url) => format!("create {name} of {url}"),
            None => format!("create {name}"),
        };
        let answer = self.run(frame(host, name), &what, |engine| {
            engine.create_volume(request, &Operation::silent())
        });
        let mut expected = self.host(host).expected();
        match &answer.outcome {
            Outcome::Done(_) if taken.is_some() => {
                self.violation(format!("{what} worked although there is one"));
            }
            Outcome::Done(made) => {
                let made = made.clone().into_inner();
                if let Some(volume) = expected.volumes.get_mut(name) {
                    volume.uuid = Some(made.uuid);
                    volume.known = Known::There;
                    volume.identified();
                }
            }
            Outcome::Refused(error) if taken.is_some() => {
                if error.kind() != Kind::Conflict && !answer.disturbed {
                    let error = convoy_fault::chain(error);
                    self.violation(format!("{what}: not the expected conflict: {error}"));
                }
            }
            Outcome::Refused(_) | Outcome::Died => {
                drop(expected);
                if request.backup.is_none() || !self.gone(request.backup.as_ref()) {
                    self.unexpected(&answer, &what);
                }
            }
        }
    }

    fn gone(&self, url: Option<&String>) -> bool {
        url.is_some_and(|url| !self.backups().there.contains_key(url))
    }

    fn delete(&self, host: usize, free: &dyn Fn(&String) -> bool) {
        let Some(name) = self.volume(host, free) else {
            return;
        };
        let what = format!("delete {name}");
        let pinned = self.is_pinned(host, &name);
        let mut expected = self.host(host).expected();
        let Some(volume) = expected.volumes.get_mut(&name) else {
            return;
        };
        volume.known = Known::Unknown;
        let mounted = volume.mounted;
        drop(expected);
        let answer = self.run(frame(host, &name), &what, |engine| {
            engine.delete_volume(&volume_name(&name), &Operation::silent())
        });
        match &answer.outcome {
            Outcome::Done(()) => {
                if mounted == Some(true) {
                    self.violation(format!("{what} worked although it is mounted"));
                }
                if pinned {
                    self.violation(format!("{what} worked although a backup reads it"));
                }
                let mut expected = self.host(host).expected();
                expected.volumes.remove(&name);
                expected
                    .snapshots
                    .retain(|_, snapshot| snapshot.volume != name);
            }
            Outcome::Refused(error) if error.kind() == Kind::Busy && !answer.disturbed => {
                if mounted == Some(false) && !pinned {
                    let error = convoy_fault::chain(error);
                    self.violation(format!("{what} was refused: {error}"));
                }
                if let Some(volume) = self.host(host).expected().volumes.get_mut(&name) {
                    volume.known = Known::There;
                }
            }
            _ => {
                self.unexpected(&answer, &what);
                let mut expected = self.host(host).expected();
                let snapshots = expected.snapshots.values_mut();
                for snapshot in snapshots.filter(|snapshot| snapshot.volume == name) {
                    snapshot.known = Known::Unknown;
                }
            }
        }
    }

    /// Whether a backup that runs on this host keeps this volume's snapshots.
    fn is_pinned(&self, host: usize, volume: &str) -> bool {
        let frames = self.frames();
        let mut backups = frames
            .iter()
            .filter(|frame| frame.host == host && frame.backup);
        backups.any(|frame| frame.pinned && frame.volume == volume)
    }

    fn snapshot(&self, host: usize, free: &dyn Fn(&String) -> bool) {
        let name = self.name('s');
        let Some(volume) = self.volume(host, free).filter(|_| free(&name)) else {
            return;
        };
        if self.host(host).expected().snapshots.contains_key(&name) {
            return;
        }
        let begun = Snapshot {
            volume: volume.clone(),
            known: Known::Unknown,
            contents: None,
        };
        self.host(host)
            .expected()
            .snapshots
            .insert(name.clone(), begun);
        let what = format!("snapshot {name} of {volume}");
        let taking = Frame {
            taking: Some(name.clone()),
            ..frame(host, &volume)
        };
        let answer = self.run(taking, &what, |engine| {
            let parsed: SnapshotName = name.parse().expect("a letter and digits");
            engine.create_snapshot(&volume_name(&volume), Some(&parsed), &Operation::silent())
        });
        if let Outcome::Done(made) = &answer.outcome {
            let made = made.clone().into_inner();
            let mut expected = self.host(host).expected();
            if let Some(snapshot) = expected.snapshots.get_mut(&name) {
                snapshot.known = Known::There;
                match &snapshot.contents {
                    Some(contents) => {
                        let contents = contents.clone();
                        self.backups().contents.insert(made.uuid, contents);
                    }
                    None => self.violation(format!("{what} worked without a message")),
                }
            }
        }
        self.unexpected(&answer, &what);
    }

    fn delete_snapshot(&self, host: usize, free: &dyn Fn(&String) -> bool) {
        if let Some((name, volume)) = self.a_snapshot(host, free) {
            self.delete_this_snapshot(host, &name, &volume);
        }
    }

    fn delete_this_snapshot(&self, host: usize, name: &str, volume: &str) {
        let mut expected = self.host(host).expected();
        if let Some(snapshot) = expected.snapshots.get_mut(name) {
            snapshot.known = Known::Unknown;
        }
        drop(expected);
        let pinned = self.is_pinned(host, volume);
        let read = self.frames().iter().any(|frame| {
            frame.host == host && frame.pinned && frame.taking.as_deref() == Some(name)
        });
        let what = format!("delete snapshot {name}");
        let answer = self.run(frame(host, volume), &what, |engine| {
            engine.delete_snapshot(&snapshot_ref(name), &Operation::silent())
        });
        let mut expected = self.host(host).expected();
        match &answer.outcome {
            Outcome::Done(()) => {
                expected.snapshots.remove(name);
                if read {
                    self.violation(format!("{what} worked although a backup reads it"));
                }
            }
            Outcome::Refused(error) if error.kind() == Kind::Busy && pinned => {
                if let Some(snapshot) = expected.snapshots.get_mut(name) {
                    snapshot.known = Known::There;
                }
            }
            _ => {
                drop(expected);
                self.unexpected(&answer, &what);
            }
        }
    }

    fn mount(&self, host: usize, free: &dyn Fn(&String) -> bool) {
        let Some(name) = self.volume(host, free) else {
            return;
        };
        let what = format!("mount {name}");
        let answer = self.mounting(host, &name, &what, |engine| {
            let name = volume_name(&name);
            engine
                .mount_volume(&name, None, &Operation::silent())
                .map(drop)
        });
        self.unexpected(&answer, &what);
        self.mounted(host, &name, &answer.outcome, true);
    }

    fn unmount(&self, host: usize, free: &dyn Fn(&String) -> bool) {
        let Some(name) = self.volume(host, free) else {
            return;
        };
        let what = format!("umount {name}");
        let answer = self.mounting(host, &name, &what, |engine| {
            engine.unmount_volume(&volume_name(&name), &Operation::silent())
        });
        self.unexpected(&answer, &what);
        self.mounted(host, &name, &answer.outcome, false);
    }

    fn mounting(
        &self,
        host: usize,
        name: &str,
        what: &str,
        act: impl FnOnce(&Engine) -> Result<(), Error>,
    ) -> Answer<()> {
        if let Some(volume) = self.host(host).expected().volumes.get_mut(name) {
            volume.mounted = None;
        }
        self.run(frame(host, name), what, act)
    }

    fn mounted(&self, host: usize, name: &str, outcome: &Outcome<()>, mounted: bool) {
        if matches!(outcome, Outcome::Done(()))
            && let Some(volume) = self.host(host).expected().volumes.get_mut(name)
        {
            volume.mounted = Some(mounted);
        }
    }

    fn back_up(&self, host: usize, free: &dyn Fn(&String) -> bool) {
        let Some((name, volume)) = self.a_snapshot(host, free) else {
            return;
        };
        let what = format!("back up {name} of {volume}");
        let backing_up = Frame {
            taking: Some(name.clone()),
            backup: true,
            ..frame(host, &volume)
        };
        let answer = self.run(backing_up, &what, |engine| {
            engine.create_backup(&snapshot_ref(&name), DESTINATION, &Operation::silent())
        });
        if let Outcome::Done(made) = &answer.outcome {
            let mut backups = self.backups();
            backups
                .there
                .insert(made.backup.url.clone(), made.backup.snapshot);
        }
        self.unexpected(&answer, &what);
    }

    /// A backup that is known to be there.
    fn a_backup(&self) -> Option<String> {
        let backups = self.backups();
        let there = backups
            .there
            .keys()
            .filter(|url| !backups.doubtful.contains(*url));
        let urls: Vec<String> = there.cloned().collect();
        drop(backups);
        self.random().pick(&urls).cloned()
    }

    fn delete_backup(&self, host: usize) {
        let Some(url) = self.a_backup() else { return };
        self.backups().doubtful.insert(url.clone());
        let what = format!("delete {url}");
        let answer = self.run(frame(host, ""), &what, |engine| {
            engine.delete_backup(&url, &Operation::silent())
        });
        if let Outcome::Done(()) = &answer.outcome {
            let mut backups = self.backups();
            backups.there.remove(&url);
            backups.gone.insert(url);
        }
        self.unexpected(&answer, &what);
    }

    fn verify(&self, host: usize) {
        let Some(url) = self.a_backup() else { return };
        let what = format!("verify {url}");
        let answer = self.run(frame(host, ""), &what, |engine| {
            engine.verify_backup(&url, &Operation::silent())
        });
        if let Outcome::Done(found) = &answer.outcome
            && let Some(problem) = found.problems.first()
        {
            self.violation(format!("{what}: {}: {}", problem.object, problem.what));
        }
        if !self.gone(Some(&url)) {
            self.unexpected(&answer, &what);
        }
    }
}

/// A world in which chance calls verbs, one after another.
pub(crate) fn play(world: &Arc<World>, verbs: u64) {
    for _ in 0..verbs {
        let all: Vec<usize> = (0..world.hosts.len()).collect();
        let picked = world.random().pick(&all).copied();
        let Some(host) = picked else { return };
        world.plan(host, true);
        world.step(host, &[], &[]);
        world.host(host).plan().clear();
        if !world.is_dead(host) && world.random().one_in(14) {
            world.cut_power(host);
        }
        world.restart_the_dead();
        if !world.story().violations.is_empty() {
            return;
        }
    }
}
