//! The catalog, with every change of it a step (`failpoints`): reading passes through.

use crate::failpoints::{Mistake, Steps};
use convoy_catalog::{Catalog, Change, Error, Intent, NewIntent};
use convoy_units::DevId;
use std::ops::Deref;
use uuid::Uuid;

/// The catalog of an engine.
pub(crate) struct Ledger {
    catalog: Catalog,
    steps: Steps,
}

impl Ledger {
    pub(crate) fn new(catalog: Catalog, steps: Steps) -> Self {
        Self { catalog, steps }
    }

    /// [`Catalog::apply`].
    pub(crate) fn apply(&self, changes: &[Change]) -> Result<(), Error> {
        let Some(first) = changes.first() else {
            return Ok(());
        };
        if matches!(first, Change::PutPin(_)) && self.steps.err(Mistake::NoPin) {
            return Ok(());
        }
        self.step(named(first), || self.catalog.apply(changes))
    }

    /// [`Catalog::allocate_dev_id`].
    pub(crate) fn allocate_dev_id(&self, pool: Uuid) -> Result<DevId, Error> {
        self.step("catalog.device-id", || {
            let fresh = self.catalog.allocate_dev_id(pool)?;
            if self.steps.err(Mistake::UsedDeviceId) {
                return self.least_unused(fresh);
            }
            Ok(fresh)
        })
    }

    /// [`Catalog::begin`].
    pub(crate) fn begin(&self, intent: &NewIntent, changes: &[Change]) -> Result<Intent, Error> {
        self.step("catalog.intent", || {
            let intent = self.catalog.begin(intent, changes)?;
            if self.steps.err(Mistake::NoIntent) {
                self.catalog.abandon(&intent, &[])?;
            }
            Ok(intent)
        })
    }

    /// [`Catalog::complete`].
    pub(crate) fn complete(&self, intent: &Intent, changes: &[Change]) -> Result<(), Error> {
        self.step("catalog.complete", || {
            if self.steps.err(Mistake::NoIntent) {
                let transaction = Change::SetTransaction {
                    pool: intent.pool,
                    transaction: intent.to,
                };
                let changes = [changes, &[transaction]].concat();
                return self.catalog.apply(&changes);
            }
            self.catalog.complete(intent, changes)
        })
    }

    /// [`Catalog::abandon`].
    pub(crate) fn abandon(&self, intent: &Intent, changes: &[Change]) -> Result<(), Error> {
        self.step("catalog.abandon", || {
            if self.steps.err(Mistake::NoIntent) {
                return self.catalog.apply(changes);
            }
            self.catalog.abandon(intent, changes)
        })
    }

    /// The least device id that nothing in the catalog has: a mistake to make on purpose.
    fn least_unused(&self, fresh: DevId) -> Result<DevId, Error> {
        let volumes = self.catalog.volumes()?.into_iter();
        let snapshots = self.catalog.snapshots()?.into_iter();
        let ids = volumes.map(|volume| volume.dev_id);
        let used: Vec<DevId> = ids
            .chain(snapshots.map(|snapshot| snapshot.dev_id))
            .collect();
        let all = (1..fresh.get()).filter_map(|id| DevId::new(u64::from(id)).ok());
        let unused = all.into_iter().find(|id| !used.contains(id));
        Ok(unused.unwrap_or(fresh))
    }

    fn step<T>(&self, step: &str, act: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        let failed = |why| Error::Refused {
            what: step.to_owned(),
            why,
        };
        self.steps.around(step, failed, act)
    }
}

impl Deref for Ledger {
    type Target = Catalog;

    fn deref(&self) -> &Catalog {
        &self.catalog
    }
}

fn named(change: &Change) -> &'static str {
    match change {
        Change::PutPool(_) => "catalog.put-pool",
        Change::RemovePool(_) => "catalog.remove-pool",
        Change::SetTransaction { .. } => "catalog.set-transaction",
        Change::PutVolume(_) => "catalog.put-volume",
        Change::RemoveVolume(_) => "catalog.remove-volume",
        Change::PutSnapshot(_) => "catalog.put-snapshot",
        Change::RemoveSnapshot(_) => "catalog.remove-snapshot",
        Change::ExchangeDevices { .. } => "catalog.exchange-devices",
        Change::PutMount(_) => "catalog.put-mount",
        Change::RemoveMount(_) => "catalog.remove-mount",
        Change::PutSuspect(_) => "catalog.put-suspect",
        Change::RemoveSuspect(_) => "catalog.remove-suspect",
        Change::PutDestination(_) => "catalog.put-destination",
        Change::RemoveDestination(_) => "catalog.remove-destination",
        Change::PutBackup(_) => "catalog.put-backup",
        Change::RemoveBackup(_) => "catalog.remove-backup",
        Change::PutPin(_) => "catalog.put-pin",
        Change::RemovePins { .. } => "catalog.remove-pins",
        Change::PutJob(_) => "catalog.put-job",
        Change::InterruptJobs(_) => "catalog.interrupt-jobs",
        Change::PutOverwrite(_) => "catalog.put-overwrite",
        Change::RemoveOverwrite(_) => "catalog.remove-overwrite",
        Change::PutTrashed(_) => "catalog.put-trashed",
        Change::RemoveTrashed(_) => "catalog.remove-trashed",
        Change::AgeTrash(_) => "catalog.age-trash",
        Change::PutOnRemove { .. } => "catalog.put-on-remove",
        Change::PutHold(_) => "catalog.put-hold",
        Change::RemoveHold { .. } => "catalog.remove-hold",
        Change::RemoveHolds(_) => "catalog.remove-holds",
        Change::RemoveHoldsBefore { .. } => "catalog.remove-holds-before",
        Change::PutMountOptions(_) => "catalog.put-mount-options",
        _ => "catalog.change",
    }
}
