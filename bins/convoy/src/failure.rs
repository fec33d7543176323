//! Why a command failed, ready to be shown.

use convoy_fault::{Fault, Kind};
use uuid::Uuid;

/// A failure at the edge: its chain is put together, its kind decides the exit status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    /// The code as the daemon said it: a newer daemon may know more codes than kinds.
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    pub(crate) operation: Option<Uuid>,
}

impl Failure {
    pub(crate) fn new(kind: Kind, message: impl Into<String>, hint: &str) -> Self {
        Self {
            kind,
            code: kind.code().to_owned(),
            message: message.into(),
            hint: Some(hint.to_owned()),
            operation: None,
        }
    }

    pub(crate) fn of(error: &dyn Fault) -> Self {
        Self {
            kind: error.kind(),
            code: error.kind().code().to_owned(),
            message: convoy_fault::chain(error),
            hint: error.hint(),
            operation: None,
        }
    }
}

impl From<convoy_client::Error> for Failure {
    fn from(error: convoy_client::Error) -> Self {
        let mut failure = Self::of(&error);
        if let convoy_client::Error::Refused(problem) = error {
            failure.code = problem.code;
            failure.operation = problem.operation;
        }
        failure
    }
}
