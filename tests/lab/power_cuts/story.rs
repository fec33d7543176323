//! One guest's part of the story, and the table at its end.

use crate::power::{
    Actor, Busy, Devices, Tell, Thorough, Told, is_sound_now, look, make_destination,
    mounted_are_sound, raw,
};
use convoy_tests::command::{tool, word};
use convoy_tests::disk::disks;
use convoy_tests::mapper::SCRATCH;
use convoy_tests::story::{Dice, Verb, World};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is cut, in the order of the cuts, and about how many steps it has; a cut beyond the last falls later.
const CUTS: [(Verb, u64); 12] = [
    (Verb::Open, 16),
    (Verb::Snapshot, 20),
    (Verb::Create, 22),
    (Verb::Backup, 46),
    (Verb::Delete, 46),
    (Verb::Restore, 24),
    (Verb::DeleteSnapshot, 22),
    (Verb::Mount, 8),
    (Verb::Write, 18),
    (Verb::Restart, 38),
    (Verb::DeleteBackup, 8),
    (Verb::Unmount, 4),
];

/// Deeds between one cut and the next that nobody cuts.
const BETWEEN: [Verb; 6] = [
    Verb::Create,
    Verb::Write,
    Verb::Snapshot,
    Verb::Backup,
    Verb::Restore,
    Verb::Unmount,
];

/// How long the cut may take to come once it was called for.
const PATIENCE: Duration = Duration::from_mins(1);

/// The line of a serial port, which is read on the other side as long as there is power.
struct Line;

impl Tell for Line {
    fn tell(&self, line: &str) {
        let mut out = std::io::stdout().lock();
        // The test runner leaves its own line unfinished.
        writeln!(out, "\n@{line}").unwrap();
        out.flush().unwrap();
        // Until the kernel has handed it over, a cut would lose it.
        nix::sys::termios::tcdrain(&out).unwrap();
    }
}

/// What was told before, and who goes on.
pub(super) struct Story {
    before: Vec<String>,
    cuts: u64,
    wanted: u64,
    seed: u64,
    actor: Actor,
}

impl Story {
    pub(super) fn of_this_guest() -> Self {
        let file = std::env::var("CONVOY_TOLD");
        let file = file.expect("run by `cargo xtask test`, which cuts the power");
        let before = fs::read_to_string(file).unwrap();
        let before: Vec<String> = before.lines().map(str::to_owned).collect();
        let world = World::after(before.iter().map(String::as_str)).unwrap();
        let told = Arc::new(Told::new(world, Box::new(Line)));
        let cuts = before.iter().filter(|line| is_cut(line)).count() as u64;
        let seed = number("CONVOY_SEED").unwrap_or(1);
        let [root, metadata, data, ..] = &disks()[..] else {
            unreachable!("there are three")
        };
        let [root, metadata, data] = [root, metadata, data].map(Clone::clone);
        let devices = Devices {
            root,
            metadata,
            data,
        };
        Self {
            cuts,
            wanted: number("CONVOY_CUTS").unwrap_or(if is_torture() { 25 } else { 10 }),
            seed,
            actor: Actor::new(devices, told, Dice::new(seed << 32 | cuts)),
            before,
        }
    }

    /// Whether there were as many cuts as there should be.
    pub(super) fn is_over(&self) -> bool {
        self.cuts >= self.wanted
    }

    /// Everything is opened and looked at; it is told what became of what was cut.
    pub(super) fn look(&mut self) {
        if self.before.is_empty() {
            let words = ["-q", "-F", "-N", "16384", word(&self.actor.devices.root)];
            tool("mkfs.ext4", &words);
            raw(&self.actor.devices);
            return;
        }
        let begin = Instant::now();
        let torn = raw(&self.actor.devices);
        make_destination();
        self.actor.open();
        if torn {
            self.actor.told.tell("said the pool's metadata was torn");
            is_sound_now(&mut self.actor);
        }
        let thorough = if is_torture() || self.is_over() {
            Thorough::All
        } else {
            Thorough::One(self.cuts)
        };
        let seen = look(&self.actor, thorough);
        let world = self.actor.told.world().clone();
        let lines = world.settle(&seen);
        let lines = lines.unwrap_or_else(|problems| {
            panic!(
                "seed {}, cut {}:\n{}",
                self.seed,
                self.cuts,
                problems.join("\n")
            )
        });
        for line in lines {
            self.actor.told.tell(&line);
        }
        mounted_are_sound(&self.actor, thorough);
        let took = begin.elapsed().as_secs_f32();
        self.actor.told.tell(&format!("looked for {took:.1} s"));
    }

    /// Does this and that, and then what is to be cut.
    pub(super) fn go_on_until_the_cut(&mut self) -> ! {
        // The first opening comes once in a story.
        let (first, others) = (CUTS[0], &CUTS[1..]);
        let next = usize::try_from(self.cuts + self.seed).unwrap() % others.len();
        let is_first = self.before.is_empty();
        let (verb, steps) = if is_first { first } else { others[next] };
        let steps = self.actor.dice.below(steps);
        let hold = self.actor.dice.below(3) == 0;
        if is_first {
            make_destination();
            self.actor.cutter.arm(steps, hold);
            self.actor.open_first();
        }
        self.actor.make_busy();
        let busy = Busy::begin(&self.actor);
        for _ in 0..self.actor.dice.below(4) {
            self.actor.act_any(&BETWEEN);
        }
        // An opening happens in every guest; here it is one of a pool that was left in order.
        let verb = if verb == Verb::Open {
            Verb::Restart
        } else {
            verb
        };
        self.actor.prepare(verb);
        self.actor.cutter.arm(steps, hold);
        let begin = Instant::now();
        self.actor.act_any(&[verb]);
        while begin.elapsed() < PATIENCE {
            self.actor.act_any(&Verb::ALL);
        }
        drop(busy);
        panic!("the power was not cut")
    }

    /// Takes everything down and asks the judges once more; then the table.
    pub(super) fn close(mut self) {
        self.actor.stop();
        let devices = &self.actor.devices;
        nix::mount::umount(SCRATCH).unwrap();
        tool("thin_check", &[word(&devices.metadata)]);
        tool("e2fsck", &["-fn", word(&devices.root)]);
        for line in table(&self.before) {
            self.actor.told.tell(&format!("table {line}"));
        }
    }
}

/// In which verbs the cuts fell, and what became of them.
fn table(lines: &[String]) -> Vec<String> {
    let mut counts: BTreeMap<(String, &str), u32> = BTreeMap::new();
    let (mut open, mut cut) = (None, false);
    for line in lines {
        if is_cut(line) {
            cut = true;
        } else if let Some(deed) = line.strip_prefix("begin a ") {
            open = deed.split(' ').next();
        } else if line == "done a" {
            open = None;
        } else if let Some(how) = line.strip_prefix("settled a ") {
            let inside = open.take().unwrap_or("?").to_owned();
            *counts.entry((inside, how)).or_default() += u32::from(cut);
            cut = false;
        } else if line.starts_with("looked ") && cut {
            *counts.entry(("between".to_owned(), "")).or_default() += 1;
            cut = false;
        }
    }
    let rows = counts.into_iter();
    rows.map(|((verb, how), count)| format!("{verb} {how} {count}"))
        .collect()
}

fn is_cut(line: &str) -> bool {
    line.starts_with("cut ")
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn is_torture() -> bool {
    std::env::var_os("CONVOY_TORTURE").is_some()
}
