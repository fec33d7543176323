//! The body of every answer that is not a success.

use convoy_fault::{Fault, Kind};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;
use uuid::Uuid;

/// What failed, why, and what to do next. Clients branch on `code`, never on `message`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The stable code, such as `E_POOL_FULL`: the table of `convoy_fault::Kind`.
    pub code: String,
    /// The whole chain of causes, for people.
    pub message: String,
    /// What to do next, as one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Whether the same request may succeed later with nothing changed.
    pub retryable: bool,
    /// The call that failed, to be found in the daemon's log; absent where there was none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Uuid>,
    /// Facts by name for programs; empty for now.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub details: Map<String, Value>,
}

impl Problem {
    /// A problem of this kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            code: kind.code().to_owned(),
            message: message.into(),
            hint: None,
            retryable: kind.retryable(),
            operation: None,
            details: Map::new(),
        }
    }

    /// An error as it crosses the wire: its kind, its whole chain and its hint.
    pub fn of(error: &dyn Fault, operation: Uuid) -> Self {
        Self {
            hint: error.hint(),
            operation: Some(operation),
            ..Self::new(error.kind(), convoy_fault::chain(error))
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

/// A code that a newer daemon made up counts as [`Kind::Failed`].
impl Fault for Problem {
    fn kind(&self) -> Kind {
        Kind::from_code(&self.code).unwrap_or(Kind::Failed)
    }

    fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}
