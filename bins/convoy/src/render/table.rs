//! Tables for terminals: one line a thing, the name first.

use super::time::short;
use crate::safe;
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use convoy_api::{Backup, Info, Snapshot, Volume};
use convoy_units::Bytes;
use serde_json::Value;

/// A column: its heading, how it is set, and what becomes of it where lines are too short.
struct Column {
    heading: &'static str,
    number: bool,
    fate: Fate,
}

/// Nothing a person may want to copy is ever broken in two or cut off.
#[derive(PartialEq, Eq)]
enum Fate {
    Stays,
    /// Left out, the rightmost one first.
    LeftOut,
    /// Gets the next line for itself, `-` apart. Only the last column.
    NextLine,
}

const fn name(heading: &'static str) -> Column {
    Column {
        heading,
        number: false,
        fate: Fate::Stays,
    }
}

const fn number(heading: &'static str) -> Column {
    Column {
        heading,
        number: true,
        fate: Fate::Stays,
    }
}

const fn optional(heading: &'static str) -> Column {
    Column {
        heading,
        number: false,
        fate: Fate::LeftOut,
    }
}

const fn last(heading: &'static str) -> Column {
    Column {
        heading,
        number: false,
        fate: Fate::NextLine,
    }
}

/// As much of it as fits: all; else the last column below each row; else without the optional columns.
fn fitted(mut columns: Vec<Column>, mut rows: Vec<Vec<String>>, width: u16) -> String {
    let mut below: Vec<String> = Vec::new();
    loop {
        let lines = lines_of(&columns, &rows);
        if lines
            .iter()
            .all(|line| line.chars().count() <= usize::from(width))
        {
            return interleaved(lines, &below);
        }
        let Some(index) = columns
            .iter()
            .rposition(|column| column.fate != Fate::Stays)
        else {
            // A terminal too narrow for names breaks lines itself, which keeps them whole to a mouse.
            return interleaved(lines, &below);
        };
        let column = columns.remove(index);
        let cells = rows.iter_mut().map(|row| row.remove(index)).collect();
        if column.fate == Fate::NextLine {
            below = cells;
        }
    }
}

fn lines_of(columns: &[Column], rows: &[Vec<String>]) -> Vec<String> {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.iter().map(|column| column.heading));
    for row in rows {
        table.add_row(row.iter().map(|cell| safe::line(cell)));
    }
    for (index, column) in columns.iter().enumerate() {
        if let Some(layout) = table.column_mut(index) {
            layout.set_padding((0, 2));
            if column.number {
                layout.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect()
}

/// The heading, then each row and what stands below it.
fn interleaved(lines: Vec<String>, below: &[String]) -> String {
    let mut text = String::new();
    for (index, line) in lines.into_iter().enumerate() {
        text.extend([line.as_str(), "\n"]);
        let under = index.checked_sub(1).and_then(|row| below.get(row));
        if let Some(under) = under.filter(|under| *under != "-") {
            text.extend(["  ", &safe::line(under), "\n"]);
        }
    }
    text
}

/// `list`.
pub(crate) fn volume_table(volumes: &[Volume], width: u16) -> String {
    let columns = vec![
        name("VOLUME"),
        number("SIZE"),
        number("USED"),
        optional("FS"),
        number("SNAPS"),
        name("STATE"),
        optional("CREATED (UTC)"),
        last("MOUNTED"),
    ];
    let row = |volume: &Volume| {
        vec![
            volume.name.clone(),
            Bytes(volume.size).to_string(),
            known(volume.mapped),
            volume.filesystem.clone(),
            volume.snapshots.len().to_string(),
            volume.state.clone(),
            short(volume.created),
            whereabouts(volume),
        ]
    };
    fitted(columns, volumes.iter().map(row).collect(), width)
}

/// Where it is mounted, or why it cannot be.
fn whereabouts(volume: &Volume) -> String {
    let said = volume.mountpoint.as_ref().or(volume.problem.as_ref());
    said.cloned().unwrap_or_else(|| "-".to_owned())
}

/// `snapshot list`.
pub(crate) fn snapshot_table(snapshots: &[Snapshot], width: u16) -> String {
    let columns = vec![
        name("SNAPSHOT"),
        name("VOLUME"),
        number("SIZE"),
        number("MAPPED"),
        number("EXCLUSIVE"),
        optional("TAKEN (UTC)"),
        Column {
            heading: "HELD",
            number: true,
            fate: Fate::LeftOut,
        },
    ];
    let row = |snapshot: &Snapshot| {
        vec![
            snapshot.name.clone(),
            snapshot.volume_name.clone(),
            Bytes(snapshot.size).to_string(),
            known(snapshot.referenced),
            known(snapshot.exclusive),
            short(snapshot.created),
            snapshot
                .hold_microseconds
                .map_or_else(|| "-".to_owned(), held),
        ]
    };
    fitted(columns, snapshots.iter().map(row).collect(), width)
}

/// An amount of bytes that the pool may not have been able to tell.
fn known(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "?".to_owned(), |bytes| Bytes(bytes).to_string())
}

/// How long writes waited.
pub(crate) fn held(microseconds: u64) -> String {
    format!("{}.{} ms", microseconds / 1000, microseconds % 1000 / 100)
}

/// `backup list`: the URL is what is typed next.
pub(crate) fn backup_table(backups: &[Backup], width: u16) -> String {
    let columns = vec![
        name("VOLUME"),
        name("SNAPSHOT"),
        name("CREATED (UTC)"),
        number("SIZE"),
        number("STORED"),
        last("URL"),
    ];
    let row = |backup: &Backup| {
        vec![
            backup.volume_name.clone(),
            backup.snapshot_name.clone(),
            short(backup.created),
            Bytes(backup.volume_size).to_string(),
            Bytes(backup.stored).to_string(),
            backup.url.clone(),
        ]
    };
    fitted(columns, backups.iter().map(row).collect(), width)
}

/// `info --output table`: the pool with both its fills.
pub(crate) fn info_table(info: &Info, width: u16) -> String {
    let pool = &info.pool;
    let columns = vec![
        name("POOL"),
        name("STATE"),
        name("DATA"),
        name("METADATA"),
        last("DEVICES"),
    ];
    let state = if pool.needs_check {
        format!("{}, needs check", pool.mode)
    } else {
        pool.mode.clone()
    };
    let devices = if pool.loop_backed {
        "loop (not for production)".to_owned()
    } else {
        format!("{}, {}", pool.data_device, pool.metadata_device)
    };
    let row = vec![
        pool.name.clone(),
        state,
        fill(pool.data_used, pool.data_total),
        fill(pool.metadata_used, pool.metadata_total),
        devices,
    ];
    let mut text = fitted(columns, vec![row], width);
    for destination in &info.destinations {
        let name = destination.name.as_deref().unwrap_or("-");
        text.extend([
            "destination ",
            &safe::line(name),
            ": ",
            &safe::line(&destination.url),
            "\n",
        ]);
    }
    for line in &info.recovered {
        text.extend(["recovered: ", &safe::line(line), "\n"]);
    }
    text
}

/// Rounded up: a pool with its last block taken by a hair is 100 % full, one with a single block is 1 %.
fn fill(used: u64, total: u64) -> String {
    let amounts = format!("{} of {}", Bytes(used), Bytes(total));
    if total == 0 {
        return amounts;
    }
    let percent = (u128::from(used) * 100).div_ceil(u128::from(total));
    format!("{percent}% {amounts}")
}

/// An object as lines of key and value: `--output table` of what is one thing. Objects inside it are
/// indented, empty values left out.
pub(crate) fn details(value: &Value) -> String {
    let mut text = String::new();
    lines(value, 0, &mut text);
    text
}

fn lines(value: &Value, depth: usize, text: &mut String) {
    let Value::Object(map) = value else { return };
    let width = map
        .keys()
        .map(|key| key.chars().count())
        .max()
        .unwrap_or_default();
    for (key, value) in map {
        let indent = "  ".repeat(depth);
        let key = safe::line(key);
        match value {
            Value::Null => {}
            Value::Object(inner) if inner.is_empty() => {}
            Value::Array(items) if items.is_empty() => {}
            Value::String(empty) if empty.is_empty() => {}
            Value::Object(_) => {
                text.extend([indent.as_str(), &key, "\n"]);
                lines(value, depth + 1, text);
            }
            Value::String(line) => {
                text.extend([indent, format!("{key:width$}  {}\n", safe::line(line))]);
            }
            other => text.extend([
                indent,
                format!("{key:width$}  {}\n", safe::line(&other.to_string())),
            ]),
        }
    }
}
