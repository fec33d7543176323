//! The daemon in numbers: what it says of its work is what was answered and logged.

use crate::world::World;
use convoy_tests::daemon::Daemon;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

/// The page, sample by sample.
#[track_caller]
fn scrape(daemon: &Daemon) -> BTreeMap<String, String> {
    let mut stream = UnixStream::connect(daemon.socket()).unwrap();
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: convoy\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, page) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    let samples = page.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn number(of: &str) -> f64 {
    of.parse().unwrap()
}

/// Whole microseconds of seconds with six places.
fn micros(seconds: &str) -> u64 {
    let (whole, part) = seconds.split_once('.').unwrap();
    assert_eq!(part.len(), 6, "{seconds}");
    whole.parse::<u64>().unwrap() * 1_000_000 + part.parse::<u64>().unwrap()
}

#[test]
fn the_hold_is_the_same_in_the_answer_the_log_and_the_metrics() {
    let world = World::new("hold");
    let daemon = Daemon::start(&world.root(), &[]);
    daemon.ok(&["create", "v", "--size", "64M"]);
    let target = daemon.ok(&["mount", "v"]);
    let mut told = Vec::new();
    for n in 0..4 {
        std::fs::write(format!("{target}/file"), vec![n; 1 << 20]).unwrap();
        let label = format!("s{n}");
        let answer = daemon.json(&["--verbose", "snapshot", "create", "v", "--name", &label]);
        let inspected = daemon.json(&["snapshot", "inspect", &label]);
        assert_eq!(answer["HoldMicroseconds"], inspected["HoldMicroseconds"]);
        told.push(answer["HoldMicroseconds"].as_u64().unwrap());
    }
    let log = daemon.log();
    let logged = log.lines().filter(|line| line.contains("snapshot taken"));
    let logged: Vec<u64> = logged
        .map(|line| {
            let (_, rest) = line
                .split_once("hold_micros")
                .unwrap_or_else(|| panic!("{line}"));
            let digits = rest.trim_start_matches(|c: char| !c.is_ascii_digit());
            let end = digits
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(digits.len());
            digits[..end].parse().unwrap()
        })
        .collect();
    assert_eq!(logged, told, "the log, and the answers");
    let page = scrape(&daemon);
    assert_eq!(page["convoy_suspend_seconds_count"], "4");
    assert_eq!(page["convoy_suspend_seconds_bucket{le=\"+Inf\"}"], "4");
    let sum: u64 = told.iter().sum();
    // The answer has whole microseconds of each.
    let counted = micros(&page["convoy_suspend_seconds_sum"]);
    assert!((sum..=sum + 4).contains(&counted), "{counted} for {told:?}");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_page_tells_of_pool_volumes_backups_and_verbs() {
    let world = World::new("page");
    let mut daemon = Daemon::start(&world.root(), &[]);
    daemon.ok(&["create", "data", "--size", "64M"]);
    daemon.ok(&["create", "idle", "--size", "64M"]);
    daemon.ok(&["snapshot", "create", "data", "--name", "s"]);
    let made = daemon.back_up("s", &world.dest());
    daemon.fails(&["snapshot", "create", "nobody"], 10, "nobody");
    let page = scrape(&daemon);
    let stored = made["Summary"]["StoredBytes"].to_string();
    for (name, value) in [
        ("convoy_pool_up", "1"),
        ("convoy_pool_mode{pool=\"convoy-pool\",mode=\"rw\"}", "1"),
        ("convoy_pool_mode{pool=\"convoy-pool\",mode=\"ro\"}", "0"),
        ("convoy_pool_needs_check{pool=\"convoy-pool\"}", "0"),
        ("convoy_volume_virtual_bytes{volume=\"data\"}", "67108864"),
        ("convoy_snapshots{volume=\"data\"}", "1"),
        ("convoy_snapshots{volume=\"idle\"}", "0"),
        (
            "convoy_backup_bytes_total{kind=\"stored\"}",
            stored.as_str(),
        ),
        (
            "convoy_operations_total{verb=\"volume create\",outcome=\"done\"}",
            "2",
        ),
        (
            "convoy_operations_total{verb=\"snapshot create\",outcome=\"E_NOT_FOUND\"}",
            "1",
        ),
        (
            "convoy_operation_duration_seconds_count{verb=\"snapshot create\"}",
            "2",
        ),
        ("convoy_operations_running", "0"),
    ] {
        let found = page.get(name).map(String::as_str);
        assert_eq!(found, Some(value), "{name} in {page:#?}");
    }
    let used = &page["convoy_pool_data_bytes{pool=\"convoy-pool\",state=\"used\"}"];
    let total = &page["convoy_pool_data_bytes{pool=\"convoy-pool\",state=\"total\"}"];
    let (used, total) = (number(used), number(total));
    assert!(0.0 < used && used < total, "{used} of {total}");
    let last = "convoy_backup_last_success_timestamp_seconds{volume=\"data\"}";
    assert!(number(&page[last]) > 1.7e9);
    assert!(!page.contains_key("convoy_backup_last_success_timestamp_seconds{volume=\"idle\"}"));
    // Counters begin anew, and when the last backup was made is known still.
    assert_eq!(daemon.stop(), Some(0));
    daemon = Daemon::start(&world.root(), &[]);
    let again = scrape(&daemon);
    assert_eq!(again[last], page[last]);
    assert_eq!(again["convoy_backup_bytes_total{kind=\"stored\"}"], "0");
    assert_eq!(again["convoy_suspend_seconds_count"], "0");
    assert_eq!(daemon.stop(), Some(0));
}
