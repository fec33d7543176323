//! The index: where each id lies, in bounded memory.
//!
//! Current segments are held as sorted records up to a limit; those beyond it are *cold*: their heads
//! are kept, and a lookup reads one bucket of each. Reuse looks at what is held only (a miss costs an
//! upload, not data); reading looks everywhere.

mod cold;

use crate::error::Error;
use crate::id::BlobId;
use crate::pack::ObjectName;
use crate::run_set::RunSet;
use crate::segment::{self, Head, PackEntry, Record};
use cold::Cold;
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use uuid::Uuid;

/// Records held at most: 44 bytes each, 31 MB.
const HELD_RECORDS: usize = 700_000;
/// Runs up to this many records are merged, so that merging never doubles much memory.
const MERGE_UP_TO: usize = 100_000;

/// Where a blob lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location {
    /// In which pack.
    pub pack: PackEntry,
    /// Offset of its header.
    pub offset: u32,
    /// Bytes of its payload.
    pub stored: u32,
}

/// How segments are read.
pub(crate) trait Segments {
    /// The whole segment, its hash checked.
    fn whole(&self, name: &ObjectName) -> Result<Vec<u8>, Error>;
    /// A part of it, unchecked.
    fn part(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, Error>;
}

#[derive(Debug)]
pub(crate) struct Index {
    repository: Uuid,
    limit: usize,
    packs: Vec<PackEntry>,
    numbers: HashMap<ObjectName, u32>,
    /// Each sorted by id; `pack` counts in `packs`.
    runs: Vec<Vec<Record>>,
    held: usize,
    known: BTreeSet<ObjectName>,
    cold: Vec<Cold>,
    broken: Vec<(ObjectName, String)>,
    /// Those of them that the store did not have: it may have them later.
    absent: BTreeSet<ObjectName>,
    /// Slots of the log that this is the index of, once it was loaded.
    followed: Option<u64>,
}

impl Index {
    pub(crate) fn new(repository: Uuid) -> Self {
        Self::with_limit(repository, HELD_RECORDS)
    }

    pub(crate) fn with_limit(repository: Uuid, limit: usize) -> Self {
        Self {
            repository,
            limit,
            packs: Vec::new(),
            numbers: HashMap::new(),
            runs: Vec::new(),
            held: 0,
            known: BTreeSet::new(),
            cold: Vec::new(),
            broken: Vec::new(),
            absent: BTreeSet::new(),
            followed: None,
        }
    }

    /// Makes the index that of these segments (oldest first). Newest ones are held first.
    pub(crate) fn follow(
        &mut self,
        current: &[ObjectName],
        segments: &dyn Segments,
    ) -> Result<(), Error> {
        // Asked for anew each time: a store may say for a while that an object is not there.
        let absent = std::mem::take(&mut self.absent);
        self.broken.retain(|(name, _)| !absent.contains(name));
        self.known.retain(|name| !absent.contains(name));
        let wanted: BTreeSet<_> = current.iter().copied().collect();
        if !self.known.is_subset(&wanted) {
            *self = Self::with_limit(self.repository, self.limit);
        }
        for name in current
            .iter()
            .rev()
            .filter(|name| !self.known.contains(name))
            .copied()
            .collect::<Vec<_>>()
        {
            match self.load(name, segments) {
                Ok(()) => {}
                // The rest is still good: what only this segment knew is reported when it is needed.
                Err(error @ (Error::Damaged { .. } | Error::StoreLies { .. })) => {
                    tracing::warn!(%error, segment = %name, "an index segment cannot be used");
                    self.broken.push((name, error.to_string()));
                }
                Err(error) if crate::log::is_absent(&error) => {
                    tracing::warn!(%error, segment = %name, "an index segment is gone");
                    self.absent.insert(name);
                    self.broken
                        .push((name, format!("{} is gone", name.segment_key())));
                }
                Err(error) => return Err(error),
            }
            self.known.insert(name);
        }
        Ok(())
    }

    /// Slots of the log that were followed so far.
    pub(crate) fn followed(&self) -> Option<u64> {
        self.followed
    }

    pub(crate) fn set_followed(&mut self, slots: u64) {
        self.followed = Some(slots);
    }

    /// The packs of all segments; some of them more than once.
    pub(crate) fn packs(&self) -> impl Iterator<Item = &PackEntry> {
        let cold = self.cold.iter().flat_map(|cold| &cold.head.packs);
        self.packs.iter().chain(cold)
    }

    /// Segments that cannot be used, and why.
    pub(crate) fn broken(&self) -> &[(ObjectName, String)] {
        &self.broken
    }

    fn load(&mut self, name: ObjectName, segments: &dyn Segments) -> Result<(), Error> {
        let damaged = |what| Error::damaged(name.segment_key().as_str(), what);
        if self.held >= self.limit {
            let first = segments.part(&name, 0..segment::HEADER as u64)?;
            let length = segment::head_len(&first).map_err(damaged)?;
            let head = segments.part(&name, 0..length as u64)?;
            let head = segment::decode_head(self.repository, &head)
                .and_then(|head| own(head, &name))
                .map_err(damaged)?;
            self.cold.push(Cold {
                name,
                head,
                sound: None,
                bucket: None,
            });
            return Ok(());
        }
        let bytes = segments.whole(&name)?;
        let (head, records) = segment::decode(self.repository, &bytes).map_err(damaged)?;
        let head = own(head, &name).map_err(damaged)?;
        if self.held + records.len() > self.limit {
            self.cold.push(Cold {
                name,
                head,
                sound: None,
                bucket: None,
            });
        } else {
            self.hold(&head, records);
        }
        Ok(())
    }

    fn hold(&mut self, head: &Head, mut records: Vec<Record>) {
        let numbers: Vec<u32> = head.packs.iter().map(|pack| self.number(*pack)).collect();
        for record in &mut records {
            let local = usize::try_from(record.pack).unwrap_or(usize::MAX);
            record.pack = *numbers
                .get(local)
                .expect("decode checked it against the pack table");
        }
        self.held += records.len();
        self.runs.push(records);
        self.merge();
    }

    fn number(&mut self, pack: PackEntry) -> u32 {
        let next = u32::try_from(self.packs.len())
            .expect("fewer packs than records, and those are bounded");
        let number = *self.numbers.entry(pack.name).or_insert(next);
        if number == next {
            self.packs.push(pack);
        }
        number
    }

    /// Merges small runs of like size, so that lookups touch few of them.
    fn merge(&mut self) {
        while let [.., a, b] = self.runs.as_slice() {
            if a.len() > b.len() * 2 || a.len() + b.len() > MERGE_UP_TO {
                return;
            }
            let mut both = self.runs.pop().unwrap_or_default();
            both.append(&mut self.runs.pop().unwrap_or_default());
            both.sort_unstable();
            self.runs.push(both);
        }
    }

    /// A place of `id` in a pack for which `usable` holds, among the records that are held.
    pub(crate) fn find(
        &self,
        id: &BlobId,
        usable: impl Fn(&PackEntry) -> bool,
    ) -> Option<Location> {
        self.held_places(id).find(|location| usable(&location.pack))
    }

    /// Places of `id` in packs that are not dead: cold segments are asked if the held ones know none,
    /// or if `everywhere` (a held place was of no use, and any other is a chance).
    pub(crate) fn find_all(
        &mut self,
        id: &BlobId,
        dead: &RunSet,
        everywhere: bool,
        segments: &dyn Segments,
    ) -> Result<Vec<Location>, Error> {
        if everywhere {
            self.examine_cold(segments);
        }
        let mut found: Vec<Location> = self.held_places(id).collect();
        let mut failure = None;
        let alive = |location: &Location| !dead.contains(location.pack.name.pack());
        if everywhere || !found.iter().any(alive) {
            let usable = |cold: &&mut Cold| !everywhere || cold.sound != Some(false);
            for cold in self.cold.iter_mut().filter(usable) {
                match cold.find(id, segments) {
                    Ok(places) => found.extend(places),
                    Err(error) => failure = Some(error),
                }
            }
        }
        found.retain(alive);
        // A segment that cannot be read matters if no other knows the id.
        match failure {
            Some(error) if found.is_empty() => Err(error),
            _ => Ok(found),
        }
    }

    /// Reads cold segments whole, once: something was not where they say, or nowhere. Those that are
    /// damaged are told, and serve only where what they say proves right.
    fn examine_cold(&mut self, segments: &dyn Segments) {
        for cold in self.cold.iter_mut().filter(|cold| cold.sound.is_none()) {
            match segments.whole(&cold.name) {
                Ok(_) => cold.sound = Some(true),
                Err(error @ Error::Damaged { .. }) => {
                    cold.sound = Some(false);
                    self.broken.push((cold.name, error.to_string()));
                }
                Err(error) if crate::log::is_absent(&error) => {
                    cold.sound = Some(false);
                    self.broken
                        .push((cold.name, format!("{} is gone", cold.name.segment_key())));
                }
                // Nothing is known then.
                Err(error) => {
                    tracing::debug!(%error, segment = %cold.name, "cannot examine an index segment");
                }
            }
        }
    }

    fn held_places<'a>(&'a self, id: &'a BlobId) -> impl Iterator<Item = Location> + 'a {
        self.runs.iter().rev().flat_map(move |run| {
            let first = run.partition_point(|record| record.id < *id);
            run.iter()
                .skip(first)
                .take_while(move |record| record.id == *id)
                .filter_map(|record| {
                    let pack = usize::try_from(record.pack)
                        .ok()
                        .and_then(|n| self.packs.get(n))?;
                    Some(Location {
                        pack: *pack,
                        offset: record.offset,
                        stored: record.stored,
                    })
                })
        })
    }
}

/// A segment is of the session that its name has.
fn own(head: Head, name: &ObjectName) -> Result<Head, String> {
    if head.session == name.session {
        Ok(head)
    } else {
        Err("it is of another session than its name".to_owned())
    }
}

#[cfg(test)]
mod tests;
