//! Jobs and the pool's check, as tables and as objects.

use super::columns::Column;
use super::fitted::{Cell, Head, Tone, last, name, number, optional};
use super::time::short;
use convoy_api::{Answer, Detached, Job, Jobs, PoolCheck, RestoredBackup};
use convoy_units::Bytes;
use serde_json::{Value, json};
use std::cmp::Ordering;
use std::collections::BTreeMap;

const fn column(
    key: &'static str,
    head: Head,
    usual: bool,
    cell: fn(&Job) -> Cell,
    order: fn(&Job, &Job) -> Ordering,
) -> Column<Job> {
    Column {
        key,
        head,
        usual,
        cell,
        order,
    }
}

/// Of `job list`.
pub(crate) static JOBS: &[Column<Job>] = &[
    column(
        "job",
        name("JOB"),
        true,
        |j| j.id.to_string().into(),
        |a, b| a.id.cmp(&b.id),
    ),
    column(
        "verb",
        name("VERB"),
        true,
        |j| j.verb.clone().into(),
        |a, b| a.verb.cmp(&b.verb),
    ),
    column(
        "subject",
        optional("OF"),
        true,
        |j| j.subject.clone().into(),
        |a, b| a.subject.cmp(&b.subject),
    ),
    column("state", name("STATE"), true, state, |a, b| {
        a.state.cmp(&b.state)
    }),
    column("done", number("DONE"), true, done, |a, b| {
        share(a).cmp(&share(b))
    }),
    column(
        "since",
        optional("SINCE (UTC)"),
        true,
        |j| short(j.since).into(),
        |a, b| a.since.cmp(&b.since),
    ),
    column(
        "place",
        optional("PLACE"),
        false,
        |j| j.place.clone().unwrap_or_default().into(),
        |a, b| a.place.cmp(&b.place),
    ),
    column("outcome", last("OUTCOME"), true, outcome, |a, b| {
        a.outcome.cmp(&b.outcome)
    }),
];

fn state(job: &Job) -> Cell {
    let tone = match job.state.as_str() {
        "failed" => Tone::Alarm,
        "interrupted" | "cancelled" => Tone::Warning,
        _ => Tone::Plain,
    };
    let text = match &job.phase {
        Some(phase) if job.state == "running" => phase.clone(),
        _ => job.state.clone(),
    };
    Cell { text, tone }
}

/// In hundredths, while it runs and where it is known.
fn share(job: &Job) -> Option<u64> {
    (!job.over && job.total > 0).then(|| job.done.saturating_mul(100) / job.total)
}

fn done(job: &Job) -> Cell {
    share(job).map_or_else(
        || "-".to_owned().into(),
        |share| format!("{share} %").into(),
    )
}

fn outcome(job: &Job) -> Cell {
    match (&job.outcome, job.waiting_for) {
        (Some(outcome), _) => outcome.clone().into(),
        (None, Some(other)) => format!("waiting for job {other}").into(),
        (None, None) => "-".to_owned().into(),
    }
}

/// `job inspect`, `job wait`, `job cancel`.
pub(crate) fn job(job: &Job) -> Value {
    json!({
        "Job": job.id,
        "Verb": job.verb,
        "Subject": job.subject,
        "Place": job.place,
        "State": job.state,
        "Over": job.over,
        "Phase": job.phase,
        "WaitingFor": job.waiting_for,
        "DoneBytes": job.done,
        "TotalBytes": job.total,
        "Since": job.since,
        "Ended": job.ended,
        "Outcome": job.outcome,
        "Hint": job.hint,
    })
}

/// `job list` in a pipe.
pub(crate) fn jobs(jobs: &Jobs) -> Value {
    let by_id: BTreeMap<_, _> = jobs.jobs.iter().map(|each| (each.id, job(each))).collect();
    json!(by_id)
}

/// `--detach` in JSON.
pub(crate) fn detached(answer: &Answer<Detached>) -> Value {
    json!({ "Job": answer.result.job, "Operation": answer.operation })
}

/// `backup restore` in JSON.
pub(crate) fn restored(answer: &Answer<RestoredBackup>) -> Value {
    let RestoredBackup {
        volume,
        safety,
        written,
        unchanged,
    } = &answer.result;
    json!({
        "Volume": super::volume(volume),
        "SafetySnapshot": safety,
        "WrittenBytes": written,
        "UnchangedBytes": unchanged,
        "Operation": answer.operation,
    })
}

/// For people, after `backup restore`.
pub(crate) fn restored_summary(restored: &RestoredBackup) -> String {
    format!(
        "wrote {}, {} were there already; what was there before is in snapshot {}\n",
        Bytes(restored.written),
        Bytes(restored.unchanged),
        crate::safe::line(&restored.safety)
    )
}

/// `pool check` in JSON.
pub(crate) fn pool_check_object(answer: &Answer<PoolCheck>) -> Value {
    let found = &answer.result;
    json!({
        "Sound": found.sound,
        "Findings": found.findings,
        "MoreFindings": found.more_findings,
        "NeedsCheck": found.needs_check,
        "Devices": found.devices,
        "MappedBytes": found.mapped,
        "Operation": answer.operation,
    })
}

/// `pool check` for people.
pub(crate) fn pool_check(found: &PoolCheck) -> String {
    let told = found.findings.iter();
    let mut lines: Vec<String> = told.map(|finding| crate::safe::line(finding)).collect();
    if found.more_findings > 0 {
        lines.push(format!("and {} more", found.more_findings));
    }
    if found.needs_check {
        let asks = "the kernel asks for a check of the metadata before it writes again";
        lines.push(format!("{asks}: convoy doctor"));
    }
    let (devices, mapped) = (found.devices, Bytes(found.mapped));
    let verdict = if found.sound { "sound" } else { "not sound" };
    lines.push(format!(
        "the mappings of {devices} thin devices ({mapped} in all) are {verdict}"
    ));
    lines.join("\n") + "\n"
}
