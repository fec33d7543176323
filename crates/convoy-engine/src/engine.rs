//! The engine as a value: opened over a root directory, shared by threads, closed by dropping it.

use crate::care::Care;
use crate::claims::Claims;
use crate::config::Config;
use crate::destination::Buckets;
use crate::error::{Doing, Error};
use crate::failpoints::Steps;
use crate::flush::Flushes;
use crate::health::Health;
use crate::jobs::Jobs;
use crate::ledger::Ledger;
use crate::machine::{Hold, Machine};
use crate::metrics::Meters;
use crate::model::{Info, PoolInfo};
use crate::read_only::ReadOnly;
use crate::root::Root;
use crate::seams::Seams;
use crate::{pool, recovery};
use convoy_catalog as catalog;
use convoy_catalog::{Catalog, VolumeState};
use convoy_thinpool::{Pool, PoolStatus};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use uuid::Uuid;

/// An open engine: a catalog, the pool it describes, and the verbs over both.
///
/// Verbs may be called from any number of threads. What they share is locked per volume and briefly, and
/// the pool's transactions follow one another; a backup, restore or verification holds neither while it
/// moves data. Dropping the engine leaves the pool active and volumes mounted, as a restarted daemon
/// expects them; [`Engine::stop`] takes everything down.
pub struct Engine {
    pub(crate) catalog: Ledger,
    pub(crate) pool: Pool,
    pub(crate) pool_uuid: Uuid,
    /// Held for the length of one pool transaction: intent, messages, transaction id, completion.
    pub(crate) transactions: Mutex<()>,
    /// Held by verbs that change a volume or its snapshots.
    pub(crate) volumes: Claims,
    /// Held by backups, by volume: the next one then finds the last one's result to build on.
    pub(crate) backups: Claims,
    /// Held by restores in place, by volume.
    pub(crate) overwriting: Claims,
    /// Long operations that run.
    pub(crate) jobs: Jobs,
    /// Operations that pin snapshots, and run: a pin of any other is a leftover.
    pub(crate) pinning: Mutex<BTreeSet<Uuid>>,
    /// Volumes whose device could not be brought up, and why.
    pub(crate) broken: Mutex<BTreeMap<Uuid, String>>,
    /// Volumes that are being flushed.
    pub(crate) flushes: Flushes,
    /// What is known of the pool between two looks at it.
    pub(crate) health: Health,
    /// What is known of volumes between two looks at them.
    pub(crate) care: Care,
    /// Held while the pool takes over what its devices have grown by.
    pub(crate) growing: Mutex<()>,
    /// How long a snapshot may hold its volume.
    pub(crate) hold_limit: Duration,
    /// How long what was removed stays in the trash.
    pub(crate) trash_grace: Duration,
    /// How long a volume stays mounted that nobody holds.
    pub(crate) idle_delay: Duration,
    /// How buckets are reached.
    pub(crate) buckets: Buckets,
    pub(crate) steps: Steps,
    pub(crate) machine: Arc<dyn Machine>,
    pub(crate) recovered: Vec<String>,
    /// What verbs count.
    pub(crate) meters: Meters,
    /// Why nothing is changed, while this engine only looks.
    pub(crate) reading: Option<ReadOnly>,
    /// Keeps engines with another root out of this pool. Held, never read.
    hold: Option<Hold>,
    /// Last, so that the lock is given up when everything above is gone.
    pub(crate) root: Root,
}

impl Engine {
    /// Opens the engine over `config.root`: makes or re-activates the pool, finishes or undoes what a
    /// crash left half done, brings up every volume and mounts those that should be.
    ///
    /// A volume that cannot be brought up is reported as broken and stops nobody else.
    ///
    /// # Errors
    /// `Busy` when another engine has this root; `Invalid` for settings that break a rule; `Conflict` for
    /// a device that carries somebody's data, or settings that contradict the pool as it is;
    /// `PoolUnhealthy` when pool and catalog disagree in a way recovery cannot explain: nothing is
    /// changed then; `Unsupported` for a catalog of a newer version.
    pub fn open(config: &Config) -> Result<Self, Error> {
        Self::open_with(config, Seams::kernel()?)
    }

    /// [`Engine::open`] with a guard, or with a device mapper of the caller's.
    ///
    /// # Errors
    /// As [`Engine::open`].
    pub fn open_with(config: &Config, seams: Seams) -> Result<Self, Error> {
        let steps = seams.steps();
        let control = steps.control(seams.control);
        let root = Root::lock(&config.root)?;
        let catalog = steps.run("catalog.open", || {
            Catalog::open(&root.catalog()).doing(|| "opening the catalog")
        })?;
        let catalog = Ledger::new(catalog, steps.clone());
        // A frozen volume holds everybody who writes to it: they are let go before anything that may
        // refuse to go on.
        let resumed = recovery::resume(&catalog, &*control)?;
        let machine = seams.machine;
        let up = pool::bring_up(&root, &catalog, &config.pool, &control, &*machine, &steps)?;
        let pool = up
            .pool
            .guarded_by(steps.guard(seams.guard), config.hold_limit);
        let mut engine = Self::assemble(root, catalog, pool, &up.record, config, steps, machine);
        engine.hold = up.hold;
        engine.recovered = resumed;
        engine.recovered.extend(up.said);
        let recovered = recovery::recover(&engine)?;
        engine.recovered.extend(recovered);
        *engine.health.reserve() = engine.take_reserve();
        for line in &engine.recovered {
            tracing::warn!("{line}");
        }
        engine.keep_copy_if_due();
        Ok(engine)
    }

    /// An engine of its parts, at rest.
    pub(crate) fn assemble(
        root: Root,
        catalog: Ledger,
        pool: Pool,
        record: &catalog::Pool,
        config: &Config,
        steps: Steps,
        machine: Arc<dyn Machine>,
    ) -> Self {
        Self {
            catalog,
            pool,
            pool_uuid: record.uuid,
            transactions: Mutex::default(),
            volumes: Claims::default(),
            backups: Claims::default(),
            overwriting: Claims::default(),
            jobs: Jobs::default(),
            pinning: Mutex::default(),
            broken: Mutex::default(),
            flushes: Flushes::default(),
            health: Health::default(),
            care: Care::default(),
            growing: Mutex::default(),
            hold_limit: config.hold_limit,
            trash_grace: config.trash_grace,
            idle_delay: config.idle_delay,
            buckets: Buckets::new(&config.s3),
            steps,
            machine,
            recovered: Vec::new(),
            meters: Meters::default(),
            reading: None,
            hold: None,
            root,
        }
    }

    /// Takes everything down: unmounts volumes, removes their devices and the pool's, detaches loop
    /// devices. What should be mounted is mounted again at the next opening.
    ///
    /// # Errors
    /// `Busy` when something is in use: what could be taken down before it, is.
    pub fn stop(self) -> Result<(), Error> {
        self.refuse_read_only()?;
        self.keep_copy();
        pool::take_down(self)
    }

    /// The engine and its pool at this moment. Asks the kernel for the pool's status without making it
    /// commit.
    ///
    /// # Errors
    /// `PoolUnhealthy` when the kernel does not answer for the pool.
    pub fn info(&self) -> Result<Info, Error> {
        Ok(Info {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            root: self.root.path().to_owned(),
            host: self.catalog.host(),
            pool: self.pool_info()?,
            destinations: self.destinations()?,
            recovered: self.recovered.clone(),
            read_only: self.read_only(),
        })
    }

    /// Keeps a copy of the catalog beside it, to fall back to. Only while no volume or snapshot is in the
    /// middle of anything: what an older catalog calls half done may have been finished since, and would be
    /// undone by an engine that believes it. A copy that cannot be made keeps no verb from succeeding.
    pub(crate) fn keep_copy(&self) {
        let kept = self.is_settled().and_then(|settled| {
            if settled {
                let keeping = || "keeping a copy of the catalog";
                self.catalog.keep_copy().doing(keeping)?;
            }
            Ok(())
        });
        if let Err(error) = kept {
            tracing::warn!("{}", convoy_fault::chain(&error));
        }
    }

    /// [`Engine::keep_copy`], unless the last one is young: for what happens often. Clocks decide nothing else by it.
    pub(crate) fn keep_copy_if_due(&self) {
        const DUE: Duration = Duration::from_mins(10);
        let copies = Catalog::copies(&self.root.catalog());
        let made = copies
            .first()
            .and_then(|copy| copy.metadata().ok()?.modified().ok());
        let is_young = made.is_some_and(|made| made.elapsed().is_ok_and(|age| age < DUE));
        if !is_young {
            self.keep_copy();
        }
    }

    fn is_settled(&self) -> Result<bool, Error> {
        let reading = || "reading the catalog";
        Ok(self.catalog.pending_intents().doing(reading)?.is_empty()
            && (self.catalog.volumes().doing(reading)?.iter())
                .all(|volume| volume.state == VolumeState::Ready)
            && self
                .catalog
                .unsettled_snapshots()
                .doing(reading)?
                .is_empty())
    }

    pub(crate) fn pool_info(&self) -> Result<PoolInfo, Error> {
        let record = self.pool_record()?;
        let status = self
            .pool
            .status()
            .doing(|| "asking the kernel for the pool's status");
        match status {
            Err(_) if self.reading.is_some() => Ok(PoolInfo {
                mode: "down".to_owned(),
                ..pool::describe(record, &PoolStatus::Error)
            }),
            status => {
                let status = status?;
                Ok(PoolInfo {
                    provisioned: self.provisioned()?,
                    metadata_reserve: self.health.held(),
                    alerts: self.alerts(&status),
                    events: self.pool_events(),
                    ..pool::describe(record, &status)
                })
            }
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Engine({})", self.root.path().display())
    }
}
