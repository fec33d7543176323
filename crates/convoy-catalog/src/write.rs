//! Changes as SQL, and what `SQLite` says of them in our words.

use convoy_units::{DevId, TransactionId};
use rusqlite::{ToSql, Transaction, ffi};
use uuid::Uuid;

use crate::exchange;
use crate::fields::{integer, labels, path};
use crate::{Change, Destination, Error, KnownBackup, Mount, Pin, Pool, Snapshot, Suspect, Volume};

pub(crate) fn apply(transaction: &Transaction<'_>, changes: &[Change]) -> Result<(), Error> {
    changes
        .iter()
        .try_for_each(|change| apply_one(transaction, change))
}

fn apply_one(transaction: &Transaction<'_>, change: &Change) -> Result<(), Error> {
    let write = Writer { transaction };
    match change {
        Change::PutPool(pool) => write.pool(pool),
        Change::SetTransaction {
            pool,
            transaction: id,
        } => set_transaction(transaction, *pool, *id),
        Change::PutVolume(volume) => write.volume(volume),
        Change::PutSnapshot(snapshot) => write.snapshot(snapshot),
        Change::ExchangeDevices { snapshot } => exchange::devices(transaction, *snapshot),
        Change::PutMount(mount) => write.mount(mount),
        Change::PutSuspect(suspect) => write.suspect(suspect),
        Change::PutDestination(destination) => write.destination(destination),
        Change::PutBackup(backup) => write.backup(backup),
        Change::PutPin(pin) => write.pin(pin),
        Change::RemovePool(uuid) => write.remove("pools", "uuid", uuid, || Error::InUse {
            what: format!("pool {uuid}"),
            why: "it has volumes, snapshots or a pending intent",
        }),
        Change::RemoveVolume(uuid) => write.remove("volumes", "uuid", uuid, || Error::InUse {
            what: format!("volume {uuid}"),
            why: "it has snapshots or a mount",
        }),
        Change::RemoveSnapshot(uuid) => write.remove("snapshots", "uuid", uuid, || Error::Pinned {
            snapshot: *uuid,
        }),
        Change::RemoveMount(volume) => write.remove_leaf("mounts", "volume", volume),
        Change::RemoveSuspect(volume) => write.remove_leaf("suspects", "volume", volume),
        Change::RemoveDestination(url) => write.remove_leaf("destinations", "url", url),
        Change::RemoveBackup(uuid) => write.remove_leaf("backups", "backup", uuid),
        Change::RemovePins { op } => write.remove_leaf("pins", "op", op),
        Change::PutMountOptions(options) => write.mount_options(options),
        Change::PutEndpoint(endpoint) => write.endpoint(endpoint),
        Change::PutJob(job) => write.job(job),
        Change::InterruptJobs(at) => write.interrupt_jobs(*at),
        Change::PutOverwrite(overwrite) => write.overwrite(overwrite),
        Change::RemoveOverwrite(volume) => write.remove_leaf("overwrites", "volume", volume),
        Change::PutTrashed(trashed) => write.trashed(trashed),
        Change::RemoveTrashed(volume) => write.remove_leaf("trash", "volume", volume),
        Change::AgeTrash(seconds) => write.age_trash(*seconds),
        Change::PutOnRemove { volume, on_remove } => write.removal(*volume, *on_remove),
        Change::PutHold(hold) => write.hold(hold),
        Change::RemoveHold { volume, holder } => write.remove_hold(*volume, holder),
        Change::RemoveHolds(volume) => write.remove_leaf("holds", "volume", volume),
        Change::RemoveHoldsBefore { boot } => write.remove_holds_before(boot),
    }
}

/// Sees to it that this id is not given (again).
pub(crate) fn reserve(
    transaction: &Transaction<'_>,
    pool: Uuid,
    dev_id: DevId,
) -> Result<(), Error> {
    transaction
        .execute(
            "UPDATE pools SET next_dev_id = max(next_dev_id, ?2 + 1) WHERE uuid = ?1",
            (pool.to_string(), dev_id.get()),
        )
        .map_err(|source| Error::sqlite("reserving a device id", source))?;
    Ok(())
}

pub(crate) fn set_transaction(
    transaction: &Transaction<'_>,
    pool: Uuid,
    id: TransactionId,
) -> Result<(), Error> {
    let changed = transaction
        .execute(
            "UPDATE pools SET transaction_id = ?2 WHERE uuid = ?1",
            (pool.to_string(), integer("transaction id", id.0)?),
        )
        .map_err(|source| Error::sqlite("moving the transaction id", source))?;
    match changed {
        1 => Ok(()),
        _ => Err(Error::Missing {
            what: format!("pool {pool}"),
        }),
    }
}

pub(crate) struct Writer<'a> {
    transaction: &'a Transaction<'a>,
}

pub(crate) type Value<'a> = (&'static str, &'a dyn ToSql);

impl Writer<'_> {
    /// Inserts a row, or updates that of the same key, which is the first column.
    pub(crate) fn upsert(
        &self,
        what: &str,
        table: &str,
        kept: &[&str],
        values: &[Value<'_>],
    ) -> Result<(), Error> {
        let names: Vec<&str> = values.iter().map(|(name, _)| *name).collect();
        let places: Vec<String> = (1..=values.len()).map(|n| format!("?{n}")).collect();
        let updates: Vec<String> = names
            .iter()
            .skip(1)
            .filter(|name| !kept.contains(name))
            .map(|name| format!("{name} = excluded.{name}"))
            .collect();
        let key = names.first().expect("every table has a key");
        let sql = format!(
            "INSERT INTO {table} ({}) VALUES ({}) ON CONFLICT ({key}) DO UPDATE SET {}",
            names.join(", "),
            places.join(", "),
            updates.join(", "),
        );
        let parameters: Vec<&dyn ToSql> = values.iter().map(|(_, value)| *value).collect();
        self.run(&sql, &parameters)
            .map_err(|source| refused(what, source))
    }

    pub(crate) fn run(&self, sql: &str, parameters: &[&dyn ToSql]) -> rusqlite::Result<()> {
        self.transaction.prepare_cached(sql)?.execute(parameters)?;
        Ok(())
    }

    fn remove(
        &self,
        table: &str,
        column: &str,
        key: &impl ToString,
        in_use: impl FnOnce() -> Error,
    ) -> Result<(), Error> {
        let sql = format!("DELETE FROM {table} WHERE {column} = ?1");
        self.run(&sql, &[&key.to_string()])
            .map_err(|source| match extended(&source) {
                Some(ffi::SQLITE_CONSTRAINT_FOREIGNKEY) => in_use(),
                _ => Error::sqlite(format!("removing from {table}"), source),
            })
    }

    /// Removes what nothing refers to.
    fn remove_leaf(&self, table: &str, column: &str, key: &impl ToString) -> Result<(), Error> {
        let what = format!("{table} of {column} {}", key.to_string());
        self.remove(table, column, key, || Error::InUse {
            what,
            why: "something refers to it",
        })
    }

    fn pool(&self, pool: &Pool) -> Result<(), Error> {
        // The transaction id of a pool that is there moves only by completing intents.
        self.upsert(
            &format!("pool {}", pool.name),
            "pools",
            &["transaction_id"],
            &[
                ("uuid", &pool.uuid.to_string()),
                ("name", &pool.name.as_str()),
                ("driver", &pool.driver),
                ("data", &path(&pool.data)?),
                ("metadata", &path(&pool.metadata)?),
                ("loop_backed", &pool.loop_backed),
                (
                    "block_sectors",
                    &integer("block size", pool.block_size.sectors().0)?,
                ),
                (
                    "default_volume_size",
                    &integer("size", pool.default_volume_size.0)?,
                ),
                ("filesystem", &pool.filesystem),
                (
                    "transaction_id",
                    &integer("transaction id", pool.transaction.0)?,
                ),
                ("data_size", &integer("size", pool.data_size.0)?),
                ("metadata_size", &integer("size", pool.metadata_size.0)?),
                ("initialised", &pool.initialised),
                ("created", &pool.created.to_string()),
            ],
        )
    }

    fn volume(&self, volume: &Volume) -> Result<(), Error> {
        let what = format!("volume {}", volume.name);
        self.upsert(
            &what,
            "volumes",
            &[],
            &[
                ("uuid", &volume.uuid.to_string()),
                ("pool", &volume.pool.to_string()),
                ("name", &volume.name.as_str()),
                ("dev_id", &volume.dev_id.get()),
                ("size", &integer("size", volume.size.0)?),
                ("filesystem", &volume.filesystem),
                ("state", &volume.state.as_str()),
                ("created", &volume.created.to_string()),
                ("labels", &labels(&volume.labels)),
                ("owner", &volume.owner),
                ("group_name", &volume.group),
                ("restored_from", &volume.restored_from),
                ("op", &volume.op.to_string()),
            ],
        )?;
        reserve(self.transaction, volume.pool, volume.dev_id)
    }

    fn snapshot(&self, snapshot: &Snapshot) -> Result<(), Error> {
        let hold = snapshot
            .hold_micros
            .map(|micros| integer("hold time", micros))
            .transpose()?;
        let what = format!("snapshot {}", snapshot.name);
        self.upsert(
            &what,
            "snapshots",
            &[],
            &[
                ("uuid", &snapshot.uuid.to_string()),
                ("volume", &snapshot.volume.to_string()),
                ("pool", &snapshot.pool.to_string()),
                ("name", &snapshot.name.as_str()),
                ("dev_id", &snapshot.dev_id.get()),
                ("size", &integer("size", snapshot.size.0)?),
                ("state", &snapshot.state.as_str()),
                ("created", &snapshot.created.to_string()),
                ("labels", &labels(&snapshot.labels)),
                ("op", &snapshot.op.to_string()),
                ("hold_micros", &hold),
            ],
        )?;
        reserve(self.transaction, snapshot.pool, snapshot.dev_id)
    }

    fn mount(&self, mount: &Mount) -> Result<(), Error> {
        let what = format!("the mount of volume {}", mount.volume);
        self.upsert(
            &what,
            "mounts",
            &[],
            &[
                ("volume", &mount.volume.to_string()),
                ("target", &path(&mount.target)?),
                ("wanted", &mount.wanted),
                ("boot", &mount.boot),
                ("created", &mount.created.to_string()),
            ],
        )
    }

    fn suspect(&self, suspect: &Suspect) -> Result<(), Error> {
        let sql = "INSERT INTO suspects (volume, why, since) VALUES (?1, ?2, ?3)
                   ON CONFLICT (volume) DO NOTHING";
        let (volume, since) = (suspect.volume.to_string(), suspect.since.to_string());
        self.run(sql, &[&volume, &suspect.why, &since])
            .map_err(|source| refused(&format!("that volume {volume} is suspect"), source))
    }

    fn destination(&self, destination: &Destination) -> Result<(), Error> {
        let what = format!("destination {}", destination.url);
        self.upsert(
            &what,
            "destinations",
            &[],
            &[
                ("url", &destination.url),
                ("name", &destination.name.as_ref().map(AsRef::as_ref)),
                ("repository", &destination.repository.to_string()),
                ("created", &destination.created.to_string()),
            ],
        )
    }

    fn backup(&self, backup: &KnownBackup) -> Result<(), Error> {
        self.upsert(
            &format!("backup {}", backup.name),
            "backups",
            &[],
            &[
                ("backup", &backup.backup.to_string()),
                ("name", &backup.name),
                ("repository", &backup.repository.to_string()),
                ("volume", &backup.volume.to_string()),
                ("snapshot", &backup.snapshot.to_string()),
                ("created", &backup.created.to_string()),
            ],
        )
    }

    fn pin(&self, pin: &Pin) -> Result<(), Error> {
        let sql = "INSERT INTO pins (snapshot, op, why) VALUES (?1, ?2, ?3)
                   ON CONFLICT (snapshot, op) DO UPDATE SET why = excluded.why";
        self.run(
            sql,
            &[&pin.snapshot.to_string(), &pin.op.to_string(), &pin.why],
        )
        .map_err(|source| refused(&format!("a pin of snapshot {}", pin.snapshot), source))
    }
}

fn extended(error: &rusqlite::Error) -> Option<i32> {
    error.sqlite_error().map(|error| error.extended_code)
}

/// Why a row was not taken.
pub(crate) fn refused(what: &str, source: rusqlite::Error) -> Error {
    let message = match &source {
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        _ => String::new(),
    };
    let what = what.to_owned();
    match extended(&source) {
        Some(ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY) => Error::Exists {
            what,
            unique: taken(&message),
        },
        Some(ffi::SQLITE_CONSTRAINT_FOREIGNKEY) => Error::Refused {
            what,
            why: "it refers to a record that is not there".to_owned(),
        },
        Some(ffi::SQLITE_CONSTRAINT_TRIGGER) => Error::Refused { what, why: message },
        Some(ffi::SQLITE_CONSTRAINT_CHECK) => Error::Invalid {
            what: format!("{what} ({message})"),
        },
        _ => Error::sqlite(format!("recording {what}"), source),
    }
}

/// What of `UNIQUE constraint failed: volumes.pool, volumes.dev_id` a person understands.
fn taken(message: &str) -> String {
    match message.rsplit('.').next().unwrap_or_default() {
        "dev_id" => "device id".to_owned(),
        column => column.to_owned(),
    }
}
