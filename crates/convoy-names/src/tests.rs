//! The rule at its edges, and hostile names.

use super::*;
use proptest::prelude::*;

#[track_caller]
fn check(text: &str, valid: bool) {
    assert_eq!(text.parse::<VolumeName>().is_ok(), valid, "{text:?}");
}

#[test]
fn the_rule_holds_at_its_edges() {
    for text in ["a", "0", "vol1", "a.b-c_d", "A--", &"x".repeat(128)] {
        check(text, true);
    }
    for text in [
        "",
        ".",
        "..",
        "-rf",
        "_a",
        "a/b",
        "../x",
        "a b",
        "a\n",
        "a\0",
        "%s",
        "é",
        "a\u{202e}b",
        "a@b",
        "\u{1b}[31m",
        &"x".repeat(129),
    ] {
        check(text, false);
    }
}

#[test]
fn a_huge_name_makes_a_small_error() {
    let error = "/".repeat(1_000_000).parse::<VolumeName>().unwrap_err();
    assert!(error.to_string().len() < 500);
    assert!(error.to_string().contains(RULE));
}

#[test]
fn a_snapshot_may_be_named_through_its_volume() {
    let reference: SnapshotRef = "vol@snap".parse().unwrap();
    assert_eq!(
        reference.volume.as_ref().map(VolumeName::as_str),
        Some("vol")
    );
    assert_eq!(reference.to_string(), "vol@snap");
    assert!("a@b@c".parse::<SnapshotRef>().is_err());
}

proptest! {
    #[test]
    fn what_parses_prints_as_it_was(text in "[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}") {
        prop_assert_eq!(text.parse::<SnapshotName>().unwrap().to_string(), text);
    }
}
