//! Tables for terminals: one line a thing, the name first.

use super::time::short;
use crate::safe;
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use convoy_api::{Backup, Info, Snapshot, Volume};
use convoy_units::Bytes;
use serde_json::Value;

/// A column's heading, and whether it holds numbers.
type Column = (&'static str, bool);

fn table(columns: &[Column], rows: Vec<Vec<String>>, width: Option<u16>) -> Vec<String> {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_header(columns.iter().map(|(heading, _)| *heading));
    for row in rows {
        table.add_row(row.into_iter().map(|cell| safe::line(&cell)));
    }
    for (index, (_, number)) in columns.iter().enumerate() {
        if let Some(column) = table.column_mut(index) {
            column.set_padding((0, 2));
            if *number {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    if let Some(width) = width {
        table
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(width);
    }
    table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect()
}

fn text(lines: &[String]) -> String {
    lines
        .iter()
        .flat_map(|line| [line.as_str(), "\n"])
        .collect()
}

/// `list`.
pub(crate) fn volume_table(volumes: &[Volume], width: u16) -> String {
    let columns = [
        ("VOLUME", false),
        ("SIZE", true),
        ("USED", true),
        ("FS", false),
        ("SNAPS", true),
        ("STATE", false),
        ("CREATED (UTC)", false),
        ("MOUNTED", false),
    ];
    let row = |volume: &Volume| {
        vec![
            volume.name.clone(),
            Bytes(volume.size).to_string(),
            volume
                .mapped
                .map_or_else(|| "?".to_owned(), |mapped| Bytes(mapped).to_string()),
            volume.filesystem.clone(),
            volume.snapshots.len().to_string(),
            volume.state.clone(),
            short(volume.created),
            volume.mountpoint.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    };
    text(&table(
        &columns,
        volumes.iter().map(row).collect(),
        Some(width),
    ))
}

/// `snapshot list`.
pub(crate) fn snapshot_table(snapshots: &[Snapshot], width: u16) -> String {
    let columns = [
        ("SNAPSHOT", false),
        ("VOLUME", false),
        ("SIZE", true),
        ("TAKEN (UTC)", false),
        ("HELD", true),
    ];
    let row = |snapshot: &Snapshot| {
        vec![
            snapshot.name.clone(),
            snapshot.volume_name.clone(),
            Bytes(snapshot.size).to_string(),
            short(snapshot.created),
            snapshot
                .hold_microseconds
                .map_or_else(|| "-".to_owned(), held),
        ]
    };
    text(&table(
        &columns,
        snapshots.iter().map(row).collect(),
        Some(width),
    ))
}

/// How long writes waited.
pub(crate) fn held(microseconds: u64) -> String {
    format!("{}.{} ms", microseconds / 1000, microseconds % 1000 / 100)
}

/// `backup list`: the URL is what is typed next, so it is never broken; where a line has no room for it,
/// it gets the next one.
pub(crate) fn backup_table(backups: &[Backup], width: u16) -> String {
    let columns = [
        ("VOLUME", false),
        ("SNAPSHOT", false),
        ("CREATED (UTC)", false),
        ("SIZE", true),
        ("STORED", true),
        ("URL", false),
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
    let rows: Vec<_> = backups.iter().map(row).collect();
    let wide = table(&columns, rows.clone(), None);
    if wide
        .iter()
        .all(|line| line.chars().count() <= usize::from(width))
    {
        return text(&wide);
    }
    let urls: Vec<String> = rows.iter().filter_map(|row| row.last().cloned()).collect();
    let narrow: Vec<_> = rows
        .into_iter()
        .map(|mut row| {
            row.pop();
            row
        })
        .collect();
    let (_, columns) = columns.split_last().expect("there are six columns");
    let mut lines = table(columns, narrow, None).into_iter();
    let mut text: String = lines
        .next()
        .into_iter()
        .flat_map(|line| [line, "\n".to_owned()])
        .collect();
    for (line, url) in lines.zip(urls) {
        text.extend([line.as_str(), "\n  ", &safe::line(&url), "\n"]);
    }
    text
}

/// `info --output table`: the pool with both its fills.
pub(crate) fn info_table(info: &Info, width: u16) -> String {
    let pool = &info.pool;
    let columns = [
        ("POOL", false),
        ("STATE", false),
        ("DATA", true),
        ("", false),
        ("METADATA", true),
        ("", false),
        ("BLOCK", true),
        ("KIND", false),
    ];
    let state = if pool.needs_check {
        format!("{}, needs check", pool.mode)
    } else {
        pool.mode.clone()
    };
    let row = vec![
        pool.name.clone(),
        state,
        percent(pool.data_used, pool.data_total),
        format!("{} / {}", Bytes(pool.data_used), Bytes(pool.data_total)),
        percent(pool.metadata_used, pool.metadata_total),
        format!(
            "{} / {}",
            Bytes(pool.metadata_used),
            Bytes(pool.metadata_total)
        ),
        Bytes(pool.block_size).to_string(),
        if pool.loop_backed {
            "loop (not for production)"
        } else {
            "devices"
        }
        .to_owned(),
    ];
    let mut text = text(&table(&columns, vec![row], Some(width)));
    for line in &info.recovered {
        text.extend(["recovered: ", &safe::line(line), "\n"]);
    }
    text
}

fn percent(part: u64, whole: u64) -> String {
    match (u128::from(part) * 100).checked_div(u128::from(whole)) {
        Some(percent) => format!("{percent}%"),
        None => "?".to_owned(),
    }
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
