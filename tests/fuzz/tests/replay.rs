//! What fuzzing has found stays found: corpora, past crashes and seeds through their targets, without a fuzzer.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops at what it did not expect"
)]

use convoy_fuzz::{TARGETS, find};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Bytes of one corpus at the most.
const MAX_CORPUS: u64 = 200 << 10;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn list(folder: &Path) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// Feeds an input; one that breaks something is told by its name.
fn feed(run: fn(&[u8]), name: &str, data: &[u8]) {
    let result = std::panic::catch_unwind(|| run(data));
    assert!(result.is_ok(), "{name} breaks its target");
}

fn replay(folder: &Path) -> u64 {
    let name = folder.file_name().unwrap().to_str().unwrap();
    let target = find(name).unwrap_or_else(|| panic!("{} is no target's", folder.display()));
    let mut bytes = 0;
    for file in list(folder) {
        let data = fs::read(&file).unwrap();
        bytes += data.len() as u64;
        feed(target.run, &file.display().to_string(), &data);
    }
    bytes
}

#[test]
fn corpora() {
    let folders = list(&folder("corpus"));
    for folder in &folders {
        let bytes = replay(folder);
        assert!(
            (1..=MAX_CORPUS).contains(&bytes),
            "{}: {bytes} bytes",
            folder.display()
        );
    }
    let found: BTreeSet<&str> = folders
        .iter()
        .filter_map(|path| path.file_name()?.to_str())
        .collect();
    let expected: BTreeSet<&str> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(found, expected, "each target has its corpus");
}

/// Each file is named after what it broke.
#[test]
fn regressions() {
    for folder in list(&folder("regressions")) {
        if folder.is_dir() {
            replay(&folder);
        }
    }
}

#[test]
fn seeds_and_their_neighbours() {
    for target in TARGETS {
        let seeds = (target.seeds)();
        // Some 300 neighbours a target: this is to see that properties hold near what is valid, not to search.
        let places = (300 / 4 / seeds.len()).max(1);
        for (number, seed) in seeds.iter().enumerate() {
            let name = format!("seed {number} of {}", target.name);
            assert!(
                seed.len() <= target.max_len,
                "{name} is longer than any input"
            );
            feed(target.run, &name, seed);
            for place in 0..places {
                let at = seed.len() * (2 * place + 1) / (2 * places);
                neighbours(target.run, &name, seed, at);
            }
        }
    }
}

/// The input with one byte changed, and cut there.
fn neighbours(run: fn(&[u8]), name: &str, seed: &[u8], at: usize) {
    for flip in [1, 0x80, 0xff] {
        let mut near = seed.to_vec();
        if let Some(byte) = near.get_mut(at) {
            *byte ^= flip;
        }
        feed(run, &format!("{name}, byte {at} ^ {flip:#x}"), &near);
    }
    feed(run, &format!("{name}, cut at {at}"), &seed[..at]);
}

#[test]
fn every_target_takes_nothing_and_noise() {
    for target in TARGETS {
        feed(target.run, target.name, b"");
        for byte in [0, 0x7f, 0xff] {
            feed(target.run, target.name, &vec![byte; 700]);
        }
    }
}
