//! Where blocks come from and where they go.

use convoy_units::Bytes;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A device, or anything like it, to read from. Threads may read concurrently.
pub trait BlockReader: Send + Sync {
    /// Its size in bytes.
    fn len(&self) -> Bytes;

    /// Whether it holds no byte.
    fn is_empty(&self) -> bool {
        self.len().0 == 0
    }

    /// Fills `into` from `offset`, entirely or with an error. The caller stays inside `len` and begins
    /// at a multiple of the repository's chunk size.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()>;
}

/// A device, or anything like it, to write to.
pub trait BlockWriter: Send + Sync {
    /// Its size in bytes.
    fn len(&self) -> Bytes;

    /// Whether it holds no byte.
    fn is_empty(&self) -> bool {
        self.len().0 == 0
    }

    /// Writes all of `bytes` at `offset`. The caller stays inside `len`.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes what was written survive a power cut.
    fn flush(&self) -> io::Result<()>;
}

/// A device in memory: for tests and small tools.
#[derive(Debug, Default)]
pub struct MemoryDevice {
    bytes: Mutex<Vec<u8>>,
}

impl MemoryDevice {
    /// With this content.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self {
            bytes: Mutex::new(bytes),
        }
    }

    /// Zeros.
    ///
    /// # Panics
    /// If the machine has no so large memory.
    pub fn zeroed(len: Bytes) -> Self {
        Self::new(vec![
            0;
            usize::try_from(len.0)
                .expect("a device in memory fits memory")
        ])
    }

    /// A copy of the content.
    pub fn content(&self) -> Vec<u8> {
        self.bytes().clone()
    }

    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn place(offset: u64, len: usize) -> io::Result<std::ops::Range<usize>> {
    let start = usize::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
    Ok(start..start.checked_add(len).ok_or(io::ErrorKind::InvalidInput)?)
}

impl BlockReader for MemoryDevice {
    fn len(&self) -> Bytes {
        Bytes(self.bytes().len() as u64)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let bytes = self.bytes();
        let from = bytes
            .get(place(offset, into.len())?)
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        into.copy_from_slice(from);
        Ok(())
    }
}

impl BlockWriter for MemoryDevice {
    fn len(&self) -> Bytes {
        Bytes(self.bytes().len() as u64)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut all = self.bytes();
        let into = all
            .get_mut(place(offset, bytes.len())?)
            .ok_or(io::ErrorKind::InvalidInput)?;
        into.copy_from_slice(bytes);
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}
