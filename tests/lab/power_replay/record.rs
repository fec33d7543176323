//! A workload, with every write logged and every deed marked.

use super::stack;
use crate::power::{Actor, Busy, Tell, Told, make_destination, raw};
use convoy_tests::command::{tool, word};
use convoy_tests::mapper::SCRATCH;
use convoy_tests::story::{Dice, Verb, World};
use convoy_thinpool::KernelControl;
use std::sync::Arc;

/// Which deeds, and whether somebody writes to a volume meanwhile.
pub(super) struct Workload {
    pub(super) name: &'static str,
    pub(super) verbs: &'static [Verb],
    pub(super) busy: bool,
}

/// From here on, what is there was promised.
pub(super) const READY: &str = "ready";
/// The log is whole.
pub(super) const END: &str = "end";

struct Marks(KernelControl);

impl Tell for Marks {
    fn tell(&self, line: &str) {
        stack::mark(&self.0, line);
    }
}

/// `CONVOY_SEED`, or 1.
pub(super) fn seed() -> u64 {
    let given = std::env::var("CONVOY_SEED").ok();
    given.and_then(|seed| seed.parse().ok()).unwrap_or(1)
}

/// Runs it, from the first opening to the last closing.
pub(super) fn run(number: usize, workload: &Workload, seed: u64) {
    let devices = stack::logged();
    let words = ["-q", "-F", "-N", "2048", "-E", "nodiscard"];
    let words = [&words[..], &[word(&devices.root)]].concat();
    tool("mkfs.ext4", &words);
    raw(&devices);
    let marks = Box::new(Marks(KernelControl::open().unwrap()));
    let told = Arc::new(Told::new(World::default(), marks));
    let dice = Dice::new(seed << 32 | number as u64);
    let mut actor = Actor::new(devices, told, dice);
    make_destination();
    actor.told.tell(READY);
    actor.open_first();
    actor.make_busy();
    let busy = workload.busy.then(|| Busy::begin(&actor));
    for _ in 0..super::DEEDS {
        actor.act_any(workload.verbs);
    }
    drop(busy);
    actor.stop();
    nix::mount::umount(SCRATCH).unwrap();
    actor.told.tell(END);
    stack::discard();
}
