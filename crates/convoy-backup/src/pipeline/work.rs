//! The middle stage: hashes, looks up and compresses, on as many threads as wanted.

use super::spares::Spares;
use super::{Chunk, Done, Span, Task};
use crate::error::Error;
use convoy_repository::BlobKind;
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Mutex, PoisonError};

/// Hashes, looks up and compresses until there are no more spans.
pub(super) fn work_off(
    task: &Task<'_>,
    spans: &Mutex<Receiver<Span>>,
    done: &Sender<(u64, Done)>,
    span_spares: &Spares,
    blob_spares: &Spares,
) -> Result<(), Error> {
    let chunk_size = usize::try_from(task.repository.chunk_size().0).unwrap_or(usize::MAX);
    let zeros = vec![0; chunk_size];
    let mut sealer = task
        .repository
        .sealer()
        .map_err(Error::repository("set up compression"))?;
    loop {
        let next = spans.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(span) = next else { return Ok(()) };
        let mut chunks = Vec::with_capacity(span.bytes.len() / chunk_size);
        for plain in span.bytes.chunks_exact(chunk_size) {
            chunks.push(if plain == zeros {
                Chunk::Hole
            } else {
                judge(task, &mut sealer, plain, blob_spares)?
            });
        }
        span_spares.give(span.bytes);
        let result = Done::Chunks {
            first: span.first,
            read: span.read,
            chunks,
        };
        if done.send((span.seq, result)).is_err() {
            return Ok(());
        }
    }
}

fn judge(
    task: &Task<'_>,
    sealer: &mut convoy_repository::Sealer,
    plain: &[u8],
    spares: &Spares,
) -> Result<Chunk, Error> {
    let id = task.repository.blob_id(BlobKind::Chunk, plain);
    if task
        .session
        .reuse(&id)
        .map_err(Error::repository("look a chunk up in the repository"))?
    {
        return Ok(Chunk::Known(id));
    }
    let sealed = sealer.seal_into(spares.take(), BlobKind::Chunk, id, plain);
    sealed
        .map(Chunk::New)
        .map_err(|e| Error::Invalid(format!("cannot compress a chunk: {e}")))
}
