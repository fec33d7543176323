//! What the kernel says in text: status and table lines of pools and thin devices.

use crate::Target;
use convoy_thinpool::{
    Discards, Mode, NoSpace, PoolStatus, PoolTable, PoolUsage, TableLine, ThinStatus, ThinTable,
    Usage,
};
use convoy_units::Sectors;
use std::collections::BTreeSet;

/// A pool's status line.
pub const POOL: Target = Target {
    name: "pool-status",
    about: "the status line of a pool",
    run: pool,
    seeds: pool_seeds,
    words: &[
        "Fail",
        "Error",
        "rw",
        "ro",
        "out_of_data_space",
        "discard_passdown",
        "no_discard_passdown",
        "ignore_discard",
        "queue_if_no_space",
        "error_if_no_space",
        "needs_check",
        " - ",
    ],
    max_len: 300,
    weight: 1,
};

/// A thin device's status line.
pub const THIN: Target = Target {
    name: "thin-status",
    about: "the status line of a thin device",
    run: thin,
    seeds: thin_seeds,
    words: &["Fail", "Error", "-", "18446744073709551615"],
    max_len: 100,
    weight: 1,
};

/// Table lines of both targets.
pub const TABLE: Target = Target {
    name: "table",
    about: "table lines of pools and thin devices",
    run: table,
    seeds: table_seeds,
    words: &[
        "skip_block_zeroing",
        "error_if_no_space",
        "no_discard_passdown",
        "read_only",
        "253:1",
    ],
    max_len: 300,
    weight: 1,
};

/// What is read, written in the kernel's words and read again is the same.
pub fn pool(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match PoolStatus::parse(&text) {
        Ok(status) => {
            assert!(!status.to_string().is_empty());
            let fine = status
                .usage()
                .is_some_and(|usage| usage.mode != Mode::ReadOnly);
            assert!(!status.takes_messages() || fine);
            let line = pool_line(&status);
            says(text.trim(), &line, 9);
            assert_eq!(PoolStatus::parse(&line), Ok(status));
        }
        Err(error) => assert!(error.to_string().len() < 10_000),
    }
}

/// As the kernel prints it.
fn pool_line(status: &PoolStatus) -> String {
    let usage = match status {
        PoolStatus::Failed => return "Fail".to_owned(),
        PoolStatus::Error => return "Error".to_owned(),
        PoolStatus::Working(usage) => usage,
    };
    let PoolUsage {
        transaction_id,
        metadata,
        data,
        held_root,
        mode,
        discards,
        no_space,
        needs_check,
        metadata_low_water,
    } = usage;
    let blocks = |usage: &Usage| format!("{}/{}", usage.used, usage.total);
    let words = [
        transaction_id.0.to_string(),
        blocks(metadata),
        blocks(data),
        held_root.map_or_else(|| "-".to_owned(), |block| block.0.to_string()),
        match mode {
            Mode::Writable => "rw",
            Mode::OutOfDataSpace => "out_of_data_space",
            Mode::ReadOnly => "ro",
        }
        .to_owned(),
        match discards {
            Discards::PassedDown => "discard_passdown",
            Discards::NotPassedDown => "no_discard_passdown",
            Discards::Ignored => "ignore_discard",
        }
        .to_owned(),
        match no_space {
            NoSpace::Queue => "queue_if_no_space",
            NoSpace::Error => "error_if_no_space",
        }
        .to_owned(),
        if *needs_check { "needs_check" } else { "-" }.to_owned(),
        metadata_low_water.map_or_else(String::new, |blocks| blocks.to_string()),
    ];
    words.join(" ")
}

/// What is read, written in the kernel's words and read again is the same.
pub fn thin(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match ThinStatus::parse(&text) {
        Ok(status) => {
            let line = match status {
                ThinStatus::Failed => "Fail".to_owned(),
                ThinStatus::Error => "Error".to_owned(),
                ThinStatus::Working { mapped, highest } => {
                    let highest =
                        highest.map_or_else(|| "-".to_owned(), |sector| sector.0.to_string());
                    format!("{} {highest}", mapped.0)
                }
            };
            // A device that is not bound to its pool says "-", which is as good as "0 -".
            if text.trim() != "-" {
                says(text.trim(), &line, 2);
            }
            assert_eq!(ThinStatus::parse(&line), Ok(status));
        }
        Err(error) => assert!(error.to_string().len() < 10_000),
    }
}

/// What is read, made into a line and read again is the same.
///
/// The input is a line: its first byte gives the size, the rest the parameters.
pub fn table(data: &[u8]) {
    let Some((size, params)) = data.split_first() else {
        return;
    };
    let text = String::from_utf8_lossy(params);
    let line = |target: &str| TableLine {
        start: Sectors(0),
        len: Sectors(u64::from(*size) * 128),
        target: target.to_owned(),
        params: text.clone().into_owned(),
    };
    if let Ok(table) = PoolTable::parse(&line("thin-pool")) {
        let count = |features: &[String], name| features.iter().filter(|f| *f == name).count();
        assert_eq!(count(&table.other_features, "skip_block_zeroing"), 0);
        says(&text, &table.line().params, 4);
        let features = |params: &str| -> BTreeSet<String> {
            params
                .split_ascii_whitespace()
                .skip(5)
                .map(str::to_owned)
                .collect()
        };
        assert_eq!(features(&text), features(&table.line().params));
        assert_eq!(PoolTable::parse(&table.line()), Ok(table));
    }
    if let Ok(table) = ThinTable::parse(&line("thin")) {
        says(&text, &table.line().params, 3);
        assert_eq!(ThinTable::parse(&table.line()), Ok(table));
    }
}

/// The first `count` words of what was read are those of what was understood, as far as both go; numbers may have
/// been written in another way.
#[track_caller]
fn says(read: &str, understood: &str, count: usize) {
    let number = |part: &str| part.parse::<u64>().ok();
    let same = |a: &str, b: &str| a == b || number(a).is_some() && number(a) == number(b);
    let words = read
        .split_ascii_whitespace()
        .zip(understood.split_ascii_whitespace());
    for (a, b) in words.take(count) {
        let mut parts = a.split(['/', ':']).zip(b.split(['/', ':']));
        assert!(parts.all(|(a, b)| same(a, b)), "{a:?} was taken for {b:?}");
    }
}

fn bytes(lines: &[&str]) -> Vec<Vec<u8>> {
    lines.iter().map(|line| line.as_bytes().to_vec()).collect()
}

fn pool_seeds() -> Vec<Vec<u8>> {
    bytes(&[
        "6 114/1024 10/64 34 rw no_discard_passdown queue_if_no_space - 256 ",
        "0 1/2 3/4 - ro ignore_discard error_if_no_space needs_check 1",
        "0 1/2 4/4 - out_of_data_space discard_passdown queue_if_no_space - 1024 ",
        "0 1/2 3/4 - rw discard_passdown queue_if_no_space",
        "18446744073709551615 18446744073709551615/4161600 0/0 1 rw discard_passdown",
        "Fail",
        "Error",
        "0 1 3/4 - rw discard_passdown",
    ])
}

fn thin_seeds() -> Vec<Vec<u8>> {
    bytes(&[
        "0 - ",
        "4096 8191",
        "-",
        "Fail",
        "Error",
        "18446744073709551615 1",
    ])
}

fn table_seeds() -> Vec<Vec<u8>> {
    bytes(&[
        "@253:0 253:1 4096 32768 1 error_if_no_space ",
        "@7:0 7:1 128 0 3 skip_block_zeroing no_discard_passdown read_only ",
        "@7:0 7:1 128 0",
        "@7:0 7:1 128 0 2 skip_block_zeroing error_if_no_space ",
        "@253:2 1 ",
        "@253:2 16777215 253:9 ",
    ])
}
