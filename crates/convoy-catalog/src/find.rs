//! Queries that read what they answer with and nothing else, however many snapshots there are beside it: each has
//! an index.

use convoy_names::SnapshotName;
use convoy_units::DevId;
use jiff::Timestamp;
use rusqlite::ToSql;
use uuid::Uuid;

use crate::fields::{self, Fields};
use crate::read::{snapshot, volume};
use crate::{Catalog, Error, Snapshot, Volume};

impl Catalog {
    /// The snapshots that this operation took or that have this name, by name: two at the most.
    pub fn snapshots_taken(&self, name: &SnapshotName, op: Uuid) -> Result<Vec<Snapshot>, Error> {
        let by: [&dyn ToSql; 2] = [&name.as_str(), &op.to_string()];
        self.select(
            "snapshots",
            "WHERE name = ?1 OR op = ?2 ORDER BY name",
            &by,
            snapshot,
        )
    }

    /// The snapshots that are in the middle of something, by name.
    pub fn unsettled_snapshots(&self) -> Result<Vec<Snapshot>, Error> {
        self.select(
            "snapshots",
            "WHERE state <> 'ready' ORDER BY name",
            &[],
            snapshot,
        )
    }

    /// The snapshot that has this thin device.
    pub fn snapshot_on(&self, pool: Uuid, dev_id: DevId) -> Result<Option<Snapshot>, Error> {
        self.on("snapshots", pool, dev_id, snapshot)
    }

    /// The volume that has this thin device.
    pub fn volume_on(&self, pool: Uuid, dev_id: DevId) -> Result<Option<Volume>, Error> {
        self.on("volumes", pool, dev_id, volume)
    }

    /// Of which volume every snapshot that is ready is, and when it was made; in no order. Reads all, but not all of
    /// each.
    pub fn snapshot_times(&self) -> Result<Vec<(Uuid, Timestamp)>, Error> {
        self.query(
            "snapshots",
            "SELECT volume, created FROM snapshots WHERE state = 'ready'",
            &[],
            |row| Ok((row.parsed("volume")?, row.parsed("created")?)),
        )
    }

    fn on<T>(
        &self,
        table: &'static str,
        pool: Uuid,
        dev_id: DevId,
        read: fn(&Fields<'_>) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        let number = fields::integer("device id", u64::from(dev_id.get()))?;
        let by: [&dyn ToSql; 2] = [&pool.to_string(), &number];
        Ok(self
            .select(table, "WHERE pool = ?1 AND dev_id = ?2", &by, read)?
            .pop())
    }
}

#[cfg(test)]
mod tests;
