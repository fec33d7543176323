//! The envelope of every answer.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What was asked for, and the name of the call in all logs and records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer<T> {
    /// UUID v7 of this call: also in the daemon's log, in its intents and in commit records.
    pub operation: Uuid,
    /// What was asked for.
    pub result: T,
}

/// The result of a verb that has nothing to tell: an empty object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Done {}
