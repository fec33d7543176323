//! The daemon in numbers, as Prometheus reads them: every family there is. `docs/metrics.md` tells what each is for.

use crate::exposition::{Page, seconds};
use crate::tally::Ended;
use convoy_engine::{BackupTotals, Figures, Holds, PoolInfo, VolumeFigures};
use convoy_names::VolumeName;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// What a pool can be, as the kernel says it.
const MODES: [&str; 5] = ["rw", "ro", "out_of_data_space", "fail", "error"];

/// What the server itself knows.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) ended: BTreeMap<(&'static str, &'static str), Ended>,
    pub(crate) running: usize,
}

/// The whole page.
pub(crate) fn page(figures: &Figures, served: &Served) -> String {
    let mut page = Page::default();
    page.family(
        "convoy_build_info",
        "gauge",
        "Always 1; the version is its label.",
    )
    .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    pool(&mut page, figures.pool.as_ref());
    volumes(&mut page, &figures.volumes);
    holds(&mut page, &figures.holds);
    backups(&mut page, figures.backups);
    page.family(
        "convoy_trimmed_bytes_total",
        "counter",
        "Bytes that trims gave back of volumes.",
    )
    .sample(&[], figures.trimmed.0);
    verbs(&mut page, served);
    page.into_text()
}

fn pool(page: &mut Page, pool: Option<&PoolInfo>) {
    page.family(
        "convoy_pool_up",
        "gauge",
        "Whether the kernel answers for the pool.",
    )
    .sample(&[], u8::from(pool.is_some()));
    let Some(pool) = pool else { return };
    let name = ("pool", pool.name.as_str());
    let (used, total) = ([name, ("state", "used")], [name, ("state", "total")]);
    page.family(
        "convoy_pool_data_bytes",
        "gauge",
        "Data of the pool, in use and in all.",
    )
    .sample(&used, pool.data_used.0)
    .sample(&total, pool.data_total.0);
    page.family(
        "convoy_pool_metadata_bytes",
        "gauge",
        "Metadata of the pool, in use and in all, the kernel's reserve being in use.",
    )
    .sample(&used, pool.metadata_used.0)
    .sample(&total, pool.metadata_total.0);
    let mut mode = page.family(
        "convoy_pool_mode",
        "gauge",
        "1 for the mode the pool is in.",
    );
    for one in MODES {
        mode.sample(&[name, ("mode", one)], u8::from(pool.mode == one));
    }
    page.family(
        "convoy_pool_needs_check",
        "gauge",
        "Whether the kernel asks for a check of the metadata before it writes again.",
    )
    .sample(&[name], u8::from(pool.needs_check));
    page.family(
        "convoy_pool_transaction_id",
        "gauge",
        "The pool's transaction id.",
    )
    .sample(&[name], pool.transaction.0);
}

fn volumes(page: &mut Page, volumes: &BTreeMap<VolumeName, VolumeFigures>) {
    let mut each = |name, help, value: &dyn Fn(&VolumeFigures) -> Option<i128>| {
        let mut family = page.family(name, "gauge", help);
        for (volume, figures) in volumes {
            if let Some(value) = value(figures) {
                family.sample(&[("volume", volume.as_str())], value);
            }
        }
    };
    each(
        "convoy_volume_virtual_bytes",
        "Size of the volume as its users see it.",
        &|v| Some(v.size.0.into()),
    );
    each(
        "convoy_volume_mounted",
        "Whether the volume is to be mounted.",
        &|v| Some(v.mounted.into()),
    );
    each("convoy_snapshots", "Snapshots of the volume.", &|v| {
        Some(v.snapshots.into())
    });
    each(
        "convoy_snapshot_newest_timestamp_seconds",
        "When the newest snapshot of the volume was taken.",
        &|v| v.newest_snapshot.map(unix),
    );
    each(
        "convoy_backup_last_success_timestamp_seconds",
        "When the newest backup of the volume was made by this host.",
        &|v| v.newest_backup.map(unix),
    );
}

fn unix(time: Timestamp) -> i128 {
    time.as_second().into()
}

fn holds(page: &mut Page, holds: &Holds) {
    let mut family = page.family(
        "convoy_suspend_seconds",
        "histogram",
        "How long writes to a volume were held for a snapshot.",
    );
    for (bound, count) in &holds.up_to {
        family.part(
            "_bucket",
            &[("le", &bound.as_secs_f64().to_string())],
            count,
        );
    }
    family
        .part("_bucket", &[("le", "+Inf")], holds.count)
        .part("_sum", &[], seconds(holds.sum))
        .part("_count", &[], holds.count);
}

fn backups(page: &mut Page, totals: BackupTotals) {
    page.family(
        "convoy_backup_bytes_total",
        "counter",
        "Bytes of backups made: read of snapshots, new to the repository, stored there.",
    )
    .sample(&[("kind", "read")], totals.read.0)
    .sample(&[("kind", "new")], totals.new.0)
    .sample(&[("kind", "stored")], totals.stored.0);
    page.family(
        "convoy_backup_requests_total",
        "counter",
        "Requests made of destinations by backups made.",
    )
    .sample(&[], totals.requests);
}

fn verbs(page: &mut Page, served: &Served) {
    let mut family = page.family(
        "convoy_operations_total",
        "counter",
        "Verbs that ended: done, panicked, or the code of the error.",
    );
    let mut by_verb: BTreeMap<&str, (u64, Duration)> = BTreeMap::new();
    for ((verb, outcome), ended) in &served.ended {
        family.sample(&[("verb", verb), ("outcome", outcome)], ended.count);
        let (count, took) = by_verb.entry(verb).or_default();
        *count += ended.count;
        *took += ended.took;
    }
    let mut family = page.family(
        "convoy_operation_duration_seconds",
        "summary",
        "How long verbs took, whatever their outcome.",
    );
    for (verb, (count, took)) in by_verb {
        family.part("_sum", &[("verb", verb)], seconds(took)).part(
            "_count",
            &[("verb", verb)],
            count,
        );
    }
    page.family("convoy_operations_running", "gauge", "Verbs that run now.")
        .sample(&[], served.running);
}

#[cfg(test)]
mod tests;
