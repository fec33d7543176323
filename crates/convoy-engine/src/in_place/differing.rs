//! A device that is written only where it differs, and what of it was never written.

use convoy_backup::{BlockReader, BlockWriter};
use convoy_units::{ByteRange, Bytes};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes looked at in one go when what is left is cleared.
const STEP: u64 = 256 << 10;

/// What was dealt with so far.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    written: u64,
    unchanged: u64,
    /// What the backup has, in the order it came.
    seen: Vec<ByteRange>,
}

/// The device.
pub(super) struct Differing {
    pub(super) there: Box<dyn BlockReader>,
    pub(super) inner: Box<dyn BlockWriter>,
    /// What is compared and written as one: the pool's block, which one differing byte costs anyway.
    pub(super) piece: Bytes,
    pub(super) tally: Arc<Tally>,
}

impl Tally {
    /// Written, and left as they were.
    pub(super) fn bytes(&self) -> (Bytes, Bytes) {
        let counts = self.lock();
        (Bytes(counts.written), Bytes(counts.unchanged))
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn saw(&self, range: ByteRange) {
        let seen = &mut self.lock().seen;
        match seen.last_mut() {
            Some(last) if last.end == range.begin => last.end = range.end,
            _ => seen.push(range),
        }
    }
}

impl Differing {
    /// Zeros whatever of these ranges the backup does not have, and makes it durable.
    pub(super) fn clear(&self, mapped: &[ByteRange], stop: &dyn Fn() -> bool) -> io::Result<()> {
        let mut seen = std::mem::take(&mut self.tally.lock().seen);
        seen.sort_by_key(|range| range.begin);
        for range in mapped.iter().flat_map(|range| without(*range, &seen)) {
            let mut at = range.begin;
            while at < range.end {
                if stop() {
                    return Err(io::ErrorKind::Interrupted.into());
                }
                let end = (at + STEP).min(range.end);
                let zeros = vec![0; usize::try_from(end - at).map_err(io::Error::other)?];
                self.write_where_differs(at, &zeros)?;
                at = end;
            }
        }
        self.inner.flush()
    }

    fn write_where_differs(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut there = vec![0; bytes.len()];
        self.there.read_at(offset, &mut there)?;
        let piece = usize::try_from(self.piece.0).map_err(io::Error::other)?;
        let mut at = offset;
        for (new, old) in bytes.chunks(piece).zip(there.chunks(piece)) {
            let length = new.len() as u64;
            if new == old {
                self.tally.lock().unchanged += length;
            } else {
                self.inner.write_at(at, new)?;
                self.tally.lock().written += length;
            }
            at += length;
        }
        Ok(())
    }
}

impl BlockWriter for Differing {
    fn len(&self) -> Bytes {
        self.inner.len()
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_where_differs(offset, bytes)?;
        self.tally.saw(ByteRange {
            begin: offset,
            end: offset + bytes.len() as u64,
        });
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// What is left of a range without these, which are in order.
fn without(range: ByteRange, taken: &[ByteRange]) -> Vec<ByteRange> {
    let first = taken.partition_point(|other| other.end <= range.begin);
    let mut left = Vec::new();
    let mut at = range.begin;
    for other in taken.get(first..).unwrap_or_default() {
        if other.begin >= range.end {
            break;
        }
        if other.begin > at {
            left.push(ByteRange {
                begin: at,
                end: other.begin,
            });
        }
        at = at.max(other.end);
    }
    if at < range.end {
        left.push(ByteRange {
            begin: at,
            end: range.end,
        });
    }
    left
}

#[cfg(test)]
mod tests {
    //! What is written, what is left alone, and what is cleared.

    use super::*;
    use convoy_backup::MemoryDevice;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// One device to read and to write, which counts what is written.
    #[derive(Clone)]
    struct Disk(Arc<(MemoryDevice, AtomicU64)>);

    impl BlockReader for Disk {
        fn len(&self) -> Bytes {
            BlockReader::len(&self.0.0)
        }

        fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
            self.0.0.read_at(offset, into)
        }
    }

    impl BlockWriter for Disk {
        fn len(&self) -> Bytes {
            BlockWriter::len(&self.0.0)
        }

        fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
            self.0.1.fetch_add(bytes.len() as u64, Ordering::SeqCst);
            self.0.0.write_at(offset, bytes)
        }

        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    fn range(begin: u64, end: u64) -> ByteRange {
        ByteRange { begin, end }
    }

    #[test]
    fn only_what_differs_is_written_and_the_rest_of_what_is_mapped_is_cleared() {
        let mut content = vec![7; 1 << 20];
        let disk = Disk(Arc::new((
            MemoryDevice::new(content.clone()),
            AtomicU64::new(0),
        )));
        let differing = Differing {
            there: Box::new(disk.clone()),
            inner: Box::new(disk.clone()),
            piece: Bytes(64 << 10),
            tally: Arc::default(),
        };
        // The backup has the first half, one byte of which is another.
        let mut half = vec![7; 512 << 10];
        half[100_000] = 8;
        differing.write_at(0, &half).unwrap();
        assert_eq!(disk.0.1.load(Ordering::SeqCst), 64 << 10);
        // Of the second half a part is mapped; the rest reads as zeros by itself in a thin device.
        let mapped = [range(256 << 10, 768 << 10)];
        differing.clear(&mapped, &|| false).unwrap();
        assert_eq!(disk.0.1.load(Ordering::SeqCst), (64 + 256) << 10);
        content[100_000] = 8;
        content[512 << 10..768 << 10].fill(0);
        assert!(disk.0.0.content() == content);
        let (written, unchanged) = differing.tally.bytes();
        assert_eq!((written.0, unchanged.0), (320 << 10, 448 << 10));
    }

    #[test]
    fn clearing_stops_when_it_is_asked_to() {
        let disk = Disk(Arc::new((
            MemoryDevice::new(vec![1; 4096]),
            AtomicU64::new(0),
        )));
        let differing = Differing {
            there: Box::new(disk.clone()),
            inner: Box::new(disk.clone()),
            piece: Bytes(4096),
            tally: Arc::default(),
        };
        let stopped = differing.clear(&[range(0, 4096)], &|| true).unwrap_err();
        assert_eq!(stopped.kind(), io::ErrorKind::Interrupted);
        assert!(disk.0.0.content() == [1; 4096]);
    }

    #[track_caller]
    fn check(taken: &[ByteRange], left: &[ByteRange]) {
        assert_eq!(without(range(10, 20), taken), left);
    }

    #[test]
    fn what_is_left_of_a_range() {
        check(&[], &[range(10, 20)]);
        check(&[range(0, 30)], &[]);
        check(
            &[range(0, 12), range(15, 16), range(18, 40)],
            &[range(12, 15), range(16, 18)],
        );
        check(&[range(0, 10), range(20, 30)], &[range(10, 20)]);
    }
}
