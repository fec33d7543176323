//! Bringing a backup back.

use crate::error::Error;
use crate::io::BlockWriter;
use crate::observer::{Observer, Phase};
use crate::shelf::Shelf;
use convoy_repository::{BackupRecord, BlobId, Repository, Visit, Wanted, chunks_of, walk};
use convoy_units::{ByteRange, Bytes};
use std::ops::Range;
use std::time::{Duration, Instant};

/// What a restore did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestoreSummary {
    /// Bytes written; the rest of the volume is holes.
    pub written: Bytes,
    /// Chunks written.
    pub chunks: u64,
    /// Requests to the store, by anybody who shares it.
    pub requests: u64,
    /// From begin to end.
    pub duration: Duration,
}

/// Writes a backup into `sink`, which must read as zeros (a fresh thin volume, a new sparse file):
/// holes are not written.
///
/// Every chunk is verified before it is written, nothing is written outside the volume's size, and
/// all is durable when this returns. On any error the sink is incomplete: do not use it. Progress is
/// told in bytes of stored chunks, those written of all. Memory: 16 MiB of the tree and 4 MiB of
/// chunks, besides the index.
pub fn restore(
    repository: &Repository,
    backup: &BackupRecord,
    sink: &dyn BlockWriter,
    observer: &dyn Observer,
) -> Result<RestoreSummary, Error> {
    let start = Instant::now();
    let requests = repository.counters().requests();
    let size = backup.volume_size;
    if sink.len() < size {
        return Err(Error::Invalid(format!(
            "the target has {}, less than the backup's {size}",
            sink.len()
        )));
    }
    observer.phase(Phase::Restoring);
    let shelf = Shelf::default();
    let mut restoring = Restoring {
        repository,
        backup,
        sink,
        observer,
        total: shelf.measure(repository, backup, observer),
        chunks: 0,
        written: 0,
    };
    observer.progress(Bytes(0), restoring.total);
    let chunks = chunks_of(size.0, repository.chunk_size().0);
    walk(
        &|id| shelf.read(repository, id).map(|(node, _)| node),
        &backup.root,
        chunks,
        &mut |visit| match visit {
            Visit::Leaf(first, ids) => restoring.leaf(first, ids),
            Visit::Broken(chunks, _, source) => Err(restoring.damaged(&chunks, source)),
        },
    )?;
    sink.flush().map_err(Error::Flush)?;
    observer.progress(restoring.total, restoring.total);
    Ok(RestoreSummary {
        written: Bytes(restoring.written),
        chunks: restoring.chunks,
        requests: repository.counters().requests().saturating_sub(requests),
        duration: start.elapsed(),
    })
}

struct Restoring<'a> {
    repository: &'a Repository,
    backup: &'a BackupRecord,
    sink: &'a dyn BlockWriter,
    observer: &'a dyn Observer,
    /// Bytes in stored chunks: what there is to write.
    total: Bytes,
    chunks: u64,
    written: u64,
}

impl Restoring<'_> {
    fn leaf(&mut self, first: u64, ids: &[Option<BlobId>]) -> Result<(), Error> {
        let wanted = wanted(first, ids);
        let mut failure = None;
        let repository = self.repository;
        repository
            .read_chunks(
                &wanted,
                &mut |number, chunk| match self.chunk(number, chunk) {
                    Ok(()) => true,
                    Err(error) => {
                        failure = Some(error);
                        false
                    }
                },
            )
            .map_err(Error::repository("read from the repository"))?;
        failure.map_or(Ok(()), Err)
    }

    fn chunk(
        &mut self,
        number: u64,
        chunk: Result<&[u8], convoy_repository::Error>,
    ) -> Result<(), Error> {
        if self.observer.cancelled() {
            return Err(Error::Cancelled);
        }
        let chunk = chunk.map_err(|source| self.damaged(&(number..number + 1), source))?;
        // Cut off at the volume's end; the rest of the last chunk is filling.
        let range = byte_range(self.repository, self.backup, &(number..number + 1));
        let inside = usize::try_from(range.len().0)
            .ok()
            .and_then(|length| chunk.get(..length));
        let inside =
            inside.ok_or_else(|| Error::Invalid("a chunk is shorter than its place".to_owned()))?;
        self.sink
            .write_at(range.begin, inside)
            .map_err(|source| Error::Write { range, source })?;
        self.chunks += 1;
        self.written += range.len().0;
        self.observer
            .progress(Bytes(self.written).min(self.total), self.total);
        Ok(())
    }

    fn damaged(&self, chunks: &Range<u64>, source: convoy_repository::Error) -> Error {
        let range = byte_range(self.repository, self.backup, chunks);
        Error::Damaged {
            backup: self.backup.name.clone(),
            range,
            source,
        }
    }
}

/// The used slots of a leaf.
pub(crate) fn wanted(first: u64, ids: &[Option<BlobId>]) -> Vec<Wanted> {
    (first..)
        .zip(ids)
        .filter_map(|(tag, id)| id.map(|id| Wanted { tag, id }))
        .collect()
}

/// The bytes of the volume that these chunks are.
pub(crate) fn byte_range(
    repository: &Repository,
    backup: &BackupRecord,
    chunks: &Range<u64>,
) -> ByteRange {
    let (chunk, size) = (repository.chunk_size().0, backup.volume_size.0);
    let at = |number: u64| number.saturating_mul(chunk).min(size);
    ByteRange {
        begin: at(chunks.start),
        end: at(chunks.end),
    }
}
