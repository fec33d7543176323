//! Every verb ended at every step: killed, panicking, failing; then a new opening, and everything must hold.
//!
//! The verbs run in processes of this very program (`worker`), which die where they are told to; the next one
//! opens the same root and looks (`check`). What the steps are is not written down here: each verb is run once
//! to the end, and the points it reached are those it is ended at.

pub(crate) mod check;
pub(crate) mod engines;
pub(crate) mod hook;
pub(crate) mod parent;
pub(crate) mod process;
pub(crate) mod reshape;
pub(crate) mod stage;
mod table;
pub(crate) mod verb;
pub(crate) mod worker;

use crate::world::World;
use parent::Battery;
use verb::Verb;

/// Every verb at every step.
///
/// Only kills, unless `CONVOY_TORTURE` is set: a process that panics or gets an error goes through the
/// same recovery with less lost.
#[test]
fn every_verb_ends_well_wherever_it_is_ended() {
    if worker::plays_a_part() {
        return;
    }
    let world = World::new("kills");
    let mut battery = Battery::new(world, "kills::every_verb_ends_well_wherever_it_is_ended");
    for verb in Verb::ALL {
        battery.fight(verb);
    }
    // The recovery of the worst of them is a verb as well.
    battery.fight_recovery(Verb::Create, "after dm.create_thin 1");
    battery.fight_recovery(Verb::Snapshot, "after dm.create_snap 1");
    battery.fight_recovery(Verb::DeleteSnapshot, "after dm.delete 1");
    battery.fight_recovery(Verb::Backup, "after dm.resume 1");
    let rollback = Verb::Reshape(reshape::Reshape::RollBack);
    battery.fight_recovery(rollback, "after dm.set_transaction_id 1");
    battery.close();
}
