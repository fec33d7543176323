//! The envelope of every answer.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The request header by which a caller names its call: a UUID, in the usual form with hyphens.
///
/// A call repeated under its name does nothing twice: what it made before is its answer. Without the
/// header the daemon makes a name up. Creating and deleting look at it.
pub const OPERATION: &str = "convoy-operation";

/// The request header by which a caller of a long verb asks for an answer at once ([`DETACHED`], RFC 7240): the
/// verb goes on as a job, and the answer (status 202) has a [`Detached`] as its result.
pub const PREFER: &str = "prefer";
/// The value of [`PREFER`].
pub const DETACHED: &str = "respond-async";

/// The result of a long verb that goes on as a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detached {
    /// The job, which is on record: the operation's own id.
    pub job: Uuid,
}

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
