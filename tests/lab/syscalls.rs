//! Every verb with one of its system calls killed or failed: the steps between the engine's own, which are
//! `SQLite`'s, the standard library's and those of programs it starts.
//!
//! `strace -e inject` is put on the worker of `kills` for the length of one verb; then the same is looked at as
//! there. strace counts calls for each thread: the Nth call of every thread (and child) fails, and the first
//! thread that comes to its Nth is the one whose process is killed, before the call is carried out.

mod calls;
mod strace;
mod sweep;

use crate::kills::parent::Battery;
use crate::kills::verb::Verb;
use crate::kills::worker;
use crate::world::World;
use sweep::Sweep;

/// The verbs that are tried.
const VERBS: [Verb; 10] = [
    Verb::Create,
    Verb::Snapshot,
    Verb::Backup,
    Verb::Restore,
    Verb::Open,
    Verb::Mount,
    Verb::Unmount,
    Verb::Delete,
    Verb::DeleteSnapshot,
    Verb::DeleteBackup,
];

/// A sample, unless `CONVOY_TORTURE` is set: then every call, from the first of its kind to as many as the verb
/// made when nothing stood in its way. (Further on there would be no end: a repository's log grows with every try.)
#[test]
fn every_verb_ends_well_whichever_system_call_is_killed_or_fails() {
    if worker::plays_a_part() {
        return;
    }
    let test = "syscalls::every_verb_ends_well_whichever_system_call_is_killed_or_fails";
    let mut sweep = Sweep::new(Battery::new(World::new("syscalls"), test));
    for verb in VERBS {
        sweep.fight(verb);
    }
    sweep.close();
}
