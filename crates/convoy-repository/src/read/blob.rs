//! One blob: tried wherever it is said to be, and believed because its id is right.

use super::Found;
use super::batch::span;
use crate::codec;
use crate::error::Error;
use crate::id::BlobId;
use crate::index::Location;
use crate::keys::BlobKind;
use crate::log::is_absent;
use crate::node::MAX_NODE;
use crate::pack::ObjectName;
use crate::patience::{patiently, window};
use crate::repository::Inner;
use convoy_objectstore::ErrorKind;
use std::collections::BTreeSet;
use std::ops::Range;

/// Requests for a pack that is said to be absent, before it is believed.
const STALE_ATTEMPTS: u32 = 4;

impl Inner {
    /// One blob, tried wherever it is said to be; on a miss or damage the log is read on and all is
    /// tried once more, since a collector may have moved it.
    pub(crate) fn read_one(
        &self,
        kind: BlobKind,
        id: &BlobId,
        plain: &mut Vec<u8>,
    ) -> Result<Found, Error> {
        let mut reason = None;
        let mut bad = BTreeSet::new();
        for round in 0..2 {
            if round == 1 {
                self.log.catch_up()?;
                // Whatever was wrong is met again, or was not this place's fault.
                reason = None;
                bad.clear();
            }
            let places = self.places(id, round == 1);
            let places = places.unwrap_or_else(|error| {
                reason = Some(error);
                Vec::new()
            });
            for location in places {
                match self.read_place(kind, id, &location, round == 1, plain) {
                    Ok(number) => {
                        bad.remove(&location.pack.name);
                        self.distrust.add_all(&bad);
                        return Ok(Found { location, number });
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
        Err(match reason {
            None => self.missing(kind, id),
            // Refused: this object, or everything since a moment ago?
            Some(Error::Unreadable { object, source })
                if source.kind == ErrorKind::Auth && !self.answers() =>
            {
                Error::Store {
                    doing: format!("read {object}"),
                    source,
                }
            }
            Some(reason) => reason,
        })
    }

    /// Whether the store still gives away what every repository has. One request.
    fn answers(&self) -> bool {
        let key = crate::pack::key("config".to_owned());
        self.store
            .get_at_most(&key, crate::entry::MAX_ENTRY)
            .is_ok()
    }

    /// One copy; the number it has in its pack. `patient`: a store may say for a while that an object is not there; but of a pack that
    /// is known to be gone nobody waits for every chunk.
    fn read_place(
        &self,
        kind: BlobKind,
        id: &BlobId,
        location: &Location,
        patient: bool,
        plain: &mut Vec<u8>,
    ) -> Result<u32, Error> {
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
                Err(error) => return Err(of_object(error, key.as_str(), &format!("{kind} {id}"))),
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

    pub(super) fn open_chunk(
        &self,
        id: &BlobId,
        blob: &[u8],
        plain: &mut Vec<u8>,
    ) -> Result<u32, String> {
        self.open_blob(BlobKind::Chunk, id, blob, plain)
    }

    /// Verifies a blob, header and payload; its number in its pack.
    pub(crate) fn open_blob(
        &self,
        kind: BlobKind,
        id: &BlobId,
        blob: &[u8],
        plain: &mut Vec<u8>,
    ) -> Result<u32, String> {
        let chunk_size = usize::try_from(self.config.chunk_size.0).unwrap_or(usize::MAX);
        let limit = match kind {
            BlobKind::Chunk => chunk_size,
            BlobKind::Node => MAX_NODE,
        };
        let header = codec::open(&self.keys, kind, *id, blob, limit, plain)?;
        match kind {
            BlobKind::Chunk if plain.len() != chunk_size => Err(format!(
                "chunk {id} has {} bytes, not {chunk_size}",
                plain.len()
            )),
            _ => Ok(header.number()),
        }
    }

    /// A part of a pack, exactly as long as asked for.
    pub(crate) fn get_blobs(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, Error> {
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

/// What a failed read of one object shows; any other failure is the store's, and stays it.
pub(crate) fn of_object(error: Error, object: &str, what: &str) -> Error {
    match error {
        Error::Store { doing, source } => match source.kind {
            ErrorKind::NotFound => {
                Error::damaged(object, format!("it is gone, and with it {what}"))
            }
            ErrorKind::Damaged => Error::damaged(
                object,
                format!(
                    "{what} cannot be read from it: {}",
                    convoy_fault::chain(&source)
                ),
            ),
            // Repeating changes nothing, and the next object may be another matter.
            ErrorKind::Permanent | ErrorKind::Auth => Error::Unreadable {
                object: object.to_owned(),
                source,
            },
            _ => Error::Store { doing, source },
        },
        error => error,
    }
}

/// Of two reasons the one that is told: a store that failed may yet have what the other copy lost.
fn weightier(first: Option<Error>, second: Error) -> Error {
    match first {
        Some(first) if !matches!(first, Error::Damaged { .. }) => first,
        _ => second,
    }
}
