//! Metadata in a file or on a block device, read past the page cache.
//!
//! The kernel writes a pool's metadata with direct IO of its own, which does not pass through the block
//! device's page cache: a buffered read of a live device may return an older block. So a device is read
//! with `O_DIRECT` or not at all, and only a regular file falls back to buffered reads where its file
//! system offers nothing else. Never with `O_EXCL`: the active pool holds the device.

use super::{Block, BlockSource};
use crate::error::Error;
use crate::{BLOCK_SIZE, MAX_METADATA_BLOCKS};
use convoy_units::MetadataBlock;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{major, minor};
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Blocks that are not wanted but read through when that joins two reads.
const MAX_GAP: u64 = 8;
/// The longest joined read: 256 blocks, 1 MiB.
const MAX_SPAN: u64 = 256;
const BLOCK: u64 = BLOCK_SIZE as u64;

/// A file or block device with thin metadata, opened for reading only.
///
/// Reads are positioned, so one source may serve several threads.
#[derive(Debug)]
pub struct FileSource {
    file: File,
    nr_blocks: u64,
    /// What offset, length and address of a read are multiples of; a power of two, 4096 or more.
    alignment: u64,
    direct: bool,
}

impl FileSource {
    /// Opens `path` and measures it.
    ///
    /// # Errors
    /// [`Error::Open`] when it cannot be opened, is neither a file nor a block device, or is a device
    /// that refuses direct IO.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_io(path).map_err(|source| Error::Open {
            path: path.to_owned(),
            source,
        })
    }

    /// Whether reads pass by the page cache: always so for a device.
    pub fn is_direct(&self) -> bool {
        self.direct
    }

    fn open_io(path: &Path) -> io::Result<Self> {
        match Self::open_as(path, true) {
            Err(error) if is_refusal(&error) && path.metadata()?.is_file() => {
                Self::open_as(path, false)
            }
            other => other,
        }
    }

    fn open_as(path: &Path, direct: bool) -> io::Result<Self> {
        let flags = if direct {
            OFlag::O_DIRECT
        } else {
            OFlag::empty()
        };
        let mut file = OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits())
            .open(path)?;
        let kind = file.metadata()?;
        let alignment = if kind.file_type().is_block_device() {
            logical_block_size(kind.rdev())?
                .next_power_of_two()
                .max(BLOCK)
        } else if kind.is_file() {
            BLOCK
        } else {
            return Err(io::Error::other("neither a file nor a block device"));
        };
        // The end of a block device is its size; its inode says 0.
        let nr_blocks = file.seek(SeekFrom::End(0))? / BLOCK;
        let source = Self {
            file,
            nr_blocks,
            alignment,
            direct,
        };
        source.probe()?;
        Ok(source)
    }

    /// Some file systems accept `O_DIRECT` at open and refuse the first read.
    fn probe(&self) -> io::Result<()> {
        if self.nr_blocks == 0 {
            return Ok(());
        }
        self.read(MetadataBlock(0), &mut [0; BLOCK_SIZE])
    }

    /// Reads the bytes of blocks `first ..= last` in one go and copies each wanted one out.
    fn read_span(
        &self,
        buffer: &mut AlignedBuffer,
        wanted: &mut [(u64, &mut Block)],
    ) -> io::Result<()> {
        let (Some((first, _)), Some((last, _))) = (wanted.first(), wanted.last()) else {
            return Ok(());
        };
        let begin = first * BLOCK / self.alignment * self.alignment;
        let end = ((last + 1) * BLOCK).next_multiple_of(self.alignment);
        let bytes = buffer.get_mut(to_usize(end - begin))?;
        self.file.read_exact_at(bytes, begin)?;
        for (block, into) in wanted {
            let at = to_usize(*block * BLOCK - begin);
            let found = bytes
                .get(at..at + BLOCK_SIZE)
                .expect("the span covers every wanted block");
            into.copy_from_slice(found);
        }
        Ok(())
    }
}

fn is_refusal(error: &io::Error) -> bool {
    let refusals = [Errno::EINVAL as i32, Errno::EOPNOTSUPP as i32];
    error
        .raw_os_error()
        .is_some_and(|code| refusals.contains(&code))
}

/// The unit of direct IO of a block device or of the disk that a partition is on (sysfs-block ABI).
fn logical_block_size(device: u64) -> io::Result<u64> {
    let folder = format!("/sys/dev/block/{}:{}", major(device), minor(device));
    let text = std::fs::read_to_string(format!("{folder}/queue/logical_block_size"))
        .or_else(|_| std::fs::read_to_string(format!("{folder}/../queue/logical_block_size")));
    match text {
        Ok(text) => text.trim().parse().map_err(io::Error::other),
        // No sysfs mounted: metadata blocks are 4 KiB, which is a multiple of every common unit.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BLOCK),
        Err(error) => Err(error),
    }
}

impl BlockSource for FileSource {
    fn nr_blocks(&self) -> u64 {
        self.nr_blocks.min(MAX_METADATA_BLOCKS)
    }

    fn read(&self, block: MetadataBlock, into: &mut Block) -> io::Result<()> {
        self.read_many(&[block], std::slice::from_mut(into))
    }

    fn read_many(&self, blocks: &[MetadataBlock], into: &mut [Block]) -> io::Result<()> {
        let mut wanted: Vec<(u64, &mut Block)> = blocks
            .iter()
            .map(|block| block.0)
            .zip(into.iter_mut())
            .collect();
        if wanted.iter().any(|(block, _)| *block >= self.nr_blocks) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        wanted.sort_unstable_by_key(|(block, _)| *block);
        let mut buffer = AlignedBuffer::new(to_usize(self.alignment));
        let mut rest = wanted.as_mut_slice();
        while !rest.is_empty() {
            let (span, after) = rest.split_at_mut(span_length(rest));
            self.read_span(&mut buffer, span)?;
            rest = after;
        }
        Ok(())
    }
}

/// How many of the sorted blocks one read takes in.
fn span_length(sorted: &[(u64, &mut Block)]) -> usize {
    let first = sorted.first().map_or(0, |(block, _)| *block);
    let apart = |pair: &[(u64, &mut Block)]| matches!(pair, [(before, _), (after, _)] if after - before > MAX_GAP + 1 || after - first >= MAX_SPAN);
    sorted
        .windows(2)
        .position(apart)
        .map_or(sorted.len(), |index| index + 1)
}

fn to_usize(bytes: u64) -> usize {
    usize::try_from(bytes).expect("a span is about 1 MiB at most")
}

/// Memory at an address that direct IO accepts: more is allocated, and a slice of it used.
struct AlignedBuffer {
    bytes: Vec<u8>,
    alignment: usize,
}

impl AlignedBuffer {
    fn new(alignment: usize) -> Self {
        Self {
            bytes: Vec::new(),
            alignment,
        }
    }

    /// The first `length` aligned bytes, allocating when there are fewer.
    fn get_mut(&mut self, length: usize) -> io::Result<&mut [u8]> {
        if self.bytes.len() < length + self.alignment {
            self.bytes = vec![0; length + self.alignment];
        }
        let start = self.bytes.as_ptr().align_offset(self.alignment);
        self.bytes
            .get_mut(start..start.saturating_add(length))
            .ok_or_else(|| io::Error::other("no aligned memory for direct IO"))
    }
}

#[cfg(test)]
mod tests;
