//! Metadata that is damaged, or that the kernel wants checked.

use super::*;
use convoy_testkit::thin::BlockType;

#[test]
fn a_flag_that_asks_for_a_check_is_told_with_what_our_check_says() {
    let mut world = World::new();
    world.needs_check = true;
    world.write_pool();
    let diagnosis = world.diagnosis();
    assert!(!diagnosis.is_well());
    let finding = &diagnosis.findings[0];
    assert_eq!((finding.code, finding.fixable), (Code::NeedsCheck, true));
    assert_eq!(finding.evidence, ["our check finds it sound"]);
}

/// Bits of blocks in use, one at a time: the damage is told, whatever else can be read is, and nothing is
/// changed. `CONVOY_FLIPS` asks for another number of them.
#[test]
fn every_flipped_bit_is_told() {
    let world = World::new();
    let options = ImageOptions::fitting(&world.model);
    let sound = world.model.image(options).bytes;
    fs::write(world.metadata(), &sound).unwrap();
    is_well(&world.diagnosis());
    let in_use: Vec<usize> = (0..sound.len() / 4096)
        .filter(|block| sound[block * 4096..][..4096].iter().any(|byte| *byte != 0))
        .collect();
    let flips: u64 = std::env::var("CONVOY_FLIPS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(100);
    // A generator good enough to choose places, and the same places every time.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..flips {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let at = usize::try_from(state >> 20).unwrap();
        let (block, bit) = (in_use[at % in_use.len()], at / in_use.len() % 32768);
        let mut bytes = sound.clone();
        bytes[block * 4096 + bit / 8] ^= 1 << (bit % 8);
        fs::write(world.metadata(), bytes).unwrap();
        let diagnosis = diagnose(&world.patient(), &instruments()).unwrap();
        let told = diagnosis.findings.iter().find(|finding| {
            finding.code == Code::MetadataDamaged || finding.code == Code::MetadataForeign
        });
        let told = told.unwrap_or_else(|| panic!("block {block} bit {bit}: {diagnosis:?}"));
        assert_eq!(told.gravity, Gravity::Fatal);
        assert!(!told.what.is_empty() && !diagnosis.is_well());
    }
}

/// The tools are not there, or refuse: the original stays, and so does nothing half written.
#[test]
fn a_spare_that_cannot_be_is_refused() {
    let mut world = World::new();
    world.needs_check = true;
    world.write_pool();
    // It exists: somebody's file is not written over.
    let remedy = Remedy {
        spare: Some(world.data()),
        accept_loss: true,
    };
    world.refuses_to_fix(&remedy, "making the spare");
}

/// Block 0 names a metadata snapshot that nothing counts: the start completes that, and so it is no damage.
#[test]
fn a_torn_metadata_snapshot_is_a_note() {
    let world = World::new();
    let options = ImageOptions::fitting(&world.model);
    let mut image = world.model.image(options);
    let beyond = image.bytes.len() as u64 / 4096 - 1;
    // Where the held root is in the superblock.
    image.poke_u64(0, BlockType::Superblock, 56, beyond);
    fs::write(world.metadata(), image.bytes).unwrap();
    assert_eq!(world.codes(), ["interrupted"]);
}
