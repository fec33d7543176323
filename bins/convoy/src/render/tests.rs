//! Golden screens: every shape of answer, as an object and as tables of 80 and 160 columns.

use super::*;
use crate::args::Layout;
use crate::failure::Failure;
use convoy_api::{
    Answer, Backup, BackupProblem, Backups, CreatedBackup, CreatedSnapshot, CreatedVolume,
    Destination, Info, Pool, Snapshot, Snapshots, Summary, Verification, Volume, Volumes,
};
use convoy_fault::Kind;
use std::collections::BTreeMap;
use uuid::Uuid;

pub(crate) const ID: Uuid = Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0001);

/// Compares with `tests/golden/NAME`; `BLESS=1 cargo test` writes it anew, for a person to look at.
#[track_caller]
pub(crate) fn golden(name: &str, text: &str) {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    assert_eq!(
        text,
        std::fs::read_to_string(&path).unwrap_or_default(),
        "{path}"
    );
}

pub(crate) fn info_answer() -> Info {
    let pool = Pool {
        uuid: ID,
        name: "convoy-pool".into(),
        driver: "devicemapper".into(),
        data_device: "/var/lib/convoy/data".into(),
        metadata_device: "/var/lib/convoy/metadata".into(),
        loop_backed: true,
        block_size: 2 << 20,
        default_volume_size: 100 << 30,
        filesystem: "ext4".into(),
        mode: "rw".into(),
        needs_check: false,
        transaction: 4,
        data_used: 700 << 20,
        data_total: 100 << 30,
        metadata_used: 1 << 20,
        metadata_total: 40 << 20,
        no_space: Some("queue".into()),
        provisioned: 300 << 30,
        metadata_reserve: 16 << 20,
        alerts: vec!["80 % of the data are in use".into()],
        events: vec![convoy_api::PoolEvent {
            at: "2026-11-22T11:00:00Z".parse().unwrap(),
            severity: "warning".into(),
            what: "pool convoy-pool: 80 % of its data are in use (80 of 100 blocks)".into(),
        }],
    };
    Info {
        version: "0.1.0".into(),
        root: "/var/lib/convoy".into(),
        drivers: vec!["devicemapper".into()],
        host: ID,
        pool,
        destinations: vec![Destination {
            name: Some("nas".into()),
            url: "vfs:///mnt/nas".into(),
            repository: Uuid::from_u128(9),
        }],
        recovered: vec!["undid the creation of volume web".into()],
        read_only: None,
    }
}

pub(crate) fn snapshot_of(volume: &str, name: &str) -> Snapshot {
    Snapshot {
        uuid: ID,
        name: name.into(),
        driver: "devicemapper".into(),
        volume: ID,
        volume_name: volume.into(),
        volume_created: "2026-11-22T08:04:40Z".parse().unwrap(),
        dev_id: 2,
        size: 10 << 30,
        created: "2026-11-22T09:00:00Z".parse().unwrap(),
        hold_microseconds: Some(2300),
        referenced: Some(45 << 20),
        exclusive: Some(1 << 20),
        labels: BTreeMap::new(),
    }
}

pub(crate) fn volume_named(name: &str) -> Volume {
    Volume {
        uuid: ID,
        name: name.into(),
        driver: "devicemapper".into(),
        pool: ID,
        dev_id: 1,
        device: format!("/dev/mapper/convoy-pool-{ID}"),
        size: 10 << 30,
        mapped: Some(44 << 20),
        filesystem: "ext4".into(),
        mountpoint: Some(format!("/var/lib/convoy/mounts/{ID}")),
        mount_options: Vec::new(),
        state: "ready".into(),
        problem: None,
        suspect: None,
        created: "2026-11-22T08:04:40Z".parse().unwrap(),
        labels: [("tier".to_owned(), "gold".to_owned())].into(),
        restored_from: None,
        snapshots: vec![snapshot_of(name, "s2"), snapshot_of(name, "s1")],
    }
}

pub(crate) fn volumes_answer() -> Volumes {
    let mut broken = volume_named("a-rather-long-name-of-a-volume-in-production");
    broken.mapped = None;
    broken.mountpoint = None;
    broken.state = "broken".into();
    broken.problem = Some("its device is gone".into());
    broken.snapshots.clear();
    Volumes {
        volumes: vec![volume_named("data"), broken],
    }
}

pub(crate) fn backup_of(volume: &str) -> Backup {
    Backup {
        uuid: ID,
        name: "backup-0123456789abcdef".into(),
        url: format!("vfs:///mnt/backups?backup=backup-0123456789abcdef&volume={volume}"),
        driver: "devicemapper".into(),
        created: "2026-11-22T10:00:00Z".parse().unwrap(),
        snapshot: ID,
        snapshot_name: "s1".into(),
        snapshot_created: "2026-11-22T09:00:00Z".parse().unwrap(),
        volume: ID,
        volume_name: volume.into(),
        volume_created: "2026-11-22T08:04:40Z".parse().unwrap(),
        volume_size: 10 << 30,
        filesystem: "ext4".into(),
        base: None,
        host: ID,
        operation: ID,
        changed: 600 << 20,
        read: 600 << 20,
        new: 300 << 20,
        stored: 123 << 20,
        labels: [("tier".to_owned(), "gold".to_owned())].into(),
        format: None,
        problem: None,
    }
}

/// One that the original made, and whose volume's text is lost.
fn backup_of_original() -> Backup {
    Backup {
        uuid: Uuid::nil(),
        snapshot: Uuid::nil(),
        volume: Uuid::nil(),
        host: Uuid::nil(),
        operation: Uuid::nil(),
        volume_created: jiff::Timestamp::UNIX_EPOCH,
        volume_size: 0,
        filesystem: String::new(),
        changed: 0,
        read: 0,
        new: 0,
        stored: 0,
        labels: BTreeMap::new(),
        format: Some("original".into()),
        problem: Some("volumes/ol/d!/old!/volume.cfg is damaged: it is empty".into()),
        ..backup_of("old")
    }
}

pub(crate) fn summary_of() -> Summary {
    Summary {
        changed: 600 << 20,
        read: 600 << 20,
        new: 300 << 20,
        stored: 123 << 20,
        requests: 12,
        duration_milliseconds: 3312,
    }
}

pub(crate) fn verification_of(bad: bool) -> Verification {
    let problem = BackupProblem {
        object: "packs/ab/ab\u{1b}[2J".into(),
        begin: Some(0),
        end: Some(262_144),
        what: "its checksum differs".into(),
    };
    Verification {
        backup: backup_of("data"),
        chunks: 2400,
        bytes: 600 << 20,
        problems: if bad { vec![problem] } else { vec![] },
        more_problems: if bad { 3 } else { 0 },
    }
}

pub(crate) fn answer<T>(result: T) -> Answer<T> {
    Answer {
        operation: ID,
        result,
    }
}

#[test]
fn objects_have_the_originals_keys_in_its_order() {
    golden("info.json", &document(&info(&info_answer())));
    golden("volume.json", &document(&volume(&volume_named("data"))));
    golden("volumes.json", &document(&volumes(&volumes_answer())));
    golden(
        "volumes_driver.json",
        &document(&volumes_driver(&volumes_answer())),
    );
    golden(
        "snapshot.json",
        &document(&snapshot(&snapshot_of("data", "s1"))),
    );
    let list = Snapshots {
        snapshots: vec![snapshot_of("data", "s2"), snapshot_of("data", "s1")],
    };
    golden("snapshots.json", &document(&snapshots(&list)));
    golden("backup.json", &document(&backup(&backup_of("data"))));
    golden(
        "backup_of_original.json",
        &document(&backup(&backup_of_original())),
    );
    golden(
        "backups.json",
        &document(&backups(&Backups {
            backups: vec![backup_of("data")],
        })),
    );
    assert_eq!(document(&volumes(&Volumes::default())), "{}\n");
    assert_eq!(document(&backups(&Backups::default())), "{}\n");
}

#[test]
fn verbs_have_objects_too() {
    let created = answer(CreatedVolume {
        unchanged: false,
        volume: volume_named("data"),
    });
    golden("created_volume.json", &document(&created_volume(&created)));
    golden(
        "mounted.json",
        &document(&mounted(&answer(volume_named("data")))),
    );
    let created = answer(CreatedSnapshot {
        unchanged: true,
        snapshot: snapshot_of("data", "s1"),
    });
    golden(
        "created_snapshot.json",
        &document(&created_snapshot(&created)),
    );
    let created = answer(CreatedBackup {
        backup: backup_of("data"),
        summary: summary_of(),
    });
    golden("created_backup.json", &document(&created_backup(&created)));
    golden(
        "verification.json",
        &document(&verification(&answer(verification_of(true)))),
    );
    golden("done.json", &document(&done("Name", "data", ID)));
    let failure = Failure::new(Kind::Busy, "volume web is mounted", "unmount it first");
    golden(
        "deleted.json",
        &document(&deleted(&["data".into()], &[("web".into(), failure)])),
    );
}

#[test]
fn tables_fit_their_terminal_and_break_nothing() {
    for width in [80, 160] {
        golden(
            &format!("volumes.{width}.txt"),
            &table(VOLUMES, &volumes_answer().volumes, width),
        );
        let list = [
            snapshot_of("data", "nightly-1"),
            snapshot_of("a-rather-long-name-of-a-volume-in-production", "s1"),
        ];
        golden(
            &format!("snapshots.{width}.txt"),
            &table(SNAPSHOTS, &list, width),
        );
        let list = [
            backup_of("data"),
            backup_of("a-rather-long-name-of-a-volume-in-production"),
            backup_of_original(),
        ];
        golden(
            &format!("backups.{width}.txt"),
            &table(BACKUPS, &list, width),
        );
        golden(
            &format!("info.{width}.txt"),
            &info_table(&info_answer(), width, false),
        );
    }
    golden("details.txt", &details(&volume(&volume_named("data"))));
    let long = "v".repeat(128);
    let table = table(VOLUMES, &[volume_named(&long)], 40);
    assert!(table.contains(&long), "{table}");
}

/// A table as nobody chose it.
fn table<T>(all: &'static [Column<T>], rows: &[T], width: u16) -> String {
    let usual = Chosen::of(all, &Layout::default());
    usual.unwrap().table(rows, width, false)
}

fn chosen(columns: Option<&str>, sort: Option<&str>) -> Result<Chosen<Volume>, Failure> {
    let layout = Layout {
        columns: columns.map(str::to_owned),
        sort: sort.map(str::to_owned),
    };
    Chosen::of(VOLUMES, &layout)
}

#[test]
fn columns_are_chosen_and_rows_sorted() {
    let mut volumes = volumes_answer().volumes;
    volumes.push(Volume {
        size: 1 << 40,
        created: "2026-11-20T08:04:40Z".parse().unwrap(),
        ..volume_named("archive")
    });
    let mut text = String::new();
    for (columns, sort) in [
        (Some("name,size"), Some("-size")),
        (Some("name,created,last-snapshot"), Some("created")),
        (Some("size, name"), None),
        (Some("name,used,state"), Some("used")),
        (Some("+uuid,labels"), Some("name")),
        (Some("all"), Some("-name")),
        (None, Some("-state")),
    ] {
        let shown = chosen(columns, sort).unwrap().table(&volumes, 160, false);
        let (columns, sort) = (columns.unwrap_or("-"), sort.unwrap_or("-"));
        text.extend(["columns ", columns, ", sort ", sort, "\n", &shown, "\n"]);
    }
    golden("columns.txt", &text);
}

#[test]
fn a_column_that_is_none_is_refused_with_those_there_are() {
    for (columns, sort) in [
        (Some("name,colour"), None),
        (None, Some("-colour")),
        (Some(""), None),
    ] {
        let failure = chosen(columns, sort).err().unwrap();
        assert_eq!(failure.kind, Kind::Invalid);
        assert!(failure.hint.unwrap().contains("name, size, used"));
    }
}

#[test]
fn colours_are_on_what_wants_a_look_and_take_up_no_room() {
    let painted = chosen(None, None)
        .unwrap()
        .table(&volumes_answer().volumes, 160, true);
    assert!(painted.contains("\u{1b}[38;5;9mbroken"), "{painted:?}");
    assert_eq!(painted.matches("\u{1b}[38;5;").count(), 1, "{painted:?}");
    let bare = without_colours(&painted);
    let lines = |text: &str| {
        text.lines()
            .map(|line| line.trim_end().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        lines(&bare),
        lines(&table(VOLUMES, &volumes_answer().volumes, 160))
    );
    let mut full = info_answer();
    full.pool.data_used = full.pool.data_total;
    full.pool.mode = "out_of_data_space".into();
    let painted = info_table(&full, 160, true);
    assert_eq!(painted.matches("\u{1b}[38;5;9m").count(), 2, "{painted:?}");
}

fn without_colours(text: &str) -> String {
    let mut bare = String::new();
    for piece in text.split('\u{1b}') {
        let code = piece.starts_with('[').then(|| piece.find('m')).flatten();
        bare.push_str(piece.get(code.map_or(0, |end| end + 1)..).unwrap());
    }
    bare
}

#[test]
fn people_get_sentences() {
    assert_eq!(
        backup_summary(&summary_of()),
        "changed 600.0 MiB, read 600.0 MiB, stored 123.0 MiB in 12 requests, 3.3 s\n"
    );
    let long = Summary {
        duration_milliseconds: 185_900,
        ..summary_of()
    };
    assert!(backup_summary(&long).ends_with(", 3 min 5 s\n"));
    assert_eq!(
        verified(&verification_of(false)),
        "backup-0123456789abcdef is good: 2400 chunks, 600.0 MiB of the volume\n"
    );
    golden("damaged.txt", &verified(&verification_of(true)));
}

#[test]
fn a_hostile_message_is_shown_harmless() {
    let failure = Failure::new(Kind::Failed, "evil \u{1b}[31m\nhint: rm -rf /", "\u{202e}");
    assert_eq!(
        failure_text(&failure),
        "convoy: evil \\u{1b}[31m\\u{a}hint: rm -rf /\nhint: \\u{202e}\n"
    );
    golden("error.json", &document(&failure_object(&failure)));
    golden("error.event", &failure_event(&failure));
}
