//! The index: where each id lies, in bounded memory.
//!
//! Current segments are held as sorted records up to a limit; those beyond it are *cold*: their heads
//! are kept, and a lookup reads one bucket of each. Reuse looks at what is held only (a miss costs an
//! upload, not data); reading looks everywhere.

use crate::error::Error;
use crate::id::BlobId;
use crate::pack::ObjectName;
use crate::run_set::RunSet;
use crate::segment::{self, Head, PackEntry, Record};
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

#[derive(Debug)]
struct Cold {
    name: ObjectName,
    head: Head,
    bucket: Option<(Range<u64>, Vec<Record>)>,
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
        let mut found: Vec<Location> = self.held_places(id).collect();
        let mut failure = None;
        let alive = |location: &Location| !dead.contains(location.pack.name.pack());
        if everywhere || !found.iter().any(alive) {
            for cold in &mut self.cold {
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

impl Cold {
    fn find(&mut self, id: &BlobId, segments: &dyn Segments) -> Result<Vec<Location>, Error> {
        let range = self.head.bucket(id);
        if self.bucket.as_ref().is_none_or(|(held, _)| *held != range) {
            let object = self.name.segment_key();
            let bytes = segments.part(&self.name, range.clone()).map_err(|error| {
                if crate::log::is_absent(&error) {
                    Error::damaged(object.as_str(), "this index segment is gone")
                } else {
                    error
                }
            })?;
            let records = segment::decode_records(&self.head, &bytes)
                .collect::<Result<Vec<_>, _>>()
                .map_err(|what| Error::damaged(self.name.segment_key().as_str(), what))?;
            self.bucket = Some((range, records));
        }
        let records = self.bucket.iter().flat_map(|(_, records)| records);
        Ok(records
            .filter(|record| record.id == *id)
            .filter_map(|record| self.place(record))
            .collect())
    }

    fn place(&self, record: &Record) -> Option<Location> {
        let pack = usize::try_from(record.pack)
            .ok()
            .and_then(|n| self.head.packs.get(n))?;
        Some(Location {
            pack: *pack,
            offset: record.offset,
            stored: record.stored,
        })
    }
}

#[cfg(test)]
mod tests {
    //! Held and cold segments answer alike.

    use super::*;
    use crate::id::{ObjectHash, SessionId};
    use crate::keys::BlobKind;

    struct Fake(HashMap<ObjectName, Vec<u8>>);

    fn at(n: u64) -> usize {
        usize::try_from(n).unwrap()
    }

    impl Segments for Fake {
        fn whole(&self, name: &ObjectName) -> Result<Vec<u8>, Error> {
            let absent = || Error::Store {
                doing: "read".to_owned(),
                source: convoy_objectstore::Error::new(
                    convoy_objectstore::ErrorKind::NotFound,
                    convoy_objectstore::Verb::Get,
                    "a segment",
                    "the fake",
                ),
            };
            self.0.get(name).cloned().ok_or_else(absent)
        }

        fn part(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, Error> {
            Ok(self.0[name][at(range.start)..at(range.end)].to_vec())
        }
    }

    fn id(n: u32) -> BlobId {
        BlobId(*blake3::hash(&n.to_le_bytes()).as_bytes())
    }

    fn world(segments: u32) -> (Vec<ObjectName>, Fake) {
        let mut names = Vec::new();
        let mut all = HashMap::new();
        for seq in 0..segments {
            let name = ObjectName {
                session: SessionId([1; 16]),
                seq,
                hash: ObjectHash([0; 16]),
            };
            let packs = [PackEntry {
                name,
                length: 1 << 20,
                content: BlobKind::Chunk,
            }];
            let mut records: Vec<Record> = (0..100)
                .map(|n| Record {
                    id: id(seq * 100 + n),
                    pack: 0,
                    offset: 64 + n,
                    stored: 1,
                })
                .collect();
            all.insert(
                name,
                segment::encode(Uuid::nil(), name.session, &packs, &mut records),
            );
            names.push(name);
        }
        (names, Fake(all))
    }

    #[test]
    fn held_and_cold_answer_alike() {
        let (names, fake) = world(12);
        for limit in [10_000, 350, 0] {
            let mut index = Index::with_limit(Uuid::nil(), limit);
            index.follow(&names[..5], &fake).unwrap();
            index.follow(&names, &fake).unwrap();
            assert!(index.held <= limit);
            for n in 0..1200 {
                let places = index
                    .find_all(&id(n), &RunSet::default(), false, &fake)
                    .unwrap();
                assert_eq!(places.len(), 1, "{n} at limit {limit}");
                assert_eq!(
                    (places[0].pack.name.seq, places[0].offset),
                    (n / 100, 64 + n % 100)
                );
            }
            assert!(
                index
                    .find_all(&id(9999), &RunSet::default(), false, &fake)
                    .unwrap()
                    .is_empty()
            );
            let mut dead = RunSet::default();
            dead.insert(names[3].pack());
            assert!(
                index
                    .find_all(&id(345), &dead, false, &fake)
                    .unwrap()
                    .is_empty()
            );
            // Compaction: what is no longer current is no longer known.
            index.follow(&names[4..], &fake).unwrap();
            assert!(
                index
                    .find_all(&id(345), &RunSet::default(), false, &fake)
                    .unwrap()
                    .is_empty()
            );
        }
    }

    #[test]
    fn every_copy_is_found_when_the_first_is_of_no_use() {
        let (names, mut fake) = world(2);
        // The second segment is one of the same records, in another pack.
        let copy = fake.0[&names[0]].clone();
        let (head, mut records) = segment::decode(Uuid::nil(), &copy).unwrap();
        let packs = [PackEntry {
            name: names[1],
            ..head.packs[0]
        }];
        let bytes = segment::encode(Uuid::nil(), names[1].session, &packs, &mut records);
        fake.0.insert(names[1], bytes);
        let mut index = Index::with_limit(Uuid::nil(), 100);
        index.follow(&names, &fake).unwrap();
        let mut count = |everywhere, fake: &Fake| {
            let places = index.find_all(&id(7), &RunSet::default(), everywhere, fake);
            places.unwrap().len()
        };
        assert_eq!((count(false, &fake), count(true, &fake)), (1, 2));
        // A cold segment that cannot be read takes nothing from what the held one knows.
        fake.0.insert(names[0], vec![0; 4 << 20]);
        let mut index = Index::with_limit(Uuid::nil(), 100);
        index.follow(&names, &fake).unwrap();
        assert_eq!(index.broken().len(), 1);
        let places = index.find_all(&id(7), &RunSet::default(), true, &fake);
        assert_eq!(places.unwrap().len(), 1);
    }

    /// A segment that was not to be seen for a moment was gone for the life of the process.
    #[test]
    fn an_absent_segment_is_asked_for_again() {
        let (names, mut fake) = world(2);
        let hidden = fake.0.remove(&names[0]).unwrap();
        let mut index = Index::new(Uuid::nil());
        index.follow(&names, &fake).unwrap();
        assert_eq!(index.broken().len(), 1);
        fake.0.insert(names[0], hidden);
        index.follow(&names, &fake).unwrap();
        assert_eq!(index.broken().len(), 0);
        let places = index.find_all(&id(7), &RunSet::default(), false, &fake);
        assert_eq!(places.unwrap().len(), 1);
    }

    #[test]
    fn a_segment_of_another_session_is_not_used() {
        let (names, fake) = world(1);
        let other = ObjectName {
            session: SessionId([2; 16]),
            ..names[0]
        };
        let fake = Fake(HashMap::from([(other, fake.0[&names[0]].clone())]));
        let mut index = Index::new(Uuid::nil());
        index.follow(&[other], &fake).unwrap();
        assert!(index.broken()[0].1.contains("another session"));
    }
}
