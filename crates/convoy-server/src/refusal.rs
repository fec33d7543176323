//! An answer that is not a success, as a response.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use convoy_api::Problem;
use convoy_fault::{Fault, Kind};
use uuid::Uuid;

/// A problem and its HTTP status.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    problem: Box<Problem>,
}

impl Refusal {
    /// Refused at the door: no verb was begun.
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self::from(Problem::new(kind, message))
    }

    /// A verb that failed.
    pub(crate) fn of(error: &dyn Fault, operation: Uuid) -> Self {
        Self::from(Problem::of(error, operation))
    }

    /// With a status that says more than the kind's.
    #[must_use]
    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    #[must_use]
    pub(crate) fn with_operation(mut self, operation: Uuid) -> Self {
        self.problem.operation = Some(operation);
        self
    }

    pub(crate) fn into_problem(self) -> Problem {
        *self.problem
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        let status = StatusCode::from_u16(problem.kind().http_status())
            .expect("the table of kinds holds valid HTTP statuses");
        Self {
            status,
            problem: Box::new(problem),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(self.problem)).into_response()
    }
}
