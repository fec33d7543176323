//! The pool's one metadata snapshot: a root of its metadata that stays readable while the pool goes on.
//!
//! The kernel keeps at most one for each pool, so users in this process queue for it. While it is
//! held, metadata blocks it refers to are not reused: hold it shortly.

use crate::control::ControlError;
use crate::error::Error;
use crate::pool::Pool;
use convoy_units::MetadataBlock;
use nix::errno::Errno;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

/// What to do about a metadata snapshot that is not ours.
pub(crate) const STALE_HINT: &str = "a tool may be reading the pool's metadata: wait for it; a leftover is released when the daemon starts";

/// A queue of one: whoever holds it may have the metadata snapshot.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    taken: Mutex<bool>,
    freed: Condvar,
    /// Whether one of ours could not be released: whose turn it is next releases it first.
    left: AtomicBool,
}

impl Turn {
    fn take(&self) {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = self
            .freed
            .wait_while(taken, |taken| *taken)
            .unwrap_or_else(PoisonError::into_inner);
        *taken = true;
    }

    fn give_back(&self) {
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.freed.notify_one();
    }
}

/// Gives the turn back, whatever becomes of the snapshot.
struct MyTurn<'a>(&'a Turn);

impl<'a> MyTurn<'a> {
    fn wait(turn: &'a Turn) -> Self {
        turn.take();
        Self(turn)
    }
}

impl Drop for MyTurn<'_> {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

/// A held root. Released by [`MetadataSnapshot::release`], or when dropped.
pub struct MetadataSnapshot<'a> {
    pool: &'a Pool,
    root: MetadataBlock,
    held: bool,
    // Fields are dropped after our own `drop` ran: the release comes before the next one's turn.
    _turn: MyTurn<'a>,
}

impl Pool {
    /// Reserves the pool's metadata snapshot. Waits while another thread of this process holds it;
    /// fails with [`Error::MetadataSnapshotHeld`] if anybody else does.
    pub fn reserve_metadata_snapshot(&self) -> Result<MetadataSnapshot<'_>, Error> {
        let turn = MyTurn::wait(&self.turn);
        self.release_left()?;
        self.message("reserve_metadata_snap").map_err(|source| {
            if source.errno() == Some(Errno::EBUSY) {
                return Error::MetadataSnapshotHeld {
                    pool: self.name.clone(),
                };
            }
            self.release_unanswered();
            self.refused("reserving a metadata snapshot".into(), source)
        })?;
        let mut snapshot = MetadataSnapshot {
            pool: self,
            root: MetadataBlock(0),
            held: true,
            _turn: turn,
        };
        // The root is told by the status alone; from here on a failure releases through `drop`.
        let status = self.status()?;
        snapshot.root = status
            .usage()
            .and_then(|usage| usage.held_root)
            .ok_or_else(|| Error::Unhealthy {
                name: self.name.clone(),
                status: format!("{status}, and does not tell the root of its metadata snapshot"),
            })?;
        Ok(snapshot)
    }

    /// Releases the one that we could not release, before another is reserved.
    fn release_left(&self) -> Result<(), Error> {
        if !self.turn.left.load(Ordering::SeqCst) {
            return Ok(());
        }
        match self.message("release_metadata_snap") {
            Err(source) if source.errno() != Some(Errno::EINVAL) => {
                Err(self.refused("releasing a metadata snapshot that is left".into(), source))
            }
            _ => {
                self.turn.left.store(false, Ordering::SeqCst);
                Ok(())
            }
        }
    }

    /// A reservation failed. Had somebody else held one, the kernel would have said so: one that is there now is
    /// ours, and only the answer was lost.
    fn release_unanswered(&self) {
        let held = self.status().is_ok_and(|status| {
            let usage = status.usage();
            usage.is_some_and(|usage| usage.held_root.is_some())
        });
        self.turn.left.store(held, Ordering::SeqCst);
        if let Err(source) = self.release_left() {
            let source = convoy_fault::chain(&source);
            tracing::error!(pool = %self.name, "{source}");
        }
    }

    /// Releases a metadata snapshot that a process before us left behind; says whether there was one.
    /// For start-up, when none of ours can be held. A read-only pool keeps its own: that is an error.
    pub fn release_stale_metadata_snapshot(&self) -> Result<bool, Error> {
        let _turn = MyTurn::wait(&self.turn);
        let status = self.status()?;
        if status.usage().is_none_or(|usage| usage.held_root.is_none()) {
            return Ok(false);
        }
        match self.message("release_metadata_snap") {
            Ok(()) => Ok(true),
            Err(source) if source.errno() == Some(Errno::EINVAL) => Ok(false),
            Err(source) => Err(self.refused("releasing a stale metadata snapshot".into(), source)),
        }
    }
}

impl MetadataSnapshot<'_> {
    /// The block of the held superblock: where reading begins.
    pub const fn root(&self) -> MetadataBlock {
        self.root
    }

    /// The device to read it from.
    pub fn metadata_device(&self) -> &Path {
        self.pool.metadata_device()
    }

    /// Lets it go, and says if that failed; dropping it only logs.
    pub fn release(mut self) -> Result<(), Error> {
        self.held = false;
        self.send_release().map_err(|source| {
            self.pool
                .refused("releasing the metadata snapshot".into(), source)
        })
    }

    /// One that cannot be released now is released before the next is reserved.
    fn send_release(&self) -> Result<(), ControlError> {
        let sent = self.pool.message("release_metadata_snap");
        self.pool.turn.left.store(sent.is_err(), Ordering::SeqCst);
        sent
    }
}

impl Drop for MetadataSnapshot<'_> {
    fn drop(&mut self) {
        if self.held
            && let Err(source) = self.send_release()
        {
            tracing::error!(pool = %self.pool.name, %source, "the metadata snapshot is still held");
        }
    }
}
