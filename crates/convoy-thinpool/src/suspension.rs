//! A suspended device is resumed on every way out: the guard around a snapshot's message.
//!
//! Until the resume, every write to the volume waits. The guard is armed *before* the suspend, so that a
//! suspend which fails half-way is undone too, and it acts in `drop`, so that a panic is.

use crate::control::{Control, ControlError, Suspend};
use crate::error::Error;
use crate::names::{DmName, thin_name};
use crate::pool::Pool;
use std::time::{Duration, Instant};
use uuid::Uuid;

impl Pool {
    /// Runs `action` while the thin device of `origin` is suspended: its file system frozen, IO in
    /// flight done, writes waiting. Returns the action's value and for how long writes were held, from
    /// before the suspend until the resume was done. An origin that is not active needs no
    /// suspending: the action runs, held for no time.
    ///
    /// The origin is resumed whatever happens: an error, a panic, a suspend that failed. Should the
    /// resume itself fail, that is the error returned ([`Error::LeftSuspended`]), for it is the worse
    /// one. A process killed inside leaves the origin suspended: [`crate::resume_suspended`] at start-up.
    ///
    /// Flush the file system first (`syncfs`): a suspend waits for IO in flight and nothing interrupts
    /// it. Concurrent calls for one origin must be kept apart by the caller: the first to end resumes.
    pub fn while_suspended<T>(
        &self,
        origin: Uuid,
        action: impl FnOnce() -> Result<T, Error>,
    ) -> Result<(T, Duration), Error> {
        let name = thin_name(&self.spec.name, origin)?;
        let control = self.control.as_ref();
        let what = || Error::control(format!("suspending {name}"));
        let info = control.info(&name).map_err(what())?;
        if !info.is_some_and(|info| info.live_table) {
            return Ok((action()?, Duration::ZERO));
        }
        let begin = Instant::now();
        let guard = Suspended {
            control,
            name: &name,
            armed: true,
        };
        let how = Suspend {
            lockfs: true,
            flush: true,
        };
        let outcome = match control.suspend(&name, how) {
            Ok(()) => action(),
            Err(source) => Err(what()(source)),
        };
        guard.resume()?;
        let held = begin.elapsed();
        tracing::debug!(device = %name, ?held, "suspended and resumed");
        Ok((outcome?, held))
    }
}

/// Resumes a device that was left suspended with a table in force; says whether it was.
pub(crate) fn resume_left(control: &dyn Control, name: &DmName) -> Result<bool, ControlError> {
    let left = control
        .info(name)?
        .is_some_and(|info| info.suspended && info.live_table);
    if left {
        control.resume(name)?;
    }
    Ok(left)
}

struct Suspended<'a> {
    control: &'a dyn Control,
    name: &'a DmName,
    armed: bool,
}

impl Suspended<'_> {
    fn resume(mut self) -> Result<(), Error> {
        self.armed = false;
        resume_or_retry(self.control, self.name).map_err(|source| Error::LeftSuspended {
            name: self.name.clone(),
            source,
        })
    }
}

impl Drop for Suspended<'_> {
    fn drop(&mut self) {
        if self.armed
            && let Err(source) = resume_or_retry(self.control, self.name)
        {
            tracing::error!(device = %self.name, %source, "a device is left suspended, writes to it wait");
        }
    }
}

/// A resume that fails for want of memory or the like may well succeed a moment later, and writes wait:
/// it is tried for [`RESUME_PATIENCE`].
fn resume_or_retry(control: &dyn Control, name: &DmName) -> Result<(), ControlError> {
    const PAUSE: Duration = Duration::from_millis(20);
    let begin = Instant::now();
    loop {
        match control.resume(name) {
            Err(source) if begin.elapsed() < RESUME_PATIENCE => {
                tracing::warn!(device = %name, %source, "resume failed, trying again");
                std::thread::sleep(PAUSE);
            }
            outcome => return outcome,
        }
    }
}

/// How long a failing resume is tried again; our own tests fail thousands of them for good.
const RESUME_PATIENCE: Duration = Duration::from_millis(if cfg!(test) { 60 } else { 3000 });
