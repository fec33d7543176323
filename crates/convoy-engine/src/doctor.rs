//! The doctor: what disagrees between catalog, pool and devices, the evidence, the cure, and how to put it right.
//!
//! [`diagnose`] needs no engine: it is for the day when none opens. It reads, and writes nothing. [`fix`] makes
//! the catalog agree with the pool, and the pool's metadata sound, always into something new: a repaired copy of
//! the metadata in a spare, a catalog beside the old one. What was there before stays, byte for byte, and no
//! thin device is ever deleted. What cannot be told apart from a mix-up of devices is not fixed, but named.
//!
//! An open engine answers for itself: [`Engine::diagnose`].

mod apply;
mod compare;
mod facts;
pub(crate) mod filesystem;
mod finding;
mod plan;
mod spare;

pub use self::finding::{Code, CopySeen, Diagnosis, Finding, Gravity, PoolSeen};

use self::facts::{Facts, Looking};
use crate::config::PoolConfig;
use crate::engine::Engine;
use crate::error::{Doing, Error};
use crate::machine::{Host, Machine};
use crate::root::Root;
use convoy_fault::{Fault, Kind};
use convoy_thinpool::{Control, KernelControl};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

/// Which root is looked at.
#[derive(Debug, Clone)]
pub struct Patient {
    /// The root directory; no engine may be open over it.
    pub root: PathBuf,
    /// Where the pool's devices are, if no catalog can tell, or they have moved.
    pub pool: PoolConfig,
}

/// What [`fix`] may do beyond what is certain.
#[derive(Debug, Clone, Default)]
pub struct Remedy {
    /// Where repaired metadata goes: a blank device, or for a loop-backed pool a file that does not exist (by
    /// default one in the root).
    pub spare: Option<PathBuf>,
    /// Take the pool as it is, although it lacks what the catalog promises: what is lost is forgotten.
    pub accept_loss: bool,
}

/// What the doctor works through.
#[derive(Clone)]
pub struct Instruments {
    /// Device mapper; `None` where there is none, and so no pool can be up.
    pub control: Option<Arc<dyn Control>>,
    /// Devices and files as bytes.
    pub machine: Arc<dyn Machine>,
}

impl Instruments {
    /// This machine's.
    ///
    /// # Errors
    /// `NotPermitted` for who is not root.
    pub fn host() -> Result<Self, Error> {
        let control: Option<Arc<dyn Control>> = match KernelControl::open() {
            Ok(control) => Some(Arc::new(control)),
            Err(error) if error.kind() == Kind::Unsupported => None,
            Err(error) => return Err(Error::of("opening the kernel's device mapper", error)),
        };
        Ok(Self {
            control,
            machine: Arc::new(Host),
        })
    }
}

/// Looks at a root, its catalog, the copies of that, and its pool, and compares them. Changes nothing, but that a
/// pool that is up holds a snapshot of its metadata for the time of the look.
///
/// # Errors
/// `Busy` when an engine has this root: it answers itself; `NotFound` where no root is. Whatever else is wrong
/// is in the answer.
pub fn diagnose(patient: &Patient, instruments: &Instruments) -> Result<Diagnosis, Error> {
    let _lock = lock(patient)?;
    Ok(gather(patient, instruments)?.diagnosis())
}

/// Makes catalog and pool agree, as [`Diagnosis`] says of each finding, and looks again. What was done is in
/// the answer; findings that remain are too.
///
/// # Errors
/// `Busy` when an engine has this root or the pool is up; `PoolUnhealthy` for findings that are not to be
/// fixed, or would lose something that is not accepted to be lost; `Unsupported` where a tool is missing. In
/// all of these nothing was changed, except that a spare may have been written.
pub fn fix(
    patient: &Patient,
    remedy: &Remedy,
    instruments: &Instruments,
) -> Result<Diagnosis, Error> {
    let root = lock(patient)?;
    let facts = gather(patient, instruments)?;
    let fixed = apply::apply(patient, remedy, instruments, &root, facts)?;
    let mut diagnosis = gather(&fixed.patient, instruments)?.diagnosis();
    diagnosis.fixed = fixed.said;
    Ok(diagnosis)
}

fn gather(patient: &Patient, instruments: &Instruments) -> Result<Facts, Error> {
    let looking = Looking {
        pool: None,
        control: instruments.control.as_ref(),
        machine: &*instruments.machine,
        settings: &patient.pool,
    };
    facts::gather(&patient.root, &looking, || ())
}

/// The lock of a root that is there: a doctor makes none.
fn lock(patient: &Patient) -> Result<Root, Error> {
    if !patient.root.is_dir() {
        let what = format!("there is no root directory {}", patient.root.display());
        return Err(Error::new(Kind::NotFound, what).hinting("give the daemon's --root"));
    }
    Root::lock(&patient.root)
}

impl Engine {
    /// [`diagnose`] for an engine that is open, whether it works or only looks. Verbs go on meanwhile; those that
    /// change the pool wait for a moment.
    ///
    /// # Errors
    /// Only when the root cannot be read at all.
    pub fn diagnose(&self) -> Result<Diagnosis, Error> {
        let looking = Looking {
            pool: Some(&self.pool),
            control: None,
            machine: &*self.machine,
            settings: &PoolConfig::default(),
        };
        // Nothing moves between the look at the catalog and the metadata snapshot that is compared with it.
        let quiet = self
            .transactions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut quiet = Some(quiet);
        let facts = facts::gather(self.root.path(), &looking, || drop(quiet.take()));
        let mut diagnosis = facts.doing(|| "looking at the root directory")?.diagnosis();
        diagnosis.read_only = self.read_only();
        Ok(diagnosis)
    }
}

#[cfg(test)]
mod tests;
