//! The files of the story: made from seeds, so that they are the same everywhere, and compared byte by
//! byte.

use anyhow::{Context, bail};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

/// Bytes of one file.
pub(super) const FILE: u64 = 4 << 20;
/// Files of each kind.
pub(super) const FILES: u64 = 32;
/// Bytes overwritten in place on the second day, in pieces of [`PIECE`]: about 1 % of all.
pub(super) const CHANGED: u64 = 3 << 20;
const PIECE: u64 = 1 << 20;

/// A stream of bytes that no compressor can shorten (splitmix64).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn bytes(&mut self, len: u64) -> Vec<u8> {
        (0..len / 8)
            .flat_map(|_| self.next().to_le_bytes())
            .collect()
    }

    /// Lines of a log, which compress well.
    fn lines(&mut self, len: u64) -> Vec<u8> {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let mut text = Vec::with_capacity(len + 128);
        while text.len() < len {
            let n = self.next();
            let line = format!(
                "2026-01-{:02}T{:02}:{:02}:00Z INFO request served path=/api/items/{} status=200\n",
                n % 28 + 1,
                n / 31 % 24,
                n / 977 % 60,
                n % 500
            );
            text.extend_from_slice(line.as_bytes());
        }
        text.truncate(len);
        text
    }
}

/// Writes the files of the first day; returns how many bytes.
pub(super) fn populate(volume: &Path) -> anyhow::Result<u64> {
    for kind in ["photos", "logs/2026"] {
        fs::create_dir_all(volume.join(kind))?;
    }
    for n in 0..FILES {
        write_synced(
            &volume.join(format!("photos/{n:03}.raw")),
            &Noise(n).bytes(FILE),
        )?;
        write_synced(
            &volume.join(format!("logs/2026/{n:03}.log")),
            &Noise(n).lines(FILE),
        )?;
    }
    std::os::unix::fs::symlink("logs/2026", volume.join("latest"))?;
    Ok(FILES * 2 * FILE)
}

/// Overwrites about 1 % in place.
pub(super) fn change(volume: &Path) -> anyhow::Result<()> {
    for n in 0..CHANGED / PIECE {
        let path = volume.join(format!("photos/{:03}.raw", n * 9));
        let mut file = OpenOptions::new().write(true).open(&path)?;
        file.seek(SeekFrom::Start(PIECE * (n % 3)))?;
        file.write_all(&Noise(1000 + n).bytes(PIECE))?;
        file.sync_all()?;
    }
    Ok(())
}

fn write_synced(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut file = File::create(path).with_context(|| format!("make {}", path.display()))?;
    file.write_all(bytes)?;
    file.sync_all()
        .with_context(|| format!("flush {}", path.display()))
}

/// Somebody who goes on writing to the volume while it is snapshotted.
pub(super) struct Writer {
    stop: Arc<AtomicBool>,
    records: Arc<AtomicU64>,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl Writer {
    /// Appends numbered records to `journal`, each flushed before the next.
    pub(super) fn start(volume: &Path) -> Self {
        let (stop, records) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let journal = volume.join("journal");
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&records));
        let thread = std::thread::spawn(move || {
            let mut file = OpenOptions::new().create(true).append(true).open(journal)?;
            while !stopped.load(Ordering::SeqCst) {
                let n = counted.load(Ordering::SeqCst);
                file.write_all(&record(n))?;
                file.sync_data()?;
                counted.store(n + 1, Ordering::SeqCst);
            }
            Ok(())
        });
        Self {
            stop,
            records,
            thread,
        }
    }

    /// Records flushed so far.
    pub(super) fn records(&self) -> u64 {
        self.records.load(Ordering::SeqCst)
    }

    /// Ends it; how many records it wrote.
    pub(super) fn stop(self) -> anyhow::Result<u64> {
        self.stop.store(true, Ordering::SeqCst);
        match self.thread.join() {
            Ok(outcome) => outcome.context("write to the volume")?,
            Err(_) => bail!("the writer panicked"),
        }
        Ok(self.records.load(Ordering::SeqCst))
    }
}

const RECORD: usize = 32;

fn record(n: u64) -> [u8; RECORD] {
    let mut record = [b'.'; RECORD];
    let text = format!("record {n:020}");
    for (to, from) in record.iter_mut().zip(text.bytes()) {
        *to = from;
    }
    if let Some(last) = record.last_mut() {
        *last = b'\n';
    }
    record
}

/// How many whole records a journal holds; an error if one is missing or wrong before the last.
pub(super) fn records_in(volume: &Path) -> anyhow::Result<u64> {
    let bytes = fs::read(volume.join("journal")).context("read the journal")?;
    let mut n = 0;
    for found in bytes.chunks_exact(RECORD) {
        if found != record(n) {
            bail!("record {n} of the journal is wrong");
        }
        n += 1;
    }
    Ok(n)
}

/// Copies a tree of folders, files and links.
pub(super) fn copy_tree(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in entries(from)? {
        let target = to.join(entry.file_name().context("a name")?);
        let kind = fs::symlink_metadata(&entry)?.file_type();
        if kind.is_dir() {
            copy_tree(&entry, &target)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&entry)?, &target)?;
        } else {
            fs::copy(&entry, &target).with_context(|| format!("copy {}", entry.display()))?;
        }
    }
    Ok(())
}

/// What was found equal.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Equal {
    pub(super) files: u64,
    pub(super) bytes: u64,
}

/// Compares two trees: the same names, kinds, modes, sizes and bytes, nothing more on either side.
pub(super) fn compare_trees(kept: &Path, restored: &Path) -> anyhow::Result<Equal> {
    let (left, right) = (entries(kept)?, entries(restored)?);
    let names = |list: &[PathBuf]| -> Vec<_> {
        list.iter()
            .map(|path| path.file_name().map(ToOwned::to_owned))
            .collect()
    };
    if names(&left) != names(&right) {
        bail!(
            "{} and {} do not hold the same names",
            kept.display(),
            restored.display()
        );
    }
    let mut equal = Equal::default();
    for (left, right) in left.iter().zip(&right) {
        let more = compare_entries(left, right)?;
        equal.files += more.files;
        equal.bytes += more.bytes;
    }
    Ok(equal)
}

fn compare_entries(left: &Path, right: &Path) -> anyhow::Result<Equal> {
    let (kind, other) = (fs::symlink_metadata(left)?, fs::symlink_metadata(right)?);
    if kind.file_type() != other.file_type() || kind.permissions() != other.permissions() {
        bail!(
            "{} and {} differ in kind or mode",
            left.display(),
            right.display()
        );
    }
    if kind.is_dir() {
        return compare_trees(left, right);
    }
    if kind.is_symlink() {
        anyhow::ensure!(
            fs::read_link(left)? == fs::read_link(right)?,
            "{} differs",
            left.display()
        );
        return Ok(Equal::default());
    }
    Ok(Equal {
        files: 1,
        bytes: compare_bytes(left, right)?,
    })
}

fn entries(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let read = fs::read_dir(dir).with_context(|| format!("list {}", dir.display()))?;
    let mut paths = read
        .map(|entry| Ok(entry?.path()))
        .collect::<anyhow::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// Compares two files or devices to their ends; returns their length.
pub(super) fn compare_bytes(kept: &Path, restored: &Path) -> anyhow::Result<u64> {
    let open = |path: &Path| File::open(path).with_context(|| format!("open {}", path.display()));
    let (mut left, mut right) = (open(kept)?, open(restored)?);
    let (mut left_piece, mut right_piece) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    let mut at = 0;
    loop {
        let got = fill(&mut left, &mut left_piece)?;
        let other = fill(&mut right, &mut right_piece)?;
        if left_piece.get(..got) != right_piece.get(..other) {
            let end = at + got.max(other) as u64;
            bail!(
                "{} and {} differ in bytes {at}..{end}",
                kept.display(),
                restored.display()
            );
        }
        if got == 0 {
            return Ok(at);
        }
        at += got as u64;
    }
}

/// Reads until the buffer is full or the end is reached.
pub(super) fn fill(from: &mut impl Read, into: &mut [u8]) -> std::io::Result<usize> {
    let mut n = 0;
    while let Some(rest) = into.get_mut(n..).filter(|rest| !rest.is_empty()) {
        match from.read(rest)? {
            0 => break,
            more => n += more,
        }
    }
    Ok(n)
}
