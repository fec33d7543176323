//! The open catalog: transactions, device ids and intents.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};

use convoy_units::{DevId, TransactionId};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};
use uuid::Uuid;

use crate::open::{self, Opened, Reading};
use crate::{Change, Error, Intent, NewIntent, fields, write};

/// An open catalog. Any number of threads may call; each call is one transaction.
///
/// A call that changes something returns after it is durable. Two processes must not open one
/// catalog for writing: the engine's lock on the root directory sees to that.
pub struct Catalog {
    connection: Mutex<Connection>,
    /// For reading while the other one is busy, made when that first happens. It sees what was committed.
    beside: OnceLock<Option<Mutex<Connection>>>,
    path: PathBuf,
    host: Uuid,
    read_only: Option<Reading>,
    poisoned: AtomicBool,
}

impl Catalog {
    /// Opens the catalog at `path`, checks it whole, migrates it if it is older, and makes it if there
    /// never was one. The directory must exist.
    ///
    /// Errors: `Lost` where there was one, `Damaged`, `Newer`; see `docs/formats/catalog.md`.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self::over(path, open::open(path)?))
    }

    /// Reads the catalog at `path` into memory, whole, without changing anything about its file: an older one
    /// is migrated in memory only. What others write to it later is not seen, and every change is refused.
    ///
    /// Errors: `Lost` where there was one, `Missing` where there never was, `Damaged`, `Newer`.
    pub fn read(path: &Path) -> Result<Self, Error> {
        Ok(Self::over(path, open::read(path)?))
    }

    fn over(path: &Path, opened: Opened) -> Self {
        let Opened {
            connection,
            host,
            read_only,
        } = opened;
        Self {
            connection: Mutex::new(connection),
            beside: OnceLock::new(),
            path: path.to_owned(),
            host,
            read_only,
            poisoned: AtomicBool::new(false),
        }
    }

    /// The files beside the catalog at `path` that were a catalog of it, the likeliest to be true first. None
    /// of them is looked into.
    pub fn copies(path: &Path) -> Vec<PathBuf> {
        open::copies(path)
    }

    /// Puts a closed catalog in the place of the one at `path`, which nobody may have open. What was there is
    /// kept beside it under the name that is returned. Killed at any moment, one of the two is there, whole.
    pub fn replace(path: &Path, new: &Path) -> Result<Option<PathBuf>, Error> {
        open::replace(path, new)
    }

    /// Keeps a copy of the whole catalog beside it, durably, as the newest of three. To be called while it is
    /// known to agree with its pool. Returns whether anything had changed since the last one.
    pub fn keep_copy(&self) -> Result<bool, Error> {
        open::keep(&self.path, &mut self.lock())
    }

    /// Writes the whole catalog to a file of its own, durably.
    pub fn copy_to(&self, to: &Path) -> Result<(), Error> {
        open::copy_out(&mut self.lock(), to)
    }

    /// The identity of this installation, made with the catalog.
    pub fn host(&self) -> Uuid {
        self.host
    }

    /// Applies all changes in order, or none.
    ///
    /// Errors: `Exists` if a unique name or device id is taken, `Refused` if a record refers to what is
    /// not there, `InUse` and `Pinned` if others refer to what should be removed.
    pub fn apply(&self, changes: &[Change]) -> Result<(), Error> {
        self.change("recording changes", |transaction| {
            write::apply(transaction, changes)
        })
    }

    /// A device id that the pool never had. A crash may waste it; nothing gives it twice.
    ///
    /// Errors: `Missing` pool, `Exhausted` after 16777215 devices.
    pub fn allocate_dev_id(&self, pool: Uuid) -> Result<DevId, Error> {
        self.change("allocating a device id", |transaction| {
            let next: u64 = pool_column(transaction, pool, "next_dev_id")?;
            let dev_id = DevId::new(next).map_err(|_| Error::Exhausted { pool })?;
            write::reserve(transaction, pool, dev_id)?;
            Ok(dev_id)
        })
    }

    /// Keeps every id up to `highest` from being given: the pool has devices that are not ours, and an
    /// intent must never be undone by deleting one of them.
    pub fn reserve_dev_ids(&self, pool: Uuid, highest: DevId) -> Result<(), Error> {
        self.change("reserving device ids", |transaction| {
            write::reserve(transaction, pool, highest)
        })
    }

    /// Records what is about to be done to the pool, together with `changes`; durable before it returns.
    ///
    /// Errors: `Busy` while another intent of this pool is pending; those of `apply`.
    pub fn begin(&self, intent: &NewIntent, changes: &[Change]) -> Result<Intent, Error> {
        self.change(
            &format!("recording the intent to {}", intent.verb),
            |transaction| {
                refuse_second(transaction, intent.pool)?;
                write::apply(transaction, changes)?;
                let begun = describe(transaction, intent)?;
                for action in &intent.actions {
                    write::reserve(transaction, intent.pool, action.dev_id())?;
                }
                insert(transaction, begun)
            },
        )
    }

    /// Records that the actions of a pending intent happened: applies `changes`, moves the pool's
    /// transaction id to `intent.to` and forgets the intent.
    ///
    /// Call it after the pool's own transaction id is durable. Errors: `Missing` if the intent is not
    /// pending; those of `apply`.
    pub fn complete(&self, intent: &Intent, changes: &[Change]) -> Result<(), Error> {
        self.change(
            &format!("completing the intent to {}", intent.verb),
            |transaction| {
                // Some changes are allowed only while their intent is there.
                expect_pending(transaction, intent)?;
                write::apply(transaction, changes)?;
                forget(transaction, intent)?;
                let now: u64 = pool_column(transaction, intent.pool, "transaction_id")?;
                if now != intent.from.0 {
                    return Err(Error::Refused {
                        what: format!("the completion of {}", intent.verb),
                        why: format!("the pool's transaction id is {now} and not {}", intent.from),
                    });
                }
                write::set_transaction(transaction, intent.pool, intent.to)
            },
        )
    }

    /// Records that the actions of a pending intent did not happen, or were undone: applies `changes` and
    /// forgets the intent. The pool's transaction id stays.
    ///
    /// Errors as for `complete`.
    pub fn abandon(&self, intent: &Intent, changes: &[Change]) -> Result<(), Error> {
        self.change(
            &format!("abandoning the intent to {}", intent.verb),
            |transaction| {
                forget(transaction, intent)?;
                write::apply(transaction, changes)
            },
        )
    }

    /// A connection to read with: it does not wait for somebody's commit to become durable.
    pub(crate) fn lock_to_read(&self) -> MutexGuard<'_, Connection> {
        match self.connection.try_lock() {
            Ok(connection) => return connection,
            Err(TryLockError::Poisoned(connection)) => return connection.into_inner(),
            Err(TryLockError::WouldBlock) => {}
        }
        // One that is only read is in memory, and never busy for long. After a write that failed, the one that knows.
        if self.read_only.is_some() || self.poisoned.load(Ordering::Relaxed) {
            return self.lock();
        }
        let open = || open::connect_to_read(&self.path).map(Mutex::new);
        match self.beside.get_or_init(|| open().ok()) {
            Some(beside) => beside.lock().unwrap_or_else(PoisonError::into_inner),
            None => self.lock(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic inside a call rolls its transaction back, so the connection is fine.
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// One durable transaction: all of `work`, or nothing.
    fn change<T>(
        &self,
        doing: &str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        match &self.read_only {
            None => {}
            Some(Reading::Newer { written_by }) => {
                return Err(Error::ReadOnly {
                    written_by: written_by.clone(),
                });
            }
            Some(Reading::Asked) => {
                return Err(Error::ToRead {
                    path: self.path.clone(),
                });
            }
        }
        let mut connection = self.lock();
        if self.poisoned.load(Ordering::Relaxed) {
            return Err(Error::Poisoned);
        }
        let failed = |source| Error::sqlite(doing, source);
        // Immediate: what is read inside is still true when it is written.
        let result = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed)
            .and_then(|transaction| {
                let value = work(&transaction)?;
                transaction.commit().map_err(failed)?;
                Ok(value)
            });
        if result.as_ref().is_err_and(Error::is_lost_write) {
            // The kernel may have dropped the pages: a later fsync would succeed without them.
            self.poisoned.store(true, Ordering::Relaxed);
        }
        result
    }
}

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Catalog")
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

fn pool_column(transaction: &Transaction<'_>, pool: Uuid, column: &str) -> Result<u64, Error> {
    let query = format!("SELECT {column} FROM pools WHERE uuid = ?1");
    let value: Option<i64> = transaction
        .query_row(&query, [pool.to_string()], |row| row.get(0))
        .optional()
        .map_err(|source| Error::sqlite("reading a pool", source))?;
    let value = value.ok_or_else(|| Error::Missing {
        what: format!("pool {pool}"),
    })?;
    Ok(u64::try_from(value).expect("the schema checks that it is not negative"))
}

fn refuse_second(transaction: &Transaction<'_>, pool: Uuid) -> Result<(), Error> {
    let pending: Option<String> = transaction
        .query_row(
            "SELECT verb FROM intents WHERE pool = ?1",
            [pool.to_string()],
            |row| row.get(0),
        )
        .optional()
        .map_err(|source| Error::sqlite("looking for a pending intent", source))?;
    pending.map_or(Ok(()), |verb| Err(Error::Busy { pool, verb }))
}

/// The intent to be, without its id.
fn describe(transaction: &Transaction<'_>, intent: &NewIntent) -> Result<Intent, Error> {
    let from = TransactionId(pool_column(transaction, intent.pool, "transaction_id")?);
    Ok(Intent {
        id: 0,
        pool: intent.pool,
        op: intent.op,
        verb: intent.verb.clone(),
        from,
        to: from.next(),
        actions: intent.actions.clone(),
        created: Timestamp::now(),
    })
}

fn insert(transaction: &Transaction<'_>, intent: Intent) -> Result<Intent, Error> {
    transaction
        .execute(
            "INSERT INTO intents (pool, op, verb, from_id, to_id, actions, created)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            (
                intent.pool.to_string(),
                intent.op.to_string(),
                &intent.verb,
                fields::integer("transaction id", intent.from.0)?,
                fields::integer("transaction id", intent.to.0)?,
                fields::actions(&intent.actions),
                intent.created.to_string(),
            ),
        )
        .map_err(|source| Error::sqlite("recording an intent", source))?;
    Ok(Intent {
        id: transaction.last_insert_rowid(),
        ..intent
    })
}

fn expect_pending(transaction: &Transaction<'_>, intent: &Intent) -> Result<(), Error> {
    let query = "SELECT 1 FROM intents WHERE id = ?1 AND pool = ?2";
    let key = (intent.id, intent.pool.to_string());
    let found: Option<i64> = transaction
        .query_row(query, key, |row| row.get(0))
        .optional()
        .map_err(|source| Error::sqlite("looking for a pending intent", source))?;
    found.map(drop).ok_or_else(|| not_pending(intent))
}

fn not_pending(intent: &Intent) -> Error {
    Error::Missing {
        what: format!("pending intent {} to {}", intent.id, intent.verb),
    }
}

fn forget(transaction: &Transaction<'_>, intent: &Intent) -> Result<(), Error> {
    let forgotten = transaction
        .execute(
            "DELETE FROM intents WHERE id = ?1 AND pool = ?2",
            (intent.id, intent.pool.to_string()),
        )
        .map_err(|source| Error::sqlite("removing an intent", source))?;
    match forgotten {
        1 => Ok(()),
        _ => Err(not_pending(intent)),
    }
}

#[cfg(test)]
mod tests;
