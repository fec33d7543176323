//! The log of device-mapper's target `log-writes`, read and played again.
//!
//! After the kernel's `Documentation/admin-guide/device-mapper/log-writes.rst` and what a log shows: the first
//! sector holds a magic number, a version, how many entries follow and the size of a sector, each
//! little-endian; an entry is one sector (place, length, flags, length of a mark's text, which follows in the
//! same sector) and then the sectors that were written, but for a discard and a mark. A write is logged when a
//! flush after it is done, so what lies before an entry is what a power cut right after it must have left.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

const MAGIC: u64 = 0x006a_7366_7773_6872;
const VERSION: u64 = 1;
const ENTRY: usize = 32;

const FLUSH: u64 = 1;
const FUA: u64 = 2;
const DISCARD: u64 = 4;
const MARK: u64 = 8;

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Bytes written, which lie so far into the log.
    Write {
        /// In the log, in bytes.
        at: u64,
    },
    /// Given back; it reads as zeros from then on.
    Discard,
    /// What somebody said in between.
    Mark(String),
}

/// An entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// On the device, in bytes.
    pub offset: u64,
    /// How many bytes.
    pub len: u64,
    /// Whether all that was written before is durable with it, or it is itself.
    pub barrier: bool,
}

/// Reads all entries, without what was written.
///
/// # Errors
///
/// When it is no such log, or ends too early.
pub fn read(log: &File) -> io::Result<Vec<Entry>> {
    let mut head = [0; ENTRY];
    log.read_exact_at(&mut head, 0)?;
    if (word(&head, 0), word(&head, 1)) != (MAGIC, VERSION) {
        return Err(io::Error::other("no log of writes"));
    }
    let sector = word(&head, 3) & 0xffff_ffff;
    if !matches!(sector, 512 | 4096) {
        return Err(io::Error::other("sectors of another size"));
    }
    let mut entries = Vec::new();
    let mut at = sector;
    for _ in 0..word(&head, 2) {
        let mut bytes = vec![0; usize::try_from(sector).map_err(io::Error::other)?];
        log.read_exact_at(&mut bytes, at)?;
        at += sector;
        let (flags, len) = (word(&bytes, 2), word(&bytes, 1) * sector);
        let kind = if flags & MARK != 0 {
            Kind::Mark(text(&bytes)?)
        } else if flags & DISCARD != 0 {
            Kind::Discard
        } else {
            let begin = at;
            at += len;
            Kind::Write { at: begin }
        };
        let (offset, barrier) = (word(&bytes, 0) * sector, flags & (FLUSH | FUA) != 0);
        entries.push(Entry {
            kind,
            offset,
            len,
            barrier,
        });
    }
    Ok(entries)
}

/// Does once more what an entry did.
///
/// # Errors
///
/// When the log cannot be read or the device written.
pub fn apply(log: &File, entry: &Entry, device: &File) -> io::Result<()> {
    apply_part(log, entry, device, |_| true)
}

/// The same for some of the device's blocks of 4096 bytes, by number, as a cut in the middle may leave it. A
/// write that the kernel split inside a block is asked about that block twice.
///
/// # Errors
///
/// As [`apply`].
pub fn apply_part(
    log: &File,
    entry: &Entry,
    device: &File,
    keep: impl Fn(u64) -> bool,
) -> io::Result<()> {
    const BLOCK: u64 = 4096;
    let mut block = vec![0; 4096];
    let (mut done, len) = (0, entry.len);
    while done < len {
        let place = entry.offset + done;
        let left = (BLOCK - place % BLOCK).min(len - done);
        let size = usize::try_from(left).map_err(io::Error::other)?;
        let bytes = block.get_mut(..size).unwrap_or_default();
        if keep(place / BLOCK) {
            match &entry.kind {
                Kind::Write { at } => log.read_exact_at(bytes, at + done)?,
                Kind::Discard => bytes.fill(0),
                Kind::Mark(_) => return Ok(()),
            }
            device.write_all_at(bytes, place)?;
        }
        done += left;
    }
    Ok(())
}

/// The `index`th number of eight bytes.
fn word(bytes: &[u8], index: usize) -> u64 {
    let found = bytes.get(index * 8..index * 8 + 8);
    let found = found.and_then(|found| found.try_into().ok());
    found.map_or(0, u64::from_le_bytes)
}

fn text(bytes: &[u8]) -> io::Result<String> {
    let len = usize::try_from(word(bytes, 3)).map_err(io::Error::other)?;
    let text = bytes.get(ENTRY..).and_then(|rest| rest.get(..len));
    let text = text.ok_or_else(|| io::Error::other("a mark longer than a sector"))?;
    Ok(String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const SECTOR: usize = 512;

    fn sector(words: [u64; 4], more: &[u8]) -> Vec<u8> {
        let mut bytes = words.map(u64::to_le_bytes).concat();
        bytes.extend(more);
        bytes.resize(SECTOR, 0);
        bytes
    }

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    /// Two sectors written, a mark, a discard of one, a flush without data.
    fn log() -> File {
        let parts = [
            sector([MAGIC, VERSION, 4, 512], &[]),
            sector([3, 2, FUA, 0], &[]),
            vec![7; 2 * SECTOR],
            sector([0, 0, MARK, 9], b"begin,a,b"),
            sector([4, 1, DISCARD, 0], &[]),
            sector([0, 0, FLUSH, 0], &[]),
        ];
        file(&parts.concat())
    }

    #[test]
    fn entries_are_read_and_played() {
        let log = log();
        let entries = read(&log).unwrap();
        assert_eq!(entries.len(), 4);
        let barriers: Vec<bool> = entries.iter().map(|entry| entry.barrier).collect();
        assert_eq!(barriers, [true, false, false, true]);
        assert_eq!(entries[1].kind, Kind::Mark("begin,a,b".to_owned()));
        let device = file(&[1; 6 * SECTOR]);
        for entry in &entries {
            apply(&log, entry, &device).unwrap();
        }
        let mut bytes = [0; 6 * SECTOR];
        device.read_exact_at(&mut bytes, 0).unwrap();
        let first: Vec<u8> = bytes.chunks(SECTOR).map(|sector| sector[0]).collect();
        assert_eq!(first, [1, 1, 1, 7, 0, 1]);
    }

    #[test]
    fn a_part_is_whole_blocks_of_the_device() {
        let head = sector([MAGIC, VERSION, 1, 512], &[]);
        let entry = sector([1, 20, 0, 0], &[]);
        let log = file(&[head, entry, vec![7; 20 * SECTOR]].concat());
        let entry = read(&log).unwrap().remove(0);
        let device = file(&[1; 24 * SECTOR]);
        apply_part(&log, &entry, &device, |block| block != 1).unwrap();
        let mut bytes = [0; 24 * SECTOR];
        device.read_exact_at(&mut bytes, 0).unwrap();
        let first: Vec<u8> = bytes.chunks(SECTOR).map(|sector| sector[0]).collect();
        let expected = [&[1][..], &[7; 7], &[1; 8], &[7; 5], &[1; 3]].concat();
        assert_eq!(first, expected);
    }

    #[test]
    fn what_is_no_log_is_refused() {
        assert!(read(&file(&[0; 4096])).is_err());
        assert!(read(&file(&[])).is_err());
        let cut = [sector([MAGIC, VERSION, 2, 512], &[]), sector([0; 4], &[])];
        assert!(read(&file(&cut.concat())).is_err());
        let long = [
            sector([MAGIC, VERSION, 1, 512], &[]),
            sector([0, 0, MARK, 999], &[]),
        ];
        assert!(read(&file(&long.concat())).is_err());
    }
}
