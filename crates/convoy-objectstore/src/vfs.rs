//! Objects as files of a directory: a local disk or a share that somebody mounted.
//!
//! Objects lie under `<path>/convoy-repository/`, so that what else lives in the directory (an
//! original Convoy's `convoy-objectstore/`) stays untouched. Every step goes through descriptors
//! that follow no symbolic link below `<path>`.
//!
//! The order of a durable put, which is all that stands between a backup and a power cut:
//!
//! 1. write a temporary file of a unique name in `convoy-repository/tmp/`
//! 2. `fsync` of the file: its bytes are durable before any name shows them
//! 3. directories on the way made and, once per store, `fsync` of the directory that holds each
//! 4. `link(2)` to the object's name, which never replaces (`rename(2)` to overwrite)
//! 5. unlink the temporary name
//! 6. `fsync` of the object's directory: the name is durable; only now the put is answered
//!
//! A failure up to 3 leaves nothing visible. After 4 the object is visible and may have been read,
//! so it stays, and a failure of 6 is answered `Unclear`. An `fsync` that failed is never repeated
//! (`fsyncs`): the kernel may have dropped the pages and would report success.

use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Once;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::counters::Meter;
use crate::folder::Folder;
use crate::store::{MAX_OBJECT, Verb, too_large};
use crate::{Counters, Deletion, Error, ErrorKind, Key, ObjectStore, Page, Put, PutMode};
use deferred::Deferred;
use directory::Directories;
use fsyncs::Fsyncs;
use publish::publish;
use refusal::{is, not_a_file, refuse};
use temporary::Temporary;

mod deferred;
mod directory;
mod fsyncs;
mod listing;
mod publish;
mod refusal;
mod temporary;

/// A directory as a store. Any number of stores, processes and hosts may use one directory.
#[derive(Debug)]
pub struct VfsStore {
    path: PathBuf,
    directories: Directories,
    deferred: Deferred,
    sweep: Once,
    meter: Meter,
}

impl VfsStore {
    /// Opens the directory `path`, which must exist. Nothing is created in it before the first put.
    ///
    /// The directory is held open: what is mounted over it later is not written to.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_folder(path, Folder::Repository)
    }

    /// Opens what the original Convoy wrote in the directory `path`: for reading alone.
    pub(crate) fn open_original(path: &Path) -> Result<Self, Error> {
        Self::open_folder(path, Folder::Original)
    }

    fn open_folder(path: &Path, folder: Folder) -> Result<Self, Error> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let place = open(path, flags, Mode::empty()).map_err(|errno| refuse(path, errno))?;
        Ok(Self {
            path: path.to_owned(),
            directories: Directories::new(place, folder, Fsyncs::default()),
            deferred: Deferred::default(),
            sweep: Once::new(),
            meter: Meter::default(),
        })
    }

    fn temporary(&self, bytes: &[u8]) -> io::Result<Temporary> {
        let directory = self.directories.make("tmp")?;
        let temporary = Temporary::create(directory)?;
        self.sweep.call_once(|| temporary.sweep_older());
        let mut file: &File = temporary.file();
        file.write_all(bytes)?;
        Ok(temporary)
    }

    /// Whether there is an object; anything but a regular file is an error.
    fn existing(&self, key: &Key) -> io::Result<Option<FileStat>> {
        let (parent, name) = key.split();
        let found = self
            .directories
            .open(parent)
            .and_then(|directory| Ok(fstatat(&directory, name, AtFlags::AT_SYMLINK_NOFOLLOW)?));
        match found {
            Ok(stat) if is_file(&stat) => Ok(Some(stat)),
            Ok(_) => Err(not_a_file()),
            Err(error) if is(&error, Errno::ENOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens an object for reading, with its size.
    fn read_object(&self, key: &Key) -> io::Result<(File, u64)> {
        // ESTALE: the server replaced what our descriptor stands for; its name may still be good.
        match self.open_object(key) {
            Err(error) if is(&error, Errno::ESTALE) => self.open_object(key),
            other => other,
        }
    }

    fn open_object(&self, key: &Key) -> io::Result<(File, u64)> {
        let (parent, name) = key.split();
        let directory = self.directories.open(parent)?;
        // O_NONBLOCK: a FIFO planted under the name must not hold us for ever.
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = openat(&directory, name, flags, Mode::empty())?;
        let stat = fstat(&file)?;
        if !is_file(&stat) {
            return Err(not_a_file());
        }
        Ok((File::from(file), size_of(&stat)))
    }

    fn found_file(&self, key: &Key) -> io::Result<File> {
        // After EEXIST an ENOENT is a stale directory cache of a share: open by name again.
        match self.read_object(key) {
            Err(error) if is(&error, Errno::ENOENT) => Ok(self.read_object(key)?.0),
            other => Ok(other?.0),
        }
    }

    /// Makes an object that somebody else created as durable as if we had.
    ///
    /// Its creator may have put it deferred, or may still be before its `fsync`s.
    fn settle(&self, key: &Key, file: &File) -> io::Result<()> {
        let parent = key.split().0;
        self.directories.sync_object(key, file)?;
        self.directories
            .sync(parent, &self.directories.make(parent)?)
    }

    /// Refuses to make a name where none can become durable any more.
    ///
    /// An object that is there may be ours, of the very put whose `fsync` failed.
    fn refuse_untrusted(&self, key: &Key, verb: Verb) -> Result<(), Error> {
        let Err(untrusted) = self.directories.trusted(key.split().0) else {
            return Ok(());
        };
        let nothing_yet = |error| self.write_error(verb, key.as_str(), error);
        match self.existing(key).map_err(nothing_yet)? {
            Some(_) => Err(self.unclear(verb, key, untrusted)),
            None => Err(nothing_yet(untrusted)),
        }
    }

    fn create(&self, key: &Key, bytes: &[u8], verb: Verb) -> Result<Put, Error> {
        let nothing_yet = |error| self.write_error(verb, key.as_str(), error);
        let deferred = verb == Verb::PutDeferred;
        self.refuse_untrusted(key, verb)?;
        // Saves the bytes of a pack. A durable create always comes to `link`, which alone decides: a
        // destination where it does not must be found out by `probe`, not by two writers.
        if deferred && self.existing(key).map_err(nothing_yet)?.is_some() {
            return self.found(key, verb);
        }
        let temporary = self.temporary(bytes).map_err(nothing_yet)?;
        if !deferred {
            // The bytes are durable before the name exists.
            temporary.file().sync_all().map_err(nothing_yet)?;
        }
        let (parent, name) = key.split();
        let directory = self.directories.make(parent).map_err(nothing_yet)?;
        match publish(&temporary, &directory, name) {
            Ok(Put::Stored) => {}
            Ok(Put::Exists) => return self.found(key, verb),
            Err(error) => return Err(self.publish_error(verb, key, error)),
        }
        let file = temporary.finish();
        if deferred {
            self.deferred.add(&self.directories, key, file);
        } else {
            self.directories
                .sync(parent, &directory)
                .map_err(|error| self.unclear(verb, key, error))?;
        }
        Ok(Put::Stored)
    }

    fn found(&self, key: &Key, verb: Verb) -> Result<Put, Error> {
        let found = self.found_file(key);
        let file = found.map_err(|error| self.write_error(verb, key.as_str(), error))?;
        self.settle(key, &file)
            .map_err(|error| self.unclear(verb, key, error))?;
        Ok(Put::Exists)
    }

    fn overwrite(&self, key: &Key, bytes: &[u8]) -> Result<Put, Error> {
        let nothing_yet = |error| self.write_error(Verb::Put, key.as_str(), error);
        let (parent, name) = key.split();
        self.directories.trusted(parent).map_err(nothing_yet)?;
        let temporary = self.temporary(bytes).map_err(nothing_yet)?;
        temporary.file().sync_all().map_err(nothing_yet)?;
        let directory = self.directories.make(parent).map_err(nothing_yet)?;
        renameat(temporary.directory(), temporary.name(), &directory, name)
            .map_err(|errno| self.publish_error(Verb::Put, key, errno.into()))?;
        self.directories
            .sync(parent, &directory)
            .map_err(|error| self.unclear(Verb::Put, key, error))?;
        Ok(Put::Stored)
    }
}

fn is_file(stat: &FileStat) -> bool {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG
}

fn size_of(stat: &FileStat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

impl ObjectStore for VfsStore {
    fn put(&self, key: &Key, bytes: &[u8], mode: PutMode) -> Result<Put, Error> {
        self.meter.request(Verb::Put);
        self.refuse_large(key, bytes)?;
        self.meter.written(bytes);
        match mode {
            PutMode::Create => self.create(key, bytes, Verb::Put),
            PutMode::Overwrite => self.overwrite(key, bytes),
        }
    }

    fn put_deferred(&self, key: &Key, bytes: &[u8]) -> Result<Put, Error> {
        self.meter.request(Verb::PutDeferred);
        self.refuse_large(key, bytes)?;
        self.meter.written(bytes);
        self.create(key, bytes, Verb::PutDeferred)
    }

    fn sync(&self) -> Result<(), Error> {
        self.meter.request(Verb::Sync);
        self.deferred
            .sync(&self.directories)
            .map_err(|error| self.lost("", error))
    }

    fn get(&self, key: &Key) -> Result<Vec<u8>, Error> {
        self.get_at_most(key, MAX_OBJECT)
    }

    fn get_at_most(&self, key: &Key, limit: u64) -> Result<Vec<u8>, Error> {
        self.meter.request(Verb::Get);
        let failed = |error| self.read_error(Verb::Get, key, error);
        let (file, size) = self.read_object(key).map_err(failed)?;
        let limit = limit.min(MAX_OBJECT);
        if size > limit {
            return Err(self
                .failed(ErrorKind::Damaged, Verb::Get, key.as_str())
                .because(too_large(size, limit)));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).expect("at most MAX_OBJECT"));
        let read = file.take(size).read_to_end(&mut bytes).map_err(failed)?;
        if (read as u64) < size {
            return Err(self.short(Verb::Get, key));
        }
        self.meter.read(&bytes);
        Ok(bytes)
    }

    fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Vec<u8>, Error> {
        self.meter.request(Verb::GetRange);
        let broken = |why| {
            self.failed(ErrorKind::Invalid, Verb::GetRange, key.as_str())
                .because(why)
        };
        let length = range
            .end
            .checked_sub(range.start)
            .ok_or_else(|| broken("the range ends before it begins"))?;
        let failed = |error| self.read_error(Verb::GetRange, key, error);
        let (file, size) = self.read_object(key).map_err(failed)?;
        if range.end > size {
            return Err(self.short(Verb::GetRange, key));
        }
        if length > MAX_OBJECT {
            return Err(broken("the range is larger than any object"));
        }
        let mut bytes = vec![0; usize::try_from(length).expect("at most MAX_OBJECT")];
        match file.read_exact_at(&mut bytes, range.start) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(self.short(Verb::GetRange, key));
            }
            other => other.map_err(failed)?,
        }
        self.meter.read(&bytes);
        Ok(bytes)
    }

    fn size(&self, key: &Key) -> Result<Option<u64>, Error> {
        self.meter.request(Verb::Size);
        let found = self
            .existing(key)
            .map_err(|error| self.error(Verb::Size, key.as_str(), error))?;
        Ok(found.as_ref().map(size_of))
    }

    fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Page, Error> {
        self.meter.request(Verb::List);
        listing::list(&self.directories, prefix, after, limit)
            .map_err(|error| self.error(Verb::List, prefix, error))
    }

    fn delete(&self, key: &Key) -> Result<Deletion, Error> {
        self.meter.request(Verb::Delete);
        let (parent, name) = key.split();
        let removed = self
            .directories
            .open(parent)
            .and_then(|directory| Ok(unlinkat(&directory, name, UnlinkatFlags::NoRemoveDir)?));
        match removed {
            Ok(()) => Ok(Deletion::Deleted),
            Err(error) if is(&error, Errno::ENOENT) => Ok(Deletion::Absent),
            Err(error) => Err(self.error(Verb::Delete, key.as_str(), error)),
        }
    }

    fn counters(&self) -> Counters {
        self.meter.counters()
    }
}

impl VfsStore {
    fn refuse_large(&self, key: &Key, bytes: &[u8]) -> Result<(), Error> {
        if bytes.len() as u64 <= MAX_OBJECT {
            return Ok(());
        }
        let refused = self.failed(ErrorKind::Invalid, Verb::Put, key.as_str());
        Err(refused.because("the object is too large"))
    }
}

#[cfg(test)]
mod tests;
