//! What each command prints and how it ends, against a daemon that says what the test wants.

use super::*;
use crate::render::tests::{
    ID, answer, backup_of, golden, info_answer, snapshot_of, summary_of, verification_of,
    volume_named, volumes_answer,
};
use convoy_api::{Backups, Done, Problem, Snapshots, Volumes};
use serde::Serialize;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;

const TERMINAL: Terminals = Terminals {
    stdout: Some(160),
    stderr: false,
    colors: false,
};
const PERSON: Terminals = Terminals {
    stdout: Some(160),
    stderr: true,
    colors: false,
};
const PIPE: Terminals = Terminals {
    stdout: None,
    stderr: false,
    colors: false,
};

/// Runs a command line; the daemon gives one reply to each request, in turn.
fn command(line: &str, terminals: Terminals, replies: Vec<String>) -> Outcome {
    use clap::Parser;
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("convoy.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let daemon = std::thread::spawn(move || {
        for reply in replies {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = vec![0; 65536];
            assert!(stream.read(&mut request).unwrap() > 0);
            stream.write_all(reply.as_bytes()).unwrap();
        }
    });
    let words = [
        "convoy",
        "--no-progress",
        "--socket",
        socket.to_str().unwrap(),
    ];
    let cli = crate::args::Cli::try_parse_from(words.into_iter().chain(line.split(' '))).unwrap();
    let global = cli.global.clone();
    let action = crate::options::resolve(cli).unwrap();
    let outcome = run(action, &global, terminals);
    daemon.join().unwrap();
    outcome
}

fn http(status: u16, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn ok<T: Serialize>(result: T) -> Vec<String> {
    vec![http(200, &serde_json::to_string(&answer(result)).unwrap())]
}

fn problem(kind: Kind, message: &str) -> String {
    http(
        kind.http_status(),
        &serde_json::to_string(&Problem::new(kind, message)).unwrap(),
    )
}

fn created() -> Vec<String> {
    ok(CreatedVolume {
        unchanged: false,
        volume: volume_named("data"),
    })
}

#[track_caller]
fn plain(outcome: &Outcome, stdout: &str) {
    let expected = Outcome {
        stdout: stdout.into(),
        ..Outcome::default()
    };
    assert_eq!(outcome, &expected);
}

#[track_caller]
fn shows(outcome: &Outcome, golden_file: &str) {
    golden(golden_file, &outcome.stdout);
    assert_eq!((outcome.stderr.as_str(), outcome.status), ("", 0));
}

#[test]
fn scripts_get_bare_names_paths_and_urls() {
    let snapshot = || CreatedSnapshot {
        unchanged: false,
        snapshot: snapshot_of("data", "s1"),
    };
    let backup = || CreatedBackup {
        backup: backup_of("data"),
        summary: summary_of(),
    };
    plain(&command("create data", PIPE, created()), "data\n");
    plain(
        &command("mount data", PIPE, ok(volume_named("data"))),
        &format!("/var/lib/convoy/mounts/{ID}\n"),
    );
    plain(&command("umount data", PIPE, ok(Done {})), "\n");
    plain(&command("delete data", PIPE, ok(Done {})), "\n");
    plain(
        &command("snapshot create data", PIPE, ok(snapshot())),
        "s1\n",
    );
    plain(&command("snapshot delete s1", PIPE, ok(Done {})), "\n");
    let url = backup_of("data").url;
    plain(
        &command(
            "backup create s1 --dest vfs:///mnt/backups",
            PIPE,
            ok(backup()),
        ),
        &format!("{url}\n"),
    );
    plain(
        &command(&format!("backup delete {url}"), PIPE, ok(Done {})),
        "\n",
    );
}

#[test]
fn scripts_get_the_originals_objects() {
    shows(&command("info", PIPE, ok(info_answer())), "info.json");
    shows(&command("list", PIPE, ok(volumes_answer())), "volumes.json");
    shows(
        &command("list --driver", PIPE, ok(volumes_answer())),
        "volumes_driver.json",
    );
    shows(
        &command("inspect data", PIPE, ok(volume_named("data"))),
        "volume.json",
    );
    shows(
        &command("snapshot inspect s1", PIPE, ok(snapshot_of("data", "s1"))),
        "snapshot.json",
    );
    shows(
        &command("backup inspect u", PIPE, ok(backup_of("data"))),
        "backup.json",
    );
    let backups = || {
        ok(Backups {
            backups: vec![backup_of("data")],
        })
    };
    shows(
        &command("backup list vfs:///mnt/backups", PIPE, backups()),
        "backups.json",
    );
    shows(
        &command("--verbose create data", PIPE, created()),
        "created_volume.json",
    );
    shows(
        &command("mount data -o json", PERSON, ok(volume_named("data"))),
        "mounted.json",
    );
    shows(
        &command("umount data -o json", PERSON, ok(Done {})),
        "done.json",
    );
}

#[test]
fn a_trim_says_what_it_gave_back() {
    let trimmed = |unmapped, freed| convoy_api::TrimmedVolume {
        name: "data".into(),
        discarded: 3 << 20,
        unmapped,
        freed,
    };
    plain(
        &command("trim data", PIPE, ok(trimmed(Some(2 << 20), Some(2 << 20)))),
        "2.0 MiB given back to the pool\n",
    );
    let kept = command("trim data", PIPE, ok(trimmed(Some(2 << 20), Some(0))));
    assert!(
        kept.stdout.contains("snapshots have the rest"),
        "{}",
        kept.stdout
    );
    let unknown = command("trim data", PIPE, ok(trimmed(None, None)));
    assert_eq!(unknown.stdout, "the filesystem let go of 3.0 MiB\n");
    let object = command("trim data -o json", PIPE, ok(trimmed(Some(2 << 20), None)));
    let object: serde_json::Value = serde_json::from_str(&object.stdout).unwrap();
    assert_eq!(object["UnmappedBytes"], 2 << 20);
    assert_eq!(object["FreedBytes"], serde_json::Value::Null);
}

#[test]
fn a_reshaped_volume_is_told_by_its_name() {
    let resized = |grows_at_mount| convoy_api::ResizedVolume {
        unchanged: false,
        before: 1 << 29,
        grows_at_mount,
        volume: volume_named("data"),
    };
    plain(
        &command("resize data 1G", PIPE, ok(resized(true))),
        "data\n",
    );
    let told = command("resize data 1G", PERSON, ok(resized(true))).stderr;
    assert!(told.starts_with("from 512.0 MiB to "), "{told}");
    assert!(told.ends_with("when it is mounted\n"), "{told}");
    let back = || convoy_api::RolledBack {
        unchanged: false,
        volume: volume_named("data"),
        safety: snapshot_of("data", "before-rollback-1"),
    };
    let line = "snapshot rollback s1 --yes";
    plain(&command(line, PIPE, ok(back())), "before-rollback-1\n");
    let told = command(line, PERSON, ok(back())).stderr;
    assert!(told.contains("is snapshot before-rollback-1"), "{told}");
    let object = command("snapshot rollback s1 --yes -o json", PIPE, ok(back())).stdout;
    assert!(object.contains("\"Safety\": {"), "{object}");
    let group = || convoy_api::CreatedSnapshots {
        unchanged: false,
        snapshots: vec![snapshot_of("a", "x-a"), snapshot_of("b", "x-b")],
    };
    let line = "snapshot create a b --name x";
    plain(&command(line, PIPE, ok(group())), "x-a\nx-b\n");
    let told = command(line, PERSON, ok(group())).stderr;
    assert_eq!(told, "writes waited 2.3 ms\n");
    plain(
        &command("rename data new", PIPE, ok(volume_named("new"))),
        "new\n",
    );
}

#[test]
fn people_get_tables_and_remarks() {
    shows(
        &command("list", TERMINAL, ok(volumes_answer())),
        "volumes.160.txt",
    );
    shows(
        &command("info -o table", PIPE, ok(info_answer())),
        "info.160.txt",
    );
    shows(
        &command("inspect data -o table", PIPE, ok(volume_named("data"))),
        "details.txt",
    );
    let empty = command("list", PERSON, ok(Volumes::default()));
    assert_eq!((empty.stdout.as_str(), empty.status), ("", 0));
    assert!(empty.stderr.contains("convoy create"));
    let empty = command("snapshot list data", PIPE, ok(Snapshots::default()));
    assert_eq!(empty.stdout, "{}\n");
    let backup = CreatedBackup {
        backup: backup_of("data"),
        summary: summary_of(),
    };
    let made = command("backup create s1 --dest vfs:///b", PERSON, ok(backup));
    assert!(
        made.stderr.starts_with("changed 600.0 MiB"),
        "{}",
        made.stderr
    );
    let snapshot = CreatedSnapshot {
        unchanged: false,
        snapshot: snapshot_of("data", "s1"),
    };
    assert_eq!(
        command("snapshot create data", PERSON, ok(snapshot)).stderr,
        "writes waited 2.3 ms\n"
    );
    let unchanged = CreatedVolume {
        unchanged: true,
        volume: volume_named("data"),
    };
    assert_eq!(
        command("create data", PERSON, ok(unchanged)).stderr,
        "it was there already, as asked\n"
    );
}

#[test]
fn a_failure_ends_with_its_own_status() {
    for (kind, status) in [
        (Kind::NotFound, 10),
        (Kind::Busy, 12),
        (Kind::PoolFull, 13),
        (Kind::DestinationUnavailable, 16),
    ] {
        let outcome = command("inspect data", TERMINAL, vec![problem(kind, "why")]);
        assert_eq!(
            (outcome.stdout.as_str(), outcome.stderr.as_str()),
            ("", "convoy: why\n")
        );
        assert_eq!(outcome.status, status);
    }
    let outcome = command("inspect data", PIPE, vec![problem(Kind::NotFound, "why")]);
    assert!(
        outcome
            .stdout
            .starts_with("{\n\t\"Error\": \"why\",\n\t\"Code\": \"E_NOT_FOUND\"")
    );
    let unknown = r#"{"code":"E_MOON","message":"eclipse","retryable":true}"#;
    let outcome = command("inspect data", PIPE, vec![http(500, unknown)]);
    assert!(
        outcome.stdout.contains("\"Code\": \"E_MOON\"") && outcome.status == 1,
        "{outcome:?}"
    );
}

#[test]
fn deleting_many_goes_on_after_a_failure() {
    let gone = || ok(Done {}).remove(0);
    let replies = vec![
        gone(),
        problem(Kind::NotFound, "there is no volume b"),
        gone(),
    ];
    let outcome = command("delete a b c", TERMINAL, replies);
    assert_eq!(outcome.stdout, "\n\n");
    assert_eq!(outcome.stderr, "convoy: there is no volume b\n");
    assert_eq!(outcome.status, Kind::Partial.exit_code());
    let replies = vec![
        problem(Kind::NotFound, "there is no volume a"),
        ok(Done {}).remove(0),
    ];
    let outcome = command("delete a b", PIPE, replies);
    let lines = "Error deleting a: there is no volume a\n\n";
    assert_eq!(outcome.stdout, lines, "as the original");
    let outcome = command(
        "delete b -o json",
        PIPE,
        vec![problem(Kind::Busy, "it is mounted")],
    );
    let document: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(document["Failed"][0]["Code"], "E_BUSY");
    assert_eq!(outcome.status, Kind::Busy.exit_code());
    plain(&command("delete", PIPE, vec![]), "");
}

/// A typing mistake in one of many names kept all the others from being deleted.
#[test]
fn deleting_many_goes_on_after_a_name_that_is_none() {
    let outcome = command("delete a! data", TERMINAL, ok(Done {}));
    assert_eq!(outcome.stdout, "\n");
    assert!(outcome.stderr.contains("a!"), "{}", outcome.stderr);
    assert_eq!(outcome.status, Kind::Partial.exit_code());
    let outcome = command("delete a! -o json", PIPE, vec![]);
    let document: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(document["Failed"][0]["Name"], "a!");
    assert_eq!(document["Failed"][0]["Code"], "E_INVALID");
    assert_eq!(outcome.status, Kind::Invalid.exit_code());
}

/// The hint said to run the command again, and that made a second backup.
#[test]
fn a_lost_answer_is_asked_for_again_by_name() {
    let lost = Problem {
        operation: Some(ID),
        hint: Some("run the command again".into()),
        ..Problem::new(Kind::DestinationUnavailable, "who knows")
    };
    let lost = || vec![http(503, &serde_json::to_string(&lost).unwrap())];
    let again = format!("repeat it with --operation {ID}, ");
    let check = |line: &str, replies: Vec<String>, hinted| {
        let outcome = command(line, TERMINAL, replies);
        assert_eq!(
            outcome.stderr.contains(&again),
            hinted,
            "{}",
            outcome.stderr
        );
    };
    check("backup create s1 --dest vfs:///b", lost(), true);
    check("snapshot create data", lost(), true);
    check("delete data", lost(), true);
    check("backup list vfs:///b", lost(), false);
    let named = format!("delete data --operation {ID}");
    let cut = || vec!["HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{".to_owned()];
    check(&named, cut(), true);
    check(
        "delete data",
        vec![problem(Kind::Busy, "it is mounted")],
        false,
    );
}

#[test]
fn a_damaged_backup_ends_as_one() {
    let good = command("backup verify u", PIPE, ok(verification_of(false)));
    assert_eq!(good.status, 0);
    let bad = command("backup verify u", PIPE, ok(verification_of(true)));
    golden("damaged.txt", &bad.stdout);
    assert_eq!(bad.status, Kind::Integrity.exit_code());
    let bad = command("backup verify u -o json", PIPE, ok(verification_of(true)));
    golden("verification.json", &bad.stdout);
    assert_eq!(bad.status, Kind::Integrity.exit_code());
}

fn volume_unmounted(name: &str) -> convoy_api::Volume {
    convoy_api::Volume {
        mountpoint: None,
        ..volume_named(name)
    }
}

#[test]
fn a_dry_run_says_what_would_go_and_asks_for_nothing_else() {
    let data = || {
        http(
            200,
            &serde_json::to_string(&answer(volume_unmounted("data"))).unwrap(),
        )
    };
    let outcome = command("delete data --dry-run", PERSON, vec![data()]);
    golden("plan.txt", &outcome.stdout);
    assert_eq!(
        (outcome.stderr.as_str(), outcome.status),
        ("nothing was deleted\n", 0)
    );
    let web = http(
        200,
        &serde_json::to_string(&answer(volume_named("web"))).unwrap(),
    );
    let gone = problem(Kind::NotFound, "volume gone doesn't exist");
    let outcome = command(
        "delete --dry-run data web gone a!",
        PIPE,
        vec![data(), web, gone],
    );
    assert_eq!(outcome.stdout.lines().count(), 1);
    golden("plan.errors.txt", &outcome.stderr);
    assert_eq!(outcome.status, Kind::Partial.exit_code());
    let outcome = command(
        "delete data gone --dry-run -o json",
        PIPE,
        vec![data(), problem(Kind::NotFound, "no")],
    );
    golden("plan.json", &outcome.stdout);
    let snapshot = || ok(snapshot_of("data", "s1"));
    let outcome = command("snapshot delete s1 --dry-run", PIPE, snapshot());
    let line = "would delete snapshot s1 of volume data, which alone holds 1.0 MiB\n";
    plain(&outcome, line);
    let url = backup_of("data").url;
    let outcome = command(
        &format!("backup delete --dry-run {url}"),
        PIPE,
        ok(backup_of("data")),
    );
    let line = "would delete backup backup-0123456789abcdef of volume data, snapshot s1 taken 2026-11-22 09:00 UTC\n";
    plain(&outcome, line);
    let outcome = command(
        "snapshot delete s1 --dry-run",
        PIPE,
        vec![problem(Kind::NotFound, "no")],
    );
    assert_eq!(outcome.status, Kind::NotFound.exit_code());
}

#[test]
fn columns_ask_for_a_table_in_a_pipe_too() {
    let outcome = command(
        "list --columns name,size --sort -size",
        PIPE,
        ok(volumes_answer()),
    );
    assert_eq!(
        outcome.stdout,
        "VOLUME                                            SIZE\n\
         data                                          10.0 GiB\n\
         a-rather-long-name-of-a-volume-in-production  10.0 GiB\n"
    );
    let list = || {
        ok(Snapshots {
            snapshots: vec![snapshot_of("data", "s1")],
        })
    };
    let outcome = command("snapshot list --columns volume,name", PIPE, list());
    plain(&outcome, "VOLUME  SNAPSHOT\ndata    s1\n");
    let list = || {
        ok(Backups {
            backups: vec![backup_of("data")],
        })
    };
    let outcome = command("backup list vfs:///b --columns name", PIPE, list());
    plain(&outcome, "BACKUP\nbackup-0123456789abcdef\n");
}

#[test]
fn what_is_made_of_the_grammar_needs_no_daemon() {
    let outcome = command("completion bash", PIPE, vec![]);
    assert!(
        outcome.stdout.contains("complete ") && outcome.status == 0,
        "{outcome:?}"
    );
    let folder = tempfile::tempdir().unwrap();
    let line = format!("man {}", folder.path().display());
    plain(&command(&line, PIPE, vec![]), "");
    assert!(folder.path().join("convoy-create.1").exists());
}

/// Every command as scripts and people see it, in one place: what was typed, what came of it.
#[test]
fn transcripts_are_the_promised_ones() {
    let url = backup_of("data").url;
    let snapshots = || Snapshots {
        snapshots: vec![snapshot_of("data", "s2"), snapshot_of("data", "s1")],
    };
    let backups = || Backups {
        backups: vec![backup_of("data")],
    };
    let snapshot = || CreatedSnapshot {
        unchanged: false,
        snapshot: snapshot_of("data", "s1"),
    };
    let backup = || CreatedBackup {
        backup: backup_of("data"),
        summary: summary_of(),
    };
    let automatic = || {
        ok(CreatedVolume {
            unchanged: false,
            volume: volume_named("volume-0123456789abcdef"),
        })
    };
    let none = || problem(Kind::NotFound, "volume none doesn't exist");
    let lines: Vec<(String, Vec<String>)> = vec![
        ("create data --size 10G".into(), created()),
        ("create".into(), automatic()),
        (
            "create data --driver devicemapper --fs ext4 --label tier=gold".into(),
            created(),
        ),
        (format!("create data --backup {url}"), created()),
        ("mount data".into(), ok(volume_named("data"))),
        (
            "mount data --mountpoint /mnt".into(),
            ok(volume_named("data")),
        ),
        ("umount data".into(), ok(Done {})),
        ("list".into(), ok(Volumes::default())),
        ("list".into(), ok(volumes_answer())),
        ("list --driver".into(), ok(Volumes::default())),
        ("inspect none".into(), vec![none()]),
        (
            "delete data web".into(),
            vec![ok(Done {}).remove(0), ok(Done {}).remove(0)],
        ),
        ("delete none".into(), vec![none()]),
        ("delete".into(), vec![]),
        ("snapshot create data --name s1".into(), ok(snapshot())),
        ("snapshot create data".into(), ok(snapshot())),
        ("snapshot list data".into(), ok(snapshots())),
        ("snapshot list".into(), ok(Snapshots::default())),
        ("snapshot delete s1".into(), ok(Done {})),
        (
            "backup create s1 --dest vfs:///mnt/backups".into(),
            ok(backup()),
        ),
        (
            "backup list vfs:///mnt/backups --volume-name data".into(),
            ok(backups()),
        ),
        (
            "backup list vfs:///mnt/backups".into(),
            ok(Backups::default()),
        ),
        (format!("backup verify {url}"), ok(verification_of(false))),
        (format!("backup delete {url}"), ok(Done {})),
    ];
    let mut text = String::new();
    for (line, replies) in lines {
        for (who, terminals) in [("script", PIPE), ("person", PERSON)] {
            let outcome = command(&line, terminals, replies.clone());
            let status = outcome.status.to_string();
            text.extend([who, "$ convoy ", &line, "\n", &outcome.stdout]);
            if !outcome.stderr.is_empty() {
                text.extend(["-- stderr --\n", &outcome.stderr]);
            }
            text.extend(["-- exit ", &status, " --\n\n"]);
        }
    }
    golden("transcripts.txt", &text);
}
