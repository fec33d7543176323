//! Writing out what a volume has not written yet, before it is held: bounded, and given up in time.
//!
//! A suspend over a slow device cannot be interrupted and outlives its caller, with everybody who writes
//! waiting. So the flush comes first, while writes go on, in a thread that is left behind when it takes
//! too long: then nothing was suspended.

use crate::engine::Engine;
use crate::error::Error;
use crate::machine::Machine;
use convoy_catalog::Volume;
use convoy_fault::{Fault, Kind};
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// A flush that takes at most this part of the limit tells that the next one, inside the suspension,
/// will not take longer than the limit either.
const QUICK: u32 = 4;

/// Volumes whose flush is still going on, which at most one is for each.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flushes(Arc<Mutex<HashSet<Uuid>>>);

/// What is flushed.
enum Subject {
    /// A file system, by where it is mounted.
    Mounted { target: PathBuf, device: (u32, u32) },
    /// A device that nobody has mounted, though somebody may write to it.
    Device(PathBuf),
}

impl Subject {
    fn flush(&self, machine: &dyn Machine) -> Result<(), Error> {
        match self {
            Self::Mounted { target, device } => machine
                .sync_filesystem(target, *device)
                .map_err(|error| Error::of("flushing", error)),
            Self::Device(node) => machine
                .flush(node)
                .map_err(|error| Error::of(format!("flushing {}", node.display()), error)),
        }
    }
}

impl Engine {
    /// Flushes a volume again and again until little is left to flush, within the hold limit altogether.
    /// One that is down has nothing to flush; one whose file system cannot be reached (another lies over
    /// it) is flushed by the suspension.
    ///
    /// # Errors
    /// `Busy` when the storage is too slow: nothing was held.
    pub(crate) fn flush(&self, volume: &Volume) -> Result<(), Error> {
        let Some(subject) = self.subject(volume)? else {
            return Ok(());
        };
        let subject = Arc::new(subject);
        let limit = self.hold_limit;
        let begin = Instant::now();
        loop {
            let left = limit.saturating_sub(begin.elapsed());
            let once = Instant::now();
            match self
                .flushes
                .flush(volume.uuid, &subject, &self.machine, left)
            {
                Some(Ok(())) if once.elapsed() <= limit / QUICK => return Ok(()),
                Some(Ok(())) => (),
                Some(Err(error)) if error.kind() == Kind::Busy => {
                    let error = convoy_fault::chain(&error);
                    tracing::warn!(volume = %volume.name, "not flushed before its snapshot: {error}");
                    return Ok(());
                }
                Some(Err(error)) => {
                    let what = format!("flushing volume {} before its snapshot", volume.name);
                    return Err(Error::of(what, error));
                }
                None => return Err(too_slow(volume, limit)),
            }
        }
    }

    fn subject(&self, volume: &Volume) -> Result<Option<Subject>, Error> {
        let kernel = self.kernel()?;
        let Some(device) = kernel.device_of(volume.uuid) else {
            return Ok(None);
        };
        Ok(Some(match kernel.mount_of(volume.uuid, None) {
            Some(target) => Subject::Mounted { target, device },
            None => Subject::Device(self.activate(volume)?.node),
        }))
    }
}

fn too_slow(volume: &Volume, limit: Duration) -> Error {
    let what = format!(
        "volume {} could not be flushed within {} s, so it was not held for a snapshot",
        volume.name,
        limit.as_secs_f32()
    );
    Error::new(Kind::Busy, what).hinting(
        "the storage below the pool is too slow for what is written: try again when less is",
    )
}

impl Flushes {
    /// Flushes once; `None` when that is not over in time, and goes on without us.
    fn flush(
        &self,
        volume: Uuid,
        subject: &Arc<Subject>,
        machine: &Arc<dyn Machine>,
        patience: Duration,
    ) -> Option<Result<(), Error>> {
        self.run(volume, patience, {
            let subject = Arc::clone(subject);
            let machine = Arc::clone(machine);
            move || subject.flush(&*machine)
        })
    }

    fn run(
        &self,
        volume: Uuid,
        patience: Duration,
        flush: impl FnOnce() -> Result<(), Error> + Send + 'static,
    ) -> Option<Result<(), Error>> {
        // The one before was given up and goes on: a second would only wait behind it.
        if !self.lock().insert(volume) {
            return None;
        }
        let (sender, receiver) = mpsc::sync_channel(1);
        let running = self.clone();
        let spawned = std::thread::Builder::new()
            .name("convoy-flush".into())
            .spawn(move || {
                let flushed = flush();
                running.lock().remove(&volume);
                // Nobody listens any more to a flush that was given up.
                drop(sender.send(flushed));
            });
        if let Err(error) = spawned {
            self.lock().remove(&volume);
            return Some(Err(Error::of("starting a thread to flush on", error)));
        }
        receiver.recv_timeout(patience).ok()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<Uuid>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    //! A flush that hangs is left behind, and only one of them.

    use super::*;

    #[test]
    fn a_flush_that_hangs_is_left_behind_once() {
        let (flushes, volume) = (Flushes::default(), Uuid::now_v7());
        let (release, wait) = mpsc::channel::<()>();
        let slow = flushes.run(volume, Duration::from_millis(10), move || {
            wait.recv().ok();
            Ok(())
        });
        assert!(slow.is_none());
        let patience = Duration::from_secs(10);
        let unreached = || unreachable!("one hangs already");
        assert!(flushes.run(volume, patience, unreached).is_none());
        let other = flushes.run(Uuid::now_v7(), patience, || Ok(()));
        assert!(other.is_some_and(|flushed| flushed.is_ok()));
        release.send(()).unwrap();
        while flushes.lock().contains(&volume) {
            std::thread::yield_now();
        }
        let again = flushes.run(volume, patience, || {
            Err(Error::new(Kind::Failed, "the disk said no"))
        });
        assert!(again.is_some_and(|flushed| flushed.is_err()));
    }
}
