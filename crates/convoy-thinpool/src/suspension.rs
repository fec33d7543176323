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
    /// Which device may have run before the action was done, and why.
    broken: Option<(DmName, String)>,
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
        self.while_all_suspended(&[origin], action)
    }

    /// [`Pool::while_suspended`] of several origins at once, each named once: all of them are suspended, then the
    /// action runs, then all are resumed, in one time and within one limit. One that is not active needs no
    /// suspending. All must have stayed suspended until the action was done.
    pub fn while_all_suspended<T>(
        &self,
        origins: &[Uuid],
        action: impl FnOnce() -> Result<T, Error>,
    ) -> Result<(T, Duration), Error> {
        let held = self.hold(origins, action)?;
        match held.broken {
            None => Ok((held.value, held.time)),
            Some((name, why)) => Err(Error::HoldBroken { name, why }),
        }
    }

    /// [`Pool::while_suspended`] where it does not matter that the device ran again too early.
    pub(crate) fn swap_suspended(&self, origin: Uuid) -> Result<Duration, Error> {
        Ok(self.hold(&[origin], || Ok(()))?.time)
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
        origins: &[Uuid],
        action: impl FnOnce() -> Result<T, Error>,
    ) -> Result<Held<T>, Error> {
        let live = self.live(origins)?;
        if live.is_empty() {
            return Ok(Held {
                value: action()?,
                time: Duration::ZERO,
                broken: None,
            });
        }
        let control = self.control.as_ref();
        // Armed before the first is suspended: the limit counts from the first one on for all of them.
        let suspended = live
            .iter()
            .map(|(name, uuid)| Suspended::arm(control, &self.watch, name, uuid))
            .collect::<Result<Vec<_>, _>>()?;
        let begin = Instant::now();
        let outcome = self.suspend_all(&live, begin).and_then(|()| action());
        // Only a suspend makes it so, and nobody else suspends: still suspended means suspended all along.
        let stayed: Vec<_> = live.iter().map(|(name, _)| control.info(name)).collect();
        // The last first: each is let go as soon as can be, and one that cannot be keeps no other from it.
        let resumed: Vec<_> = suspended.into_iter().rev().map(Suspended::resume).collect();
        let time = begin.elapsed();
        let verdicts = resumed.into_iter().rev().collect::<Result<Vec<_>, _>>()?;
        tracing::debug!(devices = live.len(), held = ?time, ?verdicts, "suspended and resumed");
        let value = outcome?;
        let mut broken = None;
        for (((name, _), stayed), verdict) in live.into_iter().zip(stayed).zip(verdicts) {
            let stayed = stayed.map_err(suspending(&name))?;
            let why = self.why_broken(stayed.is_some_and(|info| info.suspended), verdict);
            broken = broken.or(why.map(|why| (name, why)));
        }
        Ok(Held {
            value,
            time,
            broken,
        })
    }

    /// Those of the origins that are active: the others have nothing to be held.
    fn live(&self, origins: &[Uuid]) -> Result<Vec<(DmName, DmUuid)>, Error> {
        let mut live = Vec::new();
        for origin in origins {
            let name = thin_name(&self.spec.name, *origin)?;
            let info = self.control.info(&name).map_err(suspending(&name))?;
            if info.is_some_and(|info| info.live_table) {
                live.push((name, thin_uuid(self.spec.uuid, *origin)));
            }
        }
        Ok(live)
    }

    fn suspend_all(&self, live: &[(DmName, DmUuid)], begin: Instant) -> Result<(), Error> {
        let how = Suspend {
            lockfs: true,
            flush: true,
        };
        for (name, _) in live {
            self.control.suspend(name, how).map_err(suspending(name))?;
            if begin.elapsed() >= self.watch.limit {
                return Err(too_long(name, begin.elapsed()));
            }
        }
        Ok(())
    }

    /// Why a device did not stay suspended, if it did not.
    fn why_broken(&self, stayed: bool, verdict: Result<Verdict, String>) -> Option<String> {
        match verdict {
            Ok(Verdict::InTime) if stayed => None,
            Err(why) => Some(why),
            Ok(Verdict::Resumed) => Some(format!(
                "it was held longer than {} s, so its guard let it run",
                self.watch.limit.as_secs_f32()
            )),
            Ok(Verdict::InTime) => Some("somebody resumed it".to_owned()),
        }
    }
}

fn suspending(name: &DmName) -> impl FnOnce(ControlError) -> Error {
    Error::control(format!("suspending {name}"))
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

#[cfg(test)]
mod tests;
