//! A long verb as a stream: one JSON object a line, the answer last.
//!
//! A request for a long verb (volume create, backup create, verify, delete) with `Accept:
//! application/x-ndjson` is answered at once with status 200 and lines: `started`, then any number of
//! `phase`, `progress` and `waiting`, then exactly one `result` or `problem`. A stream that ends without one was cut
//! off: the verb goes on in the daemon, and its outcome is in the daemon's log under the operation.
//! Progress may be thinned out for a slow reader; the last line never is.

use crate::problem::Problem;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The media type of a stream.
pub const NDJSON: &str = "application/x-ndjson";

/// A line of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Frame<T> {
    /// The verb runs; always first.
    Started {
        /// Its name in all logs.
        operation: Uuid,
    },
    /// A phase began.
    Phase {
        /// One lower-case word, such as `comparing`; more may come.
        phase: String,
    },
    /// So much of the present phase is done.
    Progress {
        /// Bytes done.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// It waits until another operation has ended.
    Waiting {
        /// Whom it waits for.
        operation: Uuid,
    },
    /// It is done; always last.
    Result {
        /// Its name in all logs.
        operation: Uuid,
        /// What was asked for.
        result: T,
    },
    /// It failed; always last.
    Problem {
        /// How.
        problem: Problem,
    },
    /// An event of a newer daemon, to be passed over.
    #[serde(other)]
    Unknown,
}
