//! What a deletion would take away, from the daemon's answers.

use super::failure::failure_object;
use super::object::{backup, snapshot, volume};
use crate::failure::Failure;
use crate::safe;
use convoy_api::{Backup, Snapshot, Volume};
use convoy_units::Bytes;
use serde_json::{Value, json};

/// One thing that would go: as a line, and as an object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Doomed {
    line: String,
    object: Value,
}

/// A volume with its snapshots.
pub(crate) fn doomed_volume(of: &Volume) -> Doomed {
    let used = of
        .mapped
        .map_or_else(String::new, |used| format!(", {} used", Bytes(used)));
    let names: Vec<&str> = of.snapshots.iter().map(|each| each.name.as_str()).collect();
    let snapshots = match names.as_slice() {
        [] => "no snapshots".to_owned(),
        [one] => format!("its snapshot {one}"),
        many => format!("its {} snapshots {}", many.len(), many.join(", ")),
    };
    Doomed {
        line: format!(
            "volume {} ({}{used}) with {snapshots}",
            of.name,
            Bytes(of.size)
        ),
        object: volume(of),
    }
}

/// A snapshot, and what only it keeps in the pool.
pub(crate) fn doomed_snapshot(of: &Snapshot) -> Doomed {
    let alone = of.exclusive.map_or_else(String::new, |bytes| {
        format!(", which alone holds {}", Bytes(bytes))
    });
    Doomed {
        line: format!("snapshot {} of volume {}{alone}", of.name, of.volume_name),
        object: snapshot(of),
    }
}

/// A backup; every other one stays complete.
pub(crate) fn doomed_backup(of: &Backup) -> Doomed {
    let taken = super::time::short(of.snapshot_created);
    let (volume, snapshot) = (&of.volume_name, &of.snapshot_name);
    Doomed {
        line: format!(
            "backup {} of volume {volume}, snapshot {snapshot} taken {taken} UTC",
            of.name
        ),
        object: backup(of),
    }
}

/// In JSON: what would go, and what would be refused.
pub(crate) fn plan(doomed: &[Doomed], failures: &[(String, Failure)]) -> Value {
    let would: Vec<&Value> = doomed.iter().map(|each| &each.object).collect();
    json!({
        "DryRun": true,
        "WouldDelete": would,
        "Failed": failed(failures),
    })
}

fn failed(failures: &[(String, Failure)]) -> Vec<Value> {
    let object = |(name, failure): &(String, Failure)| {
        let mut object = json!({ "Name": name });
        if let (Value::Object(map), Value::Object(said)) = (&mut object, failure_object(failure)) {
            map.extend(said);
        }
        object
    };
    failures.iter().map(object).collect()
}

/// For people: a line for each.
pub(crate) fn plan_text(doomed: &[Doomed]) -> String {
    let line = |each: &Doomed| format!("would delete {}\n", safe::line(&each.line));
    doomed.iter().map(line).collect()
}
