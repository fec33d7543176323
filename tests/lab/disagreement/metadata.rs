//! Metadata that is damaged, or that the kernel wants checked: kept away from the kernel, repaired into a spare.

use super::*;
use crate::verbs::{unmount, volume_names};
use convoy_engine::pool_options;
use convoy_testkit::thin::{BlockType, Image};
use convoy_thin_metadata::{FileSource, SuperblockState, read_superblock};
use convoy_units::Bytes;
use std::path::Path;

/// Where the flags are in the superblock, and the one that asks for a check.
const FLAGS: usize = 4;
const NEEDS_CHECK: u32 = 1;

fn edit(metadata: &Path, how: impl FnOnce(&mut Image)) {
    let mut image = Image {
        bytes: head(metadata).unwrap(),
        held_root: None,
        devices_root: 0,
        details_root: 0,
    };
    how(&mut image);
    put_back(metadata, &image.bytes);
}

/// The same after each repair: into a file of its own, with the original as it was, and every volume checked
/// before it is mounted.
#[track_caller]
fn mended(world: &World, number: u32) {
    let metadata = files(world)[1].clone();
    let original = head(&metadata).unwrap();
    let fixed = fix(world, &Remedy::default());
    assert!(fixed.is_well(), "{:?}", fixed.findings);
    assert!(
        head(&metadata).unwrap() == original,
        "the original was written"
    );
    let spare = metadata.with_extension(format!("mended-{number}.img"));
    assert!(spare.exists(), "{:?}", fixed.fixed);
    let engine = works(world);
    assert_eq!(engine.info().unwrap().pool.metadata_device, spare);
    assert_eq!(volume_names(&engine), ["v"]);
    holds(&engine, "v", "precious");
    engine.stop().unwrap();
    fs::remove_file(&metadata).unwrap();
    fs::rename(&spare, &metadata).unwrap();
    let catalog = world.catalog();
    let record = catalog.pools().unwrap().remove(0);
    let record = convoy_catalog::Pool { metadata, ..record };
    catalog
        .apply(&[convoy_catalog::Change::PutPool(record)])
        .unwrap();
}

#[test]
fn damaged_metadata_is_kept_from_the_kernel_and_repaired_into_a_spare() {
    let (world, engine) = World::opened("damaged-metadata");
    filled(&engine, "v", "precious");
    unmount(&engine, "v");
    engine.stop().unwrap();
    let metadata = files(&world)[1].clone();
    // The flag first: the metadata is sound.
    edit(&metadata, |image| {
        image.poke_u32(0, BlockType::Superblock, FLAGS, NEEDS_CHECK);
    });
    both_refuse(&world, &[Code::NeedsCheck], "needs_check");
    drop(looks(&world));
    mended(&world, 1);
    // The index of the space map: the tool counts anew.
    let source = FileSource::open(&metadata).unwrap();
    let SuperblockState::Valid(superblock) = read_superblock(&source).unwrap() else {
        panic!("a pool of ours")
    };
    let index = superblock.metadata_space_map.unwrap().bitmap_root.0;
    edit(&metadata, |image| image.flip_bit(index, 1000));
    both_refuse(&world, &[Code::MetadataDamaged], "is damaged");
    drop(looks(&world));
    mended(&world, 1);
    // A node of the details tree: without it no device is known.
    let source = FileSource::open(&metadata).unwrap();
    let SuperblockState::Valid(superblock) = read_superblock(&source).unwrap() else {
        panic!("a pool of ours")
    };
    let root = superblock.details_root.0;
    edit(&metadata, |image| image.flip_bit(root, 1000));
    both_refuse(&world, &[Code::MetadataDamaged], "is damaged");
    drop(looks(&world));
    // Whatever the tool makes of it, the original stays, and nothing is forgotten unasked.
    let damaged = head(&metadata).unwrap();
    let tried = doctor::fix(
        &patient(&world),
        &Remedy::default(),
        &Instruments::host().unwrap(),
    );
    match tried {
        Ok(diagnosis) => println!("repaired: {:?}", diagnosis.fixed),
        Err(error) => println!("refused: {}", convoy_fault::chain(&error)),
    }
    assert!(
        head(&metadata).unwrap() == damaged,
        "the original was written"
    );
    assert_eq!(world.catalog().volumes().unwrap().len(), 1);
}

/// On devices the spare is one too: blank, and large enough; the settings name it from then on. And where no
/// catalog tells of the devices any more, the settings do.
#[test]
fn a_pool_on_devices_is_repaired_into_the_device_that_is_given() {
    const METADATA: Bytes = Bytes::mib(8);
    let world = World::new("spare-device");
    let data = world.disk("data", Bytes::mib(256));
    let metadata = world.disk("metadata", METADATA);
    let (small, used) = (
        world.disk("small", Bytes::mib(4)),
        world.disk("used", METADATA),
    );
    let spare = world.disk("spare", METADATA);
    convoy_tests::command::tool("mkfs.ext4", &["-q", "-F", &used]);
    let on = |metadata: &str| {
        vec![
            ("dm.datadev".to_owned(), data.clone()),
            ("dm.metadatadev".to_owned(), metadata.to_owned()),
        ]
    };
    let told = |metadata: &str| Patient {
        root: world.root(),
        pool: pool_options(&on(metadata)).unwrap(),
    };
    let options = [
        ("dm.datadev", data.as_str()),
        ("dm.metadatadev", metadata.as_str()),
    ];
    let engine = world.open(&options);
    filled(&engine, "v", "precious");
    unmount(&engine, "v");
    engine.stop().unwrap();
    edit(Path::new(&metadata), |image| {
        image.poke_u32(0, BlockType::Superblock, FLAGS, NEEDS_CHECK);
    });
    let before = convoy_tests::disk::digest(Path::new(&metadata));
    let fix = |patient: &Patient, spare: Option<&str>| {
        let remedy = Remedy {
            spare: spare.map(PathBuf::from),
            ..Remedy::default()
        };
        doctor::fix(patient, &remedy, &Instruments::host().unwrap())
    };
    for (spare, words) in [
        (None, "--spare DEVICE"),
        (Some(metadata.as_str()), "it is the metadata device itself"),
        (Some(&small), "it has 4.0 MiB"),
        (Some(&used), "it carries"),
    ] {
        let (_, said) = crate::verbs::refusal(fix(&patient(&world), spare));
        assert!(said.contains(words), "no {words:?} in {said:?}");
    }

    let fixed = fix(&told(&metadata), Some(&spare)).unwrap();

    assert!(fixed.is_well(), "{:?}", fixed.findings);
    let line = format!("started with dm.metadatadev={spare}");
    assert!(
        fixed.fixed.iter().any(|said| said.contains(&line)),
        "{:?}",
        fixed.fixed
    );
    assert_eq!(convoy_tests::disk::digest(Path::new(&metadata)), before);
    let engine = works(&world);
    holds(&engine, "v", "precious");
    engine.stop().unwrap();
    // No catalog, no copy of one: nobody knows where the pool is.
    for entry in fs::read_dir(world.root()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.starts_with("catalog.db") {
            fs::remove_file(path).unwrap();
        }
    }
    let lost = diagnose(&world);
    assert!(
        lost.pool.is_none() && lost.findings[0].cure.contains("--driver-opts"),
        "{lost:?}"
    );
    let (_, said) = crate::verbs::refusal(fix(&patient(&world), None));
    assert!(said.contains("--driver-opts"), "{said}");
    let fixed = fix(&told(&spare), None).unwrap();
    assert!(fixed.is_well(), "{:?}", fixed.findings);
    let engine = works(&world);
    holds(&engine, "recovered-1", "precious");
    engine.stop().unwrap();
}
