//! The page as a whole, and that its documentation has every family of it.

use super::*;
use std::collections::BTreeSet;

const DOCUMENT: &str = include_str!("../../../../docs/metrics.md");

fn figures() -> Figures {
    let time = |seconds| Some(Timestamp::from_second(seconds).unwrap());
    let volume = VolumeFigures {
        size: convoy_units::Bytes::gib(100),
        mounted: true,
        snapshots: 2,
        newest_snapshot: time(1_795_000_000),
        newest_backup: time(1_795_000_060),
    };
    let bare = VolumeFigures {
        mounted: false,
        snapshots: 0,
        newest_snapshot: None,
        newest_backup: None,
        ..volume
    };
    let up_to = [(1, 0), (2, 1), (5, 3)];
    let up_to = up_to.map(|(ms, count)| (Duration::from_millis(ms), count));
    Figures {
        pool: None,
        volumes: [("bare", bare), ("data", volume)]
            .map(|(name, figures)| (name.parse().unwrap(), figures))
            .into(),
        holds: Holds {
            up_to: up_to.to_vec(),
            count: 4,
            sum: Duration::from_micros(12_345),
        },
        backups: BackupTotals {
            read: convoy_units::Bytes(7),
            new: convoy_units::Bytes(6),
            stored: convoy_units::Bytes(5),
            requests: 4,
        },
        trimmed: convoy_units::Bytes(3),
    }
}

fn served() -> Served {
    let ended = |count, millis| Ended {
        count,
        took: Duration::from_millis(millis),
    };
    Served {
        ended: [
            (("snapshot create", "done"), ended(3, 30)),
            (("snapshot create", "E_BUSY"), ended(1, 2)),
            (("volume list", "done"), ended(9, 9)),
        ]
        .into(),
        running: 1,
    }
}

#[test]
fn the_page_says_what_there_is() {
    let page = page(&figures(), &served());
    for line in [
        "convoy_pool_up 0",
        "convoy_volume_virtual_bytes{volume=\"data\"} 107374182400",
        "convoy_volume_mounted{volume=\"bare\"} 0",
        "convoy_snapshots{volume=\"data\"} 2",
        "convoy_backup_last_success_timestamp_seconds{volume=\"data\"} 1795000060",
        "convoy_suspend_seconds_bucket{le=\"0.001\"} 0",
        "convoy_suspend_seconds_bucket{le=\"0.005\"} 3",
        "convoy_suspend_seconds_bucket{le=\"+Inf\"} 4",
        "convoy_suspend_seconds_sum 0.012345",
        "convoy_suspend_seconds_count 4",
        "convoy_backup_bytes_total{kind=\"stored\"} 5",
        "convoy_backup_requests_total 4",
        "convoy_operations_total{verb=\"snapshot create\",outcome=\"E_BUSY\"} 1",
        "convoy_operation_duration_seconds_sum{verb=\"snapshot create\"} 0.032000",
        "convoy_operation_duration_seconds_count{verb=\"snapshot create\"} 4",
        "convoy_operations_running 1",
    ] {
        assert!(page.lines().any(|l| l == line), "no {line:?} in\n{page}");
    }
    let of_none = "convoy_backup_last_success_timestamp_seconds{volume=\"bare\"}";
    assert!(!page.contains(of_none), "never is not the year 1970");
    assert!(
        !page.contains("convoy_pool_mode{"),
        "nothing is told of a silent pool"
    );
}

/// What every line of the format must be, for a reader who has only its grammar.
#[test]
fn every_line_is_of_the_family_above_it() {
    let page = page(&figures(), &served());
    let mut family = "";
    let mut families = BTreeSet::new();
    for line in page.lines() {
        if let Some(begun) = line.strip_prefix("# HELP ") {
            family = begun.split(' ').next().unwrap();
            assert!(families.insert(family), "{family} comes twice");
            continue;
        }
        if let Some(typed) = line.strip_prefix("# TYPE ") {
            assert!(typed.starts_with(&format!("{family} ")), "{line}");
            continue;
        }
        let (name, value) = line.rsplit_once(' ').unwrap();
        value.parse::<f64>().unwrap();
        let name = name.split('{').next().unwrap();
        let rest = name
            .strip_prefix(family)
            .unwrap_or_else(|| panic!("{line} under {family}"));
        assert!(["", "_bucket", "_sum", "_count"].contains(&rest), "{line}");
    }
}

#[test]
fn the_document_has_every_family_and_no_other() {
    let sources = [include_str!("../metrics.rs")];
    let in_source: BTreeSet<&str> = sources
        .iter()
        .flat_map(|text| text.split('"'))
        .filter(|word| word.starts_with("convoy_") && !word.contains(' '))
        .collect();
    let in_document: BTreeSet<&str> = DOCUMENT
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| line.split(['`', '{']).next())
        .filter(|word| word.starts_with("convoy_"))
        .collect();
    assert!(in_source.len() > 15);
    assert_eq!(in_source, in_document);
}
