//! The table of rules in `docs/formats/thin-metadata.md` names every rule there is, and tests that exist.
#![expect(
    clippy::expect_used,
    reason = "a test stops at the first thing that is not as it should be"
)]

use std::collections::BTreeSet;
use std::path::Path;

const TABLE: &str = include_str!("../../../docs/formats/thin-metadata.md");
const RULES: &str = include_str!("../src/error/rule.rs");

/// Rows of the table of rules: the rule, and its tests.
fn rows() -> Vec<(&'static str, Vec<&'static str>)> {
    let (_, table) = TABLE.split_once("| rule | by |").expect("the table's head");
    table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
            let [rule, _, _, _, tests] = cells.try_into().expect("five cells");
            let tests = tests.split(", ").map(|name| name.trim_matches('`'));
            (rule.trim_matches('`'), tests.collect())
        })
        .collect()
}

/// The variants of `Rule`, from its source.
fn variants() -> BTreeSet<&'static str> {
    let (_, body) = RULES.split_once("pub enum Rule {").expect("the enum");
    let (body, _) = body.split_once("\n}\n").expect("its end");
    body.lines()
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| line.starts_with(|first: char| first.is_ascii_uppercase()))
        .map(|line| line.trim_end_matches([',', '{', ' ']))
        .collect()
}

#[test]
fn every_rule_has_one_row_and_every_row_a_rule() {
    let rows = rows();
    let named: BTreeSet<&str> = rows.iter().map(|(rule, _)| *rule).collect();
    assert_eq!(named.len(), rows.len(), "a rule has two rows");
    assert_eq!(named, variants());
    assert!(named.len() > 30);
}

#[test]
fn every_test_in_the_table_exists() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for (rule, tests) in rows() {
        assert!(!tests.is_empty());
        for test in tests {
            let (file, name) = test.split_once("::").expect("file::test");
            let file = if file.starts_with("convoy-") {
                crates.join(file)
            } else {
                crates.join("convoy-thin-metadata").join(file)
            };
            let text = std::fs::read_to_string(&file).expect("the file of a test");
            let function = format!("fn {name}(");
            let in_macro = format!("rule!(\n    {name},");
            assert!(
                text.contains(&function) || text.contains(&in_macro),
                "{rule}: no {name} in {}",
                file.display()
            );
        }
    }
}
