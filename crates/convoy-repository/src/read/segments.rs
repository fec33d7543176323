//! Index segments read for the index: whole from the local copy or the store, or parts from the store.

use crate::error::Error;
use crate::id::ObjectHash;
use crate::index::Segments;
use crate::pack::ObjectName;
use crate::patience::patiently;
use crate::repository::Inner;
use crate::segment;
use convoy_objectstore::ErrorKind;
use std::ops::Range;

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

/// A segment that cannot be read, though the store can: damage of this one object.
fn of_segment(error: Error, object: &str) -> Error {
    match &error {
        Error::Store { source, .. } if source.kind == ErrorKind::Damaged => {
            Error::damaged(object, convoy_fault::chain(source))
        }
        _ => error,
    }
}
