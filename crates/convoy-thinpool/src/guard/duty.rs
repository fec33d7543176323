//! What a guard has taken on: which devices, until when, and what it did about them.
//!
//! Time arrives as an argument and the kernel as a [`Control`], so that all of it can be tried without either.

use super::protocol::{Answer, Request};
use super::{Ticket, Verdict};
use crate::control::{Control, ControlError};
use crate::names::DmUuid;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How often a device whose time is over is looked at again. Its holder may be inside the suspend still,
/// which nothing interrupts: the resume is only taken once that is over.
const AGAIN: Duration = Duration::from_millis(100);

/// The devices that may have to be resumed.
#[derive(Debug, Default)]
pub(super) struct Duties(BTreeMap<Ticket, Duty>);

#[derive(Debug)]
struct Duty {
    device: DmUuid,
    /// When its time is over; later, when it is looked at again.
    due: Instant,
    verdict: Verdict,
}

/// What became of a device that was to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// It was suspended and runs now.
    Resumed,
    /// It was running, or is gone.
    Running,
}

impl Duties {
    /// Does what is asked.
    pub(super) fn answer(&mut self, request: Request, now: Instant) -> Answer {
        match request {
            Request::Arm {
                ticket,
                limit,
                device,
            } => {
                // What an earlier holder never gave back must not end this suspension.
                self.0.retain(|_, duty| duty.device != device);
                let due = now + limit;
                let verdict = Verdict::InTime;
                self.0.insert(
                    ticket,
                    Duty {
                        device,
                        due,
                        verdict,
                    },
                );
                Answer::Armed(ticket)
            }
            // An unknown one was replaced: nobody can say what happened to its device meanwhile.
            Request::Disarm(ticket) => {
                let verdict = self.0.remove(&ticket).map(|duty| duty.verdict);
                Answer::Disarmed(ticket, verdict.unwrap_or(Verdict::Resumed))
            }
        }
    }

    /// How long there is nothing to do.
    pub(super) fn rest(&self, now: Instant) -> Option<Duration> {
        let next = self.0.values().map(|duty| duty.due).min()?;
        Some(next.saturating_duration_since(now))
    }

    /// Resumes what is over its time; which devices that were.
    pub(super) fn tick(&mut self, now: Instant, control: &dyn Control) -> Vec<DmUuid> {
        let mut resumed = Vec::new();
        for duty in self.0.values_mut().filter(|duty| duty.due <= now) {
            // First the verdict: whatever the kernel makes of it, "in time" would be a lie from here on.
            duty.verdict = Verdict::Resumed;
            duty.due = now + AGAIN;
            if matches!(let_run(control, &duty.device), Ok(Found::Resumed)) {
                resumed.push(duty.device.clone());
            }
        }
        resumed
    }

    /// Resumes everything there is, since its holder is gone. What the kernel refuses stays to be tried
    /// again; what it let run, or does not know, is done with.
    pub(super) fn release(&mut self, control: &dyn Control) -> Vec<DmUuid> {
        let mut resumed = Vec::new();
        self.0
            .retain(|_, duty| match let_run(control, &duty.device) {
                Ok(Found::Resumed) => {
                    resumed.push(duty.device.clone());
                    false
                }
                Ok(Found::Running) => false,
                Err(_) => true,
            });
        resumed
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Resumes a device if it is suspended with a table in force.
fn let_run(control: &dyn Control, device: &DmUuid) -> Result<Found, ControlError> {
    let info = control.info_by_uuid(device)?;
    if !info.is_some_and(|info| info.suspended && info.live_table) {
        return Ok(Found::Running);
    }
    control.resume_by_uuid(device)?;
    Ok(Found::Resumed)
}
