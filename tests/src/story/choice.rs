//! Which deed comes next: by chance, the same for the same seed, and always one that can be done.

use super::deed::{Deed, Verb};
use super::world::World;
use std::collections::BTreeMap;

/// The volume that a second hand writes to all the time.
pub const BUSY: &str = "v0";

const MOST_VOLUMES: usize = 4;
const MOST_SNAPSHOTS: usize = 5;
const MOST_BACKUPS: usize = 4;

/// A source of choices that is the same for the same seed (splitmix64).
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The choices of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `n`, which is not 0.
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    /// One of these; none of none.
    pub fn one_of<T: Clone>(&mut self, of: &[T]) -> Option<T> {
        let count = u64::try_from(of.len()).unwrap_or(u64::MAX).max(1);
        let index = usize::try_from(self.below(count)).unwrap_or(0);
        of.get(index).cloned()
    }
}

/// The next deed: any of these verbs, or what it needs first.
pub fn choose(world: &World, verbs: &[Verb], dice: &mut Dice) -> Deed {
    let verb = dice.one_of(verbs).unwrap_or(Verb::Restart);
    toward(world, verb, dice)
}

/// This verb if it can be done, else what it needs first.
pub fn toward(world: &World, verb: Verb, dice: &mut Dice) -> Deed {
    let fresh = |letter: &str| format!("{letter}{}", world.next());
    let (mounted, unmounted) = volumes(world);
    let snapshots: Vec<&String> = world.snapshots.keys().collect();
    let backups: Vec<&String> = world.backups.keys().collect();
    let room = world.volumes.len() < MOST_VOLUMES;
    let deed = match verb {
        Verb::Open | Verb::Restart => Some(Deed::new(Verb::Restart, "-", "-")),
        Verb::Create if !room => None,
        Verb::Create => Some(Deed::new(verb, &fresh("v"), "-")),
        Verb::Restore if !room => return toward(world, Verb::Delete, dice),
        Verb::Restore => dice
            .one_of(&backups)
            .map(|b| Deed::new(verb, &fresh("v"), b)),
        Verb::Delete | Verb::Mount => dice.one_of(&unmounted).map(|v| Deed::new(verb, v, "-")),
        Verb::Unmount => dice.one_of(&mounted).map(|v| Deed::new(verb, v, "-")),
        Verb::Write => {
            let generation = world.next().to_string();
            dice.one_of(&mounted)
                .map(|v| Deed::new(verb, v, &generation))
        }
        Verb::Snapshot if snapshots.len() >= MOST_SNAPSHOTS => None,
        Verb::Snapshot => {
            let all: Vec<&String> = world.volumes.keys().collect();
            dice.one_of(&all).map(|v| Deed::new(verb, &fresh("s"), v))
        }
        Verb::DeleteSnapshot => dice.one_of(&snapshots).map(|s| Deed::new(verb, s, "-")),
        Verb::Backup if backups.len() >= MOST_BACKUPS => {
            return toward(world, Verb::DeleteBackup, dice);
        }
        Verb::Backup => {
            let mut new = snapshots.clone();
            new.retain(|snapshot| !world.backups.contains_key(*snapshot));
            dice.one_of(&new).map(|s| Deed::new(verb, s, "-"))
        }
        Verb::DeleteBackup => dice.one_of(&backups).map(|b| Deed::new(verb, b, "-")),
    };
    deed.unwrap_or_else(|| toward(world, first(verb, &mounted), dice))
}

/// What is to be done before a verb that cannot be done now.
fn first(verb: Verb, mounted: &[&String]) -> Verb {
    match verb {
        Verb::Create => Verb::Delete,
        Verb::Delete | Verb::Mount if mounted.is_empty() => Verb::Create,
        Verb::Delete | Verb::Mount => Verb::Unmount,
        Verb::Unmount | Verb::Write => Verb::Mount,
        Verb::Snapshot => Verb::DeleteSnapshot,
        Verb::DeleteSnapshot | Verb::Backup => Verb::Snapshot,
        Verb::DeleteBackup | Verb::Restore => Verb::Backup,
        Verb::Open | Verb::Restart => Verb::Restart,
    }
}

/// The volumes but the busy one, by whether they are mounted.
fn volumes(world: &World) -> (Vec<&String>, Vec<&String>) {
    let others: BTreeMap<&String, bool> = world
        .volumes
        .iter()
        .filter(|(name, _)| *name != BUSY)
        .map(|(name, volume)| (name, volume.mounted))
        .collect();
    let (mounted, unmounted): (Vec<_>, Vec<_>) = others.into_iter().partition(|(_, m)| *m);
    let names = |of: Vec<(_, _)>| of.into_iter().map(|(name, _)| name).collect();
    (names(mounted), names(unmounted))
}
