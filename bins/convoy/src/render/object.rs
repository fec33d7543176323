//! The original's objects: its keys in its order with its types, then ours.
//!
//! Where the original has a map of texts (`DriverInfo`, a driver in `info`, a backup) its keys are sorted
//! and all values are texts, ours too: whoever reads such a map may rely on it. Elsewhere our keys are
//! integers of bytes and RFC 3339 times.

use super::failure::failure_object;
use super::time::original;
use crate::failure::Failure;
use convoy_api::{
    Answer, Backup, Backups, CreatedBackup, CreatedSnapshot, CreatedVolume, Destination, Info,
    Pool, PoolEvent, Snapshot, Snapshots, Verification, Volume, Volumes,
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use uuid::Uuid;

/// A map of texts, sorted.
fn texts<const N: usize>(pairs: [(&str, String); N]) -> Value {
    let sorted: BTreeMap<_, _> = pairs.into_iter().collect();
    json!(sorted)
}

/// `info`: `General` and one object for each driver.
pub(crate) fn info(info: &Info) -> Value {
    let mut drivers = Map::new();
    drivers.insert(
        "General".to_owned(),
        json!({
            "Root": info.root,
            "DriverList": info.drivers,
            "DefaultDriver": info.drivers.first(),
            // Settings of the original that have no effect any more, at their neutral values.
            "MountNamespaceFD": "",
            "IgnoreDockerDelete": false,
            "CreateOnDockerMount": false,
            "CmdTimeout": "",
            "Version": info.version,
            "Host": info.host,
            "Destinations": info.destinations.iter().map(destination).collect::<Vec<_>>(),
            "Recovered": info.recovered,
            "Alerts": info.pool.alerts,
            "Events": info.pool.events.iter().map(event).collect::<Vec<_>>(),
            "ReadOnly": info.read_only,
        }),
    );
    drivers.insert(info.pool.driver.clone(), pool(&info.root, &info.pool));
    Value::Object(drivers)
}

/// `pool status`: the pool's part of it, and what wants attention.
pub(crate) fn pool_status(info: &Info) -> Value {
    let extra = [
        ("Provisioned", json!(info.pool.provisioned.to_string())),
        ("Alerts", json!(info.pool.alerts)),
        (
            "Events",
            json!(info.pool.events.iter().map(event).collect::<Vec<_>>()),
        ),
    ];
    with(pool(&info.root, &info.pool), extra)
}

/// `pool grow` in JSON.
pub(crate) fn grown(pool: &Pool) -> Value {
    json!({
        "ThinpoolName": pool.name,
        "ThinpoolSize": pool.data_total.to_string(),
        "ThinpoolMetadataSize": pool.metadata_total.to_string(),
    })
}

fn destination(destination: &Destination) -> Value {
    json!({
        "Name": destination.name,
        "URL": destination.url,
        "RepositoryUUID": destination.repository,
    })
}

fn event(event: &PoolEvent) -> Value {
    json!({
        "At": event.at,
        "Severity": event.severity,
        "What": event.what,
    })
}

fn pool(root: &str, pool: &Pool) -> Value {
    texts([
        ("Driver", pool.driver.clone()),
        (
            "Root",
            format!("{}/{}", root.trim_end_matches('/'), pool.driver),
        ),
        ("DataDevice", pool.data_device.clone()),
        ("MetadataDevice", pool.metadata_device.clone()),
        ("ThinpoolDevice", format!("/dev/mapper/{}", pool.name)),
        ("ThinpoolSize", pool.data_total.to_string()),
        ("ThinpoolBlockSize", pool.block_size.to_string()),
        ("DefaultVolumeSize", pool.default_volume_size.to_string()),
        ("Filesystem", pool.filesystem.clone()),
        ("ThinpoolName", pool.name.clone()),
        ("ThinpoolUUID", pool.uuid.to_string()),
        ("ThinpoolUsed", pool.data_used.to_string()),
        ("ThinpoolMetadataSize", pool.metadata_total.to_string()),
        ("ThinpoolMetadataUsed", pool.metadata_used.to_string()),
        ("ThinpoolMetadataReserve", pool.metadata_reserve.to_string()),
        ("ThinpoolMode", pool.mode.clone()),
        ("ThinpoolNoSpace", pool.no_space.clone().unwrap_or_default()),
        ("ThinpoolNeedsCheck", pool.needs_check.to_string()),
        ("ThinpoolTransactionID", pool.transaction.to_string()),
        (
            "LoopBacked",
            if pool.loop_backed {
                "loop (not for production)"
            } else {
                "false"
            }
            .to_owned(),
        ),
    ])
}

/// `inspect`: a `VolumeResponse`.
pub(crate) fn volume(volume: &Volume) -> Value {
    let by_name: BTreeMap<_, _> = volume
        .snapshots
        .iter()
        .map(|snapshot| (&snapshot.name, snapshot_of_volume(snapshot)))
        .collect();
    json!({
        "Name": volume.name,
        "Driver": volume.driver,
        "MountPoint": volume.mountpoint.as_deref().unwrap_or_default(),
        "CreatedTime": original(volume.created),
        "DriverInfo": driver_info(volume),
        "Snapshots": by_name,
        "UUID": volume.uuid,
        "PoolUUID": volume.pool,
        "Size": volume.size,
        "Mapped": volume.mapped,
        "Filesystem": volume.filesystem,
        "MountOptions": volume.mount_options,
        "State": volume.state,
        "Problem": volume.problem,
        "Suspect": volume.suspect,
        "Created": volume.created,
        "Labels": volume.labels,
        "RestoredFrom": volume.restored_from,
    })
}

fn driver_info(volume: &Volume) -> Value {
    texts([
        ("DevID", volume.dev_id.to_string()),
        ("Device", volume.device.clone()),
        ("Driver", volume.driver.clone()),
        ("Filesystem", volume.filesystem.clone()),
        ("MountPoint", volume.mountpoint.clone().unwrap_or_default()),
        ("Size", volume.size.to_string()),
        ("VolumeCreatedAt", original(volume.created)),
        ("VolumeName", volume.name.clone()),
        ("VolumeUUID", volume.uuid.to_string()),
    ])
}

/// `list`: by name.
pub(crate) fn volumes(volumes: &Volumes) -> Value {
    let by_name: BTreeMap<_, _> = volumes
        .volumes
        .iter()
        .map(|each| (&each.name, volume(each)))
        .collect();
    json!(by_name)
}

/// `list --driver`: what the driver knows, by name.
pub(crate) fn volumes_driver(volumes: &Volumes) -> Value {
    let by_name: BTreeMap<_, _> = volumes
        .volumes
        .iter()
        .map(|each| (&each.name, driver_info(each)))
        .collect();
    json!(by_name)
}

fn snapshot_of_volume(snapshot: &Snapshot) -> Value {
    json!({
        "Name": snapshot.name,
        "CreatedTime": original(snapshot.created),
        "DriverInfo": snapshot_driver_info(snapshot),
    })
}

fn snapshot_driver_info(snapshot: &Snapshot) -> Value {
    texts([
        ("UUID", snapshot.uuid.to_string()),
        ("SnapshotName", snapshot.name.clone()),
        ("SnapshotCreatedAt", original(snapshot.created)),
        ("Size", snapshot.size.to_string()),
        ("VolumeUUID", snapshot.volume.to_string()),
        ("DevID", snapshot.dev_id.to_string()),
        ("Driver", snapshot.driver.clone()),
    ])
}

/// `snapshot inspect`: a `SnapshotResponse`.
pub(crate) fn snapshot(snapshot: &Snapshot) -> Value {
    json!({
        "Name": snapshot.name,
        "VolumeName": snapshot.volume_name,
        "VolumeCreatedAt": original(snapshot.volume_created),
        "CreatedTime": original(snapshot.created),
        "DriverInfo": snapshot_driver_info(snapshot),
        "UUID": snapshot.uuid,
        "VolumeUUID": snapshot.volume,
        "Size": snapshot.size,
        "Created": snapshot.created,
        "HoldMicroseconds": snapshot.hold_microseconds,
        "ReferencedSize": snapshot.referenced,
        "ExclusiveSize": snapshot.exclusive,
        "Labels": snapshot.labels,
    })
}

/// `snapshot list`: by name.
pub(crate) fn snapshots(snapshots: &Snapshots) -> Value {
    let by_name: BTreeMap<_, _> = snapshots
        .snapshots
        .iter()
        .map(|each| (&each.name, snapshot(each)))
        .collect();
    json!(by_name)
}

/// `backup inspect`: the original's nine keys, the three UUIDs its documentation promised, and ours; a
/// label is a key `Label.<name>`, so that every value is a text.
pub(crate) fn backup(backup: &Backup) -> Value {
    let mut value = texts([
        ("BackupName", backup.name.clone()),
        ("BackupURL", backup.url.clone()),
        ("BackupUUID", backup.uuid.to_string()),
        (
            "BaseBackupUUID",
            backup.base.map(|base| base.to_string()).unwrap_or_default(),
        ),
        ("CreatedTime", original(backup.created)),
        ("DriverName", backup.driver.clone()),
        ("Filesystem", backup.filesystem.clone()),
        ("HostUUID", backup.host.to_string()),
        ("OperationUUID", backup.operation.to_string()),
        ("SnapshotCreatedAt", original(backup.snapshot_created)),
        ("SnapshotName", backup.snapshot_name.clone()),
        ("SnapshotUUID", backup.snapshot.to_string()),
        ("ChangedSize", backup.changed.to_string()),
        ("ReadSize", backup.read.to_string()),
        ("NewSize", backup.new.to_string()),
        ("StoredSize", backup.stored.to_string()),
        ("VolumeCreatedAt", original(backup.volume_created)),
        ("VolumeName", backup.volume_name.clone()),
        ("VolumeSize", backup.volume_size.to_string()),
        ("VolumeUUID", backup.volume.to_string()),
    ]);
    if let Value::Object(map) = &mut value {
        for (key, text) in &backup.labels {
            map.insert(format!("Label.{key}"), json!(text));
        }
        if let Some(format) = &backup.format {
            of_original(map, format, backup.problem.as_deref());
        }
        map.sort_keys();
    }
    value
}

/// A backup that the original made: what nothing tells of it is left out, but for the original's own keys.
fn of_original(map: &mut Map<String, Value>, format: &str, problem: Option<&str>) {
    let nil = json!(Uuid::nil().to_string());
    let unknown = json!(original(Timestamp::UNIX_EPOCH));
    let amounts = ["ChangedSize", "ReadSize", "NewSize", "StoredSize"];
    map.retain(|key, value| *value != nil && !amounts.contains(&key.as_str()));
    for value in map.values_mut().filter(|value| **value == unknown) {
        *value = json!("");
    }
    map.insert("Format".to_owned(), json!(format));
    if let Some(problem) = problem {
        map.insert("Problem".to_owned(), json!(problem));
    }
}

/// `backup list`: by URL.
pub(crate) fn backups(backups: &Backups) -> Value {
    let by_url: BTreeMap<_, _> = backups
        .backups
        .iter()
        .map(|each| (&each.url, backup(each)))
        .collect();
    json!(by_url)
}

/// `mount` with `--verbose` or in JSON.
pub(crate) fn mounted(answer: &Answer<Volume>) -> Value {
    with(
        volume(&answer.result),
        [("Operation", json!(answer.operation))],
    )
}

/// `create` with `--verbose` or in JSON.
pub(crate) fn created_volume(answer: &Answer<CreatedVolume>) -> Value {
    let extra = [
        ("Unchanged", json!(answer.result.unchanged)),
        ("Operation", json!(answer.operation)),
    ];
    with(volume(&answer.result.volume), extra)
}

/// `snapshot create` with `--verbose` or in JSON.
pub(crate) fn created_snapshot(answer: &Answer<CreatedSnapshot>) -> Value {
    let extra = [
        ("Unchanged", json!(answer.result.unchanged)),
        ("Operation", json!(answer.operation)),
    ];
    with(snapshot(&answer.result.snapshot), extra)
}

/// `backup create` with `--verbose` or in JSON: the original's `URL`, then what was made and what it took.
pub(crate) fn created_backup(answer: &Answer<CreatedBackup>) -> Value {
    let CreatedBackup {
        backup: made,
        summary,
    } = &answer.result;
    json!({
        "URL": made.url,
        "Backup": backup(made),
        "Summary": {
            "ChangedBytes": summary.changed,
            "ReadBytes": summary.read,
            "NewBytes": summary.new,
            "StoredBytes": summary.stored,
            "Requests": summary.requests,
            "DurationMilliseconds": summary.duration_milliseconds,
        },
        "Operation": answer.operation,
    })
}

/// `backup verify` in JSON.
pub(crate) fn verification(answer: &Answer<Verification>) -> Value {
    let Verification {
        backup: of,
        chunks,
        bytes,
        problems,
        more_problems,
    } = &answer.result;
    let problems: Vec<Value> = problems
        .iter()
        .map(|each| {
            json!({"Object": each.object, "Begin": each.begin, "End": each.end, "Problem": each.what})
        })
        .collect();
    json!({
        "URL": of.url,
        "Good": problems.is_empty(),
        "Chunks": chunks,
        "Bytes": bytes,
        "Problems": problems,
        "MoreProblems": more_problems,
        "Operation": answer.operation,
    })
}

/// A verb that has nothing to tell, in JSON: what it was done to.
pub(crate) fn done(key: &str, what: &str, operation: Uuid) -> Value {
    with(
        json!({}),
        [(key, json!(what)), ("Operation", json!(operation))],
    )
}

/// `delete` in JSON: what is gone and what is not.
pub(crate) fn deleted(names: &[String], failures: &[(String, Failure)]) -> Value {
    let failed: Vec<Value> = failures
        .iter()
        .map(|(name, failure)| with(json!({"Name": name}), entries(failure_object(failure))))
        .collect();
    json!({"Deleted": names, "Failed": failed})
}

fn entries(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

pub(super) fn with<K: Into<String>>(
    value: Value,
    extra: impl IntoIterator<Item = (K, Value)>,
) -> Value {
    let mut map = entries(value);
    map.extend(extra.into_iter().map(|(key, value)| (key.into(), value)));
    Value::Object(map)
}
