//! Devices and plain files as sources and sinks.

use crate::error::Error;
use crate::io::{BlockReader, BlockWriter};
use convoy_units::Bytes;
use nix::libc;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// `O_DIRECT` needs offsets, lengths and memory aligned to the device's logical block; no device here
/// has less than this, and pages are at least as large.
const LEAST_ALIGNMENT: usize = 4096;
/// Bytes of one request.
const REQUEST: usize = 1 << 20;

/// A block device or file to read, past the page cache where the kernel allows.
///
/// Reading a snapshot of a busy host through the page cache would push out everybody else's pages, and
/// count reads that never reached the device.
#[derive(Debug)]
pub struct FileReader {
    file: File,
    len: u64,
    alignment: usize,
    /// Aligned buffers that no thread is using.
    buffers: Mutex<Vec<Vec<u8>>>,
}

impl FileReader {
    /// Opens for reading with `O_DIRECT`. Regular files on file systems without it are read buffered.
    pub fn open_direct(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        Self::open(path).map_err(|source| Error::Open {
            path: path.display().to_string(),
            source,
        })
    }

    fn open(path: &Path) -> io::Result<Self> {
        let direct = |flags| OpenOptions::new().read(true).custom_flags(flags).open(path);
        let mut file = match direct(libc::O_DIRECT) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) && path.is_file() => {
                direct(0)?
            }
            opened => opened?,
        };
        let len = file.seek(SeekFrom::End(0))?;
        let alignment = alignment(&file)?;
        Ok(Self {
            file,
            len,
            alignment,
            buffers: Mutex::default(),
        })
    }

    /// Reads through an aligned buffer: whole aligned blocks, of which the middle is wanted. Past the
    /// end of the device the kernel reads less, which is fine as long as the wanted part came.
    fn read_piece(&self, buffer: &mut [u8], offset: u64, into: &mut [u8]) -> io::Result<()> {
        let alignment = self.alignment as u64;
        let start = offset - offset % alignment;
        let skip = usize::try_from(offset - start).map_err(io::Error::other)?;
        let wanted = (skip + into.len()).next_multiple_of(self.alignment);
        let begin = buffer.as_ptr().align_offset(self.alignment);
        let aligned = buffer
            .get_mut(begin..begin + wanted)
            .ok_or(io::ErrorKind::InvalidInput)?;
        let mut filled = 0;
        while filled < skip + into.len() {
            let rest = aligned.get_mut(filled..).unwrap_or_default();
            match self.file.read_at(rest, start + filled as u64) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        into.copy_from_slice(aligned.get(skip..skip + into.len()).unwrap_or_default());
        Ok(())
    }
}

impl BlockReader for FileReader {
    fn len(&self) -> Bytes {
        Bytes(self.len)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let spare = self
            .buffers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let mut buffer = spare.unwrap_or_else(|| vec![0; REQUEST + 2 * self.alignment]);
        let mut at = offset;
        let pieces = into.chunks_mut(REQUEST);
        let result = pieces.into_iter().try_for_each(|piece| {
            self.read_piece(&mut buffer, at, piece)?;
            at += piece.len() as u64;
            Ok(())
        });
        self.buffers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(buffer);
        result
    }
}

/// The alignment that `O_DIRECT` needs: the device's logical block, at least 4096.
fn alignment(file: &File) -> io::Result<usize> {
    let metadata = file.metadata()?;
    if !metadata.file_type().is_block_device() {
        return Ok(LEAST_ALIGNMENT);
    }
    let (major, minor) = (libc::major(metadata.rdev()), libc::minor(metadata.rdev()));
    let device = format!("/sys/dev/block/{major}:{minor}");
    // A partition has no queue of its own; its disk is the folder above.
    let block = ["queue", "../queue"].iter().find_map(|queue| {
        let text = std::fs::read_to_string(format!("{device}/{queue}/logical_block_size")).ok()?;
        text.trim().parse::<usize>().ok()
    });
    Ok(block.unwrap_or(LEAST_ALIGNMENT).max(LEAST_ALIGNMENT))
}

/// A block device or file to write; `flush` is `fsync`.
#[derive(Debug)]
pub struct FileWriter {
    file: File,
    len: u64,
}

impl FileWriter {
    /// Opens what exists for writing, without changing its size.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::with(path.as_ref(), |path| {
            OpenOptions::new().write(true).open(path)
        })
    }

    /// Creates a sparse file of this size; fails if something is there.
    pub fn create(path: impl AsRef<Path>, len: Bytes) -> Result<Self, Error> {
        Self::with(path.as_ref(), |path| {
            let file = OpenOptions::new().write(true).create_new(true).open(path)?;
            file.set_len(len.0)?;
            Ok(file)
        })
    }

    fn with(path: &Path, open: impl Fn(&Path) -> io::Result<File>) -> Result<Self, Error> {
        let opened = open(path).and_then(|mut file| Ok((file.seek(SeekFrom::End(0))?, file)));
        match opened {
            Ok((len, file)) => Ok(Self { file, len }),
            Err(source) => Err(Error::Open {
                path: path.display().to_string(),
                source,
            }),
        }
    }
}

impl BlockWriter for FileWriter {
    fn len(&self) -> Bytes {
        Bytes(self.len)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn flush(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

#[cfg(test)]
mod tests {
    //! Direct reads at any place of a file of any length.

    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn reads_what_is_there(len in 1usize..3_000_000, cuts in prop::collection::vec((0usize..3_000_000, 1usize..2_500_000), 1..6)) {
            let bytes: Vec<u8> = (0..len).map(|n| u8::try_from(n * 31 % 251).unwrap()).collect();
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(&bytes).unwrap();
            let reader = FileReader::open_direct(file.path()).unwrap();
            prop_assert_eq!(reader.len(), Bytes(len as u64));
            for (start, length) in cuts {
                let start = start % len;
                let end = (start + length).min(len);
                let mut into = vec![0; end - start];
                reader.read_at(start as u64, &mut into).unwrap();
                prop_assert!(into == bytes[start..end]);
            }
            prop_assert!(reader.read_at(len as u64, &mut [0; 1]).is_err());
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = FileReader::open_direct("/nowhere/at/all").unwrap_err();
        assert!(error.to_string().contains("/nowhere/at/all"));
    }

    /// The original opened the target of a restore so that it was made where it was missing: a device that had
    /// gone became a plain file in `/dev`, and the restore was reported as done.
    #[test]
    fn a_target_that_is_not_there_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("device");
        let error = FileWriter::open(&path).unwrap_err();
        assert!(error.to_string().contains("device"), "{error}");
        assert!(!path.exists());
        // And what is there keeps its size.
        std::fs::write(&path, [1; 10]).unwrap();
        let writer = FileWriter::open(&path).unwrap();
        assert_eq!(writer.len(), Bytes(10));
        assert_eq!(std::fs::read(&path).unwrap(), [1; 10]);
    }
}
