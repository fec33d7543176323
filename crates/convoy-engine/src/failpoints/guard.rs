//! A guard with a point before and after arming and disarming.

use super::Steps;
use crate::guard::{Guard, GuardError, Ticket, Verdict};
use convoy_thinpool::DmUuid;
use std::io;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug)]
pub(super) struct SteppedGuard {
    pub(super) steps: Steps,
    pub(super) guard: Arc<dyn Guard>,
}

fn lost(what: String) -> GuardError {
    GuardError::Lost(io::Error::other(what))
}

impl Guard for SteppedGuard {
    fn arm(&self, device: &DmUuid, limit: Duration) -> Result<Ticket, GuardError> {
        self.steps
            .around("guard.arm", lost, || self.guard.arm(device, limit))
    }

    fn disarm(&self, ticket: Ticket) -> Result<Verdict, GuardError> {
        self.steps
            .around("guard.disarm", lost, || self.guard.disarm(ticket))
    }
}
