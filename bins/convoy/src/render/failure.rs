//! A failure for people and for scripts.

use crate::failure::Failure;
use crate::safe;
use serde_json::{Value, json};

/// Two lines for stderr: the chain of causes, and what to type next.
pub(crate) fn failure_text(failure: &Failure) -> String {
    let hint = match &failure.hint {
        Some(hint) => format!("hint: {}\n", safe::line(hint)),
        None => String::new(),
    };
    format!("convoy: {}\n{hint}", safe::line(&failure.message))
}

/// The original's object with its one key, and what it lacked.
pub(crate) fn failure_object(failure: &Failure) -> Value {
    json!({
        "Error": failure.message,
        "Code": failure.code,
        "Hint": failure.hint,
        "Retryable": failure.kind.retryable(),
        "Operation": failure.operation,
    })
}
