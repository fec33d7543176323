//! The table in `docs/defects.md` names tests that there are.
#![expect(
    clippy::expect_used,
    reason = "a test stops at the first thing that is not as it should be"
)]

use std::collections::BTreeSet;
use std::path::Path;

const TABLE: &str = include_str!("../docs/defects.md");

/// Rows: the defect, and its tests.
fn rows() -> Vec<(&'static str, Vec<&'static str>)> {
    let rows = TABLE.lines().filter(|line| line.starts_with("| "));
    let rows = rows.filter(|line| !line.starts_with("| the original"));
    rows.map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [defect, _, tests] = cells.try_into().expect("three cells");
        let tests = tests.split(", ").map(|name| name.trim_matches('`'));
        (defect, tests.collect())
    })
    .collect()
}

#[test]
fn every_test_in_the_table_of_defects_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("it is in the workspace");
    let mut defects = BTreeSet::new();
    for (defect, tests) in rows() {
        assert!(defects.insert(defect), "twice: {defect}");
        assert!(!tests.is_empty(), "{defect}");
        for test in tests {
            let (file, name) = test.split_once("::").expect("file::test");
            let text = std::fs::read_to_string(root.join(file));
            let text = text.unwrap_or_else(|error| panic!("{defect}: {file}: {error}"));
            let function = format!("    fn {name}(");
            let at = text
                .find(&format!("\nfn {name}("))
                .or_else(|| text.find(&function));
            let at = at.unwrap_or_else(|| panic!("{defect}: no {name} in {file}"));
            let before: Vec<&str> = text[..at].trim_end().lines().rev().take(12).collect();
            let is_test = before.iter().any(|line| line.trim() == "#[test]");
            assert!(is_test, "{defect}: {name} in {file} is no test");
        }
    }
    assert!(defects.len() >= 30, "{}", defects.len());
}
