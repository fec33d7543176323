//! A restore that would fill the pool ends before it does: other volumes' writers are not to pay for it.

use super::refuse_full;
use convoy_backup::BlockWriter;
use convoy_thinpool::Pool;
use convoy_units::Bytes;
use std::io;
use std::sync::Mutex;

/// How much may be written between two looks at the pool.
const STRIDE: u64 = 64 << 20;

/// A volume being written that asks, again and again, whether the pool has room for it.
pub(crate) struct Bounded<'a> {
    inner: Box<dyn BlockWriter>,
    pool: &'a Pool,
    /// Bytes until the next look.
    left: Mutex<u64>,
}

impl<'a> Bounded<'a> {
    pub(crate) fn new(inner: Box<dyn BlockWriter>, pool: &'a Pool) -> Self {
        let left = Mutex::new(STRIDE);
        Self { inner, pool, left }
    }

    /// Whether it is time to look, these bytes counted.
    fn is_due(&self, bytes: usize) -> bool {
        let mut left = self
            .left
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let rest = left.checked_sub(bytes);
        *left = rest.unwrap_or(STRIDE);
        rest.is_none()
    }
}

impl BlockWriter for Bounded<'_> {
    fn len(&self) -> Bytes {
        self.inner.len()
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if self.is_due(bytes.len()) {
            refuse_full(self.pool, || "restoring".to_owned())
                .map_err(|error| io::Error::new(io::ErrorKind::StorageFull, error))?;
        }
        self.inner.write_at(offset, bytes)
    }

    fn flush(&self) -> io::Result<()> {
        self.inner.flush()
    }
}
