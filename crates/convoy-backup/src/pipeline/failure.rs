//! How one stage's end becomes the end of all.

use crate::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// The first failure of any stage; the others stop when they see it, or find their neighbours gone.
#[derive(Default)]
pub(super) struct Failure {
    stop: AtomicBool,
    first: Mutex<Option<Error>>,
}

impl Failure {
    /// Keeps the error, if it is the first.
    pub(super) fn note(&self, result: Result<(), Error>) {
        if let Err(error) = result {
            let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert(error);
            self.stop.store(true, Ordering::Release);
        }
    }

    /// Whether a stage has failed.
    pub(super) fn happened(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// The first error.
    pub(super) fn take(&self) -> Option<Error> {
        self.first
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

/// Stops the other stages if its thread panics: they would wait for it for ever.
pub(super) struct Alarm<'a>(pub(super) &'a Failure);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop.store(true, Ordering::Release);
        }
    }
}
