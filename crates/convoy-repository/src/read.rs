//! Verified reads: a blob is found by the index, fetched, and believed because its id is right.

use crate::codec::{self, BLOB_HEADER};
use crate::error::Error;
use crate::id::{BlobId, ObjectHash};
use crate::index::{Location, Segments};
use crate::keys::BlobKind;
use crate::log::is_absent;
use crate::node::MAX_NODE;
use crate::pack::ObjectName;
use crate::patience::{patiently, window};
use crate::repository::{Inner, Repository};
use crate::segment;
use convoy_objectstore::ErrorKind;
use std::collections::BTreeSet;
use std::ops::Range;

/// Requests for a pack that is said to be absent, before it is believed.
const STALE_ATTEMPTS: u32 = 4;
/// One GET of several blobs is at most this long.
const BATCH_BYTES: u64 = 4 << 20;
/// Unwanted bytes between two blobs that are worth reading to save a request.
const BATCH_GAP: u64 = 64 << 10;

/// A chunk that is wanted, and the caller's own number for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Handed back with the bytes.
    pub tag: u64,
    /// Which chunk.
    pub id: BlobId,
}

/// Takes what was read for a tag; `false` ends the reading.
pub type Deliver<'a> = dyn FnMut(u64, Result<&[u8], Error>) -> bool + 'a;

impl Repository {
    /// The plain bytes of a tree node, verified.
    pub fn read_node(&self, id: &BlobId) -> Result<Vec<u8>, Error> {
        let mut plain = Vec::new();
        self.inner.read_one(BlobKind::Node, id, &mut plain)?;
        Ok(plain)
    }

    /// Delivers each wanted chunk, verified and exactly `chunk_size` bytes long, or why it cannot be
    /// had. The order follows the packs, not `wanted`; every tag is delivered once.
    ///
    /// An error of the store itself (not of one object) ends the reading with that error.
    pub fn read_chunks(&self, wanted: &[Wanted], deliver: &mut Deliver<'_>) -> Result<(), Error> {
        let mut located = Vec::with_capacity(wanted.len());
        let mut lost = Vec::new();
        for want in wanted {
            // A segment that cannot be asked is looked at again, chunk by chunk.
            match self.inner.locate(&want.id).as_deref() {
                Ok([location, ..]) => located.push((*location, *want)),
                _ => lost.push(*want),
            }
        }
        located.sort_unstable_by_key(|(location, _)| (location.pack.name, location.offset));
        let mut plain = Vec::new();
        for batch in batches(&located) {
            if !self.inner.read_batch(batch, &mut plain, deliver)? {
                return Ok(());
            }
        }
        for want in lost {
            if !self.inner.deliver_one(want, &mut plain, deliver)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Where a blob lies, in a pack that is not dead: for checks that read no data.
    pub fn locate(&self, id: &BlobId) -> Result<Vec<Location>, Error> {
        self.inner.locate(id)
    }

    /// The size of a pack in the store, `None` if it is gone. One request.
    pub fn pack_size(&self, name: &ObjectName) -> Result<Option<u64>, Error> {
        let key = name.pack_key();
        let inner = &self.inner;
        patiently(
            &*inner.patience,
            || format!("look at {key}"),
            || inner.store.size(&key),
        )
    }
}

/// Neighbours in one pack, as long as a batch stays short. Takes them in any order, though it finds more
/// neighbours in a sorted one.
fn batches(mut located: &[(Location, Wanted)]) -> impl Iterator<Item = &[(Location, Wanted)]> {
    std::iter::from_fn(move || {
        let batch = located
            .get(..batch_len(located))
            .filter(|batch| !batch.is_empty())?;
        located = located.get(batch.len()..).unwrap_or_default();
        Some(batch)
    })
}

/// How many of the first ones are read at once: at least one, if there is one.
fn batch_len(located: &[(Location, Wanted)]) -> usize {
    let Some((first, rest)) = located.split_first() else {
        return 0;
    };
    let (start, mut end) = (span(&first.0).start, span(&first.0).end);
    let fits = |(location, _): &&(Location, Wanted)| {
        let next = span(location);
        let fits = location.pack.name == first.0.pack.name
            && (start..=end + BATCH_GAP).contains(&next.start)
            && next.end <= start + BATCH_BYTES;
        end = end.max(next.end);
        fits
    };
    1 + rest.iter().take_while(fits).count()
}

fn span(location: &Location) -> Range<u64> {
    let start = u64::from(location.offset);
    start..start + BLOB_HEADER as u64 + u64::from(location.stored)
}

impl Inner {
    /// One GET for a batch; whatever does not come out right is read again by itself.
    fn read_batch(
        &self,
        batch: &[(Location, Wanted)],
        plain: &mut Vec<u8>,
        deliver: &mut Deliver<'_>,
    ) -> Result<bool, Error> {
        let Some((first, _)) = batch.first() else {
            return Ok(true);
        };
        let start = span(first).start;
        let end = batch
            .iter()
            .map(|(location, _)| span(location).end)
            .max()
            .unwrap_or(start);
        let bytes = self
            .get_blobs(&first.pack.name, start..end)
            .unwrap_or_default();
        let mut held: Option<BlobId> = None;
        for (location, want) in batch {
            let place = span(location);
            let slice = usize::try_from(place.start - start)
                .and_then(|from| usize::try_from(place.end - start).map(|to| from..to))
                .ok()
                .and_then(|range| bytes.get(range));
            let good = held == Some(want.id)
                || slice.is_some_and(|blob| self.open_chunk(&want.id, blob, plain).is_ok());
            held = good.then_some(want.id);
            let go_on = if good {
                deliver(want.tag, Ok(plain))
            } else {
                self.deliver_one(*want, plain, deliver)?
            };
            if !go_on {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn deliver_one(
        &self,
        want: Wanted,
        plain: &mut Vec<u8>,
        deliver: &mut Deliver<'_>,
    ) -> Result<bool, Error> {
        match self.read_one(BlobKind::Chunk, &want.id, plain) {
            Ok(()) => Ok(deliver(want.tag, Ok(plain))),
            Err(error @ (Error::Damaged { .. } | Error::Missing { .. })) => {
                Ok(deliver(want.tag, Err(error)))
            }
            // Repeating changes nothing, and the next object may be another matter.
            Err(Error::Store { doing, source }) if source.kind == ErrorKind::Permanent => {
                Ok(deliver(want.tag, Err(Error::Store { doing, source })))
            }
            Err(error) => Err(error),
        }
    }

    /// One blob, tried wherever it is said to be; on a miss or damage the log is read on and all is
    /// tried once more, since a collector may have moved it.
    pub(crate) fn read_one(
        &self,
        kind: BlobKind,
        id: &BlobId,
        plain: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let mut reason = None;
        let mut bad = BTreeSet::new();
        for round in 0..2 {
            if round == 1 {
                self.log.catch_up()?;
                reason = None;
            }
            let places = self.places(id, round == 1);
            let places = places.unwrap_or_else(|error| {
                reason = Some(error);
                Vec::new()
            });
            for location in places {
                match self.read_place(kind, id, &location, round == 1, plain) {
                    Ok(()) => {
                        bad.remove(&location.pack.name);
                        self.distrust.add_all(&bad);
                        return Ok(());
                    }
                    Err(error) => {
                        if matches!(error, Error::Damaged { .. }) {
                            bad.insert(location.pack.name);
                        }
                        reason = Some(weightier(reason, error));
                    }
                }
            }
        }
        self.distrust.add_all(&bad);
        Err(reason.unwrap_or_else(|| self.missing(kind, id)))
    }

    /// One copy. `patient`: a store may say for a while that an object is not there; but of a pack that
    /// is known to be gone nobody waits for every chunk.
    fn read_place(
        &self,
        kind: BlobKind,
        id: &BlobId,
        location: &Location,
        patient: bool,
        plain: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let pack = &location.pack.name;
        let key = pack.pack_key();
        let mut attempt = 1;
        loop {
            match self.get_blobs(pack, span(location)) {
                Ok(blob) => {
                    return self
                        .open_blob(kind, id, &blob, plain)
                        .map_err(|what| Error::damaged(key.as_str(), what));
                }
                Err(error)
                    if patient
                        && attempt < STALE_ATTEMPTS
                        && is_absent(&error)
                        && !self.distrust.contains(pack) =>
                {
                    self.patience.pause(window(attempt));
                    attempt += 1;
                }
                Err(error) => return Err(of_object(error, key.as_str(), kind, id)),
            }
        }
    }

    /// Nowhere: because a segment cannot be read, if there is such a one.
    fn missing(&self, kind: BlobKind, id: &BlobId) -> Error {
        match self.index().broken().first() {
            Some((name, why)) => Error::damaged(
                name.segment_key().as_str(),
                format!("{kind} {id} cannot be found without this index segment: {why}"),
            ),
            None => Error::Missing {
                what: match kind {
                    BlobKind::Chunk => "chunk",
                    BlobKind::Node => "tree node",
                },
                id: *id,
            },
        }
    }

    fn open_chunk(&self, id: &BlobId, blob: &[u8], plain: &mut Vec<u8>) -> Result<(), String> {
        self.open_blob(BlobKind::Chunk, id, blob, plain)
    }

    fn open_blob(
        &self,
        kind: BlobKind,
        id: &BlobId,
        blob: &[u8],
        plain: &mut Vec<u8>,
    ) -> Result<(), String> {
        let chunk_size = usize::try_from(self.config.chunk_size.0).unwrap_or(usize::MAX);
        let limit = match kind {
            BlobKind::Chunk => chunk_size,
            BlobKind::Node => MAX_NODE,
        };
        codec::open(&self.keys, kind, *id, blob, limit, plain)?;
        match kind {
            BlobKind::Chunk if plain.len() != chunk_size => Err(format!(
                "chunk {id} has {} bytes, not {chunk_size}",
                plain.len()
            )),
            _ => Ok(()),
        }
    }

    /// Places of a blob by the current fold.
    pub(crate) fn locate(&self, id: &BlobId) -> Result<Vec<Location>, Error> {
        self.places(id, false)
    }

    fn places(&self, id: &BlobId, everywhere: bool) -> Result<Vec<Location>, Error> {
        self.follow_index()?;
        self.log
            .with_fold(|fold| self.index().find_all(id, fold.dead(), everywhere, self))
    }

    /// Brings the index up to the fold, if that went on.
    pub(crate) fn follow_index(&self) -> Result<(), Error> {
        let followed = self.index().followed();
        let news = self.log.with_fold(|fold| {
            (Some(fold.slots()) > followed).then(|| (fold.slots(), fold.segments().to_vec()))
        });
        let Some((slots, segments)) = news else {
            return Ok(());
        };
        let mut index = self.index();
        // Another thread may have come further meanwhile: an index never goes back.
        if Some(slots) > index.followed() {
            index.follow(&segments, self)?;
            if let Some(cache) = &self.cache {
                for (name, _) in index.broken() {
                    cache.set_aside(name);
                }
            }
            index.set_followed(slots);
        }
        Ok(())
    }

    fn get_blobs(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, Error> {
        let key = name.pack_key();
        let length = range.end - range.start;
        let bytes = patiently(
            &*self.patience,
            || format!("read {key}"),
            || self.store.get_range(&key, range.clone()),
        )?;
        if bytes.len() as u64 == length {
            Ok(bytes)
        } else {
            Err(Error::damaged(
                key.as_str(),
                format!("{} bytes came instead of {length}", bytes.len()),
            ))
        }
    }
}

/// The damage that a failed read of one object shows; any other failure is the store's, and stays it.
fn of_object(error: Error, object: &str, kind: BlobKind, id: &BlobId) -> Error {
    match &error {
        Error::Store { source, .. } => match source.kind {
            ErrorKind::NotFound => {
                Error::damaged(object, format!("it is gone, and with it {kind} {id}"))
            }
            ErrorKind::Damaged => Error::damaged(
                object,
                format!(
                    "{kind} {id} cannot be read from it: {}",
                    convoy_fault::chain(source)
                ),
            ),
            _ => error,
        },
        _ => error,
    }
}

/// A segment that cannot be read, though the store can: damage of this one object.
fn of_segment(error: Error, object: &str) -> Error {
    match &error {
        Error::Store { source, .. } if source.kind == ErrorKind::Damaged => {
            Error::damaged(object, convoy_fault::chain(source))
        }
        _ => error,
    }
}

/// Of two reasons the one that is told: a store that failed may yet have what the other copy lost.
fn weightier(first: Option<Error>, second: Error) -> Error {
    match first {
        Some(first) if !matches!(first, Error::Damaged { .. }) => first,
        _ => second,
    }
}

impl Segments for Inner {
    fn whole(&self, name: &ObjectName) -> Result<Vec<u8>, Error> {
        if let Some(bytes) = self.cache.as_ref().and_then(|cache| cache.segment(name)) {
            return Ok(bytes);
        }
        let key = name.segment_key();
        let get = || {
            patiently(
                &*self.patience,
                || format!("read {key}"),
                || self.store.get_at_most(&key, segment::MAX_LEN),
            )
            .map_err(|error| of_segment(error, key.as_str()))
        };
        for _ in 0..2 {
            let bytes = get()?;
            if ObjectHash::of(&bytes) == name.hash {
                if let Some(cache) = &self.cache {
                    cache.keep_segment(name, &bytes);
                }
                return Ok(bytes);
            }
        }
        Err(Error::damaged(
            key.as_str(),
            "its bytes do not have the hash in its name",
        ))
    }

    fn part(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, Error> {
        let key = name.segment_key();
        let length = range.end - range.start;
        let bytes = patiently(
            &*self.patience,
            || format!("read {key}"),
            || self.store.get_range(&key, range.clone()),
        )
        .map_err(|error| of_segment(error, key.as_str()))?;
        if bytes.len() as u64 == length {
            Ok(bytes)
        } else {
            Err(Error::damaged(key.as_str(), "it is cut short"))
        }
    }
}

#[cfg(test)]
mod tests {
    //! Whatever an index says, batches are of one pack each, and nothing is left out.

    use super::*;
    use crate::id::SessionId;
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
}
