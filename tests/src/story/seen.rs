//! What was found in the world when somebody looked.

use super::world::{BLOCKS, World};
use std::collections::{BTreeMap, BTreeSet};

/// The generation of each block of a file.
pub type Contents = Vec<u64>;

/// A block that is no block of ours.
const FOREIGN: u64 = u64::MAX;
/// The least that a filesystem of this size writes as one: `mkfs.ext4` gives small ones blocks of 1 KiB.
const BLOCK: usize = 1024;

/// Volumes with whether they are mounted, snapshots with what they are of, backups by their snapshots' names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Every volume.
    pub volumes: BTreeMap<String, (bool, Contents)>,
    /// Every snapshot.
    pub snapshots: BTreeMap<String, (String, Contents)>,
    /// Every backup.
    pub backups: BTreeSet<String>,
}

impl Seen {
    /// What of it must not be in this world, in which nothing is open.
    pub(super) fn problems(&self, world: &World) -> Vec<String> {
        let mut problems = names("volumes", self.volumes.keys(), world.volumes.keys());
        let snapshots = names("snapshots", self.snapshots.keys(), world.snapshots.keys());
        let backups = names("backups", self.backups.iter(), world.backups.keys());
        problems.extend(snapshots.into_iter().chain(backups));
        for (name, volume) in &world.volumes {
            let Some((mounted, found)) = self.volumes.get(name) else {
                continue;
            };
            if *mounted != volume.mounted {
                problems.push(format!("volume {name}: mounted is {mounted}"));
            }
            if !volume.blocks.allow(found) {
                let may = volume.blocks.show();
                problems.push(format!("volume {name} holds {}, not {may}", show(found)));
            }
        }
        for (name, snapshot) in &world.snapshots {
            let Some((of, found)) = self.snapshots.get(name) else {
                continue;
            };
            if *of != snapshot.of {
                problems.push(format!("snapshot {name} is of {of}"));
            }
            if !snapshot.blocks.allow(found) {
                let may = snapshot.blocks.show();
                problems.push(format!("snapshot {name} holds {}, not {may}", show(found)));
            }
        }
        problems
    }

    /// The lines that tell it: from now on it is this and nothing else.
    pub(super) fn lines(&self) -> Vec<String> {
        let volumes = self.volumes.iter().map(|(name, (_, found))| {
            let found = show(found);
            format!("holds volume {name} {found}")
        });
        let snapshots = self.snapshots.iter().map(|(name, (_, found))| {
            let found = show(found);
            format!("holds snapshot {name} {found}")
        });
        volumes.chain(snapshots).collect()
    }

    /// The bytes of one block of a generation.
    pub fn block(number: usize, generation: u64) -> Vec<u8> {
        let mark = [number as u64, generation].map(u64::to_le_bytes).concat();
        mark.into_iter().cycle().take(BLOCK).collect()
    }

    /// What the bytes of a file say. A block that is missing or blank is of generation 0; one that no deed
    /// wrote, or only in part, is of none.
    pub fn contents(bytes: &[u8]) -> Contents {
        let block = |number: usize| {
            let begin = (number * BLOCK).min(bytes.len());
            let end = (begin + BLOCK).min(bytes.len());
            let found = bytes.get(begin..end).unwrap_or_default();
            if found.iter().all(|byte| *byte == 0) {
                return 0;
            }
            let mark = found.get(8..16).and_then(|mark| mark.try_into().ok());
            let generation = mark.map_or(FOREIGN, u64::from_le_bytes);
            if found == Self::block(number, generation) {
                generation
            } else {
                FOREIGN
            }
        };
        (0..BLOCKS).map(block).collect()
    }
}

fn show(contents: &Contents) -> String {
    let all: Vec<String> = contents.iter().map(u64::to_string).collect();
    all.join(",")
}

fn names<'a>(
    kind: &str,
    found: impl Iterator<Item = &'a String>,
    expected: impl Iterator<Item = &'a String>,
) -> Vec<String> {
    let (found, expected) = (found.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    if found == expected {
        Vec::new()
    } else {
        vec![format!("{kind} are {found:?}, not {expected:?}")]
    }
}
