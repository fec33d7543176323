//! What an engine counts of its own work, and what it tells for graphs and alarms.
//!
//! Counters begin at zero with each opening. What must outlive that is asked of the catalog and the kernel at
//! the moment of telling.

mod histogram;

use crate::engine::Engine;
use crate::error::{Doing, Error};
use crate::model::{BackupSummary, PoolInfo};
use convoy_names::VolumeName;
use convoy_units::Bytes;
use histogram::Histogram;
pub use histogram::Holds;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use uuid::Uuid;

/// What the verbs count.
#[derive(Debug, Default)]
pub(crate) struct Meters {
    holds: Histogram,
    read: AtomicU64,
    new: AtomicU64,
    stored: AtomicU64,
    requests: AtomicU64,
    trimmed: AtomicU64,
}

impl Meters {
    /// A volume was held for a snapshot, for so long.
    pub(crate) fn held(&self, hold: Duration) {
        self.holds.observe(hold);
    }

    /// A backup was published.
    pub(crate) fn backed_up(&self, summary: &BackupSummary) {
        let add = |to: &AtomicU64, amount| to.fetch_add(amount, Ordering::Relaxed);
        add(&self.read, summary.read.0);
        add(&self.new, summary.new.0);
        add(&self.stored, summary.stored.0);
        add(&self.requests, summary.requests);
    }

    /// A trim unmapped so much.
    pub(crate) fn trimmed(&self, unmapped: Bytes) {
        self.trimmed.fetch_add(unmapped.0, Ordering::Relaxed);
    }

    fn backups(&self) -> BackupTotals {
        let get = |of: &AtomicU64| of.load(Ordering::Relaxed);
        BackupTotals {
            read: Bytes(get(&self.read)),
            new: Bytes(get(&self.new)),
            stored: Bytes(get(&self.stored)),
            requests: get(&self.requests),
        }
    }
}

/// An engine in numbers.
#[derive(Debug, Clone)]
pub struct Figures {
    /// The pool; `None` while the kernel does not answer for it.
    pub pool: Option<PoolInfo>,
    /// Volumes, by name.
    pub volumes: BTreeMap<VolumeName, VolumeFigures>,
    /// How long volumes were held for snapshots, since the opening.
    pub holds: Holds,
    /// What backups took, since the opening: of those that were published.
    pub backups: BackupTotals,
    /// What trims unmapped, since the opening.
    pub trimmed: Bytes,
}

/// A volume in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeFigures {
    /// Virtual size.
    pub size: Bytes,
    /// Whether it is wanted mounted: what brings a mount back after a restart.
    pub mounted: bool,
    /// Its snapshots.
    pub snapshots: u64,
    /// When its newest snapshot was taken, UTC.
    pub newest_snapshot: Option<Timestamp>,
    /// When the newest backup of it that this host made and that was not deleted was made, UTC.
    pub newest_backup: Option<Timestamp>,
}

/// Sums over backups.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BackupTotals {
    /// Bytes read from snapshots.
    pub read: Bytes,
    /// Bytes of chunks that repositories did not have, before compression.
    pub new: Bytes,
    /// Bytes written to repositories.
    pub stored: Bytes,
    /// Requests made of stores.
    pub requests: u64,
}

impl Engine {
    /// The engine in numbers, at this moment. Cheap: asks the catalog, and the kernel for the pool's status
    /// without making it commit.
    ///
    /// # Errors
    /// `Failed` and `Integrity` from the catalog. A pool that does not answer is no error here.
    pub fn figures(&self) -> Result<Figures, Error> {
        let pool = self.pool_info();
        if let Err(error) = &pool {
            tracing::debug!("no figures of the pool: {}", convoy_fault::chain(error));
        }
        Ok(Figures {
            pool: pool.ok(),
            volumes: self.volume_figures()?,
            holds: self.meters.holds.read(),
            backups: self.meters.backups(),
            trimmed: Bytes(self.meters.trimmed.load(Ordering::Relaxed)),
        })
    }

    fn volume_figures(&self) -> Result<BTreeMap<VolumeName, VolumeFigures>, Error> {
        let doing = || "reading the catalog for its figures";
        let mut taken: BTreeMap<Uuid, Vec<Timestamp>> = BTreeMap::new();
        for (volume, created) in self.catalog.snapshot_times().doing(doing)? {
            taken.entry(volume).or_default().push(created);
        }
        let mut figures = BTreeMap::new();
        let trashed = self.trashed_uuids()?;
        for volume in self.catalog.volumes().doing(doing)? {
            if trashed.contains(&volume.uuid) {
                continue;
            }
            let backups = self.catalog.backups_of(volume.uuid).doing(doing)?;
            let taken = taken.remove(&volume.uuid).unwrap_or_default();
            let of_volume = VolumeFigures {
                size: volume.size,
                mounted: self.catalog.mount(volume.uuid).doing(doing)?.is_some(),
                snapshots: taken.len() as u64,
                newest_snapshot: taken.into_iter().max(),
                newest_backup: backups.into_iter().map(|backup| backup.created).max(),
            };
            figures.insert(volume.name, of_volume);
        }
        Ok(figures)
    }
}
