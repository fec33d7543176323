//! Objects whose durability was put off, and the one promise about them: a `sync` that succeeds.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::unistd::{UnlinkatFlags, unlinkat};

use super::directory::Directories;
use super::publish::is_same;
use crate::Key;

/// Files kept open between a deferred put and its `sync`: the kernel reports a failed writeback to
/// descriptors that were open then, and to a file opened later maybe not.
const OPEN_FILES: usize = 64;

/// The deferred puts of one store.
#[derive(Debug, Default)]
pub(super) struct Deferred {
    waiting: Mutex<Vec<Object>>,
    /// Held during a whole `sync`, so that another one does not return before this one's objects are
    /// durable.
    syncing: Mutex<Progress>,
}

#[derive(Debug)]
struct Object {
    key: Key,
    file: Arc<File>,
}

#[derive(Debug, Default)]
struct Progress {
    /// Directories of objects whose bytes are durable and whose names are not yet.
    directories: BTreeSet<String>,
    /// Why an object was lost. It stays: `sync` promises something for all its callers, and the one
    /// whose object it was may be another than the one who was told.
    lost: Option<String>,
}

impl Deferred {
    /// Remembers an object; makes those that wait durable when there are too many.
    ///
    /// What is lost then is told by the next `sync`.
    pub(super) fn add(&self, directories: &Directories, key: &Key, file: Arc<File>) {
        let mut waiting = lock(&self.waiting);
        waiting.push(Object {
            key: key.clone(),
            file,
        });
        let too_many = waiting.len() >= OPEN_FILES;
        drop(waiting);
        if too_many {
            self.settle_waiting(directories, &mut self.progress());
        }
    }

    /// Makes all that wait durable: bytes first, then names.
    pub(super) fn sync(&self, directories: &Directories) -> io::Result<()> {
        let mut progress = self.progress();
        self.settle_waiting(directories, &mut progress);
        for path in std::mem::take(&mut progress.directories) {
            let synced = directories
                .make(&path)
                .and_then(|directory| directories.sync(&path, &directory));
            if let Err(error) = synced {
                progress
                    .lost
                    .get_or_insert(format!("directory {path}: {error}"));
            }
        }
        match &progress.lost {
            None => Ok(()),
            Some(why) => Err(io::Error::other(format!(
                "objects put earlier did not become durable ({why}); what needs them must start again"
            ))),
        }
    }

    fn settle_waiting(&self, directories: &Directories, progress: &mut Progress) {
        // Taken under the lock on progress: whoever syncs next waits for these.
        for object in std::mem::take(&mut *lock(&self.waiting)) {
            match directories.sync_object(&object.key, &object.file) {
                Ok(()) => {
                    progress.directories.insert(object.key.split().0.to_owned());
                }
                Err(error) => {
                    progress
                        .lost
                        .get_or_insert(format!("{}: {error}", object.key));
                    // Its pages may be gone although reads still show them: take the name away.
                    remove(directories, &object);
                }
            }
        }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        lock(&self.syncing)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn remove(directories: &Directories, object: &Object) {
    let (parent, name) = object.key.split();
    let removed = directories.open(parent).and_then(|directory| {
        if is_same(&object.file, &directory, name)? {
            unlinkat(&directory, name, UnlinkatFlags::NoRemoveDir)?;
        }
        Ok(())
    });
    if let Err(error) = removed {
        tracing::warn!(key = %object.key, %error, "cannot remove an object that is not durable");
    }
}
