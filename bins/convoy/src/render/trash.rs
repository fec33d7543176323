//! The trash as a table and as an object.

use super::columns::Column;
use super::fitted::{Cell, Head, name, number, optional};
use super::time::short;
use convoy_api::{Answer, Trash, TrashedVolume};
use convoy_units::Bytes;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const fn column(
    key: &'static str,
    head: Head,
    cell: fn(&TrashedVolume) -> Cell,
    order: fn(&TrashedVolume, &TrashedVolume) -> std::cmp::Ordering,
) -> Column<TrashedVolume> {
    Column {
        key,
        head,
        usual: true,
        cell,
        order,
    }
}

/// Of `trash list`.
pub(crate) static TRASH: &[Column<TrashedVolume>] = &[
    column(
        "name",
        name("VOLUME"),
        |v| v.name.clone().into(),
        |a, b| a.name.cmp(&b.name),
    ),
    column(
        "size",
        number("SIZE"),
        |v| Bytes(v.size).to_string().into(),
        |a, b| a.size.cmp(&b.size),
    ),
    column(
        "snaps",
        number("SNAPS"),
        |v| v.snapshots.to_string().into(),
        |a, b| a.snapshots.cmp(&b.snapshots),
    ),
    column(
        "since",
        optional("SINCE (UTC)"),
        |v| short(v.since).into(),
        |a, b| a.since.cmp(&b.since),
    ),
    column(
        "left",
        name("LEFT"),
        |v| left(v.left_seconds).into(),
        |a, b| a.left_seconds.cmp(&b.left_seconds),
    ),
    column(
        "uuid",
        name("UUID"),
        |v| v.uuid.to_string().into(),
        |a, b| a.uuid.cmp(&b.uuid),
    ),
];

/// In the two largest units.
fn left(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// By identity, since names may repeat.
fn by_uuid(trash: &Trash) -> BTreeMap<String, Value> {
    let one = |v: &TrashedVolume| {
        let value = json!({
            "Name": v.name, "UUID": v.uuid, "Size": v.size, "Snapshots": v.snapshots,
            "TrashedTime": v.since.to_string(), "LeftSeconds": v.left_seconds,
        });
        (v.uuid.to_string(), value)
    };
    trash.volumes.iter().map(one).collect()
}

/// `trash list`.
pub(crate) fn trash(trash: &Trash) -> Value {
    json!(by_uuid(trash))
}

/// `trash empty`.
pub(crate) fn emptied(answer: &Answer<Trash>) -> Value {
    json!({ "Deleted": by_uuid(&answer.result), "Operation": answer.operation })
}

#[cfg(test)]
mod tests {
    //! Durations as people say them.

    #[test]
    fn the_two_largest_units_are_enough() {
        for (seconds, expected) in [
            (59, "59 s"),
            (60, "1 min"),
            (86_399, "23 h 59 min"),
            (86_400, "1 d 0 h"),
            (1_000_000, "11 d 13 h"),
        ] {
            assert_eq!(super::left(seconds), expected);
        }
    }
}
