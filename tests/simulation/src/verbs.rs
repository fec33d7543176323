//! The verbs that chance calls, and what an answer tells.

mod backups;
mod snapshots;
mod volumes;

use crate::hook::{Died, Event};
use crate::world::{Frame, World};
use convoy_engine::{Engine, Error, Point};
use convoy_names::{SnapshotRef, VolumeName};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// The destination of all backups.
pub(crate) const DESTINATION: &str = "vfs:///sim/backups";
/// How many names there are for volumes, and for snapshots.
const NAMES: u64 = 3;

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
