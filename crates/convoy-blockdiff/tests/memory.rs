//! Memory grows with the nodes that differ, by a few bytes each, and not with the mappings.
//!
//! In a process of its own, since a process has one peak.

#![expect(clippy::unwrap_used, reason = "a test: a panic is its answer")]

use convoy_blockdiff::{changes, usage};
use convoy_testkit::thin::large::{LargeImage, LargeOptions, Spread, write};
use convoy_thin_metadata::{FileSource, View};
use convoy_units::DevId;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

/// Most memory resident while `question` is asked of the pool in `path`, in bytes.
fn peak(path: &Path, question: &dyn Fn(&View<FileSource>)) -> u64 {
    // Forgets the peak so far (proc(5), since Linux 4.0).
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    question(&View::live(FileSource::open(path).unwrap()).unwrap());
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// Two devices of so many mappings of which no leaf is shared: the worst there is.
fn image(path: &Path, mappings: u64) -> LargeImage {
    let options = LargeOptions {
        mappings,
        one_in: 100,
        spread: Spread::Scattered,
        entries: 168,
    };
    let large = write(BufWriter::new(File::create(path).unwrap()), options).unwrap();
    assert_eq!(large.nodes_common, 0);
    large
}

/// How much more it takes to ask `question` of a pool ten times the size, by how many nodes that is.
#[track_caller]
fn check(question: &dyn Fn(&View<FileSource>), bytes_a_node: u64) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (small, large) = (folder.path().join("small"), folder.path().join("large"));
    let few = image(&small, 150_000).nodes_apart;
    let many = image(&large, 1_500_000).nodes_apart;
    let (before, after) = (peak(&small, question), peak(&large, question));
    let (grown, nodes) = (after.saturating_sub(before), many - few);
    assert!(
        grown <= nodes * bytes_a_node + (1 << 20),
        "{grown} bytes more for {nodes} nodes more, after {before}"
    );
    assert!(after <= 32 << 20, "{after} bytes at the peak");
}

#[test]
fn memory_grows_with_nodes_not_with_mappings() {
    let id = |n| DevId::new(n).unwrap();
    // A node's number and its share of the keys, twice while the list grows, and 4 bytes a change.
    check(&|view| drop(changes(view, Some(id(1)), id(2)).unwrap()), 64);
    // A node's row, its number by block and in its parent, its share of the keys, and one byte a data block: 84 a
    // leaf of two that have most of their blocks in common.
    check(&|view| drop(usage(view, None).unwrap()), 240);
}
