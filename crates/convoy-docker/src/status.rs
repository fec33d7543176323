//! `Status` of a volume: what `docker volume inspect` and `podman volume inspect` show as it is.

use convoy_engine::{Glance, VolumeState};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// A volume's. Sizes are in bytes; what is not known is left out.
pub(crate) fn of(volume: &Glance, now: Timestamp) -> Map<String, Value> {
    let mut status = Map::new();
    let mut put = |key: &str, value: Value| drop(status.insert(key.to_owned(), value));
    put("uuid", json!(volume.uuid.to_string()));
    put("size", json!(volume.size.0));
    if let Some(mapped) = volume.mapped {
        put("used", json!(mapped.0));
    }
    put("filesystem", json!(volume.filesystem));
    put("state", json!(volume.state.as_str()));
    put("health", json!(health(volume)));
    put("mount_refs", json!(volume.holds));
    put("snapshots", json!(volume.snapshots));
    if let Some(taken) = volume.newest_snapshot {
        put("last_snapshot", json!(taken.to_string()));
    }
    if let Some(made) = volume.newest_backup {
        put("last_backup", json!(made.to_string()));
        let age = now.duration_since(made).as_secs().max(0);
        put("last_backup_age_seconds", json!(age));
    }
    if let Some(url) = &volume.restored_from {
        put("restored_from", json!(url));
    }
    if let Some(on_remove) = volume.on_remove {
        put("on_remove", json!(on_remove.as_str()));
    }
    if !volume.labels.is_empty() {
        put("labels", json!(volume.labels));
    }
    status
}

fn health(volume: &Glance) -> String {
    match (&volume.problem, &volume.suspect) {
        (Some(problem), _) => format!("broken: {problem}"),
        (None, Some(why)) => format!("to be checked before the next mount: {why}"),
        (None, None) if volume.state == VolumeState::Ready => "ok".to_owned(),
        (None, None) => volume.state.as_str().to_owned(),
    }
}
