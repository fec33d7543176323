//! Debian's tools as judges, when `CONVOY_THIN_TOOLS` names the folder they are in.
//!
//! `thin_check` must find our test images healthy, space maps included, and `thin_delta` must give the answer that we
//! give. Without the variable nothing is tested here: the lab sets it.

use crate::answer::ours;
use convoy_blockdiff::DeltaKind;
use convoy_testkit::thin::random::{history, play};
use convoy_testkit::thin::{ImageOptions, PoolModel};
use convoy_thin_metadata::{FileSource, View};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of the tools, if there is one.
fn tools() -> Option<PathBuf> {
    std::env::var_os("CONVOY_THIN_TOOLS").map(PathBuf::from)
}

fn run(tool: &str, arguments: &[OsString]) -> String {
    let program = tools().expect("asked for only with tools").join(tool);
    let output = Command::new(&program).args(arguments).output().unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{tool} {arguments:?}: {text}");
    text
}

/// `thin_delta`'s answer as (kind, begin, length).
fn theirs(image: &Path, left: u32, right: u32) -> Vec<(DeltaKind, u64, u64)> {
    let arguments =
        ["--thin1", &left.to_string(), "--thin2", &right.to_string()].map(OsString::from);
    let text = run("thin_delta", &[&arguments[..], &[image.into()]].concat());
    text.lines().filter_map(range_of).collect()
}

fn range_of(line: &str) -> Option<(DeltaKind, u64, u64)> {
    let line = line.trim();
    let (name, rest) = line.strip_prefix('<')?.split_once(" begin=\"")?;
    let (begin, rest) = rest.split_once("\" length=\"")?;
    let (length, _) = rest.split_once('"')?;
    let kind = match name {
        "same" => DeltaKind::Same,
        "different" => DeltaKind::Differ,
        "left_only" => DeltaKind::LeftOnly,
        "right_only" => DeltaKind::RightOnly,
        other => panic!("an unknown element {other}"),
    };
    Some((kind, begin.parse().unwrap(), length.parse().unwrap()))
}

fn joined(view: &View<FileSource>, left: u32, right: u32) -> Vec<(DeltaKind, u64, u64)> {
    let mut ranges: Vec<(DeltaKind, u64, u64)> = Vec::new();
    for (block, (kind, ..)) in ours(view, Some(left), right, true) {
        match ranges.last_mut() {
            Some((before, begin, length)) if *before == kind && *begin + *length == block => {
                *length += 1;
            }
            _ => ranges.push((kind, block, 1)),
        }
    }
    ranges
}

#[test]
fn debian_agrees() {
    if tools().is_none() {
        return;
    }
    let mut runner = TestRunner::deterministic();
    for round in 0..60 {
        let fanout = [3, 6, 12, 252][round % 4];
        let mut pool = PoolModel::new(20_000, fanout);
        play(
            &mut pool,
            &history(30, 600).new_tree(&mut runner).unwrap().current(),
            600,
        );
        // thin_delta 0.9.0 reads past the end of a device without mappings.
        for id in pool.ids() {
            pool.write(id, 0);
        }
        if round % 3 == 0 {
            pool.reserve();
            pool.write(pool.ids()[0], 601);
        }
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let path = folder.path().join("metadata");
        std::fs::write(&path, pool.image(ImageOptions::fitting(&pool)).bytes).unwrap();
        run("thin_check", &[(&path).into()]);
        let view = View::live(FileSource::open(&path).unwrap()).unwrap();
        let ids = pool.ids();
        let (left, right) = (ids[0], *ids.last().unwrap());
        assert_eq!(
            joined(&view, left, right),
            theirs(&path, left, right),
            "round {round}"
        );
        assert_eq!(
            joined(&view, right, left),
            theirs(&path, right, left),
            "round {round}"
        );
    }
}
