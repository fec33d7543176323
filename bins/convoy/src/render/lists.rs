//! The columns of each list.

use super::columns::{Column, Order};
use super::fitted::{Cell, Head, Tone, last, name, number, optional};
use super::time::short;
use convoy_api::{Backup, Snapshot, Volume};
use convoy_units::Bytes;
use jiff::Timestamp;
use std::collections::BTreeMap;
use uuid::Uuid;

/// One that is shown when nobody chose.
const fn usual<T>(
    key: &'static str,
    head: Head,
    cell: fn(&T) -> Cell,
    order: Order<T>,
) -> Column<T> {
    Column {
        key,
        head,
        usual: true,
        cell,
        order,
    }
}

/// One for those who ask for it.
const fn extra<T>(
    key: &'static str,
    head: Head,
    cell: fn(&T) -> Cell,
    order: Order<T>,
) -> Column<T> {
    Column {
        key,
        head,
        usual: false,
        cell,
        order,
    }
}

/// Of `list`.
pub(crate) static VOLUMES: &[Column<Volume>] = &[
    usual(
        "name",
        name("VOLUME"),
        |v| text(&v.name),
        |a, b| a.name.cmp(&b.name),
    ),
    usual(
        "size",
        number("SIZE"),
        |v| bytes(v.size),
        |a, b| a.size.cmp(&b.size),
    ),
    usual(
        "used",
        number("USED"),
        |v| known(v.mapped),
        |a, b| a.mapped.cmp(&b.mapped),
    ),
    usual(
        "fs",
        optional("FS"),
        |v| text(&v.filesystem),
        |a, b| a.filesystem.cmp(&b.filesystem),
    ),
    usual(
        "snaps",
        number("SNAPS"),
        |v| v.snapshots.len().to_string().into(),
        |a, b| a.snapshots.len().cmp(&b.snapshots.len()),
    ),
    usual("state", name("STATE"), state, |a, b| a.state.cmp(&b.state)),
    usual(
        "created",
        optional("CREATED (UTC)"),
        |v| time(v.created),
        |a, b| a.created.cmp(&b.created),
    ),
    extra(
        "last-snapshot",
        optional("LAST SNAPSHOT (UTC)"),
        |v| last_snapshot(v).map_or_else(nothing, time),
        |a, b| last_snapshot(a).cmp(&last_snapshot(b)),
    ),
    extra(
        "uuid",
        name("UUID"),
        |v| uuid(v.uuid),
        |a, b| a.uuid.cmp(&b.uuid),
    ),
    extra(
        "device",
        name("DEVICE"),
        |v| text(&v.device),
        |a, b| a.device.cmp(&b.device),
    ),
    extra(
        "dev-id",
        number("DEV ID"),
        |v| v.dev_id.to_string().into(),
        |a, b| a.dev_id.cmp(&b.dev_id),
    ),
    extra(
        "driver",
        name("DRIVER"),
        |v| text(&v.driver),
        |a, b| a.driver.cmp(&b.driver),
    ),
    extra(
        "labels",
        name("LABELS"),
        |v| labels(&v.labels),
        |a, b| a.labels.cmp(&b.labels),
    ),
    extra(
        "restored-from",
        name("RESTORED FROM"),
        |v| v.restored_from.clone().map_or_else(nothing, Cell::from),
        |a, b| a.restored_from.cmp(&b.restored_from),
    ),
    usual("mounted", last("MOUNTED"), whereabouts, |a, b| {
        a.mountpoint.cmp(&b.mountpoint)
    }),
];

/// Of `snapshot list`.
pub(crate) static SNAPSHOTS: &[Column<Snapshot>] = &[
    usual(
        "name",
        name("SNAPSHOT"),
        |s| text(&s.name),
        |a, b| a.name.cmp(&b.name),
    ),
    usual(
        "volume",
        name("VOLUME"),
        |s| text(&s.volume_name),
        |a, b| a.volume_name.cmp(&b.volume_name),
    ),
    usual(
        "size",
        number("SIZE"),
        |s| bytes(s.size),
        |a, b| a.size.cmp(&b.size),
    ),
    usual(
        "referenced",
        number("REFERENCED"),
        |s| known(s.referenced),
        |a, b| a.referenced.cmp(&b.referenced),
    ),
    usual(
        "exclusive",
        number("EXCLUSIVE"),
        |s| known(s.exclusive),
        |a, b| a.exclusive.cmp(&b.exclusive),
    ),
    usual(
        "taken",
        optional("TAKEN (UTC)"),
        |s| time(s.created),
        |a, b| a.created.cmp(&b.created),
    ),
    usual(
        "held",
        Head {
            number: true,
            ..optional("HELD")
        },
        |s| {
            s.hold_microseconds
                .map(held)
                .map_or_else(nothing, Cell::from)
        },
        |a, b| a.hold_microseconds.cmp(&b.hold_microseconds),
    ),
    extra(
        "uuid",
        name("UUID"),
        |s| uuid(s.uuid),
        |a, b| a.uuid.cmp(&b.uuid),
    ),
    extra(
        "dev-id",
        number("DEV ID"),
        |s| s.dev_id.to_string().into(),
        |a, b| a.dev_id.cmp(&b.dev_id),
    ),
    extra(
        "labels",
        name("LABELS"),
        |s| labels(&s.labels),
        |a, b| a.labels.cmp(&b.labels),
    ),
];

/// Of `backup list`: the URL is what is typed next.
pub(crate) static BACKUPS: &[Column<Backup>] = &[
    usual(
        "volume",
        name("VOLUME"),
        |b| text(&b.volume_name),
        |a, b| a.volume_name.cmp(&b.volume_name),
    ),
    usual(
        "snapshot",
        name("SNAPSHOT"),
        |b| text(&b.snapshot_name),
        |a, b| a.snapshot_name.cmp(&b.snapshot_name),
    ),
    usual(
        "created",
        name("CREATED (UTC)"),
        |b| {
            if b.created == Timestamp::UNIX_EPOCH {
                nothing()
            } else {
                time(b.created)
            }
        },
        |a, b| a.created.cmp(&b.created),
    ),
    usual(
        "size",
        number("SIZE"),
        |b| known(Some(b.volume_size).filter(|size| *size > 0)),
        |a, b| a.volume_size.cmp(&b.volume_size),
    ),
    extra(
        "changed",
        number("CHANGED"),
        |b| bytes(b.changed),
        |a, b| a.changed.cmp(&b.changed),
    ),
    extra(
        "read",
        number("READ"),
        |b| bytes(b.read),
        |a, b| a.read.cmp(&b.read),
    ),
    extra(
        "new",
        number("NEW"),
        |b| bytes(b.new),
        |a, b| a.new.cmp(&b.new),
    ),
    usual("format", name("FORMAT"), format, |a, b| {
        (&a.format, &a.problem).cmp(&(&b.format, &b.problem))
    }),
    usual(
        "stored",
        number("STORED"),
        |b| {
            if b.format.is_some() {
                nothing()
            } else {
                bytes(b.stored)
            }
        },
        |a, b| a.stored.cmp(&b.stored),
    ),
    extra(
        "name",
        name("BACKUP"),
        |b| text(&b.name),
        |a, b| a.name.cmp(&b.name),
    ),
    extra(
        "uuid",
        name("UUID"),
        |b| uuid(b.uuid),
        |a, b| a.uuid.cmp(&b.uuid),
    ),
    extra(
        "base",
        name("BASE"),
        |b| b.base.map_or_else(nothing, uuid),
        |a, b| a.base.cmp(&b.base),
    ),
    extra(
        "fs",
        name("FS"),
        |b| text(&b.filesystem),
        |a, b| a.filesystem.cmp(&b.filesystem),
    ),
    extra(
        "taken",
        name("TAKEN (UTC)"),
        |b| time(b.snapshot_created),
        |a, b| a.snapshot_created.cmp(&b.snapshot_created),
    ),
    extra(
        "host",
        name("HOST"),
        |b| uuid(b.host),
        |a, b| a.host.cmp(&b.host),
    ),
    extra(
        "labels",
        name("LABELS"),
        |b| labels(&b.labels),
        |a, b| a.labels.cmp(&b.labels),
    ),
    usual(
        "url",
        last("URL"),
        |b| text(&b.url),
        |a, b| a.url.cmp(&b.url),
    ),
];

/// Who made a backup, and whether what is said of it is in doubt.
fn format(backup: &Backup) -> Cell {
    let by = backup.format.as_deref().unwrap_or("convoy");
    match &backup.problem {
        None => text(by),
        Some(_) => Cell {
            text: format!("{by}!"),
            tone: Tone::Alarm,
        },
    }
}

fn text(text: &str) -> Cell {
    text.to_owned().into()
}

fn nothing() -> Cell {
    text("-")
}

fn bytes(bytes: u64) -> Cell {
    Bytes(bytes).to_string().into()
}

/// An amount of bytes that the pool may not have been able to tell.
fn known(amount: Option<u64>) -> Cell {
    amount.map_or_else(|| text("?"), bytes)
}

fn time(time: Timestamp) -> Cell {
    short(time).into()
}

fn uuid(uuid: Uuid) -> Cell {
    uuid.to_string().into()
}

fn labels(labels: &BTreeMap<String, String>) -> Cell {
    let pairs: Vec<String> = labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    if pairs.is_empty() {
        nothing()
    } else {
        pairs.join(",").into()
    }
}

fn state(volume: &Volume) -> Cell {
    let tone = match volume.state.as_str() {
        "ready" if volume.suspect.is_some() => Tone::Warning,
        "ready" => Tone::Plain,
        "broken" => Tone::Alarm,
        _ => Tone::Warning,
    };
    Cell {
        text: match &volume.suspect {
            Some(_) => format!("{}, to be checked", volume.state),
            None => volume.state.clone(),
        },
        tone,
    }
}

/// Where it is mounted, or why it cannot be.
fn whereabouts(volume: &Volume) -> Cell {
    let said = volume.mountpoint.as_ref().or(volume.problem.as_ref());
    said.map_or_else(nothing, |said| text(said))
}

fn last_snapshot(volume: &Volume) -> Option<Timestamp> {
    volume
        .snapshots
        .iter()
        .map(|snapshot| snapshot.created)
        .max()
}

/// How long writes waited.
pub(crate) fn held(microseconds: u64) -> String {
    format!("{}.{} ms", microseconds / 1000, microseconds % 1000 / 100)
}
