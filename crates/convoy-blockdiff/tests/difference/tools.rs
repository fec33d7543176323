//! Debian's tools as judges: `thin_check` finds our test images healthy, space maps included, `thin_delta` gives the
//! answer that we give, and `thin_ls` the same figures.
//!
//! `CONVOY_THIN_TOOLS` names the folder they are in, and `cargo xtask test` sets it. Without it these tests fail: a
//! comparison that was not made must not look like one that went well.

use crate::answer::ours;
use convoy_blockdiff::{Change, DeltaKind, changes, usage};
use convoy_testkit::thin::large::{LargeOptions, Spread, write};
use convoy_testkit::thin::random::{history, play};
use convoy_testkit::thin::{ImageOptions, PoolModel};
use convoy_thin_metadata::{FileSource, View};
use convoy_units::{DevId, ThinBlock, ThinRange};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use std::ffi::OsString;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of the tools.
#[track_caller]
fn tools() -> PathBuf {
    match std::env::var_os("CONVOY_THIN_TOOLS") {
        Some(folder) if !folder.is_empty() => folder.into(),
        _ => panic!(
            "CONVOY_THIN_TOOLS does not name the folder of Debian's thin-provisioning-tools, so nothing was \
             compared: run `cargo xtask test`, which fetches them, or set it with `eval \"$(cargo xtask setup)\"`"
        ),
    }
}

#[track_caller]
fn run(tool: &str, arguments: &[OsString]) -> String {
    let output = Command::new(tools().join(tool))
        .args(arguments)
        .output()
        .unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{tool} {arguments:?}: {text}");
    text
}

/// A path that is gone with the folder.
fn scratch() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = folder.path().join("metadata");
    (folder, path)
}

/// One range of `thin_delta`: kind, begin, length.
type Range = (DeltaKind, u64, u64);

fn theirs(image: &Path, left: u32, right: u32) -> Vec<Range> {
    let arguments =
        ["--thin1", &left.to_string(), "--thin2", &right.to_string()].map(OsString::from);
    let text = run("thin_delta", &[&arguments[..], &[image.into()]].concat());
    text.lines().filter_map(range_of).collect()
}

fn range_of(line: &str) -> Option<Range> {
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

fn joined(view: &View<FileSource>, left: u32, right: u32) -> Vec<Range> {
    let mut ranges: Vec<Range> = Vec::new();
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

/// Device, mapped and exclusive blocks, as `thin_ls` prints them.
fn listed(image: &Path) -> Vec<[u64; 3]> {
    let words = [
        "--no-headers",
        "--format",
        "DEV,MAPPED_BLOCKS,EXCLUSIVE_BLOCKS",
    ];
    let words = words.map(OsString::from);
    let text = run("thin_ls", &[&words[..], &[image.into()]].concat());
    let row = |line: &str| {
        let mut numbers = line.split_whitespace().map(|word| word.parse().unwrap());
        [(); 3].map(|()| numbers.next().unwrap())
    };
    text.lines().map(row).collect()
}

fn measured(view: &View<FileSource>) -> Vec<[u64; 3]> {
    let block = view.superblock().data_block_size.bytes().0;
    let all = usage(view, None).unwrap();
    let row = |usage: &convoy_blockdiff::Usage| {
        let id = u64::from(usage.dev_id.get());
        [id, usage.mapped.0 / block, usage.exclusive.0 / block]
    };
    all.iter().map(row).collect()
}

#[test]
fn debian_agrees() {
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
        let (_folder, path) = scratch();
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
        assert_eq!(measured(&view), listed(&path), "round {round}");
    }
}

/// What the benchmark is made on: healthy in `thin_check`'s eyes, and changed where it says.
#[test]
fn debian_agrees_on_large_images() {
    for (mappings, one_in, spread, entries) in [
        (100_000, 10, Spread::Scattered, 168),
        (100_000, 50, Spread::Clustered(100), 252),
        (60_000, 7, Spread::Clustered(13), 100),
        (50_000, 0, Spread::Scattered, 168),
        (100, 3, Spread::Scattered, 252),
    ] {
        let options = LargeOptions {
            mappings,
            one_in,
            spread,
            entries,
        };
        let (_folder, path) = scratch();
        let large = write(BufWriter::new(File::create(&path).unwrap()), options).unwrap();
        run("thin_check", &[(&path).into()]);
        let view = View::live(FileSource::open(&path).unwrap()).unwrap();
        let found = joined(&view, 1, 2);
        assert_eq!(found, theirs(&path, 1, 2), "{options:?}");
        let differ: u64 = found
            .iter()
            .filter(|range| range.0 == DeltaKind::Differ)
            .map(|range| range.2)
            .sum();
        assert_eq!(differ, large.changed, "{options:?}");
        assert_eq!(measured(&view), listed(&path), "{options:?}");
        let id = |n| DevId::new(n).unwrap();
        let full = changes(&view, None, id(2)).unwrap();
        let whole = ThinRange {
            begin: ThinBlock(0),
            end: ThinBlock(mappings),
        };
        assert_eq!(full.iter().collect::<Vec<_>>(), [Change::Copy(whole)]);
    }
}
