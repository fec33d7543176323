//! From the source to packs: reader → workers that hash and compress → packer → uploader.
//!
//! Queues are bounded and spans are counted by tokens, so that memory does not grow with the volume.
//! The packer takes results in the order of the volume: packs and tree follow it, and a rerun makes
//! the same ones.

use crate::error::Error;
use crate::io::BlockReader;
use crate::observer::Observer;
use crate::select::Work;
use convoy_repository::{
    BackupRecord, BlobId, BlobKind, FinishedPack, Repository, SealedBlob, Session, TreeEditor,
    TreeRef, chunks_of,
};
use convoy_units::{ByteRange, Bytes};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Bytes read at once, if chunks are not larger.
const SPAN: u64 = 1 << 20;
/// Spans between reading and packing.
const SPANS: usize = 16;
/// How long the packer waits before it looks whether another stage has failed.
const WAIT: Duration = Duration::from_millis(100);
/// How often the log is asked whether a collector has warned of our packs.
const POLL: Duration = Duration::from_mins(5);

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

/// Buffers between two uses. There are never more than spans and their chunks, and their pages are in
/// place: fresh ones for every span cost more than reading and hashing it.
#[derive(Default)]
struct Spares(Mutex<Vec<Vec<u8>>>);

impl Spares {
    fn take(&self) -> Vec<u8> {
        self.lock().pop().unwrap_or_default()
    }

    fn give(&self, buffer: Vec<u8>) {
        self.lock().push(buffer);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
            let failure = &failure;
            scope.spawn(move || {
                let _alarm = Alarm(failure);
                failure.note(work_off(
                    task,
                    &spans,
                    &done_sender,
                    span_spares,
                    blob_spares,
                ));
            });
        }
        drop(spans);
        let failure = &failure;
        scope.spawn(move || {
            let _alarm = Alarm(failure);
            failure.note(read(
                task,
                work,
                &tokens,
                &span_sender,
                &done_sender,
                span_spares,
            ));
        });
        let uploader = scope.spawn(move || failure.note(upload(task, &packs)));
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
        if uploader.join().is_err() {
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

/// The first failure of any stage; the others stop when they see it, or find their neighbours gone.
#[derive(Default)]
struct Failure {
    stop: AtomicBool,
    first: Mutex<Option<Error>>,
}

impl Failure {
    fn note(&self, result: Result<(), Error>) {
        if let Err(error) = result {
            let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert(error);
            self.stop.store(true, Ordering::Release);
        }
    }

    fn happened(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    fn take(&self) -> Option<Error> {
        self.first
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

/// Stops the other stages if its thread panics: they would wait for it for ever.
struct Alarm<'a>(&'a Failure);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop.store(true, Ordering::Release);
        }
    }
}

/// Reads what is to be read, each byte once. Ends early, without an error of its own, when the stages
/// after it are gone.
fn read(
    task: &Task<'_>,
    work: impl Iterator<Item = Work>,
    tokens: &Receiver<()>,
    spans: &SyncSender<Span>,
    done: &Sender<(u64, Done)>,
    spares: &Spares,
) -> Result<(), Error> {
    let chunk_size = task.repository.chunk_size().0;
    let step = (SPAN / chunk_size).max(1);
    let mut seq = 0;
    for item in work {
        let chunks = match item {
            Work::Hole(chunks) => {
                if tokens.recv().is_err() || done.send((seq, Done::Holes(chunks))).is_err() {
                    return Ok(());
                }
                seq += 1;
                continue;
            }
            Work::Read(chunks) => chunks,
        };
        let mut first = chunks.start;
        while first < chunks.end {
            let end = (first + step).min(chunks.end);
            if tokens.recv().is_err() {
                return Ok(());
            }
            let span = read_span(task, seq, first, end, spares.take())?;
            if spans.send(span).is_err() {
                return Ok(());
            }
            seq += 1;
            first = end;
        }
    }
    Ok(())
}

fn read_span(
    task: &Task<'_>,
    seq: u64,
    first: u64,
    end: u64,
    spare: Vec<u8>,
) -> Result<Span, Error> {
    let chunk_size = task.repository.chunk_size().0;
    let range = ByteRange {
        begin: first * chunk_size,
        end: (end * chunk_size).min(task.size.0),
    };
    let failed = |source| Error::Read { range, source };
    let length = usize::try_from((end - first) * chunk_size)
        .map_err(|e| failed(std::io::Error::other(e)))?;
    let read = range.len().0;
    let mut bytes = spare;
    bytes.resize(length, 0);
    let wanted = usize::try_from(read).unwrap_or(length);
    let (inside, filling) = bytes
        .split_at_mut_checked(wanted)
        .expect("a range is not longer than its chunks");
    // The buffer may have been used before.
    filling.fill(0);
    task.source.read_at(range.begin, inside).map_err(failed)?;
    Ok(Span {
        seq,
        first,
        read,
        bytes,
    })
}

/// Hashes, looks up and compresses until there are no more spans.
fn work_off(
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

fn upload(task: &Task<'_>, packs: &Receiver<FinishedPack>) -> Result<(), Error> {
    packs.iter().try_for_each(|pack| {
        task.session
            .upload(&pack)
            .map_err(Error::repository("send a pack to the repository"))?;
        task.session.recycle(pack);
        Ok(())
    })
}

/// Puts results in order, fills packs and edits the tree.
struct Packer<'a> {
    task: &'a Task<'a>,
    failure: &'a Failure,
    blob_spares: &'a Spares,
    token_giver: Sender<()>,
    pack_sender: SyncSender<FinishedPack>,
    counts: Counts,
    polled: Instant,
}

impl Packer<'_> {
    /// Dropping `self` at the end closes the queues, which ends the other stages.
    fn run(
        mut self,
        done: &Receiver<(u64, Done)>,
        base: Option<&BackupRecord>,
    ) -> Result<(TreeRef, Counts), Error> {
        let chunk_size = self.task.repository.chunk_size().0;
        let chunks = chunks_of(self.task.size.0, chunk_size);
        let base_tree = base.map_or((None, 1), |base| {
            (base.root, chunks_of(base.volume_size.0, chunk_size))
        });
        let mut nodes = self.task.session;
        let tree_error = Error::repository("update the backup's tree");
        let mut tree =
            TreeEditor::new(&mut nodes, base_tree.0, base_tree.1, chunks).map_err(&tree_error)?;
        let mut waiting = BTreeMap::new();
        let mut next = 0;
        loop {
            // Not a plain wait: a stage that failed may leave the others waiting for each other.
            match done.recv_timeout(WAIT) {
                Ok((seq, item)) => drop(waiting.insert(seq, item)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            while let Some(item) = waiting.remove(&next) {
                self.take(&mut tree, item)?;
                // The reader may be gone already: it has read all.
                self.token_giver.send(()).ok();
                next += 1;
            }
            self.poll()?;
        }
        if self.failure.happened() {
            // Its error is the one that is reported.
            return Err(Error::Cancelled);
        }
        let last = self
            .task
            .session
            .finish_chunks()
            .map_err(Error::repository("close a pack"))?;
        last.map_or(Ok(()), |pack| self.send(pack))?;
        let root = tree.finish().map_err(&tree_error)?;
        Ok((root, self.counts))
    }

    fn take(&mut self, tree: &mut TreeEditor<'_>, item: Done) -> Result<(), Error> {
        let tree_error = Error::repository("update the backup's tree");
        match item {
            Done::Holes(range) => {
                self.counts.holes += range.end - range.start;
                tree.clear(range).map_err(tree_error)
            }
            Done::Chunks {
                first,
                read,
                chunks,
            } => {
                for (number, chunk) in (first..).zip(chunks) {
                    match chunk {
                        Chunk::Hole => {
                            self.counts.holes += 1;
                            tree.clear(number..number + 1).map_err(&tree_error)?;
                        }
                        Chunk::Known(id) => {
                            self.counts.reused += 1;
                            tree.set(number, id).map_err(&tree_error)?;
                        }
                        Chunk::New(blob) => {
                            self.add(&blob)?;
                            tree.set(number, blob.id()).map_err(&tree_error)?;
                            self.blob_spares.give(blob.into_spare());
                        }
                    }
                }
                self.counts.read.0 += read;
                self.task
                    .observer
                    .progress(self.counts.read.min(self.task.total), self.task.total);
                Ok(())
            }
        }
    }

    fn add(&mut self, blob: &SealedBlob) -> Result<(), Error> {
        let added = self
            .task
            .session
            .add(blob)
            .map_err(Error::repository("fill a pack"))?;
        if !added.new {
            // Two workers came upon the same new chunk at once.
            self.counts.reused += 1;
            return Ok(());
        }
        self.counts.new += 1;
        self.counts.new_bytes.0 += self.task.repository.chunk_size().0;
        added.full.map_or(Ok(()), |pack| self.send(pack))
    }

    /// The uploader takes it, or has failed: then its error is the one that is reported.
    fn send(&self, pack: FinishedPack) -> Result<(), Error> {
        self.pack_sender.send(pack).map_err(|_| Error::Cancelled)
    }

    fn poll(&mut self) -> Result<(), Error> {
        if self.failure.happened() || self.task.observer.cancelled() {
            return Err(Error::Cancelled);
        }
        if self.polled.elapsed() >= POLL {
            self.polled = Instant::now();
            self.task
                .session
                .poll()
                .map_err(Error::repository("read the repository's log"))?;
        }
        Ok(())
    }
}
