//! What a trim gave back, for people and for programs.

use convoy_api::{Answer, TrimmedVolume};
use convoy_units::Bytes;
use serde_json::{Value, json};

/// One line: what the volume gave back, and what the pool has of it where that differs.
pub(crate) fn trimmed(trimmed: &TrimmedVolume) -> String {
    let Some(unmapped) = trimmed.unmapped else {
        return format!("the filesystem let go of {}", Bytes(trimmed.discarded));
    };
    match trimmed.freed {
        Some(freed) if freed < unmapped => format!(
            "{} given back, {} of it free in the pool: snapshots have the rest, or others wrote meanwhile",
            Bytes(unmapped),
            Bytes(freed)
        ),
        _ => format!("{} given back to the pool", Bytes(unmapped)),
    }
}

/// `trim` with `--verbose` or in JSON.
pub(crate) fn trimmed_object(answer: &Answer<TrimmedVolume>) -> Value {
    let trimmed = &answer.result;
    json!({
        "Name": trimmed.name,
        "DiscardedBytes": trimmed.discarded,
        "UnmappedBytes": trimmed.unmapped,
        "FreedBytes": trimmed.freed,
        "Operation": answer.operation,
    })
}
