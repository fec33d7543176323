//! The program itself: by its names, and into pipes and disks that refuse.

use crate::world::{FIXTURE, answer, folder};
use std::fs::File;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_convoy-pdata_tools");

fn run(program: &Path, line: &str, stdout: Stdio) -> Output {
    let mut command = Command::new(program);
    command.args(
        line.split(' ')
            .map(|word| if word == "@" { FIXTURE } else { word }),
    );
    let child = command
        .stdout(stdout)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.wait_with_output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn a_link_named_as_a_tool_is_that_tool() {
    let folder = folder();
    for (tool, line) in [
        ("thin_check", "@"),
        ("thin_delta", "--snap1 1 --snap2 2 @"),
        ("thin_dump", "@"),
        ("thin_ls", "@"),
        ("thin_metadata_size", "-b 2m -s 100G -m 100000 -u M"),
        ("dm_dev_partition.sh", "--help"),
    ] {
        let link = folder.path().join(tool);
        symlink(PROGRAM, &link).unwrap();
        let output = run(&link, line, Stdio::piped());
        assert!(output.status.success(), "{tool}");
        assert_eq!(
            text(&output),
            answer(&format!("{tool} {line}"), Path::new(FIXTURE)),
            "{tool}"
        );
    }
    let link = folder.path().join("thin_dump");
    assert_eq!(text(&run(&link, "-V", Stdio::piped())), "0.9.0\n");
}

/// The original's daemon runs this first, and wants 0.5.1 or more.
#[test]
fn versions() {
    let version = text(&run(Path::new(PROGRAM), "thin_delta -V", Stdio::piped()));
    assert_eq!(version, "0.9.0\n");
    let own = text(&run(Path::new(PROGRAM), "--version", Stdio::piped()));
    assert_eq!(
        own,
        format!("convoy-pdata_tools {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn a_full_disk_is_a_failure_that_is_told() {
    for line in [
        "thin_dump @",
        "thin_ls @",
        "thin_delta --snap1 1 --snap2 2 @",
        "--help",
        "thin_dump -o /dev/full @",
    ] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = run(Path::new(PROGRAM), line, full.into());
        assert_eq!(output.status.code(), Some(1), "{line}");
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains("No space left on device"), "{line}: {told}");
    }
}

#[test]
fn a_closed_pipe_is_a_failure_that_is_not_told() {
    for line in [
        "thin_dump @",
        "thin_ls @",
        "thin_delta --snap1 1 --snap2 2 @",
        "--help",
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = run(Path::new(PROGRAM), line, writer.into());
        assert_eq!(output.status.code(), Some(1), "{line}");
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "{line}");
    }
}
