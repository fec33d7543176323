//! Which calls of a verb are ended, and what came of it.

use super::calls::{Asked, CALLS, Call, End};
use super::strace::{Seen, Trace};
use crate::kills::parent::{Battery, resume_all};
use crate::kills::process::Did;
use crate::kills::verb::Verb;
use crate::kills::worker::NO_CHANGES;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

/// The whole sweep.
pub(super) struct Sweep {
    battery: Battery,
    torture: bool,
    asked: Asked,
    /// By verb, call and end.
    rows: BTreeMap<(&'static str, &'static str, End), Row>,
    /// Chooses the sample.
    chosen: u64,
}

/// What came of one call, one end, at each of its places.
#[derive(Debug, Default)]
struct Row {
    finished: u32,
    undone: u32,
    /// Of those two, in which the engine's process died.
    died: u32,
}

impl Row {
    fn points(&self) -> u32 {
        self.finished + self.undone
    }
}

/// One place to end a verb at.
struct Point {
    verb: Verb,
    call: Call,
    end: End,
    nth: u32,
}

impl Point {
    fn describe(&self) -> String {
        let Self {
            verb,
            call,
            end,
            nth,
        } = self;
        format!("{}: {} number {nth} {end}", verb.word(), call.name)
    }
}

impl Sweep {
    pub(super) fn new(battery: Battery) -> Self {
        Self {
            battery,
            torture: std::env::var_os("CONVOY_TORTURE").is_some(),
            asked: Asked::new(),
            rows: BTreeMap::new(),
            chosen: 0,
        }
    }

    /// Ends one verb at its calls.
    pub(super) fn fight(&mut self, verb: Verb) {
        if !self.asked.verb(verb) {
            return;
        }
        let (begin, before) = (Instant::now(), self.points());
        let made = self.note(verb).most;
        for call in CALLS {
            let Some(&most) = made.get(call.name) else {
                continue;
            };
            if !self.asked.call(call) {
                continue;
            }
            let point = |end, nth| Point {
                verb,
                call: *call,
                end,
                nth,
            };
            let ends = call.ends.iter().copied();
            let ends: Vec<End> = ends.filter(|end| self.asked.end(*end)).collect();
            if self.torture {
                for end in ends {
                    let wanted = (1..=most).take(crate::points::most_points());
                    let met = wanted.take_while(|nth| self.end(&point(end, *nth)));
                    let met = met.count();
                    println!("{}: {} {end}: {met} of {most}", verb.word(), call.name);
                }
            } else if !ends.is_empty() {
                let end = ends[self.choose(ends.len()) - 1];
                let nth = self.choose(most as usize);
                self.end(&point(end, u32::try_from(nth).expect("it was counted")));
            }
        }
        self.battery.must("judge");
        let (points, took) = (self.points() - before, begin.elapsed().as_secs_f32());
        println!(
            "{}: {points} points in {took:.1} s; calls {made:?}",
            verb.word()
        );
    }

    /// Runs the verb to its end, and counts.
    fn note(&mut self, verb: Verb) -> Seen {
        let calls: Vec<&str> = CALLS.iter().map(|call| call.name).collect();
        self.battery.must(&format!("prepare {}", verb.word()));
        let trace = self.attach(&calls, None);
        let said = self.battery.must(&format!("act {}", verb.word()));
        let seen = trace.detach();
        assert_eq!(said[0], "ended well", "{}", verb.word());
        self.battery.must(&format!("go-on {}", verb.word()));
        self.battery.must(&format!("settled {}", verb.word()));
        seen
    }

    fn attach(&mut self, calls: &[&str], inject: Option<&str>) -> Trace {
        let pid = self.battery.worker().pid();
        Trace::attach(pid, calls, inject, &PathBuf::from("/tmp/strace"))
    }

    /// One of so many, from 1, another each time: multiples of the golden ratio, whose fractions lie evenly.
    fn choose(&mut self, of: usize) -> usize {
        self.chosen = self.chosen.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let part = (u128::from(self.chosen) * of as u128) >> 64;
        1 + usize::try_from(part).expect("it is below `of`")
    }

    /// Ends the verb at this point. Whether the point was met.
    fn end(&mut self, point: &Point) -> bool {
        let (what, verb) = (point.describe(), point.verb.word());
        self.battery.must(&format!("prepare {verb}"));
        let trace = self.attach(&[point.call.name], Some(&point.end.inject(point.nth)));
        let did = self.battery.order(&format!("act {verb}"));
        let seen = trace.detach().injected;
        let injected = seen.or_else(|| (did == Did::Killed).then(|| "it died".to_owned()));
        let how = match &did {
            Did::Said(lines) => lines.join("; "),
            Did::Killed if point.end == End::Kill => String::new(),
            Did::Killed | Did::Broke => {
                self.battery
                    .violation(&what, &format!("the process broke: {injected:?}"));
                return true;
            }
        };
        if injected
            .as_ref()
            .is_some_and(|call| call.contains("FIONBIO"))
        {
            // The standard library panics when a pipe does not become non-blocking, which the kernel never refuses.
            self.battery.must(&format!("go-on {verb}"));
            return true;
        }
        if how.contains("is still suspended") {
            // What resumes for good failed: a daemon's guard, a process of its own, does it then.
            resume_all();
        }
        if let Did::Said(_) = did {
            let went_on = self.battery.order(&format!("go-on {verb}"));
            let is_well = match &went_on {
                // Nothing but an fsync leaves in doubt what is durable.
                Did::Said(lines) => {
                    point.call.name.contains("sync") || !lines.iter().any(|l| l == NO_CHANGES)
                }
                _ => false,
            };
            if !is_well || how.contains("panicked") {
                let why = format!("it does not go on: {went_on:?}: {how}; {injected:?}");
                self.battery.violation(&what, &why);
                return true;
            }
        }
        let outcome = match self.battery.order(&format!("settled {verb}")) {
            Did::Said(mut lines) => lines.pop().expect("it said something"),
            did => {
                let why = format!("after it, {did:?}: {how}; {injected:?}");
                self.battery.violation(&what, &why);
                return true;
            }
        };
        if how.contains("ended well") && outcome == "undone" {
            self.battery
                .violation(&what, "it ended well, and was undone");
        }
        if injected.is_none() {
            return false;
        }
        if std::env::var_os("CONVOY_SYSCALLS_TELL").is_some() {
            println!("{what}: {outcome}: {how}");
        }
        let row = self
            .rows
            .entry((verb, point.call.name, point.end))
            .or_default();
        match outcome.as_str() {
            "finished" => row.finished += 1,
            _ => row.undone += 1,
        }
        row.died += u32::from(did == Did::Killed);
        true
    }

    fn points(&self) -> u32 {
        self.rows.values().map(Row::points).sum()
    }

    /// Prints what came of it.
    pub(super) fn close(self) {
        for ((verb, call, end), row) in &self.rows {
            let (finished, undone, died) = (row.finished, row.undone, row.died);
            let end = end.to_string();
            println!(
                "{verb:<16}{call:<12}{end:<24}{finished:>5} finished{undone:>5} undone{died:>5} died"
            );
        }
        println!("{} points", self.points());
        self.battery.nothing_was_violated();
        assert!(self.points() > 0, "nothing was made to happen");
    }
}
