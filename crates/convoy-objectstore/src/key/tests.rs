//! The rule at its edges, and hostile keys.

use super::*;

#[test]
fn ordinary_keys_pass() {
    for text in [
        "config",
        "log/0/0",
        "packs/ab/0f-1-2",
        "a.b/_-/...",
        "tmp0/x",
        "x/tmp",
        &"a".repeat(200),
    ] {
        assert_eq!(text.parse::<Key>().unwrap().as_str(), text);
    }
}

#[test]
fn what_could_leave_or_collide_is_refused() {
    let long = "a".repeat(201);
    for text in [
        "", "/", "a/", "/a", "a//b", ".", "..", "a/..", "../a", "a/./b", "A", "a b", "a\0", "a\n",
        "ä", "a\\b", "tmp", "tmp/x", "%2e", &long,
    ] {
        assert!(text.parse::<Key>().is_err(), "{text:?}");
    }
    let hostile = "x".repeat(1_000_000) + "!";
    assert!(Key::new(hostile).unwrap_err().to_string().len() < 500);
}
