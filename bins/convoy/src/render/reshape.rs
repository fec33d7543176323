//! Reshaped volumes, for people and for programs.

use super::object::{snapshot, volume, with};
use convoy_api::{Answer, CreatedSnapshots, ResizedVolume, RolledBack};
use convoy_units::Bytes;
use serde_json::{Value, json};

/// `resize` with `--verbose` or in JSON.
pub(crate) fn resized(answer: &Answer<ResizedVolume>) -> Value {
    let resized = &answer.result;
    let extra = [
        ("Unchanged", json!(resized.unchanged)),
        ("SizeBefore", json!(resized.before)),
        ("GrowsAtMount", json!(resized.grows_at_mount)),
        ("Operation", json!(answer.operation)),
    ];
    with(volume(&resized.volume), extra)
}

/// What there is to say of it to a person.
pub(crate) fn resized_remark(resized: &ResizedVolume) -> String {
    let (before, now) = (Bytes(resized.before), Bytes(resized.volume.size));
    let done = if resized.unchanged {
        format!("it has {now} already")
    } else {
        format!("from {before} to {now}")
    };
    if resized.grows_at_mount {
        return format!("{done}; its filesystem follows when it is mounted\n");
    }
    done + "\n"
}

/// `snapshot rollback` with `--verbose` or in JSON.
pub(crate) fn rolled_back(answer: &Answer<RolledBack>) -> Value {
    let done = &answer.result;
    json!({
        "Volume": volume(&done.volume),
        "Safety": snapshot(&done.safety),
        "Unchanged": done.unchanged,
        "Operation": answer.operation,
    })
}

/// What there is to say of it to a person.
pub(crate) fn rolled_back_remark(done: &RolledBack) -> String {
    format!(
        "volume {} as it was until now is snapshot {}\n",
        done.volume.name, done.safety.name
    )
}

/// `snapshot create` of several volumes with `--verbose` or in JSON.
pub(crate) fn taken_together(answer: &Answer<CreatedSnapshots>) -> Value {
    let taken = answer.result.snapshots.iter().map(snapshot);
    json!({
        "Snapshots": taken.collect::<Vec<_>>(),
        "Unchanged": answer.result.unchanged,
        "Operation": answer.operation,
    })
}
