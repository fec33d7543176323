//! Reading a backup back without its source.

mod packs;

use crate::error::Error;
use crate::observer::{Observer, Phase};
use crate::restore::{byte_range, wanted};
use crate::shelf::Shelf;
use convoy_repository::{
    BackupRecord, BlobId, Found, ObjectName, Repository, Visit, chunks_of, walk,
};
use convoy_units::{ByteRange, Bytes};
use packs::PackTables;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;

/// Problems that are kept; more of them are only counted.
pub(crate) const KEPT: usize = 1000;

/// How deep a verification goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifyOptions {
    /// Read, decompress and hash every chunk, and compare each pack's own header and table with what
    /// was read from it (two or three requests for a pack). Otherwise: the whole tree, and that each chunk has a
    /// place in a pack that exists at its full length.
    pub read_data: bool,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        Self { read_data: true }
    }
}

/// Something that is not as it was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The object's key, or the id of what is missing.
    pub object: String,
    /// The bytes of the volume that cannot be restored because of it; `None` if all can, and only what
    /// the repository needs to mend itself is damaged.
    pub range: Option<ByteRange>,
    /// What is wrong.
    pub what: String,
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerifyReport {
    /// Empty if all is well; at most 1000 are kept.
    pub problems: Vec<Problem>,
    /// Problems that were not kept.
    pub more_problems: u64,
    /// Chunks looked at.
    pub chunks: u64,
    /// Bytes of the volume in them.
    pub bytes: Bytes,
}

/// Checks that a backup can be restored, byte for byte if `read_data`.
///
/// What does not verify is in the report; an error means that the check itself could not be done.
pub fn verify(
    repository: &Repository,
    backup: &BackupRecord,
    options: &VerifyOptions,
    observer: &dyn Observer,
) -> Result<VerifyReport, Error> {
    observer.phase(Phase::Verifying);
    let shelf = Shelf::default();
    let mut verifying = Verifying {
        repository,
        backup,
        observer,
        total: shelf.measure(repository, backup, observer),
        seen: 0,
        packs: HashMap::new(),
        tables: PackTables::new(repository),
        report: VerifyReport::default(),
    };
    observer.progress(Bytes(0), verifying.total);
    let chunks = chunks_of(backup.volume_size.0, repository.chunk_size().0);
    let nodes = RefCell::new(Vec::new());
    let read = |id: &BlobId| {
        let (node, found) = shelf.read(repository, id)?;
        nodes.borrow_mut().push(found);
        Ok(node)
    };
    walk(&read, &backup.root, chunks, &mut |visit| match visit {
        Visit::Leaf(first, ids) if options.read_data => {
            verifying.compare_all(&nodes.take())?;
            verifying.read(first, ids)
        }
        Visit::Leaf(first, ids) => verifying.look(first, ids),
        Visit::Broken(chunks, _, error) => verifying.note(Some(&chunks), error),
    })?;
    if options.read_data {
        // Those above a subtree that could not be read.
        verifying.compare_all(&nodes.take())?;
    }
    observer.progress(verifying.total, verifying.total);
    Ok(verifying.report)
}

struct Verifying<'a> {
    repository: &'a Repository,
    backup: &'a BackupRecord,
    observer: &'a dyn Observer,
    /// Bytes in stored chunks: what there is to look at.
    total: Bytes,
    /// Those of them that were looked at, good or not.
    seen: u64,
    packs: HashMap<ObjectName, Option<u64>>,
    tables: PackTables<'a>,
    report: VerifyReport,
}

impl Verifying<'_> {
    /// Every chunk of a leaf, read and hashed.
    fn read(&mut self, first: u64, ids: &[Option<BlobId>]) -> Result<(), Error> {
        let wanted = wanted(first, ids);
        let mut failure = None;
        let repository = self.repository;
        repository
            .find_chunks(&wanted, &mut |number, chunk| {
                let chunks = number..number + 1;
                let noted = match chunk {
                    Ok((_, found)) => self.count(&chunks).and_then(|()| self.compare(&found)),
                    Err(error) => self.note(Some(&chunks), error),
                };
                self.progress(&chunks);
                noted.map_err(|error| failure = Some(error)).is_ok()
            })
            .map_err(Error::repository("read from the repository"))?;
        failure.map_or(Ok(()), Err)
    }

    /// Every chunk of a leaf has a place in a pack of the right length.
    fn look(&mut self, first: u64, ids: &[Option<BlobId>]) -> Result<(), Error> {
        for want in wanted(first, ids) {
            let chunks = want.tag..want.tag + 1;
            let places = self
                .repository
                .locate(&want.id)
                .map_err(Error::repository("look a chunk up"))?;
            let mut what = None;
            for place in &places {
                what = self.pack_problem(&place.pack)?;
                if what.is_none() {
                    break;
                }
            }
            match (places.first(), what) {
                (Some(_), None) => self.count(&chunks)?,
                (Some(place), Some(what)) => {
                    self.keep(place.pack.name.pack_key().to_string(), Some(&chunks), what);
                }
                (None, _) => {
                    let what = "it is in no pack that the repository knows".to_owned();
                    self.keep(format!("chunk {}", want.id), Some(&chunks), what);
                }
            }
            self.progress(&chunks);
        }
        Ok(())
    }

    fn pack_problem(
        &mut self,
        pack: &convoy_repository::PackEntry,
    ) -> Result<Option<String>, Error> {
        let known = self.packs.get(&pack.name).copied();
        let size = match known {
            Some(size) => size,
            None => self
                .repository
                .pack_size(&pack.name)
                .map_err(Error::repository("look at a pack"))?,
        };
        self.packs.insert(pack.name, size);
        if size != Some(u64::from(pack.length)) {
            self.repository.distrust(&pack.name);
        }
        Ok(match size {
            None => Some("it is gone".to_owned()),
            Some(size) if size != u64::from(pack.length) => {
                Some(format!("it has {size} bytes, not {}", pack.length))
            }
            Some(_) => None,
        })
    }

    fn count(&mut self, chunks: &Range<u64>) -> Result<(), Error> {
        self.report.chunks += 1;
        self.report.bytes.0 += byte_range(self.repository, self.backup, chunks).len().0;
        if self.observer.cancelled() {
            Err(Error::Cancelled)
        } else {
            Ok(())
        }
    }

    fn compare_all(&mut self, found: &[Found]) -> Result<(), Error> {
        found.iter().try_for_each(|found| self.compare(found))
    }

    /// What a pack says of itself: damage there takes nothing from the volume.
    fn compare(&mut self, found: &Found) -> Result<(), Error> {
        match self.tables.compare(found) {
            Ok(()) => Ok(()),
            Err(convoy_repository::Error::Damaged { object, what }) => {
                let what = format!(
                    "{what} (no chunk is lost by this; an index could not be rebuilt from it)"
                );
                self.keep(object, None, what);
                Ok(())
            }
            Err(error) => self.note(None, error),
        }
    }

    /// Damage goes into the report; what keeps us from telling is an error.
    fn note(
        &mut self,
        chunks: Option<&Range<u64>>,
        error: convoy_repository::Error,
    ) -> Result<(), Error> {
        match error {
            convoy_repository::Error::Damaged { object, what } => {
                self.keep(object, chunks, what);
                Ok(())
            }
            // One object that the destination does not give away: the others may still be checked.
            convoy_repository::Error::Unreadable { object, source } => {
                self.keep(object, chunks, convoy_fault::chain(&source));
                Ok(())
            }
            convoy_repository::Error::Missing { what, id } => {
                let text = "it is in no pack that the repository knows".to_owned();
                self.keep(format!("{what} {id}"), chunks, text);
                Ok(())
            }
            source => Err(Error::Repository {
                doing: "read from the repository",
                source,
            }),
        }
    }

    fn keep(&mut self, object: String, chunks: Option<&Range<u64>>, what: String) {
        let range = chunks.map(|chunks| byte_range(self.repository, self.backup, chunks));
        if self.report.problems.len() < KEPT {
            self.report.problems.push(Problem {
                object,
                range,
                what,
            });
        } else {
            self.report.more_problems += 1;
        }
    }

    fn progress(&mut self, chunks: &Range<u64>) {
        self.seen += byte_range(self.repository, self.backup, chunks).len().0;
        self.observer
            .progress(Bytes(self.seen).min(self.total), self.total);
    }
}
