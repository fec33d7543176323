//! The last stages: results in order into packs and the tree, and full packs to the store.

use super::failure::Failure;
use super::spares::Spares;
use super::{Chunk, Counts, Done, Task};
use crate::error::Error;
use convoy_repository::{BackupRecord, FinishedPack, SealedBlob, TreeEditor, TreeRef, chunks_of};
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender};
use std::time::{Duration, Instant};

/// How long the packer waits before it looks whether another stage has failed.
const WAIT: Duration = Duration::from_millis(100);
/// How often the log is asked whether a collector has warned of our packs.
const POLL: Duration = Duration::from_mins(5);

/// Sends packs until there are no more.
pub(super) fn upload(task: &Task<'_>, packs: &Receiver<FinishedPack>) -> Result<(), Error> {
    packs.iter().try_for_each(|pack| {
        task.session
            .upload(&pack)
            .map_err(Error::repository("send a pack to the repository"))?;
        task.session.recycle(pack);
        Ok(())
    })
}

/// Puts results in order, fills packs and edits the tree.
pub(super) struct Packer<'a> {
    pub(super) task: &'a Task<'a>,
    pub(super) failure: &'a Failure,
    pub(super) blob_spares: &'a Spares,
    pub(super) token_giver: Sender<()>,
    pub(super) pack_sender: SyncSender<FinishedPack>,
    pub(super) counts: Counts,
    pub(super) polled: Instant,
}

impl Packer<'_> {
    /// Dropping `self` at the end closes the queues, which ends the other stages.
    pub(super) fn run(
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
