//! The figures that the real tools print.

use super::*;
use convoy_units::Sectors;

const K: u64 = 1 << 10;
const M: u64 = 1 << 20;
const G: u64 = 1 << 30;
const T: u64 = 1 << 40;
const P: u64 = 1 << 50;

/// Block size and pool size in bytes, devices, what 0.9.0 and what 1.3.3 print; 0 where it refuses.
const TABLE: &[(u64, u64, u64, u64, u64)] = &[
    (64 * K, G, 1, 540_672, 544_768),
    (64 * K, 100 * G, 100, 53_673_984, 53_678_080),
    (64 * K, T, 1000, 549_490_688, 549_494_784),
    (64 * K, 1_000_000_000_000, 1, 496_037_888, 496_041_984),
    (64 * K, P, 1, 558_482_104_320, 17_045_913_600),
    (64 * K, 16 * T, 5_000_000, 29_206_286_336, 17_045_913_600),
    (64 * K, 64 * M, 1, 40_960, 45_056),
    (64 * K, 999_999_999, 3, 512_000, 516_096),
    (128 * 512, 20_971_520 * 512, 10, 5_369_856, 5_373_952),
    (128 * K, 500 * G, 64, 133_414_912, 133_419_008),
    (256 * K, 10 * T, 1000, 1_367_580_672, 1_367_584_768),
    (512 * K, 16 * T, 10_000, 1_131_749_376, 1_131_753_472),
    (M, T, 100, 34_500_608, 34_504_704),
    (M, 100 * T, 1000, 3_412_803_584, 3_412_807_680),
    (2 * M, 100_000_000_000, 100_000, 411_152_384, 411_156_480),
    (2 * M, 100 * G, 10_000, 42_627_072, 42_631_168),
    (2 * M, 3 * M, 1, 8192, 12_288),
    (4 * M, 64 * T, 5000, 565_874_688, 565_878_784),
    (64 * M, P, 10, 545_435_648, 545_439_744),
    (G, P, 1000, 38_187_008, 38_191_104),
    (192 * K, 100 * G, 10, 0, 17_801_216),
    (2 * G, 4 * T, 1, 73_728, 0),
    (32 * K, G, 1, 1_073_152, 0),
    (64 * K, 64 * K, 1, 0, 12_288),
    (64 * K, G, 0, 0, 540_672),
];

#[test]
fn both_generations_as_printed_by_the_tools() {
    for (block, pool, thins, old, new) in TABLE.iter().copied() {
        if old != 0 {
            let found = metadata_size_0_9(pool / 512, block / 512, thins);
            assert_eq!(found, Bytes(old), "0.9.0: -b {block} -s {pool} -m {thins}");
        }
        let block_size = DataBlockSize::new(Sectors(block / 512));
        assert_eq!(block_size.is_err(), new == 0, "{block}");
        if let Ok(block_size) = block_size {
            let found = metadata_size(Bytes(pool), block_size, thins);
            assert_eq!(found, Bytes(new), "1.x: -b {block} -s {pool} -m {thins}");
        }
    }
}

#[test]
fn no_input_overflows() {
    let block = DataBlockSize::new(Sectors(128)).unwrap();
    assert_eq!(
        metadata_size(Bytes(u64::MAX), block, u64::MAX),
        Bytes(17_045_913_600)
    );
    assert_eq!(metadata_size_0_9(u64::MAX, 1, u64::MAX), Bytes(u64::MAX));
}
