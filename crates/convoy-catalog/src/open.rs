//! Making, checking and opening the database file: nothing is ever recreated over something lost.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags};
use uuid::Uuid;

use crate::Error;
use crate::schema::{
    APPLICATION_ID, CREATE, MIGRATIONS, MIN_READER, Migration, VERSION, WRITTEN_BY,
};

/// What stands at the begin of every `SQLite` database (sqlite.org/fileformat2.html, 1.3.1).
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// How long to wait for another process, such as a shell, that holds the database.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many statements are kept ready: more than there are. One that is not has to be parsed each time.
const STATEMENTS: usize = 256;

mod copies;
mod reading;

pub(crate) use copies::{copies, copy_out, keep, replace};
pub(crate) use reading::read;

/// A sound, open database.
pub(crate) struct Opened {
    pub(crate) connection: Connection,
    pub(crate) host: Uuid,
    /// Why it takes no changes, if it takes none.
    pub(crate) read_only: Option<Reading>,
}

/// Why a catalog takes no changes.
#[derive(Debug, Clone)]
pub(crate) enum Reading {
    /// A newer version wrote it, and lets us read.
    Newer { written_by: String },
    /// It was asked for so.
    Asked,
}

/// Opens the catalog, or makes it where there never was one.
pub(crate) fn open(path: &Path) -> Result<Opened, Error> {
    open_with(path, VERSION, MIGRATIONS)
}

/// The same, for a given present: tests make up a future.
pub(crate) fn open_with(
    path: &Path,
    version: i64,
    migrations: &[Migration],
) -> Result<Opened, Error> {
    match fs::symlink_metadata(path) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => create(path)?,
        Err(error) => return Err(Error::io(format!("look at {}", path.display()))(error)),
    }
    check_header(path)?;
    let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    check_soundness(path, &connection)?;
    let meta = read_meta(path, &connection)?;
    let mut read_only = None;
    if meta.schema > version {
        if meta.min_reader > version {
            let Meta {
                schema, written_by, ..
            } = meta;
            return Err(Error::Newer {
                path: path.to_owned(),
                schema,
                written_by,
                known: version,
            });
        }
        set(path, &connection, "query_only", true)?;
        read_only = Some(Reading::Newer {
            written_by: meta.written_by,
        });
    } else if meta.schema < version {
        migrate(path, &mut connection, meta.schema, migrations)?;
    }
    if read_only.is_none() {
        settle_log(path, &connection)?;
        guard(path)?;
    }
    Ok(Opened {
        connection,
        host: meta.host,
        read_only,
    })
}

/// The file whose name is that of the catalog with something behind, such as `catalog.db-wal`.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// `catalog.guard`, which is there only where a catalog was made.
fn guard_of(path: &Path) -> PathBuf {
    path.with_extension("guard")
}

/// Refuses to begin anew where a catalog was, then makes one whole under another name.
fn create(path: &Path) -> Result<(), Error> {
    if let Some(evidence) = evidence(path)? {
        return Err(Error::Lost {
            path: path.to_owned(),
            evidence,
        });
    }
    let new = beside(path, ".new");
    // A crash may have left one, with its journal: it was never the catalog.
    for leftover in [new.clone(), beside(&new, "-journal")] {
        match fs::remove_file(&leftover) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io(format!("remove {}", leftover.display()))(error));
            }
            _ => {}
        }
    }
    let writing = || format!("write the new catalog {}", new.display());
    // Made here rather than by SQLite, so that it is private from its first moment.
    File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)
        .map_err(Error::io(writing()))?;
    let connection = connect_bare(&new, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    fill(&connection).map_err(|source| Error::sqlite("making a new catalog", source))?;
    connection
        .close()
        .map_err(|(_, source)| Error::sqlite("closing the new catalog", source))?;
    // The bytes are durable before the name that makes them the catalog.
    File::open(&new)
        .and_then(|file| file.sync_all())
        .map_err(Error::io(writing()))?;
    fs::rename(&new, path).map_err(Error::io(writing()))?;
    sync_directory(path)
}

/// A file that is there only where a catalog was.
fn evidence(path: &Path) -> Result<Option<PathBuf>, Error> {
    for file in [
        guard_of(path),
        beside(path, "-wal"),
        beside(path, "-journal"),
    ] {
        if fs::symlink_metadata(&file).is_ok() {
            return Ok(Some(file));
        }
    }
    let reading = || Error::io(format!("read the directory {}", directory(path).display()));
    let prefixes = [".before-v", copies::KEPT, copies::REPLACED].map(|ending| beside(path, ending));
    for entry in fs::read_dir(directory(path)).map_err(reading())? {
        let entry = entry.map_err(reading())?;
        let name = entry.file_name();
        let is_copy = prefixes.iter().filter_map(|prefix| prefix.file_name());
        if is_copy.into_iter().any(|prefix| {
            name.as_encoded_bytes()
                .starts_with(prefix.as_encoded_bytes())
        }) {
            return Ok(Some(entry.path()));
        }
    }
    Ok(None)
}

fn fill(connection: &Connection) -> rusqlite::Result<()> {
    // One transaction: tables, their version and the one row of `meta`.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch(&format!(
        "BEGIN; {CREATE} PRAGMA user_version = {VERSION}; PRAGMA application_id = {APPLICATION_ID};"
    ))?;
    connection.execute(
        "INSERT INTO meta VALUES (1, ?1, ?2, ?3, ?4, ?5)",
        (
            VERSION,
            MIN_READER,
            WRITTEN_BY,
            Uuid::new_v4().to_string(),
            Timestamp::now().to_string(),
        ),
    )?;
    connection.execute_batch("COMMIT")
}

/// Refuses what `SQLite` would take for an empty database, and other programs' files.
fn check_header(path: &Path) -> Result<(), Error> {
    let mut header = Vec::new();
    let reading = Error::io(format!("read the catalog {}", path.display()));
    File::open(path)
        .and_then(|file| file.take(100).read_to_end(&mut header))
        .map_err(reading)?;
    let what = match header.as_slice() {
        [] => "it is empty",
        header if header.iter().all(|byte| *byte == 0) => "it is zeroed",
        header if !header.starts_with(MAGIC) => "it is not a SQLite database",
        header if header.len() < 100 => "it is cut short",
        _ => return Ok(()),
    };
    Err(damaged(path, what))
}

fn damaged(path: &Path, what: impl Into<String>) -> Error {
    Error::Damaged {
        path: path.to_owned(),
        what: what.into(),
    }
}

/// What `SQLite` says while opening: damage is told as damage, with its file.
fn opening(path: &Path, source: rusqlite::Error) -> Error {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    match source.sqlite_error_code() {
        Some(DatabaseCorrupt | NotADatabase) => damaged(path, source.to_string()),
        _ => Error::sqlite(format!("opening {}", path.display()), source),
    }
}

fn connect_bare(path: &Path, flags: OpenFlags) -> Result<Connection, Error> {
    // The connection lives behind our own mutex.
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags).map_err(|source| opening(path, source))
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, Error> {
    let connection = connect_bare(path, flags)?;
    connection
        .busy_timeout(PATIENCE)
        .map_err(|source| opening(path, source))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    set(path, &connection, "trusted_schema", false)?;
    set(path, &connection, "cell_size_check", true)?;
    set(path, &connection, "foreign_keys", true)?;
    set(path, &connection, "synchronous", "FULL")?;
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
        .map_err(|source| opening(path, source))?;
    if mode == "wal" {
        Ok(connection)
    } else {
        Err(damaged(path, format!("journal mode {mode} instead of WAL")))
    }
}

/// A second connection to a catalog that is open, to read with.
pub(crate) fn connect_to_read(path: &Path) -> Result<Connection, Error> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    set(path, &connection, "query_only", true)?;
    Ok(connection)
}

/// Puts what the log holds into the database itself, and begins the log anew.
///
/// An fsync of the log may have failed before its process died: the kernel then shows pages that are on no
/// disk, and calls them clean. `SQLite` would take them for committed and write behind them, and after a power
/// cut all that came later, acknowledged and durable, would be out of reach. Written anew, they are durable or
/// the opening fails. A full disk is no reason to fail: nothing can be written behind them there either.
fn settle_log(path: &Path, connection: &Connection) -> Result<(), Error> {
    let settled = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    match settled {
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull) => Ok(()),
        settled => settled.map_err(|source| opening(path, source)),
    }
}

fn set(
    path: &Path,
    connection: &Connection,
    pragma: &str,
    value: impl rusqlite::ToSql,
) -> Result<(), Error> {
    connection
        .pragma_update(None, pragma, value)
        .map_err(|source| opening(path, source))
}

fn pragma(path: &Path, connection: &Connection, name: &str) -> Result<i64, Error> {
    connection
        .pragma_query_value(None, name, |row| row.get(0))
        .map_err(|source| opening(path, source))
}

/// The whole database is small: every page is looked at, every time.
fn check_soundness(path: &Path, connection: &Connection) -> Result<(), Error> {
    if pragma(path, connection, "application_id")? != APPLICATION_ID {
        return Err(damaged(path, "it is a database of another program"));
    }
    let verdict: String = connection
        .pragma_query_value(None, "quick_check", |row| row.get(0))
        .map_err(|source| opening(path, source))?;
    if verdict != "ok" {
        return Err(damaged(path, verdict));
    }
    let mut check = connection
        .prepare("SELECT \"table\" FROM pragma_foreign_key_check")
        .map_err(|source| opening(path, source))?;
    let orphan = check
        .query_map((), |row| row.get::<_, String>(0))
        .and_then(|mut rows| rows.next().transpose());
    match orphan.map_err(|source| opening(path, source))? {
        None => Ok(()),
        Some(table) => Err(damaged(
            path,
            format!("a row of table {table} refers to one that is not there"),
        )),
    }
}

struct Meta {
    schema: i64,
    min_reader: i64,
    written_by: String,
    host: Uuid,
}

fn read_meta(path: &Path, connection: &Connection) -> Result<Meta, Error> {
    let user_version = pragma(path, connection, "user_version")?;
    let (schema, min_reader, written_by, host): (i64, i64, String, String) = connection
        .query_row(
            "SELECT schema, min_reader, written_by, host FROM meta",
            (),
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
        )
        .map_err(|source| damaged(path, format!("table meta cannot be read: {source}")))?;
    if schema != user_version || schema < 1 {
        return Err(damaged(
            path,
            format!("its schema is {schema} and {user_version} at once"),
        ));
    }
    let host = host
        .parse()
        .map_err(|_| damaged(path, format!("its host is {host:?}")))?;
    Ok(Meta {
        schema,
        min_reader,
        written_by,
        host,
    })
}

/// Copies the whole catalog, then brings it to the present in one transaction.
fn migrate(
    path: &Path,
    connection: &mut Connection,
    from: i64,
    migrations: &[Migration],
) -> Result<(), Error> {
    let to = migrations.last().map_or(from, |last| last.to);
    copy(path, connection, to)?;
    tracing::info!(from, to, "migrating the catalog");
    migrate_in_place(connection, from, migrations)
}

/// The migration itself, one transaction.
fn migrate_in_place(
    connection: &mut Connection,
    from: i64,
    migrations: &[Migration],
) -> Result<(), Error> {
    let to = migrations.last().map_or(from, |last| last.to);
    let migrating = |source| Error::sqlite(format!("migrating the catalog to schema {to}"), source);
    let transaction = connection.transaction().map_err(migrating)?;
    for step in migrations.iter().filter(|step| step.to > from) {
        transaction.execute_batch(step.sql).map_err(migrating)?;
    }
    transaction
        .execute(
            "UPDATE meta SET schema = ?1, min_reader = ?2, written_by = ?3",
            (to, MIN_READER, WRITTEN_BY),
        )
        .map_err(migrating)?;
    transaction
        .pragma_update(None, "user_version", to)
        .map_err(migrating)?;
    transaction.commit().map_err(migrating)
}

/// Writes `catalog.db.before-vN`, durably. One that is there already is of an earlier try that was cut
/// short before its migration: it is made anew.
fn copy(path: &Path, connection: &mut Connection, to: i64) -> Result<(), Error> {
    let copy = beside(path, &format!(".before-v{to}"));
    let part = beside(path, ".copy");
    copy_out(connection, &part)?;
    fs::rename(&part, &copy).map_err(Error::io(format!("make {}", copy.display())))?;
    sync_directory(path)
}

/// Leaves a sign that a catalog is here, for the day when it is not.
fn guard(path: &Path) -> Result<(), Error> {
    let guard = guard_of(path);
    if fs::symlink_metadata(&guard).is_ok() {
        return Ok(());
    }
    let making = || format!("make {}", guard.display());
    let text = "A Convoy catalog (catalog.db) was made in this directory. While this file is here, a\n\
                missing catalog is an error and not a new beginning.\n";
    File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&guard)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())
                .and_then(|()| file.sync_all())
        })
        .map_err(Error::io(making()))?;
    sync_directory(path)
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

fn sync_directory(path: &Path) -> Result<(), Error> {
    let directory = directory(path);
    let syncing = Error::io(format!("sync the directory {}", directory.display()));
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(syncing)
}

#[cfg(test)]
mod tests;
