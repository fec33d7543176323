//! An engine that only looks: what there is to serve where pool and catalog disagree, or one of them is damaged.
//!
//! Nothing is activated, written or settled: the catalog is read into memory, the pool is observed as it is.
//! Lists, `inspect`, `info`, the doctor and everything about backups but making and deleting them answer;
//! every other verb is refused with the reason. Volumes that are in use already stay so.

use crate::config::Config;
use crate::engine::Engine;
use crate::error::{Doing, Error};
use crate::failpoints::Steps;
use crate::ledger::Ledger;
use crate::root::Root;
use crate::seams::Seams;
use convoy_catalog as catalog;
use convoy_catalog::Catalog;
use convoy_fault::{Fault, Kind};
use convoy_thinpool::{Control, Pool, PoolSpec};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

/// Why an engine only looks.
#[derive(Debug, Clone)]
pub(crate) struct ReadOnly {
    /// Why it could not be opened for work, as one line.
    pub(crate) why: String,
    /// The copy it reads in place of its catalog.
    pub(crate) copy: Option<PathBuf>,
}

impl ReadOnly {
    /// The whole reason, for people.
    pub(crate) fn text(&self) -> String {
        match &self.copy {
            None => self.why.clone(),
            Some(copy) => format!(
                "{}; what is shown is from the copy {}",
                self.why,
                copy.display()
            ),
        }
    }
}

impl Engine {
    /// [`Engine::open_with`]; where that is refused because pool and catalog disagree or one of them is
    /// damaged, an engine that only looks ([`Engine::read_only`] says why).
    ///
    /// # Errors
    /// As [`Engine::open_with`] for all other reasons, and where no catalog can be read, not even a copy.
    pub fn open_or_look(config: &Config, seams: Seams) -> Result<Self, Error> {
        match Self::open_with(config, seams.clone()) {
            Err(error) if is_disagreement(&error) => {
                tracing::error!("read-only: {}", convoy_fault::chain(&error));
                look(config, seams, error)
            }
            opened => opened,
        }
    }

    /// Why this engine only looks, if it does.
    pub fn read_only(&self) -> Option<String> {
        self.reading.as_ref().map(ReadOnly::text)
    }

    /// Refuses what would change anything while this engine only looks. Every verb that changes begins so.
    pub(crate) fn refuse_read_only(&self) -> Result<(), Error> {
        let Some(reading) = &self.reading else {
            return Ok(());
        };
        let what = format!("nothing is changed, since {}", reading.text());
        Err(Error::new(Kind::PoolUnhealthy, what).hinting(
            "run convoy doctor: it tells what disagrees and what to do; lists, inspect and restoring backups elsewhere work meanwhile",
        ))
    }
}

/// Whether an opening failed over what is stored, rather than over settings, rights or a device that is not there.
fn is_disagreement(error: &Error) -> bool {
    let of_metadata = std::error::Error::source(error)
        .and_then(|source| source.downcast_ref::<convoy_thin_metadata::Error>());
    match of_metadata {
        Some(convoy_thin_metadata::Error::Open { .. }) => false,
        Some(_) => true,
        None => matches!(
            error.kind(),
            Kind::PoolUnhealthy | Kind::PoolNeedsCheck | Kind::Integrity | Kind::Unsupported
        ),
    }
}

fn look(config: &Config, seams: Seams, error: Error) -> Result<Engine, Error> {
    let steps = seams.steps();
    let root = Root::lock(&config.root)?;
    let Some((catalog, copy)) = readable(&root.catalog()) else {
        return Err(error);
    };
    let mut pools = catalog.pools().doing(|| "reading the pool's record")?;
    let (Some(record), true) = (pools.pop(), pools.is_empty()) else {
        return Err(error);
    };
    let pool = observe(&record, seams.control)?;
    let catalog = Ledger::new(catalog, Steps::default());
    let mut engine = Engine::assemble(root, catalog, pool, &record, config, steps, seams.machine);
    engine.reading = Some(ReadOnly {
        why: convoy_fault::chain(&error),
        copy,
    });
    engine.mark_unserved()?;
    Ok(engine)
}

/// The catalog, or the likeliest of its copies that can be read.
fn readable(path: &Path) -> Option<(Catalog, Option<PathBuf>)> {
    if let Ok(catalog) = Catalog::read(path) {
        return Some((catalog, None));
    }
    Catalog::copies(path)
        .into_iter()
        .find_map(|copy| Some((Catalog::read(&copy).ok()?, Some(copy))))
}

/// The pool as it is, up or not.
pub(crate) fn observe(record: &catalog::Pool, control: Arc<dyn Control>) -> Result<Pool, Error> {
    let spec = PoolSpec {
        name: record.name.clone(),
        uuid: record.uuid,
        metadata: record.metadata.clone(),
        metadata_len: None,
        data: record.data.clone(),
        block_size: record.block_size,
        low_water: 0,
        error_if_no_space: false,
    };
    Pool::observe(control, &spec).doing(|| format!("looking at pool {}", record.name))
}

impl Engine {
    /// Volumes whose device is not up cannot be used now: shown as broken, with the reason.
    fn mark_unserved(&self) -> Result<(), Error> {
        let why = self.read_only().unwrap_or_default();
        let kernel = self.kernel()?;
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        for volume in self.catalog.volumes().doing(|| "reading volumes")? {
            if kernel.device_of(volume.uuid).is_none() {
                broken.insert(volume.uuid, why.clone());
            }
        }
        Ok(())
    }
}
