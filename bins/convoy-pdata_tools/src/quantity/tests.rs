//! What the reference tool 0.9.0 reads and prints.

use super::*;

#[track_caller]
fn check(text: &str, bytes: u128, words: &str) {
    let quantity = Quantity::parse(text).unwrap();
    assert_eq!(quantity.times(512), bytes, "{text}");
    assert_eq!(quantity.in_words("sectors"), words, "{text}");
}

#[test]
fn units_are_letters_or_the_beginnings_of_words() {
    check("128", 65_536, "128sectors");
    check("128s", 65_536, "128sectors");
    check("64k", 65_536, "64kibibytes");
    check("64kib", 65_536, "64kibibytes");
    check("64kilo", 64_000, "64kilobytes");
    check("1mebi", 1 << 20, "1mebibytes");
    check("1me", 1 << 20, "1mebibytes");
    check("1mega", 1_000_000, "1megabytes");
    check("0200b", 200, "0200bytes");
    check("1Y", 10_u128.pow(24), "1yottabytes");
    check(
        "18446744073709551615Y",
        u128::MAX,
        "18446744073709551615yottabytes",
    );
}

#[test]
fn what_is_no_number_with_a_unit_is_refused() {
    for text in [
        "",
        "k",
        "-1g",
        "+1g",
        " 1g",
        "1 g",
        "1.5g",
        "0x80",
        "64q",
        "64kb",
        "64KiB",
        "18446744073709551616",
    ] {
        assert!(Quantity::parse(text).is_err(), "{text}");
    }
}

#[track_caller]
fn prints(bytes: u64, letter: &str, expected: &str) {
    let unit = Unit::named(letter).unwrap();
    assert_eq!(Figure { bytes, unit }.to_string(), expected);
}

#[test]
fn figures_are_whole_or_have_two_decimals_or_an_exponent() {
    prints(411_152_384, "b", "411152384");
    prints(411_152_384, "s", "803032");
    prints(411_152_384, "K", "411152.38");
    prints(411_152_384, "M", "411.15");
    prints(411_152_384, "t", "3.74e-04");
    prints(411_152_384, "E", "4.11e-10");
    prints(5 * 4096, "K", "20.48");
    prints(73 * 4096, "K", "2.99e+02");
    prints(0, "Y", "0");
}
