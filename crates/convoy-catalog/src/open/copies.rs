//! Copies of the catalog beside it: kept ones to fall back to, and what a repair replaced.
//!
//! A kept copy is made only of a catalog that agreed with its pool, so that each of them was true once.
//! They lie on the same file system: they help against a damaged or deleted file, not against a lost disk.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::{beside, check_soundness, sync_directory};
use crate::Error;

/// What a kept copy's name has behind the catalog's; `-1` is the newest.
pub(super) const KEPT: &str = ".kept-";
/// What a replaced catalog's name has behind the catalog's; the highest number is the newest.
pub(super) const REPLACED: &str = ".replaced-";
/// How many copies are kept.
const COPIES: u32 = 3;

/// Writes the whole catalog to a file of its own, durably and private. A file that is there is of a try that
/// was cut short, and is made anew.
pub(crate) fn copy_out(connection: &mut Connection, to: &Path) -> Result<(), Error> {
    write(&image(connection)?, to)
}

/// The catalog as the bytes of a database file, its log included, after every page was looked at: what went bad
/// since the opening gets into no copy.
///
/// Not by `VACUUM INTO`, which reads every statement of the schema anew, there and here, and notices less. What is
/// put into the header (sqlite.org/fileformat2.html, 1.3) makes it a file without a log, and makes two images of
/// the same pages equal.
fn image(connection: &mut Connection) -> Result<Vec<u8>, Error> {
    let path = PathBuf::from(connection.path().unwrap_or("the catalog in memory"));
    check_soundness(&path, connection)?;
    let mut image = connection
        .serialize("main")
        .map_err(|source| Error::sqlite("copying the catalog", source))?
        .to_vec();
    // Read and write version: a rollback journal. Then how often it was changed, and the same once more.
    for (at, bytes) in [(18, &[1, 1][..]), (24, &[0, 0, 0, 1]), (92, &[0, 0, 0, 1])] {
        let field = image.get_mut(at..at + bytes.len());
        field
            .expect("a database that was read has a header of 100 bytes")
            .copy_from_slice(bytes);
    }
    Ok(image)
}

fn write(image: &[u8], to: &Path) -> Result<(), Error> {
    remove(to)?;
    File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)
        .and_then(|mut file| {
            file.write_all(image)?;
            file.sync_all()
        })
        .map_err(Error::io(format!("copy the catalog to {}", to.display())))?;
    sync_directory(to)
}

/// Keeps a copy of the catalog at `path`, as the newest of three, and says whether it differs from the one
/// before: an equal one pushes none out, so that a daemon that starts again and again keeps its history.
pub(crate) fn keep(path: &Path, connection: &mut Connection) -> Result<bool, Error> {
    let image = image(connection)?;
    let newest = kept(path, 1);
    if fs::read(&newest).is_ok_and(|kept| kept == image) {
        return Ok(false);
    }
    let new = beside(path, ".kept");
    write(&image, &new)?;
    // From the oldest on: a crash in between leaves a gap, and no copy less than before.
    for n in (1..COPIES).rev() {
        rename(&kept(path, n), &kept(path, n + 1))?;
    }
    rename(&new, &newest)?;
    sync_directory(path)?;
    Ok(true)
}

/// Every file beside the catalog at `path` that was a catalog of it: kept ones, newest first, then those that
/// a repair replaced, then copies made before a migration.
pub(crate) fn copies(path: &Path) -> Vec<PathBuf> {
    let kept = (1..=COPIES).map(|n| kept(path, n));
    let mut found: Vec<PathBuf> = kept.filter(|copy| copy.is_file()).collect();
    for ending in [REPLACED, ".before-v"] {
        let numbered = |copy: &Path| number_of(path, ending, copy);
        let entries = fs::read_dir(super::directory(path)).into_iter().flatten();
        let mut others: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|copy| numbered(copy).is_some())
            .collect();
        others.sort_by_key(|copy| std::cmp::Reverse(numbered(copy)));
        found.append(&mut others);
    }
    found
}

/// Puts the catalog `new`, which is closed, in the place of the one at `path`, which may be missing or
/// damaged. What was there, its write-ahead log included, is kept as `catalog.db.replaced-N`, which is returned.
///
/// Killed at any moment, `path` is the one or the other. A sound catalog must have been closed before: its
/// write-ahead log, which is moved first, is then empty.
pub(crate) fn replace(path: &Path, new: &Path) -> Result<Option<PathBuf>, Error> {
    let aside = (1..=u32::MAX)
        .map(|n| beside(path, &format!("{REPLACED}{n}")))
        .find(|aside| fs::symlink_metadata(aside).is_err())
        .expect("there are more numbers than files in a directory");
    // A log belongs to its database: SQLite would replay this one into the new.
    for ending in ["-wal", "-shm", "-journal"] {
        rename(&beside(path, ending), &beside(&aside, ending))?;
    }
    sync_directory(path)?;
    let there = fs::symlink_metadata(path).is_ok();
    if there {
        let keeping = format!("keep {} as {}", path.display(), aside.display());
        fs::hard_link(path, &aside).map_err(Error::io(keeping))?;
        sync_directory(path)?;
    }
    let placing = format!("put {} in place", new.display());
    fs::rename(new, path).map_err(Error::io(placing))?;
    sync_directory(path)?;
    Ok(there.then_some(aside))
}

fn kept(path: &Path, n: u32) -> PathBuf {
    beside(path, &format!("{KEPT}{n}"))
}

/// The number at the end of a copy's name.
fn number_of(path: &Path, ending: &str, copy: &Path) -> Option<u32> {
    let prefix = beside(path, ending);
    let prefix = prefix.file_name()?.to_str()?;
    copy.file_name()?
        .to_str()?
        .strip_prefix(prefix)?
        .parse()
        .ok()
}

/// A file that is not there is left where it is not.
fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    match fs::rename(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            let renaming = format!("rename {} to {}", from.display(), to.display());
            Err(Error::io(renaming)(error))
        }
        _ => Ok(()),
    }
}

fn remove(file: &Path) -> Result<(), Error> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io(format!("remove {}", file.display()))(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
