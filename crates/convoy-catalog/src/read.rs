//! Queries. Each reads a consistent state; between two calls others may change it.

use convoy_names::{DestinationName, SnapshotName, VolumeName};
use rusqlite::ToSql;
use uuid::Uuid;

use crate::fields::Fields;
use crate::{
    Catalog, Destination, Error, Intent, KnownBackup, Mount, Pin, Pool, Snapshot, SnapshotState,
    Suspect, Volume, VolumeState,
};

impl Catalog {
    /// All pools, by name.
    pub fn pools(&self) -> Result<Vec<Pool>, Error> {
        self.select("pools", "ORDER BY name", &[], pool)
    }

    /// The pool of this identity.
    pub fn pool(&self, uuid: Uuid) -> Result<Option<Pool>, Error> {
        self.select_one("pools", "WHERE uuid = ?1", &uuid.to_string(), pool)
    }

    /// All volumes, by name.
    pub fn volumes(&self) -> Result<Vec<Volume>, Error> {
        self.select("volumes", "ORDER BY name", &[], volume)
    }

    /// The volume of this identity.
    pub fn volume(&self, uuid: Uuid) -> Result<Option<Volume>, Error> {
        self.select_one("volumes", "WHERE uuid = ?1", &uuid.to_string(), volume)
    }

    /// The volume that has this name now.
    pub fn volume_by_name(&self, name: &VolumeName) -> Result<Option<Volume>, Error> {
        self.select_one("volumes", "WHERE name = ?1", &name.as_str(), volume)
    }

    /// All snapshots, by name.
    pub fn snapshots(&self) -> Result<Vec<Snapshot>, Error> {
        self.select("snapshots", "ORDER BY name", &[], snapshot)
    }

    /// The snapshots of a volume, by name.
    pub fn snapshots_of(&self, volume: Uuid) -> Result<Vec<Snapshot>, Error> {
        self.select(
            "snapshots",
            "WHERE volume = ?1 ORDER BY name",
            &[&volume.to_string()],
            snapshot,
        )
    }

    /// The snapshot of this identity.
    pub fn snapshot(&self, uuid: Uuid) -> Result<Option<Snapshot>, Error> {
        self.select_one("snapshots", "WHERE uuid = ?1", &uuid.to_string(), snapshot)
    }

    /// The snapshot that has this name now.
    pub fn snapshot_by_name(&self, name: &SnapshotName) -> Result<Option<Snapshot>, Error> {
        self.select_one("snapshots", "WHERE name = ?1", &name.as_str(), snapshot)
    }

    /// All mounts.
    pub fn mounts(&self) -> Result<Vec<Mount>, Error> {
        self.select("mounts", "ORDER BY target, volume", &[], mount)
    }

    /// The mount of a volume.
    pub fn mount(&self, volume: Uuid) -> Result<Option<Mount>, Error> {
        self.select_one("mounts", "WHERE volume = ?1", &volume.to_string(), mount)
    }

    /// All suspect volumes.
    pub fn suspects(&self) -> Result<Vec<Suspect>, Error> {
        self.select("suspects", "ORDER BY volume", &[], suspect)
    }

    /// What a volume is suspected of.
    pub fn suspect(&self, volume: Uuid) -> Result<Option<Suspect>, Error> {
        self.select_one(
            "suspects",
            "WHERE volume = ?1",
            &volume.to_string(),
            suspect,
        )
    }

    /// All destinations, by URL.
    pub fn destinations(&self) -> Result<Vec<Destination>, Error> {
        self.select("destinations", "ORDER BY url", &[], destination)
    }

    /// The destination of this normalised URL.
    pub fn destination_by_url(&self, url: &str) -> Result<Option<Destination>, Error> {
        self.select_one("destinations", "WHERE url = ?1", &url, destination)
    }

    /// The destination of this name.
    pub fn destination_by_name(
        &self,
        name: &DestinationName,
    ) -> Result<Option<Destination>, Error> {
        self.select_one(
            "destinations",
            "WHERE name = ?1",
            &name.as_str(),
            destination,
        )
    }

    /// The backups of a volume that were made from here, in the order of recording.
    pub fn backups_of(&self, volume: Uuid) -> Result<Vec<KnownBackup>, Error> {
        self.select(
            "backups",
            "WHERE volume = ?1 ORDER BY rowid",
            &[&volume.to_string()],
            backup,
        )
    }

    /// All pins.
    pub fn pins(&self) -> Result<Vec<Pin>, Error> {
        self.select("pins", "ORDER BY snapshot, op", &[], pin)
    }

    /// The intents that were begun and neither completed nor abandoned: at most one per pool.
    pub fn pending_intents(&self) -> Result<Vec<Intent>, Error> {
        self.select("intents", "ORDER BY id", &[], intent)
    }

    pub(crate) fn select<T>(
        &self,
        table: &'static str,
        rest: &str,
        parameters: &[&dyn ToSql],
        read: fn(&Fields<'_>) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        // All columns, read by name: a newer schema that lets us read may have more.
        self.query(
            table,
            &format!("SELECT * FROM {table} {rest}"),
            parameters,
            read,
        )
    }

    pub(crate) fn query<T>(
        &self,
        table: &'static str,
        query: &str,
        parameters: &[&dyn ToSql],
        read: fn(&Fields<'_>) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let failed = |source| Error::sqlite(format!("reading {table}"), source);
        let connection = self.lock_to_read();
        let mut statement = connection.prepare_cached(query).map_err(failed)?;
        let mut rows = statement.query(parameters).map_err(failed)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            found.push(read(&Fields { table, row })?);
        }
        Ok(found)
    }

    pub(crate) fn select_one<T>(
        &self,
        table: &'static str,
        condition: &str,
        key: &dyn ToSql,
        read: fn(&Fields<'_>) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        Ok(self.select(table, condition, &[key], read)?.pop())
    }
}

fn pool(row: &Fields<'_>) -> Result<Pool, Error> {
    Ok(Pool {
        uuid: row.parsed("uuid")?,
        name: row.parsed("name")?,
        driver: row.text("driver")?,
        data: row.text("data")?.into(),
        metadata: row.text("metadata")?.into(),
        loop_backed: row.flag("loop_backed")?,
        block_size: row.block_size("block_sectors")?,
        default_volume_size: row.bytes("default_volume_size")?,
        filesystem: row.text("filesystem")?,
        transaction: row.transaction("transaction_id")?,
        data_size: row.bytes("data_size")?,
        metadata_size: row.bytes("metadata_size")?,
        initialised: row.flag("initialised")?,
        created: row.parsed("created")?,
    })
}

pub(crate) fn volume(row: &Fields<'_>) -> Result<Volume, Error> {
    Ok(Volume {
        uuid: row.parsed("uuid")?,
        pool: row.parsed("pool")?,
        name: row.parsed("name")?,
        dev_id: row.dev_id("dev_id")?,
        size: row.bytes("size")?,
        filesystem: row.text("filesystem")?,
        state: row.word("state", VolumeState::ALL, VolumeState::as_str)?,
        created: row.parsed("created")?,
        labels: row.labels("labels")?,
        owner: row.optional_text("owner")?,
        group: row.optional_text("group_name")?,
        restored_from: row.optional_text("restored_from")?,
        op: row.parsed("op")?,
    })
}

pub(crate) fn snapshot(row: &Fields<'_>) -> Result<Snapshot, Error> {
    Ok(Snapshot {
        uuid: row.parsed("uuid")?,
        volume: row.parsed("volume")?,
        pool: row.parsed("pool")?,
        name: row.parsed("name")?,
        dev_id: row.dev_id("dev_id")?,
        size: row.bytes("size")?,
        state: row.word("state", SnapshotState::ALL, SnapshotState::as_str)?,
        created: row.parsed("created")?,
        labels: row.labels("labels")?,
        op: row.parsed("op")?,
        hold_micros: row.optional_number("hold_micros")?,
    })
}

fn mount(row: &Fields<'_>) -> Result<Mount, Error> {
    Ok(Mount {
        volume: row.parsed("volume")?,
        target: row.text("target")?.into(),
        wanted: row.flag("wanted")?,
        boot: row.text("boot")?,
        created: row.parsed("created")?,
    })
}

fn suspect(row: &Fields<'_>) -> Result<Suspect, Error> {
    Ok(Suspect {
        volume: row.parsed("volume")?,
        why: row.text("why")?,
        since: row.parsed("since")?,
    })
}

fn destination(row: &Fields<'_>) -> Result<Destination, Error> {
    Ok(Destination {
        name: row.optional_parsed("name")?,
        url: row.text("url")?,
        repository: row.parsed("repository")?,
        created: row.parsed("created")?,
    })
}

fn backup(row: &Fields<'_>) -> Result<KnownBackup, Error> {
    Ok(KnownBackup {
        backup: row.parsed("backup")?,
        name: row.text("name")?,
        repository: row.parsed("repository")?,
        volume: row.parsed("volume")?,
        snapshot: row.parsed("snapshot")?,
        created: row.parsed("created")?,
    })
}

fn pin(row: &Fields<'_>) -> Result<Pin, Error> {
    Ok(Pin {
        snapshot: row.parsed("snapshot")?,
        op: row.parsed("op")?,
        why: row.text("why")?,
    })
}

fn intent(row: &Fields<'_>) -> Result<Intent, Error> {
    Ok(Intent {
        id: row.signed("id")?,
        pool: row.parsed("pool")?,
        op: row.parsed("op")?,
        verb: row.text("verb")?,
        from: row.transaction("from_id")?,
        to: row.transaction("to_id")?,
        actions: row.actions("actions")?,
        created: row.parsed("created")?,
    })
}
