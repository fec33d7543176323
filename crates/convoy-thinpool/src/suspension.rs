//! A suspended device is resumed on every way out: what surrounds a snapshot's message.
//!
//! Until the resume, every write to the volume waits. What resumes is in place *before* the suspend, so that
//! a suspend which fails half-way is undone too, and it acts in `drop`, so that a panic is. Against our own
//! death there is the pool's guard ([`crate::guard`]), which is told first of all and last of all.

use crate::control::{Control, ControlError, Suspend};
use crate::error::Error;
use crate::guard::{Guard, Ticket, Verdict};
use crate::names::{DmName, DmUuid, pool_uuid, thin_name, thin_uuid};
use crate::pool::Pool;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How long an origin may be held, unless the pool is told otherwise.
pub const HOLD_LIMIT: Duration = Duration::from_secs(5);

/// Who watches over a pool's suspensions, and how long they may be.
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    pub(crate) guard: Arc<dyn Guard>,
    pub(crate) limit: Duration,
}

/// What came of an action under a suspension.
struct Held<T> {
    value: T,
    time: Duration,
    /// Why the device may have run before the action was done.
    broken: Option<String>,
}

impl Pool {
    /// The same pool with a guard for its suspensions, none of which may last longer than `limit`.
    #[must_use]
    pub fn guarded_by(mut self, guard: Arc<dyn Guard>, limit: Duration) -> Self {
        self.watch = Watch { guard, limit };
        self
    }

    /// Runs `action` while the thin device of `origin` is suspended: its file system frozen, IO in
    /// flight done, writes waiting. Returns the action's value and for how long writes were held, from
    /// before the suspend until the resume was done. An origin that is not active needs no
    /// suspending: the action runs, held for no time.
    ///
    /// The origin is resumed whatever happens: an error, a panic, a suspend that failed. Should the
    /// resume itself fail, that is the error returned ([`Error::LeftSuspended`]), for it is the worse
    /// one. A process killed inside leaves that to the pool's guard ([`Pool::guarded_by`]), and without one
    /// to [`crate::resume_suspended`] at start-up. No guard, no suspension: [`Error::Unguarded`].
    ///
    /// What was done is only worth something if the device stayed suspended until it was done. The kernel
    /// is asked, and the guard, which resumes a device that is held past the limit: if either
    /// says otherwise, [`Error::HoldBroken`] is returned, and what `action` made is to be taken back.
    ///
    /// Flush the file system first (`syncfs`): a suspend waits for IO in flight and nothing interrupts
    /// it. Concurrent calls for one origin must be kept apart by the caller: the first to end resumes.
    pub fn while_suspended<T>(
        &self,
        origin: Uuid,
        action: impl FnOnce() -> Result<T, Error>,
    ) -> Result<(T, Duration), Error> {
        let held = self.hold(origin, action)?;
        match held.broken {
            None => Ok((held.value, held.time)),
            Some(why) => Err(Error::HoldBroken {
                name: thin_name(&self.spec.name, origin)?,
                why,
            }),
        }
    }

    /// [`Pool::while_suspended`] where it does not matter that the device ran again too early.
    pub(crate) fn swap_suspended(&self, origin: Uuid) -> Result<Duration, Error> {
        Ok(self.hold(origin, || Ok(()))?.time)
    }

    /// Suspends the pool itself, and with it every thin device of it, and resumes it: what puts a loaded table
    /// in force, and what makes the kernel look at the size of the metadata device again. Returns for how
    /// long IO was held. Guarded like the suspension of an origin.
    pub(crate) fn cycle(&self) -> Result<Duration, Error> {
        let (control, name) = (self.control.as_ref(), &self.name);
        let uuid = pool_uuid(self.spec.uuid);
        let suspended = Suspended::arm(control, &self.watch, name, &uuid)?;
        let begin = Instant::now();
        let how = Suspend {
            lockfs: false,
            flush: true,
        };
        let outcome = control.suspend(name, how);
        // Whoever resumed it first, the table is in force then.
        let _whoever = suspended.resume()?;
        outcome.map_err(Error::control(format!("suspending {name}")))?;
        Ok(begin.elapsed())
    }

    fn hold<T>(
        &self,
        origin: Uuid,
        action: impl FnOnce() -> Result<T, Error>,
    ) -> Result<Held<T>, Error> {
        let name = thin_name(&self.spec.name, origin)?;
        let control = self.control.as_ref();
        let what = || Error::control(format!("suspending {name}"));
        let info = control.info(&name).map_err(what())?;
        if !info.is_some_and(|info| info.live_table) {
            return Ok(Held {
                value: action()?,
                time: Duration::ZERO,
                broken: None,
            });
        }
        let uuid = thin_uuid(self.spec.uuid, origin);
        let suspended = Suspended::arm(control, &self.watch, &name, &uuid)?;
        let begin = Instant::now();
        let how = Suspend {
            lockfs: true,
            flush: true,
        };
        let outcome = match control.suspend(&name, how) {
            Ok(()) if begin.elapsed() >= self.watch.limit => Err(too_long(&name, begin.elapsed())),
            Ok(()) => action(),
            Err(source) => Err(what()(source)),
        };
        // Only a suspend makes it so, and nobody else suspends: still suspended means suspended all along.
        let stayed = control.info(&name).map_err(what());
        let verdict = suspended.resume()?;
        let time = begin.elapsed();
        tracing::debug!(device = %name, held = ?time, ?verdict, "suspended and resumed");
        let value = outcome?;
        let broken = match (stayed?, verdict) {
            (Some(info), Ok(Verdict::InTime)) if info.suspended => None,
            (_, Err(why)) => Some(why),
            (_, Ok(Verdict::Resumed)) => Some(format!(
                "it was held longer than {} s, so its guard let it run",
                self.watch.limit.as_secs_f32()
            )),
            _ => Some("somebody resumed it".to_owned()),
        };
        Ok(Held {
            value,
            time,
            broken,
        })
    }
}

fn too_long(name: &DmName, time: Duration) -> Error {
    Error::HoldBroken {
        name: name.clone(),
        why: format!("suspending it alone took {} s", time.as_secs_f32()),
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

/// A device that may be suspended, and a guard that knows.
struct Suspended<'a> {
    control: &'a dyn Control,
    name: &'a DmName,
    guard: &'a dyn Guard,
    ticket: Option<Ticket>,
}

impl<'a> Suspended<'a> {
    /// To be done before the suspend.
    fn arm(
        control: &'a dyn Control,
        watch: &'a Watch,
        name: &'a DmName,
        uuid: &DmUuid,
    ) -> Result<Self, Error> {
        let guard = watch.guard.as_ref();
        let ticket = guard
            .arm(uuid, watch.limit)
            .map_err(|source| Error::Unguarded {
                name: name.clone(),
                source,
            })?;
        Ok(Self {
            control,
            name,
            guard,
            ticket: Some(ticket),
        })
    }

    /// Resumes, and only then ends the guard's duty: in this order nobody is killed in between with a
    /// device that nobody resumes. One that we cannot resume stays the guard's, too.
    fn resume(mut self) -> Result<Result<Verdict, String>, Error> {
        // A panic in here is one more way out: until this returned, `drop` has its work to do.
        let resumed = resume_or_retry(self.control, self.name);
        let ticket = self.ticket.take();
        resumed.map_err(|source| Error::LeftSuspended {
            name: self.name.clone(),
            source,
        })?;
        let verdict = ticket.map_or(Ok(Verdict::InTime), |ticket| self.guard.disarm(ticket));
        Ok(verdict.map_err(|error| convoy_fault::chain(&error)))
    }
}

impl Drop for Suspended<'_> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        match resume_or_retry(self.control, self.name) {
            Ok(()) => {
                if let Err(error) = self.guard.disarm(ticket) {
                    tracing::warn!(device = %self.name, "{}", convoy_fault::chain(&error));
                }
            }
            Err(source) => {
                tracing::error!(device = %self.name, %source, "a device is left suspended, writes to it wait");
            }
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
