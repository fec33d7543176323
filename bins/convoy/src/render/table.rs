//! The daemon and its pool in a few lines, and one thing as lines of key and value.

use super::fitted::{Cell, Tone, fitted, last, name};
use crate::safe;
use convoy_api::Info;
use convoy_units::Bytes;
use serde_json::Value;

/// From these fills on, in percent of data or of metadata, a pool is worth a look, or work.
const WARNING: u128 = 75;
const ALARM: u128 = 90;

/// `pool status` for people: both fills, how much is promised, what wants attention.
pub(crate) fn pool_table(info: &Info, width: u16, painted: bool) -> String {
    let pool = &info.pool;
    let mut text = pool_rows(pool, width, painted);
    let percent = (u128::from(pool.provisioned) * 100).div_ceil(u128::from(pool.data_total).max(1));
    let promised = Bytes(pool.provisioned);
    let line =
        format!("volumes may come to hold {promised} together: {percent} % of the data space\n");
    text.push_str(&line);
    for line in &pool.alerts {
        text.extend(["alert: ", &safe::line(line), "\n"]);
    }
    text
}

fn pool_rows(pool: &convoy_api::Pool, width: u16, painted: bool) -> String {
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
    let healthy = pool.mode == "rw" && !pool.needs_check;
    let tone = if healthy { Tone::Plain } else { Tone::Alarm };
    let row = vec![
        pool.name.clone().into(),
        Cell { text: state, tone },
        fill(pool.data_used, pool.data_total),
        fill(pool.metadata_used, pool.metadata_total),
        devices.into(),
    ];
    fitted(columns, vec![row], width, painted)
}

/// `info --output table`: the pool with both its fills.
pub(crate) fn info_table(info: &Info, width: u16, painted: bool) -> String {
    let pool = &info.pool;
    let mut text = pool_rows(pool, width, painted);
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
    if let Some(why) = &info.read_only {
        text.extend(["read-only: ", &safe::line(why), "; run convoy doctor\n"]);
    }
    for line in &pool.alerts {
        text.extend(["alert: ", &safe::line(line), "\n"]);
    }
    for line in &info.recovered {
        text.extend(["recovered: ", &safe::line(line), "\n"]);
    }
    text
}

/// Rounded up: a pool with its last block taken by a hair is 100 % full, one with a single block is 1 %.
fn fill(used: u64, total: u64) -> Cell {
    let amounts = format!("{} of {}", Bytes(used), Bytes(total));
    if total == 0 {
        return amounts.into();
    }
    let percent = (u128::from(used) * 100).div_ceil(u128::from(total));
    let tone = match percent {
        ALARM.. => Tone::Alarm,
        WARNING.. => Tone::Warning,
        _ => Tone::Plain,
    };
    Cell {
        text: format!("{percent}% {amounts}"),
        tone,
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
