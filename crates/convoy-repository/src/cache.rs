//! A host's local copy of the log and of index segments: faster opening, never the truth.
//!
//! It also remembers the last entry this host saw, which shows a repository that was rolled back or
//! copied and used twice. Losing it costs time only; whatever does not verify is read again.

use crate::error::Error;
use crate::id::ObjectHash;
use crate::pack::ObjectName;
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use uuid::Uuid;

/// Bytes of the list of distrusted packs that are read: room for 50 000.
const MAX_DISTRUST: u64 = 4 << 20;

/// The cache of one repository.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    folder: PathBuf,
    /// Answers nothing about the log and the index, and keeps nothing of them.
    notes_only: bool,
}

impl Cache {
    /// Under `root`, in a folder of its own.
    pub(crate) fn open(root: &Path, repository: Uuid) -> Result<Self, Error> {
        let folder = root.join(repository.to_string());
        std::fs::create_dir_all(folder.join("index")).map_err(|e| failed(&folder, e))?;
        Ok(Self {
            folder,
            notes_only: false,
        })
    }

    /// For somebody who asks the store about everything: only what this host noted is told.
    #[must_use]
    pub(crate) fn notes_only(self) -> Self {
        Self {
            notes_only: true,
            ..self
        }
    }

    /// The copied entries in order, unchecked; nothing is changed. For comparing with the store.
    pub(crate) fn seen(&self) -> impl Iterator<Item = Vec<u8>> {
        let mut reader = File::open(self.folder.join("log")).ok().map(BufReader::new);
        std::iter::from_fn(move || next_entry(reader.as_mut()?))
    }

    /// Puts the copy of a segment aside: the store no longer has it, so nobody may rely on it; but it
    /// may be the last, so it is not deleted.
    pub(crate) fn set_aside(&self, name: &ObjectName) {
        let path = self.segment_path(name);
        match std::fs::rename(&path, path.with_extension("aside")) {
            Ok(()) => {
                tracing::warn!(segment = %name, "the local copy of a lost index segment was put aside");
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(%error, segment = %name, "cannot put a local copy aside"),
        }
    }

    /// The copied entries in order, each taken until `each` refuses one; what follows is dropped.
    pub(crate) fn entries(&self, mut each: impl FnMut(&[u8]) -> bool) -> Result<(), Error> {
        let path = self.folder.join("log");
        if self.notes_only {
            return Ok(());
        }
        let Ok(file) = File::open(&path) else {
            return Ok(());
        };
        let mut reader = BufReader::new(file);
        let mut good = 0u64;
        while let Some(bytes) = next_entry(&mut reader) {
            if !each(&bytes) {
                break;
            }
            good += 4 + bytes.len() as u64;
        }
        // A torn tail is cut off, or what is appended later could never be read.
        let file = OpenOptions::new()
            .write(true)
            .open(&path)
            .map_err(|e| failed(&path, e))?;
        file.set_len(good).map_err(|e| failed(&path, e))
    }

    /// The copy of entry 0, unchecked.
    pub(crate) fn first(&self) -> Option<Vec<u8>> {
        (!self.notes_only).then(|| self.seen().next()).flatten()
    }

    /// Adds the copy of an entry. Failing to is not worth an error: the next opening reads it again.
    pub(crate) fn append(&self, bytes: &[u8]) {
        let Ok(length) = u32::try_from(bytes.len()) else {
            return;
        };
        if self.notes_only {
            return;
        }
        let record = [&length.to_le_bytes(), bytes].concat();
        let written = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.join("log"))
            .and_then(|mut file| file.write_all(&record));
        if let Err(error) = written {
            tracing::debug!(%error, "cannot copy a log entry to the local cache");
        }
    }

    /// The copy of a segment, if it is there and whole.
    pub(crate) fn segment(&self, name: &ObjectName) -> Option<Vec<u8>> {
        if self.notes_only {
            return None;
        }
        let bytes = std::fs::read(self.segment_path(name)).ok()?;
        (ObjectHash::of(&bytes) == name.hash).then_some(bytes)
    }

    /// Keeps the copy of a segment.
    pub(crate) fn keep_segment(&self, name: &ObjectName, bytes: &[u8]) {
        if self.notes_only {
            return;
        }
        let path = self.segment_path(name);
        let temporary = path.with_extension("new");
        let written =
            std::fs::write(&temporary, bytes).and_then(|()| std::fs::rename(&temporary, &path));
        if let Err(error) = written {
            tracing::debug!(%error, "cannot copy an index segment to the local cache");
        }
    }

    /// Whether packs were looked for within this time, as far as this host's clock can tell.
    pub(crate) fn looked_within(&self, time: Duration) -> bool {
        let noted = std::fs::metadata(self.folder.join("looked")).and_then(|note| note.modified());
        // A clock that was set back makes another look: dearer, never wrong.
        noted.is_ok_and(|noted| noted.elapsed().is_ok_and(|ago| ago < time))
    }

    /// Notes that packs were looked for now.
    pub(crate) fn note_look(&self) {
        if let Err(error) = std::fs::write(self.folder.join("looked"), "") {
            tracing::debug!(%error, "cannot note that packs were looked for");
        }
    }

    /// The packs on the list of distrusted ones; what cannot be read is as good as absent.
    pub(crate) fn distrusted(&self) -> BTreeSet<ObjectName> {
        let mut text = String::new();
        let read = File::open(self.folder.join("distrust"))
            .and_then(|file| file.take(MAX_DISTRUST).read_to_string(&mut text));
        if let Err(error) = read
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "the local list of damaged packs cannot be read");
        }
        text.lines().filter_map(ObjectName::parse).collect()
    }

    /// Adds a pack to that list.
    pub(crate) fn note_distrusted(&self, pack: &ObjectName) {
        let written = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.join("distrust"))
            .and_then(|mut file| file.write_all(format!("{pack}\n").as_bytes()));
        if let Err(error) = written {
            tracing::warn!(%error, %pack, "cannot note a damaged pack in the local cache");
        }
    }

    fn segment_path(&self, name: &ObjectName) -> PathBuf {
        self.folder.join("index").join(name.to_string())
    }
}

fn next_entry(reader: &mut impl Read) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    reader.read_exact(&mut length).ok()?;
    let length = usize::try_from(u32::from_le_bytes(length)).ok()?;
    if length > crate::entry::MAX_BODY + 128 {
        return None;
    }
    let mut bytes = vec![0; length];
    reader.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

fn failed(path: &Path, source: std::io::Error) -> Error {
    Error::Cache {
        path: path.display().to_string(),
        source,
    }
}
