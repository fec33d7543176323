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

/// The last event line of JSON mode: as a frame of the daemon's streams, for failures of any origin.
pub(crate) fn failure_event(failure: &Failure) -> String {
    let problem = json!({
        "code": failure.code,
        "message": failure.message,
        "hint": failure.hint,
        "retryable": failure.kind.retryable(),
        "operation": failure.operation,
    });
    safe::json(&json!({"event": "problem", "problem": problem}).to_string()) + "\n"
}
