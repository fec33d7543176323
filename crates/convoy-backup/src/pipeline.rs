//! From the source to packs: reader → workers that hash and compress → packer → uploader.
//!
//! Queues are bounded and spans are counted by tokens, so that memory does not grow with the volume.
//! The packer takes results in the order of the volume: packs and tree follow it, and a rerun makes
//! the same ones.

mod failure;
mod pack;
mod read;
mod spares;
mod work;

use crate::error::Error;
use crate::io::BlockReader;
use crate::observer::Observer;
use crate::select::Work;
use convoy_repository::{
    BackupRecord, BlobId, FinishedPack, Repository, SealedBlob, Session, TreeRef,
};
use convoy_units::Bytes;
use failure::{Alarm, Failure};
use pack::{Packer, upload};
use read::read;
use spares::Spares;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::mpsc::{channel, sync_channel};
use std::thread::{Builder, Scope, ScopedJoinHandle};
use std::time::Instant;
use work::work_off;

/// Spans between reading and packing.
const SPANS: usize = 16;

/// One backup's run.
pub(crate) struct Task<'a> {
    pub(crate) repository: &'a Repository,
    pub(crate) session: &'a Session,
    pub(crate) source: &'a dyn BlockReader,
    pub(crate) size: Bytes,
    /// What progress is measured against.
    pub(crate) total: Bytes,
    pub(crate) threads: usize,
    pub(crate) observer: &'a dyn Observer,
}

/// What was done.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) read: Bytes,
    pub(crate) new: u64,
    pub(crate) new_bytes: Bytes,
    pub(crate) reused: u64,
    pub(crate) holes: u64,
}

/// Chunks that were read, the last one filled up with zeros.
struct Span {
    seq: u64,
    first: u64,
    read: u64,
    bytes: Vec<u8>,
}

/// What became of a span, or a range of holes that needed no reading.
enum Done {
    Chunks {
        first: u64,
        read: u64,
        chunks: Vec<Chunk>,
    },
    Holes(Range<u64>),
}

enum Chunk {
    Hole,
    Known(BlobId),
    New(SealedBlob),
}

/// Runs all stages; the tree's root and what was done. The chunks' packs are uploaded when it returns.
pub(crate) fn run(
    task: &Task<'_>,
    work: impl Iterator<Item = Work> + Send,
    base: Option<&BackupRecord>,
) -> Result<(TreeRef, Counts), Error> {
    let failure = Failure::default();
    let (span_spares, blob_spares) = (Spares::default(), Spares::default());
    let (span_spares, blob_spares) = (&span_spares, &blob_spares);
    let failure = &failure;
    let result = std::thread::scope(|scope| {
        let (token_giver, tokens) = channel();
        for _ in 0..SPANS {
            token_giver.send(()).ok();
        }
        let (span_sender, spans) = sync_channel::<Span>(SPANS);
        let (done_sender, done) = channel::<(u64, Done)>();
        // A meeting point, not a queue: one pack is filled while one is sent.
        let (pack_sender, packs) = sync_channel::<FinishedPack>(0);
        let spans = std::sync::Arc::new(Mutex::new(spans));
        for _ in 0..task.threads {
            let (spans, done_sender) = (std::sync::Arc::clone(&spans), done_sender.clone());
            start(scope, "convoy-hash", failure, move || {
                work_off(task, &spans, &done_sender, span_spares, blob_spares)
            });
        }
        drop(spans);
        start(scope, "convoy-read", failure, move || {
            read(task, work, &tokens, &span_sender, &done_sender, span_spares)
        });
        let uploader = start(scope, "convoy-send", failure, move || upload(task, &packs));
        let packed = Packer {
            task,
            failure,
            blob_spares,
            token_giver,
            pack_sender,
            counts: Counts::default(),
            polled: Instant::now(),
        }
        .run(&done, base);
        if uploader.is_some_and(|uploader| uploader.join().is_err()) {
            failure.note(Err(Error::Invalid(
                "the uploading thread panicked".to_owned(),
            )));
        }
        packed
    });
    match (failure.take(), result) {
        (Some(error), _) => Err(error),
        (None, result) => result,
    }
}

/// Starts a stage. One that cannot be started has failed, and what it would have worked with is dropped, which
/// ends its neighbours.
fn start<'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    failure: &'scope Failure,
    work: impl FnOnce() -> Result<(), Error> + Send + 'scope,
) -> Option<ScopedJoinHandle<'scope, ()>> {
    let run = move || {
        let _alarm = Alarm(failure);
        failure.note(work());
    };
    let started = Builder::new()
        .name(name.to_owned())
        .spawn_scoped(scope, run);
    started
        .map_err(|source| failure.note(Err(Error::Thread(source))))
        .ok()
}
