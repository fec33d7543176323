//! Buffers between two uses.

use std::sync::{Mutex, PoisonError};

/// Buffers between two uses. There are never more than spans and their chunks, and their pages are in
/// place: fresh ones for every span cost more than reading and hashing it.
#[derive(Default)]
pub(super) struct Spares(Mutex<Vec<Vec<u8>>>);

impl Spares {
    /// One that was given back, or a fresh one.
    pub(super) fn take(&self) -> Vec<u8> {
        self.lock().pop().unwrap_or_default()
    }

    /// Gives one back.
    pub(super) fn give(&self, buffer: Vec<u8>) {
        self.lock().push(buffer);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
