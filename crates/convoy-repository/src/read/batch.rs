//! Neighbours in a pack, fetched by one request.

use super::Wanted;
use crate::codec::BLOB_HEADER;
use crate::index::Location;
use std::ops::Range;

/// One GET of several blobs is at most this long.
const BATCH_BYTES: u64 = 4 << 20;
/// Unwanted bytes between two blobs that are worth reading to save a request.
const BATCH_GAP: u64 = 64 << 10;

/// Neighbours in one pack, as long as a batch stays short. Takes them in any order, though it finds more
/// neighbours in a sorted one.
pub(super) fn batches(
    mut located: &[(Location, Wanted)],
) -> impl Iterator<Item = &[(Location, Wanted)]> {
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

/// The bytes of its pack that a blob takes, header and payload.
pub(super) fn span(location: &Location) -> Range<u64> {
    let start = u64::from(location.offset);
    start..start + BLOB_HEADER as u64 + u64::from(location.stored)
}

#[cfg(test)]
mod tests;
