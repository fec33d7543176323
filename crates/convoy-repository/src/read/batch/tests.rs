//! Whatever an index says, batches are of one pack each, and nothing is left out.

use super::*;
use crate::id::SessionId;
use crate::id::{BlobId, ObjectHash};
use crate::keys::BlobKind;
use crate::pack::ObjectName;
use crate::segment::PackEntry;
use proptest::prelude::*;

fn place((pack, offset, stored): (u8, u32, u32)) -> (Location, Wanted) {
    let name = ObjectName {
        session: SessionId([pack; 16]),
        seq: 0,
        hash: ObjectHash([0; 16]),
    };
    let location = Location {
        pack: PackEntry {
            name,
            length: u32::MAX,
            content: BlobKind::Chunk,
        },
        offset,
        stored,
    };
    let id = BlobId([0; 32]);
    (location, Wanted { tag: 0, id })
}

/// The difference of two offsets once went below zero here, when a batch began in one pack and the
/// next blob lay lower in another.
#[track_caller]
fn check(located: &[(Location, Wanted)]) {
    let mut left = located;
    for batch in batches(located) {
        assert_eq!(left.get(..batch.len()), Some(batch));
        left = &left[batch.len()..];
        let first = batch[0].0;
        let end = batch.iter().map(|(place, _)| span(place).end).max();
        let length = end.unwrap() - span(&first).start;
        assert!(length <= BATCH_BYTES.max(span(&first).end - span(&first).start));
        for (place, _) in batch {
            assert_eq!(place.pack.name, first.pack.name);
            assert!(place.offset >= first.offset);
        }
    }
    assert!(left.is_empty());
}

#[test]
fn records_that_overlap_or_repeat() {
    let mib = 1 << 20;
    for places in [
        vec![],
        vec![(1, 900, 10), (2, 64, 10)],
        vec![(1, 64, 10), (1, 64, 10), (1, 64, 5 * mib)],
        vec![(1, 64, 3 * mib), (1, 100, 10), (1, 200, 10)],
        vec![(1, 900, 10), (1, 64, 10)],
        vec![(1, u32::MAX, u32::MAX), (1, u32::MAX, u32::MAX)],
    ] {
        check(&places.into_iter().map(place).collect::<Vec<_>>());
    }
}

proptest! {
    #[test]
    fn any_records(places in prop::collection::vec((0u8..2, 0u32..9 << 20, 0u32..5 << 20), 0..40), sorted: bool) {
        let mut located: Vec<_> = places.into_iter().map(place).collect();
        if sorted {
            located.sort_unstable_by_key(|(location, _)| (location.pack.name, location.offset));
        }
        check(&located);
    }
}
