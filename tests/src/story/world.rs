//! What the world may hold, by what was told.

use super::deed::{Deed, Verb};
use super::seen::{Contents, Seen};
use std::collections::{BTreeMap, BTreeSet};

/// Blocks of the one file on each volume whose content is known.
pub const BLOCKS: usize = 16;

/// For each block, the generations it may be of; 0 is a block that was never written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Blocks(Vec<BTreeSet<u64>>);

impl Blocks {
    fn blank() -> Self {
        Self::exactly([0; BLOCKS])
    }

    fn exactly(generations: impl IntoIterator<Item = u64>) -> Self {
        let sets = generations.into_iter().map(|g| BTreeSet::from([g]));
        Self(sets.collect())
    }

    /// Some of the blocks may be of this generation by now.
    fn perhaps(&mut self, generation: u64) {
        for block in &mut self.0 {
            block.insert(generation);
        }
    }

    pub(super) fn allow(&self, found: &Contents) -> bool {
        let all = found.len() == self.0.len();
        all && found.iter().zip(&self.0).all(|(g, set)| set.contains(g))
    }

    pub(super) fn show(&self) -> String {
        let sets = self.0.iter().map(|set| {
            let all: Vec<String> = set.iter().map(u64::to_string).collect();
            all.join("|")
        });
        sets.collect::<Vec<_>>().join(",")
    }
}

/// A volume as it may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Volume {
    pub(super) mounted: bool,
    pub(super) blocks: Blocks,
}

/// A snapshot as it may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Snapshot {
    pub(super) of: String,
    pub(super) blocks: Blocks,
}

/// What was told, as a world: what is certain, and the deeds that are not done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct World {
    pub(super) volumes: BTreeMap<String, Volume>,
    pub(super) snapshots: BTreeMap<String, Snapshot>,
    pub(super) backups: BTreeMap<String, Blocks>,
    /// What each hand has begun and not done.
    open: BTreeMap<String, Deed>,
    /// What the snapshots being taken may hold: writes go on meanwhile.
    taken: BTreeMap<String, Blocks>,
    begun: u64,
}

impl World {
    /// Takes a line: `begin HAND DEED`, `done HAND`, `settled HAND finished|undone`,
    /// `holds volume|snapshot NAME G,G,…`. Any other is for people.
    ///
    /// # Errors
    ///
    /// When the line cannot follow what was told before.
    pub fn hear(&mut self, line: &str) -> Result<(), String> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "begin" => {
                let (hand, deed) = rest.split_once(' ').ok_or("no deed")?;
                self.begin(hand, deed.parse()?)
            }
            "done" => self.end(rest, true),
            "settled" => {
                let (hand, how) = rest.split_once(' ').ok_or("no outcome")?;
                self.end(hand, how == "finished")
            }
            "holds" => self.narrow(rest),
            _ => Ok(()),
        }
    }

    /// A world of all these lines.
    ///
    /// # Errors
    ///
    /// When a line cannot follow those before it.
    pub fn after<'a>(lines: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut world = Self::default();
        for line in lines {
            world
                .hear(line)
                .map_err(|error| format!("{line:?}: {error}"))?;
        }
        Ok(world)
    }

    /// A number that no deed had yet: names and generations are made of it.
    pub fn next(&self) -> u64 {
        self.begun + 1
    }

    /// What this hand has begun and not done.
    pub fn open_deed(&self, hand: &str) -> Option<&Deed> {
        self.open.get(hand)
    }

    fn begin(&mut self, hand: &str, deed: Deed) -> Result<(), String> {
        self.begun += 1;
        match deed.verb {
            Verb::Write => {
                let generation = generation(&deed)?;
                let volume = self.volumes.get_mut(&deed.what).ok_or("no such volume")?;
                volume.blocks.perhaps(generation);
                for (snapshot, blocks) in &mut self.taken {
                    let being = |open: &&Deed| open.what == *snapshot && open.with == deed.what;
                    if self.open.values().any(|open| being(&open)) {
                        blocks.perhaps(generation);
                    }
                }
            }
            Verb::Snapshot => {
                let volume = self.volumes.get(&deed.with).ok_or("no such volume")?;
                self.taken.insert(deed.what.clone(), volume.blocks.clone());
            }
            _ => (),
        }
        match self.open.insert(hand.to_owned(), deed) {
            None => Ok(()),
            Some(before) => Err(format!("{hand} has not done {before} yet")),
        }
    }

    fn end(&mut self, hand: &str, finished: bool) -> Result<(), String> {
        let deed = self.open.remove(hand).ok_or("nothing was begun")?;
        let taken = self.taken.remove(&deed.what);
        if finished {
            self.apply(&deed, taken)?;
        }
        Ok(())
    }

    fn apply(&mut self, deed: &Deed, taken: Option<Blocks>) -> Result<(), String> {
        let (what, with) = (deed.what.clone(), &deed.with);
        match deed.verb {
            Verb::Open | Verb::Restart => (),
            Verb::Create => self.put(what, Blocks::blank()),
            Verb::Restore => {
                let blocks = self.backups.get(with).ok_or("no such backup")?.clone();
                self.put(what, blocks);
            }
            Verb::Delete => {
                self.volumes.remove(&what).ok_or("no such volume")?;
                self.snapshots.retain(|_, snapshot| snapshot.of != what);
            }
            Verb::Mount => self.volume(&what)?.mounted = true,
            Verb::Unmount => self.volume(&what)?.mounted = false,
            Verb::Write => {
                let all = [generation(deed)?; BLOCKS];
                self.volume(&what)?.blocks = Blocks::exactly(all);
            }
            Verb::Snapshot => {
                let blocks = taken.ok_or("it was not begun")?;
                let of = with.clone();
                self.snapshots.insert(what, Snapshot { of, blocks });
            }
            Verb::DeleteSnapshot => drop(self.snapshots.remove(&what).ok_or("no such snapshot")?),
            Verb::Backup => {
                let snapshot = self.snapshots.get(&what).ok_or("no such snapshot")?;
                self.backups.insert(what, snapshot.blocks.clone());
            }
            Verb::DeleteBackup => drop(self.backups.remove(&what).ok_or("no such backup")?),
        }
        Ok(())
    }

    fn put(&mut self, volume: String, blocks: Blocks) {
        let mounted = false;
        self.volumes.insert(volume, Volume { mounted, blocks });
    }

    fn volume(&mut self, name: &str) -> Result<&mut Volume, String> {
        self.volumes.get_mut(name).ok_or("no such volume".into())
    }

    /// What was looked at cannot have been anything else, and after a cut nothing of it is on its way still.
    fn narrow(&mut self, words: &str) -> Result<(), String> {
        let words: Vec<&str> = words.split(' ').collect();
        let [kind, name, list] = words[..] else {
            return Err("what holds what?".into());
        };
        let found: Result<Contents, _> = list.split(',').map(str::parse).collect();
        let found = found.map_err(|error| error.to_string())?;
        let blocks = match kind {
            "volume" => &mut self.volume(name)?.blocks,
            "snapshot" => {
                let snapshot = self.snapshots.get_mut(name).ok_or("no such snapshot")?;
                &mut snapshot.blocks
            }
            _ => return Err(format!("what is a {kind}?")),
        };
        if !blocks.allow(&found) {
            return Err(format!("{kind} {name} may hold {} only", blocks.show()));
        }
        *blocks = Blocks::exactly(found);
        Ok(())
    }

    /// Compares what was found after a cut with what may be: the lines that settle it.
    ///
    /// # Errors
    ///
    /// Everything that must not be.
    pub fn settle(&self, seen: &Seen) -> Result<Vec<String>, Vec<String>> {
        let hands: Vec<&String> = self.open.keys().collect();
        let mut why = Vec::new();
        // Each hand's deed is finished or undone: few hands, few cases.
        for case in 0..1_u32 << hands.len() {
            let mut world = self.clone();
            let mut lines = Vec::new();
            for (bit, hand) in hands.iter().enumerate() {
                let finished = case >> bit & 1 == 1;
                let how = if finished { "finished" } else { "undone" };
                lines.push(format!("settled {hand} {how}"));
            }
            let heard = lines.iter().try_for_each(|line| world.hear(line));
            let problems = match heard {
                Ok(()) => seen.problems(&world),
                Err(error) => vec![error],
            };
            if problems.is_empty() {
                lines.extend(seen.lines());
                return Ok(lines);
            }
            why.push(format!("if {}: {}", lines.join(", "), problems.join("; ")));
        }
        Err(why)
    }
}

fn generation(deed: &Deed) -> Result<u64, String> {
    let parsed = deed.with.parse();
    parsed.map_err(|error| format!("no generation: {error}"))
}
