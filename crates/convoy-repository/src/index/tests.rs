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
