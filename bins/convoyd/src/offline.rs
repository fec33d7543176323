//! The doctor without a daemon: for the day when none starts.

use crate::error::Error;
use crate::settings::key_value;
use convoy_api::Diagnosis;
use convoy_engine::doctor::{Instruments, Patient, diagnose, fix};
use convoy_engine::pool_options;
use std::path::PathBuf;

pub use convoy_engine::doctor::Remedy;

/// Which root is looked at, and what is done about it.
#[derive(Debug, Clone)]
pub struct Checkup {
    /// The root directory; no daemon may serve it.
    pub root: PathBuf,
    /// Driver options as the daemon takes them: where the pool's devices are, if the catalog cannot tell.
    pub driver_opts: Vec<String>,
    /// Put right what can be.
    pub remedy: Option<Remedy>,
}

/// Looks at a root that no daemon serves, and puts right what can be if that is asked for.
///
/// # Errors
/// `Invalid` for an option that breaks a rule; `Busy` when a daemon serves the root; what keeps a remedy from
/// being used.
pub fn doctor(checkup: Checkup) -> Result<Diagnosis, Error> {
    let options: Result<Vec<_>, Error> = checkup
        .driver_opts
        .iter()
        .map(|option| key_value(option))
        .collect();
    let patient = Patient {
        root: checkup.root,
        pool: pool_options(&options?)?,
    };
    let instruments = Instruments::host()?;
    let diagnosis = match &checkup.remedy {
        None => diagnose(&patient, &instruments)?,
        Some(remedy) => fix(&patient, remedy, &instruments)?,
    };
    Ok(convoy_server::diagnosis(diagnosis))
}
