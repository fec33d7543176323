//! Segments past the limit: their heads are held, and a lookup reads one bucket.

use super::{Location, Segments};
use crate::error::Error;
use crate::id::BlobId;
use crate::pack::ObjectName;
use crate::segment::{self, Head, Record};
use std::ops::Range;

#[derive(Debug)]
pub(super) struct Cold {
    pub(super) name: ObjectName,
    pub(super) head: Head,
    /// Whether all of it has the hash in its name, once that was asked. Parts are used unchecked: an id
    /// vouches for what is found.
    pub(super) sound: Option<bool>,
    /// The last one read.
    pub(super) bucket: Option<(Range<u64>, Vec<Record>)>,
}

impl Cold {
    /// The places of `id`. One request, unless the last lookup read the same bucket.
    pub(super) fn find(
        &mut self,
        id: &BlobId,
        segments: &dyn Segments,
    ) -> Result<Vec<Location>, Error> {
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
