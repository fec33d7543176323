//! What people type, what they get back, and what is refused.

use super::*;

#[track_caller]
fn check(text: &str, normalised: &str) {
    let location: Location = text.parse().unwrap();
    assert_eq!(location.to_string(), text, "what was typed comes back");
    assert_eq!(location.normalised().to_string(), normalised);
    assert_eq!(
        normalised.parse::<Location>().unwrap().normalised(),
        location.normalised()
    );
}

#[test]
fn good_locations() {
    check("vfs:///backup", "vfs:///backup");
    check("vfs:///backup/", "vfs:///backup");
    check("vfs:///a//b/./c/", "vfs:///a/b/c");
    check("vfs:///", "vfs:///");
    check("vfs:///with%20blank", "vfs:///with%20blank");
    check("s3://bucket@us-west-2/path/", "s3://bucket@us-west-2/path/");
    check("s3://bucket/path", "s3://bucket/path/");
    check("s3://bucket/", "s3://bucket/");
    check("s3://bucket//a//b", "s3://bucket/a/b/");
}

#[test]
fn bad_locations_say_the_rule() {
    let check = |text: &str, message: &str| {
        let error = text.parse::<Location>().unwrap_err();
        assert!(error.to_string().starts_with(message), "{text}: {error}");
        assert_eq!(error.kind(), Kind::Invalid);
    };
    check("", "Destination URL hasn't been specified");
    check("foo://x", "Driver foo is not supported!");
    check("/backup", "\"/backup\" is not a destination URL");
    for text in [
        "vfs://host/path",
        "vfs://",
        "vfs://rel",
        "vfs:///a/../b",
        "vfs:///a?b=c",
        "vfs:///%0a",
        "vfs:///%zz",
    ] {
        check(text, "Invalid URL \"vfs:");
    }
    for text in [
        "s3://bucket",
        "s3:///path",
        "s3://b@/p",
        "s3://key:secret@r/p",
        "s3://b/../c",
        "s3://b/p?x",
    ] {
        check(
            text,
            "Invalid URL. Must be either s3://bucket@region/path/, or s3://bucket/path",
        );
    }
}
