//! Verified reads: a blob is found by the index, fetched, and believed because its id is right.

mod batch;
mod blob;
mod packs;
mod places;
mod segments;

use crate::error::Error;
use crate::id::BlobId;
use crate::index::Location;
use crate::keys::BlobKind;
use crate::repository::{Inner, Repository};
use batch::{batches, span};

pub(crate) use blob::of_object;

/// A chunk that is wanted, and the caller's own number for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Handed back with the bytes.
    pub tag: u64,
    /// Which chunk.
    pub id: BlobId,
}

/// Where a verified blob was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// The place.
    pub location: Location,
    /// The blob's number in its pack, by its own header: nothing vouches for it.
    pub number: u32,
}

/// Takes what was read for a tag; `false` ends the reading.
pub type Deliver<'a> = dyn FnMut(u64, Result<&[u8], Error>) -> bool + 'a;

/// As `Deliver`, and where it was read.
pub type DeliverFound<'a> = dyn FnMut(u64, Result<(&[u8], Found), Error>) -> bool + 'a;

impl Repository {
    /// The plain bytes of a tree node, verified.
    pub fn read_node(&self, id: &BlobId) -> Result<Vec<u8>, Error> {
        self.find_node(id).map(|(plain, _)| plain)
    }

    /// As `read_node`, and where it was read.
    pub fn find_node(&self, id: &BlobId) -> Result<(Vec<u8>, Found), Error> {
        let mut plain = Vec::new();
        let found = self.inner.read_one(BlobKind::Node, id, &mut plain)?;
        Ok((plain, found))
    }

    /// Delivers each wanted chunk, verified and exactly `chunk_size` bytes long, or why it cannot be
    /// had. The order follows the packs, not `wanted`; every tag is delivered once.
    ///
    /// An error of the store itself (not of one object) ends the reading with that error.
    pub fn read_chunks(&self, wanted: &[Wanted], deliver: &mut Deliver<'_>) -> Result<(), Error> {
        self.find_chunks(wanted, &mut |tag, chunk| {
            deliver(tag, chunk.map(|(plain, _)| plain))
        })
    }

    /// As `read_chunks`, and where each was read.
    pub fn find_chunks(
        &self,
        wanted: &[Wanted],
        deliver: &mut DeliverFound<'_>,
    ) -> Result<(), Error> {
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
}

impl Inner {
    /// One GET for a batch; whatever does not come out right is read again by itself.
    fn read_batch(
        &self,
        batch: &[(Location, Wanted)],
        plain: &mut Vec<u8>,
        deliver: &mut DeliverFound<'_>,
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
        // The last one, and what it was: neighbours may be the same chunk.
        let mut held: Option<(BlobId, Found)> = None;
        for (location, want) in batch {
            let place = span(location);
            let slice = usize::try_from(place.start - start)
                .and_then(|from| usize::try_from(place.end - start).map(|to| from..to))
                .ok()
                .and_then(|range| bytes.get(range));
            let again = held.filter(|(id, _)| *id == want.id);
            held = again.or_else(|| {
                let number = self.open_chunk(&want.id, slice?, plain).ok()?;
                let location = *location;
                Some((want.id, Found { location, number }))
            });
            let go_on = match held {
                Some((_, found)) => deliver(want.tag, Ok((plain, found))),
                None => self.deliver_one(*want, plain, deliver)?,
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
        deliver: &mut DeliverFound<'_>,
    ) -> Result<bool, Error> {
        match self.read_one(BlobKind::Chunk, &want.id, plain) {
            Ok(found) => Ok(deliver(want.tag, Ok((plain, found)))),
            Err(error) if error.is_of_one_object() => Ok(deliver(want.tag, Err(error))),
            Err(error) => Err(error),
        }
    }
}
