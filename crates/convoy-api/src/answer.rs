//! The envelope of every answer.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The request header by which a caller names its call: a UUID, in the usual form with hyphens.
///
/// A call repeated under its name does nothing twice: what it made before is its answer. Without the
/// header the daemon makes a name up. Creating and deleting look at it.
pub const OPERATION: &str = "convoy-operation";

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
