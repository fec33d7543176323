//! Playing a log forward from point to point, with a look at each.

use super::points::{self, Point};
use super::stack;
use crate::power::{Actor, Tell, Thorough, Told, is_sound_now, look, mounted_are_sound, raw};
use convoy_tests::log_writes::{self, Entry};
use convoy_tests::story::{Dice, World};
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Enough to see a pattern.
const MOST_VIOLATIONS: usize = 12;

/// Nobody needs to be told of a point.
struct Nobody;

impl Tell for Nobody {
    fn tell(&self, _: &str) {}
}

/// What came of it all.
#[derive(Debug, Default)]
pub(super) struct Score {
    points: usize,
    violations: Vec<String>,
}

impl Score {
    /// Fails if anything was found.
    pub(super) fn close(self) {
        println!("{} points", self.points);
        let violations = self.violations;
        assert!(violations.is_empty(), "{}", violations.join("\n"));
        assert!(self.points > 0, "nothing was looked at");
    }
}

/// A log and the device it is played onto.
struct Player {
    log: File,
    entries: Vec<Entry>,
    lines: Vec<String>,
    again: File,
    played: usize,
}

/// Plays one workload's log.
pub(super) fn run(number: usize, name: &str, seed: u64, most: usize, score: &mut Score) {
    let begin = Instant::now();
    let log = File::open(stack::log()).unwrap();
    let entries = log_writes::read(&log).unwrap();
    let (points, lines) = points::of(&entries);
    let again = File::options().write(true).open(stack::again()).unwrap();
    let mut player = Player {
        log,
        entries,
        lines,
        again,
        played: 0,
    };
    let all = points.len();
    let mut dice = Dice::new(seed << 32 | (number as u64) << 16);
    let picked = points::sample(points, most, seed);
    let (mut looked, mut parts, mut mended) = (0, 0, 0);
    for point in &picked {
        player.play(point.entry);
        let part = dice.below(2) == 1 && player.has_more(point);
        let result = catch_unwind(AssertUnwindSafe(|| player.look(point, part, &mut dice)));
        stack::discard();
        looked += 1;
        parts += usize::from(part);
        if let Ok(torn) = result {
            mended += usize::from(torn);
        } else {
            let violation = player.describe(name, seed, point, part);
            println!("VIOLATION {violation}");
            score.violations.push(violation);
        }
        if score.violations.len() >= MOST_VIOLATIONS {
            break;
        }
    }
    score.points += looked;
    let took = begin.elapsed().as_secs_f32();
    println!(
        "{name}: {looked} of {all} points, {parts} with a part of what followed, {mended} mended, {took:.1} s"
    );
}

impl Player {
    /// Does all up to and with this entry.
    fn play(&mut self, entry: usize) {
        for done in &self.entries[self.played..=entry] {
            log_writes::apply(&self.log, done, &self.again).unwrap();
        }
        self.played = entry + 1;
        self.again.sync_all().unwrap();
    }

    /// Whether anything was on its way.
    fn has_more(&self, point: &Point) -> bool {
        let more = &self.entries[point.entry + 1..point.next];
        more.iter().any(|entry| entry.len > 0)
    }

    /// Opens and looks; panics when something must not be. Returns whether the pool's metadata had to be mended.
    fn look(&self, point: &Point, part: bool, dice: &mut Dice) -> bool {
        let devices = stack::copied(|copy| {
            if part {
                self.play_part(point, copy, dice);
            }
        });
        let lines = self.lines[..point.told].iter().map(String::as_str);
        let world = World::after(lines).unwrap();
        let told = Arc::new(Told::new(world.clone(), Box::new(Nobody)));
        let torn = raw(&devices);
        let mut actor = Actor::new(devices, told, dice.clone());
        actor.open();
        let thorough = Thorough::One(point.entry as u64);
        let seen = look(&actor, thorough);
        if let Err(problems) = world.settle(&seen) {
            panic!("{}", problems.join("\n"));
        }
        mounted_are_sound(&actor, thorough);
        if torn {
            is_sound_now(&mut actor);
        }
        torn
    }

    /// Some of what was on its way.
    fn play_part(&self, point: &Point, copy: &Path, dice: &mut Dice) {
        let device = File::options().write(true).open(copy).unwrap();
        let salt = dice.below(u64::MAX);
        let keep = |block: u64| Dice::new(salt ^ block).below(2) == 0;
        for entry in &self.entries[point.entry + 1..point.next] {
            log_writes::apply_part(&self.log, entry, &device, keep).unwrap();
        }
        device.sync_all().unwrap();
    }

    /// Where it was, for who wants to see it again.
    fn describe(&self, name: &str, seed: u64, point: &Point, part: bool) -> String {
        let last = self.lines[..point.told].iter().rev().take(4);
        let last: Vec<&str> = last.map(String::as_str).collect();
        let (entry, of) = (point.entry, self.entries.len());
        let part = if part {
            " and a part of what followed"
        } else {
            ""
        };
        format!("{name}, seed {seed}: after entry {entry} of {of}{part}; told last: {last:?}")
    }
}
