//! Sizes as typed and as shown.

use super::*;
use proptest::prelude::*;

#[track_caller]
fn parses(text: &str, bytes: u64) {
    assert_eq!(text.parse(), Ok(Bytes(bytes)), "{text}");
}

#[track_caller]
fn shows(bytes: u64, text: &str) {
    assert_eq!(Bytes(bytes).to_string(), text);
}

#[test]
fn sizes_as_people_type_them() {
    parses("0", 0);
    parses("1048576", 1 << 20);
    parses("10G", 10 << 30);
    parses("10g", 10 << 30);
    parses("10GiB", 10 << 30);
    parses("4k", 4096);
    parses("1T", 1 << 40);
    for text in [
        "",
        "G",
        "1.5G",
        "10Q",
        "-1",
        " 1",
        "1 G",
        "99999999999999999999",
        "16777216T",
    ] {
        assert!(text.parse::<Bytes>().is_err(), "{text}");
    }
}

#[test]
fn sizes_as_people_read_them() {
    shows(0, "0 B");
    shows(1023, "1023 B");
    shows(1024, "1.0 KiB");
    shows(1536, "1.5 KiB");
    shows((1 << 20) - 1, "1.0 MiB");
    shows(10 << 30, "10.0 GiB");
    shows(u64::MAX, "16.0 EiB");
}

proptest! {
    #[test]
    fn showing_never_panics_and_is_short(bytes: u64) {
        prop_assert!(Bytes(bytes).to_string().len() <= 10);
    }

    #[test]
    fn a_bare_number_is_bytes(bytes: u64) {
        prop_assert_eq!(bytes.to_string().parse(), Ok(Bytes(bytes)));
    }
}
