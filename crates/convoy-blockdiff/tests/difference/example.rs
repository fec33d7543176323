//! The example program answers what the library answers, and ends with its cost.

use crate::answer::ours;
use convoy_blockdiff::DeltaKind;
use convoy_testkit::thin::random::{history, play};
use convoy_testkit::thin::{ImageOptions, PoolModel};
use convoy_thin_metadata::{FileSource, View};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use std::path::PathBuf;
use std::process::Command;

/// Cargo builds examples beside the tests, and names their folder to nobody.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().unwrap().parent().unwrap();
    let program = profile.join("examples/thin_diff");
    assert!(
        program.exists(),
        "not built: run `cargo test -p convoy-blockdiff` without --test"
    );
    program
}

#[test]
fn the_program_prints_every_range_and_its_cost() {
    let mut runner = TestRunner::deterministic();
    let mut pool = PoolModel::new(20_000, 12);
    let steps = history(30, 600).new_tree(&mut runner).unwrap().current();
    play(&mut pool, &steps, 600);
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = folder.path().join("metadata");
    std::fs::write(&path, pool.image(ImageOptions::fitting(&pool)).bytes).unwrap();
    let view = View::live(FileSource::open(&path).unwrap()).unwrap();
    let ids = pool.ids();
    let (left, right) = (ids[0], *ids.last().unwrap());
    for (left, word) in [(Some(left), left.to_string()), (None, "-".to_owned())] {
        let mut command = Command::new(program());
        let output = command
            .arg(&path)
            .args([word, right.to_string()])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        let mut lines: Vec<&str> = said.lines().collect();
        assert!(lines.pop().unwrap().starts_with("end "), "{said}");
        let mut printed = Vec::new();
        for line in lines {
            let words: Vec<&str> = line.split(' ').collect();
            let (begin, len): (u64, u64) = (words[1].parse().unwrap(), words[2].parse().unwrap());
            printed.extend((begin..begin + len).map(|block| (block, words[0].to_owned())));
        }
        let expected = ours(&view, left, right, true)
            .into_iter()
            .map(|(block, (kind, ..))| {
                let kind = match kind {
                    DeltaKind::LeftOnly => "left_only",
                    DeltaKind::RightOnly => "right_only",
                    DeltaKind::Differ => "different",
                    DeltaKind::Same => "same",
                };
                (block, kind.to_owned())
            });
        assert_eq!(printed, expected.collect::<Vec<_>>());
    }
    let output = Command::new(program())
        .arg(&path)
        .args(["4711", "1"])
        .output()
        .unwrap();
    assert!(
        !output.status.success(),
        "a device that is not there: {output:?}"
    );
}
