//! Who resumes a suspended origin when we cannot: the guard.
//!
//! A process that is killed between suspending an origin and resuming it leaves every writer waiting, and
//! one that is stopped there does so for as long as it is stopped. So the duty to resume is handed to
//! somebody else first ([`Guard::arm`]) and taken back after ([`Guard::disarm`]), and the answer to the
//! latter says whether the guard stepped in: then the origin ran again before we were done.
//!
//! [`GuardProcess`] is a process of its own at the other end of a socket, [`serve`] is what it runs,
//! [`Unguarded`] is nobody. `docs/decisions/0011-guard-process.md` has the reasons.

mod duty;
mod process;
mod protocol;
mod serve;

pub use process::GuardProcess;
pub use serve::serve;

use crate::names::DmUuid;
use convoy_fault::{Fault, Kind};
use std::fmt;
use std::io;
use std::time::Duration;

/// Names one arming, until it is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What a guard did while it was armed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    InTime,
    /// It resumed the device, or tried to: the time was over.
    Resumed,
}

/// Who resumes an origin that we suspend, should we not.
///
/// Called from any thread at once.
pub trait Guard: Send + Sync + fmt::Debug {
    /// Hands the duty over. From when this returns until the ticket is given back, the guard resumes the
    /// device of this dm uuid within a second of our death, and as soon as `limit` has passed. Arming for
    /// a device that is armed already replaces that.
    ///
    /// # Errors
    /// When nobody takes the duty: nothing must be suspended then.
    fn arm(&self, device: &DmUuid, limit: Duration) -> Result<Ticket, GuardError>;

    /// Takes the duty back: from when this returns, the guard leaves the device alone. To be called after
    /// the device was resumed, since nobody resumes it for us from here on.
    ///
    /// # Errors
    /// When the guard does not answer: it may have resumed the device, at any moment.
    fn disarm(&self, ticket: Ticket) -> Result<Verdict, GuardError>;
}

/// No guard: for embedders who take care of themselves, and for tests. What a kill leaves suspended waits
/// for [`crate::resume_suspended`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Unguarded;

impl Guard for Unguarded {
    fn arm(&self, _: &DmUuid, _: Duration) -> Result<Ticket, GuardError> {
        Ok(Ticket(0))
    }

    fn disarm(&self, _: Ticket) -> Result<Verdict, GuardError> {
        Ok(Verdict::InTime)
    }
}

/// Why a guard does not do its part.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GuardError {
    /// It could not be started.
    #[error("the guard process cannot be started")]
    Start(#[source] io::Error),
    /// It is gone, or does not answer.
    #[error("the guard process does not answer")]
    Lost(#[source] io::Error),
    /// It answered with something else than was asked.
    #[error("the guard process answered {0:?}")]
    Answer(String),
}

impl Fault for GuardError {
    fn kind(&self) -> Kind {
        match self {
            Self::Start(_) => Kind::Failed,
            // The next call starts another.
            Self::Lost(_) | Self::Answer(_) => Kind::Busy,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Start(_) => {
                Some("it is the daemon's own program: are there processes and memory left?".into())
            }
            Self::Lost(_) | Self::Answer(_) => Some("try again: another one is started".into()),
        }
    }
}

#[cfg(test)]
mod tests;
