//! The grammar: what the original took is taken, in the places it took it.

use crate::args::{Cli, Output, When};
use crate::options::{Action, plain_url, resolve};
use crate::run::{Outcome, Terminals};
use clap::{CommandFactory, Parser};
use convoy_fault::Kind;
use std::io::{self, Write};

/// What a command line shall do, as text.
fn action(line: &str) -> String {
    let words = std::iter::once("convoy").chain(line.split(' '));
    let cli = Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{line}: {error}"));
    match resolve(cli) {
        Ok(action) => format!("{action:?}"),
        Err(failure) => panic!("{line}: {failure:?}"),
    }
}

#[track_caller]
fn same(lines: &[&str]) {
    let first = action(lines[0]);
    for line in &lines[1..] {
        assert_eq!(action(line), first, "{line}");
    }
}

#[track_caller]
fn refused(line: &str, kind: Kind, because: &str) {
    let words = std::iter::once("convoy").chain(line.split(' '));
    let failure = resolve(Cli::try_parse_from(words).unwrap()).unwrap_err();
    assert_eq!(failure.kind, kind, "{line}");
    assert!(
        failure.message.contains(because),
        "{line}: {}",
        failure.message
    );
    assert!(failure.hint.is_some(), "{line}");
}

#[track_caller]
fn usage(line: &str) {
    let words = std::iter::once("convoy").chain(line.split_ascii_whitespace());
    let error = Cli::try_parse_from(words).unwrap_err();
    assert_eq!(error.exit_code(), 2, "{line}");
}

#[test]
fn the_grammar_holds_together() {
    Cli::command().debug_assert();
}

#[test]
fn flags_stand_before_or_after_what_they_are_about() {
    same(&[
        "create vol --size 1G",
        "create --size 1G vol",
        "create --size=1g vol",
        "create vol --size 1073741824",
    ]);
    same(&["mount vol --mountpoint /mnt", "mount --mountpoint /mnt vol"]);
    same(&["umount vol", "unmount vol"]);
    same(&[
        "snapshot create vol --name s",
        "snapshot create --name s vol",
    ]);
    same(&[
        "backup create s --dest vfs:///b",
        "backup create --dest vfs:///b s",
    ]);
    same(&[
        "backup list vfs:///b --volume-name v",
        "backup list --volume-name v vfs:///b",
    ]);
    same(&[
        "list",
        "--verbose list",
        "list --verbose",
        "-o json list",
        "list -o json",
        "list --output=json --no-progress",
    ]);
    same(&[
        "backup inspect u",
        "--debug backup -o json inspect u",
        "backup inspect u -d",
    ]);
}

#[test]
fn globals_are_heard_wherever_they_stand() {
    for line in [
        "-o json -s /x --verbose list",
        "list -o json -s /x --verbose",
        "-s /x list --verbose -o json",
    ] {
        let cli = Cli::try_parse_from(std::iter::once("convoy").chain(line.split(' '))).unwrap();
        assert_eq!(cli.global.output, Output::Json, "{line}");
        assert_eq!(cli.global.socket.as_deref(), Some("/x".as_ref()), "{line}");
        assert!(cli.global.verbose, "{line}");
    }
}

#[test]
fn the_original_backup_urls_are_understood() {
    let url = "vfs:///b?backup=backup-1&volume=v";
    assert_eq!(plain_url(url), url);
    assert_eq!(plain_url(r"vfs:///b?backup=backup-1\u0026volume=v"), url);
    assert_eq!(plain_url("vfs:///b?backup=backup-1u0026volume=v"), url);
    assert_eq!(
        plain_url("vfs:///u0026/b?backup=backup-1&volume=u0026"),
        "vfs:///u0026/b?backup=backup-1&volume=u0026"
    );
    assert_eq!(plain_url("vfs:///u0026"), "vfs:///u0026");
    same(&[
        "backup delete vfs:///b?backup=x&volume=v",
        r"backup delete vfs:///b?backup=x\u0026volume=v",
        "backup delete vfs:///b?backup=xu0026volume=v",
    ]);
}

#[test]
fn names_sizes_and_labels_are_checked_before_anything_is_asked() {
    for name in [
        "../x",
        "a/b",
        ".",
        "-rf",
        "a b",
        "\u{1b}[2J",
        "naïve",
        &"a".repeat(129),
    ] {
        let words = ["convoy", "create", "--", name];
        let failure = resolve(Cli::try_parse_from(words).unwrap()).unwrap_err();
        assert_eq!(failure.kind, Kind::Invalid, "{name}");
        assert!(
            failure.message.contains("1 to 128 characters"),
            "{}",
            failure.message
        );
    }
    refused("snapshot inspect v@s@t", Kind::Invalid, "snapshot name");
    refused("create x --size 1.5G", Kind::Invalid, "is not a size");
    refused("create x --size 10Q", Kind::Invalid, "is not a size");
    refused("create x --label gold", Kind::Invalid, "is not KEY=VALUE");
    refused(
        "create x --label a=1 --label a=2",
        Kind::Invalid,
        "names a key twice",
    );
    assert!(action("create x --label a=1=2 --label b=").contains(r#"{"a": "1=2", "b": ""}"#));
}

#[test]
fn a_new_filesystem_is_made_and_mounted_as_asked() {
    let asked = action(
        "create x --fs xfs --mount-options noatime,logbufs=8 --mkfs-options inode-size=512 --uid 1000 --gid 0 --mode 0750",
    );
    for word in [
        r#"mount_options: ["noatime", "logbufs=8"]"#,
        r#"mkfs_options: ["inode-size=512"]"#,
        "uid: Some(1000), gid: Some(0)",
        r#"mode: Some("0750")"#,
    ] {
        assert!(asked.contains(word), "{asked}");
    }
    assert!(Cli::try_parse_from(["convoy", "create", "x", "--uid", "nobody"]).is_err());
}

#[test]
fn volumes_are_reshaped_by_name() {
    assert!(action("resize data 20G").contains("\"data\", ResizeVolume { size: 21474836480 }"));
    same(&["resize data 1G", "resize data 1024M"]);
    refused("resize data big", Kind::Invalid, "is not a size");
    refused("rename data ../x", Kind::Invalid, "1 to 128 characters");
    assert!(action("rename data new").contains("RenameVolume { name: \"new\" }"));
    same(&[
        "label data tier=gold --remove owner",
        "label --remove owner data tier=gold",
    ]);
    refused("label data", Kind::Invalid, "no label to set");
    refused("label data gold", Kind::Invalid, "is not KEY=VALUE");
    assert!(action("create c --snapshot v@s").contains("snapshot: Some(\"v@s\")"));
    usage("create c --snapshot s --backup vfs:///b?backup=x&volume=v");
}

#[test]
fn a_rollback_wants_a_yes() {
    refused("snapshot rollback s", Kind::Invalid, "nobody said yes");
    same(&["snapshot rollback v@s --yes", "snapshot rollback --yes v@s"]);
    assert!(action("snapshot rollback s --yes").contains("RollBack(\"s\")"));
}

#[test]
fn one_snapshot_is_as_it_was_and_several_are_taken_together() {
    assert!(action("snapshot create v --name s").starts_with("CreateSnapshot("));
    let several = action("snapshot create v w --name s");
    assert!(
        several.contains("Together(CreateSnapshots { volumes: [\"v\", \"w\"], name: Some(\"s\")"),
        "{several}"
    );
    same(&[
        "snapshot create v w --name s",
        "snapshot create --name s v w",
    ]);
}

#[test]
fn what_this_driver_lacks_is_refused_and_never_ignored() {
    for flag in ["--id x", "--type x", "--iops 5", "--vm"] {
        let name = flag.split(' ').next().unwrap();
        refused(
            &format!("create x {flag}"),
            Kind::Unsupported,
            &format!("{name} is not supported"),
        );
    }
    let id = "01920000-0000-7000-8000-000000000001";
    for line in [
        "list",
        "delete a b",
        "mount a",
        "backup verify u",
        "delete a --dry-run",
    ] {
        let line = format!("{line} --operation {id}");
        refused(&line, Kind::Invalid, "--operation");
    }
    refused("delete -r x", Kind::Unsupported, "--reference");
    refused("delete x --reference", Kind::Unsupported, "--reference");
}

/// It was a flag of `backup` alone, and an error behind the next word.
#[test]
fn an_endpoint_is_taken_anywhere_after_backup_and_never_ignored() {
    for line in [
        "backup --s3-endpoint http://x list s3://b@r/",
        "backup list --s3-endpoint http://x s3://b@r/",
        "backup list s3://b@r/ --s3-endpoint=http://x",
        "backup create s --dest s3://b/p --s3-endpoint http://x",
        "backup --s3-endpoint http://x create --dest s3://b/p s",
        "backup delete s3://b/p?backup=b&volume=v --s3-endpoint http://x",
        "backup inspect --s3-endpoint http://x s3://b/p?backup=b&volume=v",
        "backup verify --s3-endpoint http://x s3://b/p?backup=b&volume=v",
        "create x --s3-endpoint http://x --backup s3://b/p?backup=b&volume=v",
        "create --backup s3://b/p?backup=b&volume=v --s3-endpoint http://x x",
    ] {
        let action = action(line);
        assert!(action.starts_with("Served(OfferEndpoint"), "{action}");
        assert!(action.contains("endpoint: \"http://x\""), "{action}");
        assert!(action.contains("place: \"s3://b"), "{action}");
    }
    let line = "backup list vfs:///b --s3-endpoint http://x";
    refused(
        line,
        Kind::Invalid,
        "Driver vfs does not support custom endpoints",
    );
    let line = "backup list nas --s3-endpoint http://x";
    refused(
        line,
        Kind::Invalid,
        "nas is not the URL of an S3-compatible store",
    );
    let line = "create x --s3-endpoint http://x";
    refused(
        line,
        Kind::Invalid,
        "Endpoint option can only be used when creating a volume from a backup.",
    );
}

#[test]
fn layouts_are_for_tables() {
    for line in [
        "list --columns name -o json",
        "snapshot list --sort=-name -o json",
        "backup list d --columns url -o json",
        "trash list --columns name -o json",
        "trash list --sort left -o json",
        "job list --columns job -o json",
        "job list --sort since -o json",
    ] {
        refused(line, Kind::Invalid, "are for tables");
    }
    refused("list --columns colour", Kind::Invalid, "there is no column");
    refused("list --sort colour", Kind::Invalid, "there is no column");
    refused(
        "snapshot list --sort size --columns mounted",
        Kind::Invalid,
        "there is no column",
    );
    usage("list --driver --columns name");
    same(&["list --sort -size", "list --sort=-size"]);
}

#[test]
fn overwriting_is_confirmed_and_a_restore_is_detached_with_a_backup_only() {
    refused(
        "backup restore vfs:///b?backup=b&volume=v --to v",
        Kind::Invalid,
        "would be overwritten",
    );
    usage("backup restore vfs:///b?backup=b&volume=v --yes");
    usage("create v --detach");
    refused("pool grow --data none", Kind::Invalid, "--size");
}

#[test]
fn colours_are_by_the_rules_of_no_color() {
    let shown = |asked, terminal, set: &[(&str, &str)]| {
        crate::colors(asked, terminal, |name| {
            let found = set.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| value.into())
        })
    };
    assert!(shown(When::Auto, true, &[("TERM", "xterm")]));
    assert!(shown(When::Auto, true, &[("NO_COLOR", "")]));
    assert!(!shown(When::Auto, false, &[]));
    assert!(!shown(When::Auto, true, &[("NO_COLOR", "1")]));
    assert!(!shown(When::Auto, true, &[("TERM", "dumb")]));
    assert!(shown(When::Always, false, &[("NO_COLOR", "1")]));
    assert!(!shown(When::Never, true, &[]));
}

#[test]
fn a_line_that_is_no_command_is_a_usage_error() {
    for line in [
        "frobnicate",
        "mount",
        "umount",
        "create a b",
        "list --colour",
        "snapshot create",
        "backup create s",
        "backup frob x",
        "-o yaml list",
        "inspect",
    ] {
        usage(line);
    }
}

#[test]
fn no_command_is_a_question_for_help() {
    for (line, says) in [
        ("", "Usage: convoy "),
        ("snapshot", "Usage: convoy snapshot "),
        ("backup", "Usage: convoy backup "),
        ("trash", "Usage: convoy trash "),
    ] {
        let words = std::iter::once("convoy").chain(line.split_ascii_whitespace());
        match resolve(Cli::try_parse_from(words).unwrap()).unwrap() {
            Action::Text(text) => assert!(text.contains(says), "{text}"),
            other => panic!("{other:?}"),
        }
    }
    assert!(
        matches!(resolve(Cli::try_parse_from(["convoy", "delete"]).unwrap()), Ok(Action::Delete(names)) if names.is_empty())
    );
}

#[cfg(feature = "daemon")]
#[test]
fn help_is_the_promised_one() {
    let mut root = Cli::command().term_width(100);
    root.build();
    let mut text = String::new();
    add_help(&mut root, &mut text);
    crate::render::tests::golden("help.txt", &text);
}

#[cfg(feature = "daemon")]
fn add_help(command: &mut clap::Command, text: &mut String) {
    // `daemon` has its own, which depends on the build; `help` is clap's.
    let help = command.render_long_help().to_string();
    let name = command.get_display_name().unwrap_or_default();
    text.extend(["==== ", name, "\n", &help, "\n"]);
    for inner in command
        .get_subcommands_mut()
        .filter(|inner| !["help", "daemon", "man"].contains(&inner.get_name()))
    {
        add_help(inner, text);
    }
}

#[test]
fn the_version_line_is_the_originals() {
    let error = Cli::try_parse_from(["convoy", "-v"]).unwrap_err();
    let line = format!("Convoy version v{}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(error.render().to_string(), line);
    assert_eq!(
        Cli::try_parse_from(["convoy", "--version"])
            .unwrap_err()
            .render()
            .to_string(),
        line
    );
}

#[cfg(feature = "daemon")]
#[test]
fn the_daemon_takes_the_originals_flags() {
    let line = "daemon --drivers devicemapper --driver-opts dm.datadev=/dev/a --driver-opts dm.metadatadev=/dev/b --root /r --log /l --debug --cmd-timeout 5m --ignore-config-file";
    let text = action(line);
    assert!(
        text.contains(r#"driver_opts: ["dm.datadev=/dev/a", "dm.metadatadev=/dev/b"]"#),
        "{text}"
    );
    for line in ["-s /x daemon", "daemon -s /x", "daemon --socket /x"] {
        assert!(
            action(line).contains(r#"socket: Some("/x")"#),
            "{line}: {}",
            action(line)
        );
    }
}

#[test]
fn json_is_told_from_words_nobody_parsed() {
    let asks =
        |line: &str| crate::asks_for_json(&line.split(' ').map(str::to_owned).collect::<Vec<_>>());
    assert!(
        asks("convoy --output json frob")
            && asks("convoy frob -o json")
            && asks("convoy --output=json")
    );
    assert!(!asks("convoy create json") && !asks("convoy -o table json"));
}

#[test]
fn control_characters_never_reach_a_terminal() {
    assert_eq!(
        crate::safe::line("a\u{1b}[2Jb\n\u{202e}c\u{9b}é"),
        r"a\u{1b}[2Jb\u{a}\u{202e}c\u{9b}é"
    );
    let json = crate::safe::json("{\n\t\"a\": \"\u{9b}\u{202e}é\u{7f}\"\n}\n");
    assert_eq!(json, "{\n\t\"a\": \"\\u009b\\u202eé\\u007f\"\n}\n");
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["a"], "\u{9b}\u{202e}é\u{7f}");
}

struct Broken(io::ErrorKind);

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(self.0.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_closed_pipe_is_success_and_a_full_disk_is_not() {
    assert_eq!(
        crate::print(&mut Broken(io::ErrorKind::BrokenPipe), "x", 0),
        0
    );
    assert_eq!(
        crate::print(&mut Broken(io::ErrorKind::BrokenPipe), "x", 10),
        10
    );
    assert_eq!(
        crate::print(&mut Broken(io::ErrorKind::StorageFull), "x", 0),
        1
    );
    assert_eq!(crate::print(&mut Vec::new(), "x", 3), 3);
}

#[test]
fn a_person_at_a_terminal_is_spared_the_error_object() {
    let failure =
        crate::failure::Failure::new(Kind::NotFound, "there is no volume x", "see convoy list");
    let terminal = Terminals {
        stdout: Some(80),
        stderr: true,
        colors: false,
    };
    let text = "convoy: there is no volume x\nhint: see convoy list\n".to_owned();
    let shown = crate::run::failed(&failure, Output::Auto, terminal);
    assert_eq!(
        shown,
        Outcome {
            stdout: String::new(),
            stderr: text.clone(),
            status: 10
        }
    );
    let piped = crate::run::failed(&failure, Output::Auto, Terminals::default());
    assert_eq!(piped.stderr, text);
    assert!(
        piped
            .stdout
            .starts_with("{\n\t\"Error\": \"there is no volume x\",\n"),
        "{}",
        piped.stdout
    );
    let json = crate::run::failed(&failure, Output::Json, terminal);
    assert_eq!(json.stdout, piped.stdout);
    assert!(
        json.stderr
            .starts_with("{\"event\":\"problem\",\"problem\":{\"code\":\"E_NOT_FOUND\"")
    );
}

/// The rows of a table of the documents between two marks: its cells without their backticks.
fn rows(document: &str, mark: &str) -> Vec<Vec<String>> {
    let path = format!("{}/../../docs/{document}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let (_, rest) = text.split_once(&format!("<!-- {mark} -->")).unwrap();
    let (table, _) = rest.split_once(&format!("<!-- /{mark} -->")).unwrap();
    let cells = |line: &str| {
        let inner = line.trim_matches('|').split('|');
        inner.map(|cell| cell.trim().replace('`', "")).collect()
    };
    let lines = table.lines().filter(|line| line.starts_with('|'));
    lines.skip(2).map(cells).collect()
}

/// Commands and flags as the grammar has them; those of every command once.
#[cfg(feature = "daemon")]
fn grammar(command: &clap::Command, path: &str, found: &mut Vec<(String, String)>) {
    let name = if path.is_empty() { "(all)" } else { path };
    if !path.is_empty() {
        found.push((name.to_owned(), String::new()));
    }
    for argument in command.get_arguments() {
        let repeated = !path.is_empty()
            && (argument.is_global_set()
                || ["help", "version"].contains(&argument.get_id().as_str()));
        // What `backup` hands on to its commands is its own.
        let of_parent = argument.is_global_set() && path.contains(' ');
        let own = !argument.is_hide_set() && !of_parent;
        let shared = repeated && argument.get_id() != "s3_endpoint";
        if let (Some(long), true, false) = (argument.get_long(), own, shared) {
            found.push((name.to_owned(), format!("--{long}")));
        }
    }
    for inner in command
        .get_subcommands()
        .filter(|inner| inner.get_name() != "help")
    {
        let path = format!("{path} {}", inner.get_name());
        grammar(inner, path.trim(), found);
    }
}

/// All sources that tests of the command line and the daemon are in.
#[cfg(feature = "daemon")]
fn sources() -> String {
    let mut folders: Vec<std::path::PathBuf> = [
        "src",
        "../convoyd/src",
        "../../tests/lab",
        "../../tests/plugin",
    ]
    .map(|folder| std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder))
    .into();
    let mut text = String::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                text.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    text
}

/// A flag came without its row, and a row outlived its flag: neither was noticed by anyone.
#[cfg(feature = "daemon")]
#[test]
fn the_table_of_parity_is_the_grammar() {
    let mut root = Cli::command();
    root.build();
    let mut found = Vec::new();
    grammar(&root, "", &mut found);
    found.sort();
    let rows = rows("cli.md", "parity");
    let mut written: Vec<(String, String)> = rows
        .iter()
        .map(|row| (row[0].clone(), row[1].clone()))
        .collect();
    written.sort();
    let lacking: Vec<_> = found.iter().filter(|row| !written.contains(row)).collect();
    let stale: Vec<_> = written.iter().filter(|row| !found.contains(row)).collect();
    assert!(
        lacking.is_empty() && stale.is_empty(),
        "lacking: {lacking:?}, stale: {stale:?}"
    );
    assert_eq!(written.len(), found.len(), "a row stands there twice");
    let sources = sources();
    for row in rows {
        assert!(
            ["yes", "new", "refused", "no effect"].contains(&row[2].as_str()),
            "{row:?}"
        );
        assert!(sources.contains(&format!("fn {}()", row[3])), "{row:?}");
    }
}

/// The table of errors tells every code, its exit status, whether it is worth a retry, and a cure.
#[test]
fn the_table_of_errors_is_the_taxonomy() {
    let rows = rows("operations.md", "errors");
    let told = |kind: &Kind| {
        let retry = if kind.retryable() { "yes" } else { "" };
        [kind.code(), &kind.exit_code().to_string(), retry].map(str::to_owned)
    };
    for kind in Kind::ALL {
        let of_kind: Vec<_> = rows.iter().filter(|row| row[0] == kind.code()).collect();
        assert_eq!(of_kind.len(), 1, "{kind}: {of_kind:?}");
        assert_eq!(of_kind[0][..3], told(kind));
        assert!(
            of_kind[0][3].len() > 5 && of_kind[0][4].len() > 5,
            "{kind} has no cure"
        );
    }
    // And the row of success.
    assert_eq!(rows.len(), Kind::ALL.len() + 1);
}
