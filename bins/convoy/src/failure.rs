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

    /// Of a verb that creates or deletes: how to ask again where nobody knows whether it was done. The
    /// same command without the id is another call.
    #[must_use]
    pub(crate) fn repeatable(mut self) -> Self {
        let unknown = matches!(self.kind, Kind::Unreachable | Kind::DestinationUnavailable);
        if let (true, Some(operation)) = (unknown, self.operation) {
            let again =
                format!("repeat it with --operation {operation}, so that nothing is done twice");
            self.hint = Some(match self.hint {
                Some(hint) => format!("{hint}; {again}"),
                None => again,
            });
        }
        self
    }
}

impl From<convoy_client::Error> for Failure {
    fn from(error: convoy_client::Error) -> Self {
        let mut failure = Self::of(&error);
        match error {
            convoy_client::Error::Refused(problem) => {
                failure.code = problem.code;
                failure.operation = problem.operation;
            }
            convoy_client::Error::CutOff { operation, .. } => failure.operation = operation,
            _ => {}
        }
        failure
    }
}
