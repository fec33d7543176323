//! `thin_metadata_size`: the figures of 0.9.0, on the reference inputs and on many others.

use crate::world::{answer, both_refuse, golden, ours, same};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::path::Path;

/// What 0.9.0 answers in bytes, 0 where it refuses.
const REFERENCE: &[(&str, u64)] = &[
    ("-b 64k -s 1g -m 1", 540_672),
    ("-b 64k -s 100g -m 100", 53_673_984),
    ("-b 64k -s 1t -m 1000", 549_490_688),
    ("-b 64k -s 1T -m 1", 496_037_888),
    ("-b 64k -s 1p -m 1", 558_482_104_320),
    ("-b 64k -s 16t -m 5000000", 29_206_286_336),
    ("-b 64k -s 64m -m 1", 40_960),
    ("-b 64k -s 999999999b -m 3", 512_000),
    ("-b 128 -s 20971520 -m 10", 5_369_856),
    ("-b 128k -s 500g -m 64", 133_414_912),
    ("-b 256k -s 10t -m 1000", 1_367_580_672),
    ("-b 512k -s 16t -m 10000", 1_131_749_376),
    ("-b 1m -s 1t -m 100", 34_500_608),
    ("-b 1m -s 100t -m 1000", 3_412_803_584),
    ("-b 2m -s 100G -m 100000", 411_152_384),
    ("-b 2m -s 100g -m 10000", 42_627_072),
    ("-b 2m -s 3m -m 1", 8192),
    ("-b 4m -s 64t -m 5000", 565_874_688),
    ("-b 64m -s 1p -m 10", 545_435_648),
    ("-b 1g -s 1p -m 1000", 38_187_008),
    ("-b 192k -s 100g -m 10", 0),
    ("-b 2g -s 4t -m 1", 73_728),
    ("-b 32k -s 1g -m 1", 1_073_152),
    ("-b 64k -s 64k -m 1", 0),
    ("-b 64k -s 1g -m 0", 0),
];

/// Those in which 0.9.0 does not overflow.
const UNITS: &str = "bskKmMgGtTpPeE";

fn nowhere() -> &'static Path {
    Path::new("")
}

#[test]
fn the_line_that_was_promised() {
    let text = answer("thin_metadata_size -b 2m -s 100G -m 100000 -u M", nowhere());
    let promised = "thin_metadata_size - 411.15 megabytes estimated metadata area size for \"--block-size=2mebibytes --pool-size=100gigabytes --max-thins=100000\"\n";
    assert_eq!(text, promised);
    // As the partitioning script asks.
    let text = answer(
        "thin_metadata_size -b 2m -s 107374182400b -m 10000 -u b -n",
        nowhere(),
    );
    assert_eq!(text, "42627072\n");
}

#[test]
fn reference_inputs_have_reference_figures() {
    assert_eq!(REFERENCE.len(), 25);
    for (input, bytes) in REFERENCE {
        let ran = ours(&format!("thin_metadata_size {input} -u b -n"), nowhere());
        let expected = if *bytes == 0 {
            String::new()
        } else {
            format!("{bytes}\n")
        };
        assert_eq!(
            (ran.status, ran.stdout),
            (i32::from(*bytes == 0), expected),
            "{input}"
        );
    }
}

#[test]
fn every_unit_in_every_form() {
    let mut text = String::new();
    for unit in UNITS.chars().chain("zZyY".chars()) {
        for form in ["", "-n", "-nshort", "--numeric-only=long"] {
            let line = format!("thin_metadata_size -b 2m -s 100G -m 100000 -u {unit} {form}");
            text.push_str(&answer(&line, nowhere()));
        }
    }
    golden("sizes.txt", &text);
}

#[test]
fn figures_are_debians() {
    for (input, bytes) in REFERENCE {
        for unit in UNITS.chars() {
            let line = format!("thin_metadata_size {input} -u {unit}");
            if *bytes == 0 {
                both_refuse(&line, nowhere());
            } else {
                same(&line, nowhere());
            }
        }
        if *bytes > 0 {
            for form in [
                "-n",
                "-nshort",
                "-nlong",
                "-nsh",
                "--numeric-only",
                "-uk --numeric-only=long",
            ] {
                same(&format!("thin_metadata_size {input} {form}"), nowhere());
            }
        }
    }
}

#[test]
fn words_are_debians() {
    for input in [
        "--block-size 64kibi --pool-size=1gibibytes --max-thins 10k --unit mebibytes",
        "-b64kib -s1gigab -m1kilo -umega",
        "-b 128sectors -s 20971520s -m 2s",
        "-b 128 -s 1tera -m 1b -u sec",
        "--block 64k --pool 1g --max 5 --unit=g",
        "-b 64k -s 1g -m 1 -u k -u m",
        // 299.008: the fraction is less than 0.01.
        "-b 64k -s 128k -m 72 -u K -n",
    ] {
        same(&format!("thin_metadata_size {input}"), nowhere());
    }
    for input in [
        "-b 64kb -s 1g -m 1",
        "-b 64KiB -s 1g -m 1",
        "-b 1.5g -s 3g -m 1",
        "-b 64k -s -1g -m 1",
        "-b 64q -s 1g -m 1",
        "-b k -s 1g -m 1",
        "-b 64k -s 1g -m 1 -u q",
        "-b 64k -s 1g -m 1 -nfoo",
        "-b 64k -s 1g",
        "-b 511b -s 1g -m 1",
        "-b 64k -s 32k -m 1",
        "-b 64k -s 16e -m 1",
    ] {
        both_refuse(&format!("thin_metadata_size {input}"), nowhere());
    }
}

#[test]
fn figures_are_debians_on_random_inputs() {
    let block = prop_oneof![
        (7..22_u32).prop_map(|n| 1_u64 << n),
        (0..24_u32).prop_map(|n| 1_u64 << n)
    ];
    let input = (
        block,
        0..41_u32,
        any::<u64>(),
        1..100_000_u64,
        0..UNITS.len(),
    );
    let mut runner = TestRunner::deterministic();
    for _ in 0..150 {
        let (block, shift, pool, thins, unit) = input.new_tree(&mut runner).unwrap().current();
        let pool = (pool >> (23 + shift)).max(block + 1);
        let unit = UNITS.chars().nth(unit).unwrap();
        same(
            &format!("thin_metadata_size -b {block} -s {pool} -m {thins} -u {unit} -n"),
            nowhere(),
        );
    }
}

/// 0.9.0 computes on with what is left of such numbers after 64 bits, and prints a figure.
#[test]
fn what_does_not_fit_64_bits_is_refused() {
    for input in [
        "-b 64k -s 1Z -m 3",
        "-b 64k -s 36028797018963968 -m 3",
        "-b 64k -s 99999999999999999999999 -m 3",
        "-b 64k -s 1g -m 18446744073709551615",
        "-b 64k -s 1g -m 16e",
    ] {
        let ran = ours(&format!("thin_metadata_size {input}"), nowhere());
        assert_eq!((ran.status, ran.stdout.as_str()), (1, ""), "{input}");
        assert!(ran.stderr.contains("too large"), "{input}: {}", ran.stderr);
    }
}

#[test]
fn what_no_pool_takes_is_told_beside_the_figure() {
    let noted = |input: &str| ours(&format!("thin_metadata_size {input} -n"), nowhere()).stderr;
    assert_eq!(noted("-b 64k -s 1g -m 1"), "");
    assert!(noted("-b 32k -s 1g -m 1").contains("no pool takes blocks of this size"));
    assert!(noted("-b 64k -s 1p -m 1").contains("17045913600 bytes"));
}
