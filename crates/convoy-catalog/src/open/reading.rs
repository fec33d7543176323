//! Reading a catalog without touching its file: it is copied into memory, and there checked, brought to the
//! present schema and read.
//!
//! For who has to look at a catalog that may be damaged, old, or in use by nobody any more: opening it for work
//! would write its log, migrate it, and begin a new one where it is lost.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags};

use super::{
    Meta, Opened, Reading, beside, check_header, check_soundness, connect_bare, evidence,
    migrate_in_place, opening, read_meta, set,
};
use crate::Error;
use crate::schema::{MIGRATIONS, VERSION};

/// Reads the catalog at `path` into memory. What others write to the file from now on is not seen.
pub(crate) fn read(path: &Path) -> Result<Opened, Error> {
    match fs::symlink_metadata(path) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing(path, error)),
        Err(error) => return Err(Error::io(format!("look at {}", path.display()))(error)),
    }
    check_header(path)?;
    let mut connection = into_memory(path)?;
    check_soundness(path, &connection)?;
    let Meta {
        schema,
        min_reader,
        written_by,
        host,
    } = read_meta(path, &connection)?;
    if schema > VERSION && min_reader > VERSION {
        return Err(Error::Newer {
            path: path.to_owned(),
            schema,
            written_by,
            known: VERSION,
        });
    }
    if schema < VERSION {
        migrate_in_place(&mut connection, schema, MIGRATIONS)?;
    }
    Ok(Opened {
        connection,
        host,
        read_only: Some(Reading::Asked),
    })
}

/// A catalog that is not there: lost if anything shows that it was.
fn missing(path: &Path, error: io::Error) -> Error {
    match evidence(path) {
        Ok(Some(evidence)) => Error::Lost {
            path: path.to_owned(),
            evidence,
        },
        Ok(None) => Error::Missing {
            what: format!("file {}", path.display()),
        },
        Err(_) => Error::io(format!("look at {}", path.display()))(error),
    }
}

fn into_memory(path: &Path) -> Result<Connection, Error> {
    let source = connect_to_read(path)?;
    let copying = |source| opening(path, source);
    let mut memory = Connection::open_in_memory().map_err(copying)?;
    Backup::new(&source, &mut memory)
        .and_then(|backup| backup.run_to_completion(1000, Duration::from_millis(10), None))
        .map_err(copying)?;
    for pragma in ["cell_size_check", "foreign_keys"] {
        set(path, &memory, pragma, true)?;
    }
    set(path, &memory, "trusted_schema", false)?;
    Ok(memory)
}

/// With a write-ahead log, `SQLite` needs the log's index and may make it. Without one, not even that.
fn connect_to_read(path: &Path) -> Result<Connection, Error> {
    let wal = fs::metadata(beside(path, "-wal"));
    if wal.is_ok_and(|wal| wal.len() > 0) {
        return connect_bare(path, OpenFlags::SQLITE_OPEN_READ_ONLY);
    }
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                uri.push(char::from(*byte));
            }
            byte => uri.extend(["%", &format!("{byte:02x}")]),
        }
    }
    uri.push_str("?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    connect_bare(Path::new(&uri), flags).map_err(|error| match error {
        Error::Damaged { what, .. } => super::damaged(path, what),
        error => error,
    })
}

#[cfg(test)]
mod tests;
