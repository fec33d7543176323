//! From the engine's values to those of the wire.

use convoy_api as api;
use convoy_engine as engine;
use convoy_engine::Created;
use std::path::Path;
use std::time::Duration;

pub(crate) fn info(info: engine::Info) -> api::Info {
    api::Info {
        version: info.version,
        root: path(&info.root),
        drivers: vec![info.pool.driver.clone()],
        host: info.host,
        pool: pool(info.pool),
        destinations: info.destinations.into_iter().map(destination).collect(),
        recovered: info.recovered,
        read_only: info.read_only,
    }
}

fn destination(destination: engine::DestinationInfo) -> api::Destination {
    api::Destination {
        name: destination.name.map(|name| name.to_string()),
        url: destination.url,
        repository: destination.repository,
    }
}

pub(crate) fn pool(pool: engine::PoolInfo) -> api::Pool {
    api::Pool {
        uuid: pool.uuid,
        name: pool.name.to_string(),
        driver: pool.driver,
        data_device: path(&pool.data_device),
        metadata_device: path(&pool.metadata_device),
        loop_backed: pool.loop_backed,
        block_size: pool.block_size.bytes().0,
        default_volume_size: pool.default_volume_size.0,
        filesystem: pool.filesystem,
        mode: pool.mode,
        needs_check: pool.needs_check,
        transaction: pool.transaction.0,
        data_used: pool.data_used.0,
        data_total: pool.data_total.0,
        metadata_used: pool.metadata_used.0,
        metadata_total: pool.metadata_total.0,
        no_space: pool.no_space,
        provisioned: pool.provisioned.0,
        metadata_reserve: pool.metadata_reserve.0,
        alerts: pool.alerts,
        events: pool.events.into_iter().map(event).collect(),
    }
}

fn event(event: engine::PoolEvent) -> api::PoolEvent {
    api::PoolEvent {
        at: event.at,
        severity: event.severity.as_str().to_owned(),
        what: event.what,
    }
}

pub(crate) fn pool_check(found: engine::PoolCheck) -> api::PoolCheck {
    api::PoolCheck {
        sound: found.findings.is_empty() && found.more_findings == 0 && !found.needs_check,
        findings: found.findings,
        more_findings: found.more_findings,
        needs_check: found.needs_check,
        devices: found.devices,
        mapped: found.mapped.0,
    }
}

pub(crate) fn restored(restored: engine::RestoredInPlace) -> api::RestoredBackup {
    api::RestoredBackup {
        volume: volume(restored.volume),
        safety: restored.safety.to_string(),
        written: restored.written.0,
        unchanged: restored.unchanged.0,
    }
}

pub(crate) fn job(job: engine::JobInfo) -> api::Job {
    api::Job {
        id: job.id,
        verb: job.verb,
        subject: job.subject,
        place: job.place,
        state: job.state.as_str().to_owned(),
        over: job.state.is_over(),
        phase: job.phase.map(|phase| phase.as_str().to_owned()),
        waiting_for: job.waiting_for,
        done: job.done.0,
        total: job.total.0,
        since: job.since,
        ended: job.ended,
        outcome: job.outcome,
        hint: job.hint,
    }
}

pub(crate) fn volume(volume: engine::VolumeInfo) -> api::Volume {
    let snapshots = volume.snapshots.into_iter().map(snapshot).collect();
    api::Volume {
        uuid: volume.uuid,
        name: volume.name.to_string(),
        driver: volume.driver,
        pool: volume.pool,
        dev_id: volume.dev_id.get(),
        device: path(&volume.device),
        size: volume.size.0,
        mapped: volume.mapped.map(|mapped| mapped.0),
        filesystem: volume.filesystem,
        mountpoint: volume.mountpoint.as_deref().map(path),
        mount_options: volume.mount_options,
        state: volume.state.as_str().to_owned(),
        problem: volume.problem,
        suspect: volume.suspect,
        created: volume.created,
        labels: volume.labels,
        restored_from: volume.restored_from,
        snapshots,
    }
}

pub(crate) fn trimmed(trimmed: &engine::Trimmed) -> api::TrimmedVolume {
    api::TrimmedVolume {
        name: trimmed.volume.to_string(),
        discarded: trimmed.discarded.0,
        unmapped: trimmed.unmapped.map(|bytes| bytes.0),
        freed: trimmed.freed.map(|bytes| bytes.0),
    }
}

pub(crate) fn created_volume(created: Created<engine::VolumeInfo>) -> api::CreatedVolume {
    let unchanged = matches!(created, Created::Unchanged(_));
    api::CreatedVolume {
        unchanged,
        volume: volume(created.into_inner()),
    }
}

pub(crate) fn snapshot(snapshot: engine::SnapshotInfo) -> api::Snapshot {
    api::Snapshot {
        uuid: snapshot.uuid,
        name: snapshot.name.to_string(),
        // The one driver there is; the engine gives snapshots one of their own when there are more.
        driver: "devicemapper".to_owned(),
        volume: snapshot.volume,
        volume_name: snapshot.volume_name.to_string(),
        volume_created: snapshot.volume_created,
        dev_id: snapshot.dev_id.get(),
        size: snapshot.size.0,
        created: snapshot.created,
        hold_microseconds: snapshot.hold.map(|hold| clamp(hold.as_micros())),
        referenced: None,
        exclusive: None,
        labels: snapshot.labels,
    }
}

/// The same, with what it takes up.
pub(crate) fn measured_snapshot(
    info: engine::SnapshotInfo,
    usage: Option<&engine::SnapshotUsage>,
) -> api::Snapshot {
    api::Snapshot {
        referenced: usage.map(|usage| usage.referenced.0),
        exclusive: usage.map(|usage| usage.exclusive.0),
        ..snapshot(info)
    }
}

pub(crate) fn created_snapshot(created: Created<engine::SnapshotInfo>) -> api::CreatedSnapshot {
    let unchanged = matches!(created, Created::Unchanged(_));
    api::CreatedSnapshot {
        unchanged,
        snapshot: snapshot(created.into_inner()),
    }
}

pub(crate) fn backup(backup: engine::BackupInfo) -> api::Backup {
    api::Backup {
        uuid: backup.uuid,
        name: backup.name,
        url: backup.url,
        driver: backup.driver,
        created: backup.created,
        snapshot: backup.snapshot,
        snapshot_name: backup.snapshot_name,
        snapshot_created: backup.snapshot_created,
        volume: backup.volume,
        volume_name: backup.volume_name,
        volume_created: backup.volume_created,
        volume_size: backup.volume_size.0,
        filesystem: backup.filesystem,
        base: backup.base,
        host: backup.host,
        operation: backup.operation,
        changed: backup.changed.0,
        read: backup.read.0,
        new: backup.new.0,
        stored: backup.stored.0,
        labels: backup.labels,
        format: match backup.format {
            engine::BackupFormat::Convoy => None,
            engine::BackupFormat::Original => Some("original".to_owned()),
        },
        problem: backup.problem,
    }
}

pub(crate) fn created_backup(outcome: engine::BackupOutcome) -> api::CreatedBackup {
    api::CreatedBackup {
        backup: backup(outcome.backup),
        summary: summary(&outcome.summary),
    }
}

fn summary(summary: &engine::BackupSummary) -> api::Summary {
    api::Summary {
        changed: summary.changed.0,
        read: summary.read.0,
        new: summary.new.0,
        stored: summary.stored.0,
        requests: summary.requests,
        duration_milliseconds: milliseconds(summary.duration),
    }
}

pub(crate) fn verification(verification: engine::Verification) -> api::Verification {
    api::Verification {
        backup: backup(verification.backup),
        chunks: verification.chunks,
        bytes: verification.bytes.0,
        problems: verification.problems.into_iter().map(problem).collect(),
        more_problems: verification.more_problems,
    }
}

fn problem(problem: engine::Problem) -> api::BackupProblem {
    api::BackupProblem {
        object: problem.object,
        begin: problem.range.map(|range| range.begin),
        end: problem.range.map(|range| range.end),
        what: problem.what,
    }
}

fn milliseconds(duration: Duration) -> u64 {
    clamp(duration.as_millis())
}

/// Half a million years fit.
fn clamp(number: u128) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// Paths that are not UTF-8 are shown with replacement characters; nothing is asked for by them.
fn path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
