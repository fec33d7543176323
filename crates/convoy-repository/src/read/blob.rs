//! One blob: tried wherever it is said to be, and believed because its id is right.

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

    pub(super) fn open_chunk(
        &self,
        id: &BlobId,
        blob: &[u8],
        plain: &mut Vec<u8>,
    ) -> Result<(), String> {
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

    /// A part of a pack, exactly as long as asked for.
    pub(super) fn get_blobs(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, Error> {
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

/// Of two reasons the one that is told: a store that failed may yet have what the other copy lost.
fn weightier(first: Option<Error>, second: Error) -> Error {
    match first {
        Some(first) if !matches!(first, Error::Damaged { .. }) => first,
        _ => second,
    }
}
