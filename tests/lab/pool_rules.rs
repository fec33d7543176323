//! Which devices and settings an engine accepts, and that what it refuses is as it was.

use crate::world::{
    World, attach, disk, mount, name, noise, refusal, run, snapshot, sweep, volume,
};
use convoy_engine::{Engine, Operation, pool_options};
use convoy_fault::{Fault, Kind};
use convoy_thinpool::blockdev;
use convoy_units::{Bytes, DataBlockSize, Sectors};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

const DATA: Bytes = Bytes::mib(64);
const METADATA: Bytes = Bytes::mib(8);

/// The options that name these two devices.
fn devices<'a>(data: &'a str, metadata: &'a str) -> [(&'static str, &'a str); 2] {
    [("dm.datadev", data), ("dm.metadatadev", metadata)]
}

/// What stands for everything that can be read from these devices.
fn bytes_of(devices: &[&str]) -> String {
    run("sync", &[]);
    run("sha256sum", devices)
}

/// What an engine may have left under its root when it was refused.
#[track_caller]
fn nothing_made(root: &Path) {
    for entry in fs::read_dir(root).into_iter().flatten() {
        let entry = entry.unwrap().file_name().into_string().unwrap();
        let known = entry == "lock" || entry.starts_with("catalog.");
        assert!(known, "{entry} was made under the root");
    }
    let listed = run("dmsetup", &["ls"]);
    assert!(listed.contains("No devices found"), "{listed}");
}

fn write(device: &str, offset: u64, bytes: &[u8]) {
    let file = fs::OpenOptions::new().write(true).open(device).unwrap();
    file.write_all_at(bytes, offset).unwrap();
    file.sync_all().unwrap();
}

/// A partition table of the old kind with one partition.
fn mbr(device: &str, kind: u8) {
    let mut sector = [0; 512];
    sector[446..462].copy_from_slice(&[
        0, 0, 2, 0, kind, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0xff, 0xff, 3, 0,
    ]);
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    write(device, 0, &sector);
}

/// The label of an LVM physical volume (lib/format_text/layout.h of LVM2): blkid checks its checksum.
fn lvm(device: &str) {
    let mut label = [0; 512];
    label[..8].copy_from_slice(b"LABELONE");
    label[8..16].copy_from_slice(&1u64.to_le_bytes());
    label[20..24].copy_from_slice(&32u32.to_le_bytes());
    label[24..32].copy_from_slice(b"LVM2 001");
    label[32..64].copy_from_slice(b"abcdefghijklmnopqrstuvwxyz012345");
    // CRC-32 as zlib's, but begun with 0xf597a6cf and not inverted at the end.
    let crc = label[20..].iter().fold(0xf597_a6cfu32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    });
    label[16..20].copy_from_slice(&crc.to_le_bytes());
    write(device, 512, &label);
}

/// An array member's superblock of version 1.2 (Linux, md_p.h), 4 KiB into the device.
fn raid(device: &str) {
    let mut superblock = [0u8; 256];
    superblock[..4].copy_from_slice(&0xa92b_4efcu32.to_le_bytes());
    superblock[4..8].copy_from_slice(&1u32.to_le_bytes());
    superblock[144..152].copy_from_slice(&8u64.to_le_bytes());
    let sum: u64 = superblock
        .chunks(4)
        .map(|word| u64::from(u32::from_le_bytes(word.try_into().unwrap())))
        .sum();
    let folded = u32::try_from((sum & 0xffff_ffff) + (sum >> 32)).unwrap();
    superblock[216..220].copy_from_slice(&folded.to_le_bytes());
    write(device, 4096, &superblock);
}

#[test]
fn a_device_that_carries_anything_is_refused_and_untouched() {
    let world = World::new("signatures");
    type Make = fn(&str);
    let carried: [(&str, Make); 9] = [
        ("ext4", |device| {
            drop(run("mkfs.ext4", &["-q", "-F", device]))
        }),
        ("swap", |device| drop(run("mkswap", &["-q", device]))),
        ("gpt", |device| {
            drop(run(
                "sh",
                &["-c", &format!("echo 'label: gpt' | sfdisk -q {device}")],
            ))
        }),
        ("partition table", |device| mbr(device, 0x83)),
        ("LVM2_member", lvm),
        ("linux_raid_member", raid),
        ("xfs", |device| write(device, 0, &xfs_superblock())),
        ("btrfs", |device| write(device, 0x10040, b"_BHRfS_M")),
        ("crypto_LUKS", |device| {
            write(device, 0, b"LUKS\xba\xbe\x00\x01")
        }),
    ];
    for (number, (what, make)) in carried.into_iter().enumerate() {
        let dirty = world.disk(&format!("dirty-{number}"), DATA);
        let clean = world.disk(&format!("clean-{number}"), DATA);
        make(&dirty);
        let before = bytes_of(&[&dirty, &clean]);
        for options in [devices(&dirty, &clean), devices(&clean, &dirty)] {
            println!("{what}");
            let (kind, words) = world.refused(&options);
            assert_eq!(kind, Kind::Conflict, "{what}: {words}");
            assert!(words.contains(&dirty), "{what}: {words}");
            assert!(
                words.contains("not blank") || words.contains("carries"),
                "{what}: {words}"
            );
            if what != "btrfs" {
                assert!(
                    words.to_lowercase().contains(&what.to_lowercase()),
                    "{what}: {words}"
                );
            }
            nothing_made(&world.root());
        }
        assert!(
            bytes_of(&[&dirty, &clean]) == before,
            "{what}: a refused device was written"
        );
        run("losetup", &["--detach", &dirty, &clean]);
    }
}

/// As much of an XFS superblock as blkid checks.
fn xfs_superblock() -> Vec<u8> {
    let mut block = vec![0; 512];
    block[..4].copy_from_slice(b"XFSB");
    block[4..8].copy_from_slice(&4096u32.to_be_bytes());
    block[8..16].copy_from_slice(&16384u64.to_be_bytes());
    block[80..84].copy_from_slice(&1u32.to_be_bytes()); // blocks in a real-time extent
    block[84..88].copy_from_slice(&4096u32.to_be_bytes()); // blocks in an allocation group
    block[88..92].copy_from_slice(&4u32.to_be_bytes()); // groups
    block[96..100].copy_from_slice(&1024u32.to_be_bytes()); // log blocks
    block[100..102].copy_from_slice(&4u16.to_be_bytes()); // version
    block[102..104].copy_from_slice(&512u16.to_be_bytes());
    block[104..106].copy_from_slice(&512u16.to_be_bytes()); // inode size
    block[106..108].copy_from_slice(&8u16.to_be_bytes());
    block[120..126].copy_from_slice(&[12, 9, 9, 3, 12, 0]);
    block[127] = 25;
    block
}

#[test]
fn a_device_in_use_is_refused() {
    let world = World::new("in-use");
    let clean = world.disk("clean", DATA);
    // Our own scratch filesystem's disk, mounted.
    let mounted = disk(0);
    let (kind, words) = world.refused(&devices(&mounted, &clean));
    assert_eq!(kind, Kind::Conflict, "{words}");
    assert!(words.contains("in use"), "{words}");
    // A blank one that another device is made of.
    let under = world.disk("under", DATA);
    run(
        "dmsetup",
        &[
            "create",
            "over",
            "--table",
            &format!("0 1000 linear {under} 0"),
        ],
    );
    let (kind, words) = world.refused(&devices(&under, &clean));
    assert_eq!(kind, Kind::Conflict, "{words}");
    assert!(words.contains("in use"), "{words}");
    run("dmsetup", &["remove", "over"]);
    world.open(&devices(&under, &clean)).stop().unwrap();
}

#[test]
fn another_pools_devices_are_refused() {
    let world = World::new("old-pool");
    let (data, metadata) = (world.disk("data", DATA), world.disk("metadata", METADATA));
    let first = world.open(&devices(&data, &metadata));
    volume(&first, "v", Bytes::mib(64));
    // While it is up, a second daemon over another root gets neither its name nor its devices.
    let beside = World {
        dir: world.path("beside"),
    };
    fs::create_dir(&beside.dir).unwrap();
    for options in [&[][..], &devices(&data, &metadata)] {
        let (kind, words) = beside.refused(options);
        assert_eq!(kind, Kind::Conflict, "{words}");
    }
    let named = [
        ("dm.thinpoolname", "other"),
        ("dm.datadev", &data),
        ("dm.metadatadev", &metadata),
    ];
    let (kind, words) = beside.refused(&named);
    assert_eq!(kind, Kind::Conflict, "{words}");
    first.stop().unwrap();

    let before = bytes_of(&[&data, &metadata]);
    let spare = world.disk("spare", DATA);
    for options in [
        devices(&data, &metadata),
        devices(&spare, &metadata),
        devices(&metadata, &spare),
    ] {
        let (kind, words) = beside.refused(&options);
        assert_eq!(kind, Kind::Conflict, "{words}");
        assert!(
            words.contains("thin pool") || words.contains("ext4"),
            "{words}"
        );
    }
    // Bytes that nothing knows make no metadata device.
    let strange = world.disk("strange", METADATA);
    write(&strange, 1000, b"what is this");
    let (kind, words) = beside.refused(&devices(&spare, &strange));
    assert_eq!(
        (kind, words.contains("do not know")),
        (Kind::Conflict, true),
        "{words}"
    );
    assert!(
        bytes_of(&[&data, &metadata]) == before,
        "a refused pool was written"
    );
    assert_eq!(world.open(&[]).volumes().unwrap().len(), 1);
}

#[test]
fn values_that_break_a_rule_are_refused_with_it() {
    let check = |options: &[(&str, &str)], rule: &str| {
        let options: Vec<_> = options
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let error = pool_options(&options).unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid, "{options:?}");
        let words = convoy_fault::chain(&error);
        assert!(words.contains(rule), "{options:?}: {words}");
    };
    let sectors = "must between 128 and 2097152, and must be a multiple of 128";
    for wrong in ["0", "127", "129", "64", "2097280", "4294967296"] {
        check(&[("dm.thinpoolblocksize", wrong)], sectors);
    }
    for wrong in ["", "many", "-128", "1.5M"] {
        check(
            &[("dm.thinpoolblocksize", wrong)],
            "Illegal block size specified",
        );
    }
    for wrong in ["", "0", "big", "10X", "-1"] {
        check(
            &[("dm.defaultvolumesize", wrong)],
            "Illegal default volume size specified",
        );
    }
    check(&[("dm.fs", "ntfs")], "ext4 or xfs");
    for wrong in ["", "-a", ".a", "a/b", "a b"] {
        check(&[("dm.thinpoolname", wrong)], convoy_names::RULE);
    }
    check(&[("dm.datadev", "/dev/a")], "needs both");
    check(&[("dm.metadatadev", "/dev/a")], "needs both");
    check(
        &[("dm.datadev", "/dev/a"), ("dm.metadatadev", "/dev/a")],
        "same device",
    );
    check(
        &[("dm.datadev", "sdb"), ("dm.metadatadev", "/dev/a")],
        "absolute path",
    );
    check(&[("dm.blocksize", "128")], "unknown driver option");
    check(&[("dm.fs", "ext4"), ("dm.fs", "xfs")], "given twice");
}

#[test]
fn devices_that_cannot_be_a_pool_are_refused_before_anything_is_touched() {
    let world = World::new("unfit");
    let (data, metadata) = (world.disk("data", DATA), world.disk("metadata", METADATA));
    let before = bytes_of(&[&data, &metadata]);
    // One device under two names.
    let alias = world.path("alias");
    std::os::unix::fs::symlink(&data, &alias).unwrap();
    let (kind, words) = world.refused(&devices(&data, alias.to_str().unwrap()));
    assert_eq!(kind, Kind::Invalid, "{words}");
    assert!(words.contains("same device"), "{words}");
    nothing_made(&world.root());
    // Too small for one block.
    let mut options = devices(&data, &metadata).to_vec();
    options.push(("dm.thinpoolblocksize", "262144"));
    let (kind, words) = world.refused(&options);
    assert_eq!(kind, Kind::Invalid, "{words}");
    assert!(words.contains("less than one block"), "{words}");
    nothing_made(&world.root());
    // No device at all, and a file where a device should be.
    let (_, words) = world.refused(&devices("/dev/no-such-disk", &metadata));
    assert!(words.contains("/dev/no-such-disk"), "{words}");
    nothing_made(&world.root());
    let file = world.path("data");
    let (_, words) = world.refused(&devices(file.to_str().unwrap(), &metadata));
    assert!(words.contains(file.to_str().unwrap()), "{words}");
    nothing_made(&world.root());
    assert!(
        bytes_of(&[&data, &metadata]) == before,
        "a refused device was written"
    );
    // After all that the right ones are taken.
    world.open(&devices(&data, &metadata)).stop().unwrap();
}

/// The kernel formats a metadata device whose first 4 KiB are zero without a word: every volume would be
/// gone.
#[test]
fn a_zeroed_superblock_of_a_pool_in_use_is_refused() {
    let world = World::new("zeroed");
    let (data, metadata) = (world.disk("data", DATA), world.disk("metadata", METADATA));
    let engine = world.open(&devices(&data, &metadata));
    volume(&engine, "v", Bytes::mib(64));
    engine.stop().unwrap();
    let whole = fs::read(&metadata).unwrap();
    blockdev::zero_first_block(Path::new(&metadata)).unwrap();
    let before = bytes_of(&[&data, &metadata]);
    for options in [&[][..], &devices(&data, &metadata)] {
        let (kind, words) = world.refused(options);
        assert_eq!(kind, Kind::PoolUnhealthy, "{words}");
        assert!(words.contains("all zeros"), "{words}");
    }
    assert!(
        bytes_of(&[&data, &metadata]) == before,
        "a refused device was written"
    );
    write(&metadata, 0, &whole[..4096]);
    assert_eq!(world.open(&[]).volumes().unwrap().len(), 1);
}

#[test]
fn a_damaged_superblock_is_refused() {
    let world = World::new("damaged");
    let (data, metadata) = (world.disk("data", DATA), world.disk("metadata", METADATA));
    world.open(&devices(&data, &metadata)).stop().unwrap();
    let whole = fs::read(&metadata).unwrap();
    write(&metadata, 100, b"x");
    let before = bytes_of(&[&data, &metadata]);
    let (kind, words) = world.refused(&[]);
    assert_eq!(kind, Kind::Integrity, "{words}");
    assert!(
        bytes_of(&[&data, &metadata]) == before,
        "a refused device was written"
    );
    write(&metadata, 0, &whole[..4096]);
    world.open(&[]).stop().unwrap();
}

#[test]
fn other_metadata_than_the_catalogs_is_refused_unchanged() {
    let world = World::new("foreign");
    let (data, metadata) = (world.disk("data", DATA), world.disk("metadata", METADATA));
    let engine = world.open(&devices(&data, &metadata));
    volume(&engine, "one", Bytes::mib(64));
    volume(&engine, "two", Bytes::mib(64));
    engine.stop().unwrap();

    // Pools of another root: at another transaction; of other blocks; at the same one without our devices.
    let check = |number: u32, sectors: &str, make: &dyn Fn(&Engine), expected: &str| {
        let other = World {
            dir: world.path(&format!("other-{number}")),
        };
        fs::create_dir(&other.dir).unwrap();
        let data2 = world.disk(&format!("data-{number}"), DATA);
        let metadata2 = world.disk(&format!("metadata-{number}"), METADATA);
        let mut options = devices(&data2, &metadata2).to_vec();
        options.push(("dm.thinpoolblocksize", sectors));
        let engine = other.open(&options);
        make(&engine);
        engine.stop().unwrap();
        let before = bytes_of(&[&data, &metadata, &data2, &metadata2]);
        for options in [devices(&data2, &metadata2), devices(&data, &metadata2)] {
            let (kind, words) = world.refused(&options);
            assert_eq!(kind, Kind::PoolUnhealthy, "{words}");
            assert!(words.contains(expected), "{words}");
        }
        assert!(
            bytes_of(&[&data, &metadata, &data2, &metadata2]) == before,
            "refused devices were written"
        );
        other.open(&[]).stop().unwrap();
    };
    let silent = Operation::silent();
    check(
        1,
        "4096",
        &|engine| drop(volume(engine, "a", Bytes::mib(64))),
        "is at transaction 1, the catalog at 2",
    );
    check(
        2,
        "128",
        &|engine| {
            volume(engine, "a", Bytes::mib(64));
            volume(engine, "b", Bytes::mib(64));
        },
        "blocks of",
    );
    check(
        3,
        "4096",
        &|engine| {
            volume(engine, "a", Bytes::mib(64));
            engine.delete_volume(&name("a"), &silent).unwrap();
        },
        "lacks thin devices that the catalog has: 1, 2",
    );
    // The data device alone is another, smaller one.
    let small = world.disk("small", Bytes::mib(32));
    let (kind, words) = world.refused(&devices(&small, &metadata));
    assert_eq!(kind, Kind::PoolUnhealthy, "{words}");
    // After all that, our own are taken, by the paths they had.
    assert_eq!(world.open(&[]).volumes().unwrap().len(), 2);
}

#[test]
fn device_paths_may_move() {
    let world = World::new("moved");
    let (data, metadata) = (world.disk("data", DATA), world.disk("metadata", METADATA));
    let engine = world.open(&devices(&data, &metadata));
    let made = volume(&engine, "v", Bytes::mib(64));
    let content = noise(1, 1 << 20);
    crate::world::write_device(&made.device, 0, &content);
    engine.stop().unwrap();
    run("losetup", &["--detach", &data, &metadata]);
    // The same two paths, exchanged: to be refused, since the metadata is not there.
    let metadata2 = attach(&world.path("metadata"));
    let data2 = attach(&world.path("data"));
    assert_eq!((&metadata2, &data2), (&data, &metadata), "the paths moved");
    let before = bytes_of(&[&data2, &metadata2]);
    let (kind, words) = world.refused(&[]);
    assert!(
        matches!(kind, Kind::Integrity | Kind::PoolUnhealthy),
        "{kind}: {words}"
    );
    assert!(
        bytes_of(&[&data2, &metadata2]) == before,
        "refused devices were written"
    );
    // Named where they are now, they are taken, and remembered.
    world.open(&devices(&data2, &metadata2)).stop().unwrap();
    let engine = world.open(&[]);
    let found = engine.volume(&name("v")).unwrap();
    assert!(fs::read(&found.device).unwrap()[..1 << 20] == content);
    assert_eq!(engine.info().unwrap().pool.data_device, Path::new(&data2));
    engine.stop().unwrap();
}

#[test]
fn settings_are_applied_or_refused_and_never_ignored() {
    let world = World::new("settings");
    let options = [
        ("dm.thinpoolname", "tank"),
        ("dm.thinpoolblocksize", "256"),
        ("dm.defaultvolumesize", "64M"),
    ];
    world.open(&options).stop().unwrap();
    for (option, value) in [
        ("dm.thinpoolname", "other"),
        ("dm.thinpoolblocksize", "128"),
    ] {
        let (kind, words) = world.refused(&[(option, value)]);
        assert_eq!(kind, Kind::Conflict, "{words}");
        assert!(
            words.contains(option) && words.contains("cannot become"),
            "{words}"
        );
    }
    let disks = [world.disk("data", DATA), world.disk("metadata", METADATA)];
    let before = bytes_of(&[&disks[0], &disks[1]]);
    let (kind, words) = world.refused(&devices(&disks[0], &disks[1]));
    assert_eq!(kind, Kind::Conflict, "{words}");
    assert!(bytes_of(&[&disks[0], &disks[1]]) == before);

    let changed = [
        ("dm.defaultvolumesize", "128M"),
        ("dm.fs", "xfs"),
        ("dm.thinpoolblocksize", "256"),
    ];
    world.open(&changed).stop().unwrap();
    let engine = world.open(&[]);
    let pool = engine.info().unwrap().pool;
    assert_eq!(pool.default_volume_size, Bytes::mib(128));
    assert_eq!(pool.filesystem, "xfs");
    assert_eq!(pool.block_size, DataBlockSize::new(Sectors(256)).unwrap());
    assert_eq!(pool.name.as_str(), "tank");
    assert!(pool.loop_backed);
    engine.stop().unwrap();
}

#[test]
fn one_root_has_one_engine() {
    let world = World::new("second");
    let engine = world.open(&[]);
    let (kind, words) = world.refused(&[]);
    assert_eq!(kind, Kind::Busy, "{words}");
    assert!(words.contains("another daemon serves this root"), "{words}");
    engine.info().unwrap();
    engine.stop().unwrap();
    world.open(&[]).stop().unwrap();
}

/// A daemon that ends leaves everything up; the next one takes it over under the feet of who uses it.
#[test]
fn an_active_pool_is_adopted() {
    let world = World::new("adopted");
    let engine = world.open(&[]);
    volume(&engine, "v", Bytes::mib(256));
    let target = mount(&engine, "v");
    let open = fs::File::create(target.join("open")).unwrap();
    let before = engine.info().unwrap().pool;
    drop(engine);
    open.write_all_at(b"while nobody serves", 0).unwrap();
    open.sync_all().unwrap();
    let devices = run("dmsetup", &["table"]);
    let engine = world.open(&[]);
    assert_eq!(
        run("dmsetup", &["table"]),
        devices,
        "nothing was taken down or made"
    );
    let found = engine.volume(&name("v")).unwrap();
    assert_eq!(found.mountpoint.as_deref(), Some(target.as_path()));
    open.write_all_at(b"while one serves", 4096).unwrap();
    open.sync_all().unwrap();
    assert_eq!(engine.info().unwrap().recovered, Vec::<String>::new());
    let after = engine.info().unwrap().pool;
    assert_eq!(
        (after.uuid, after.transaction),
        (before.uuid, before.transaction)
    );
    snapshot(&engine, "v", "s");
    let busy = refusal(engine.stop());
    assert_eq!(busy.0, Kind::Busy, "{}", busy.1);
    drop(open);
    world.open(&[]).stop().unwrap();
}

#[test]
fn loop_files_are_attached_again_after_a_reboot() {
    let world = World::new("reboot");
    let engine = world.open(&[]);
    let pool = engine.info().unwrap().pool;
    assert!(pool.loop_backed);
    volume(&engine, "v", Bytes::mib(256));
    let target = mount(&engine, "v");
    fs::write(target.join("file"), noise(7, 1 << 20)).unwrap();
    drop(engine);
    run("sync", &[]);
    sweep();
    assert_eq!(run("losetup", &["--list", "--noheadings"]), "");
    let engine = world.open(&[]);
    let found = engine.volume(&name("v")).unwrap();
    assert_eq!(
        found.mountpoint.as_deref(),
        Some(target.as_path()),
        "{:?}",
        engine.info().unwrap().recovered
    );
    assert!(fs::read(target.join("file")).unwrap() == noise(7, 1 << 20));
    assert_eq!(engine.info().unwrap().pool.uuid, pool.uuid);
    engine.stop().unwrap();
    assert_eq!(
        run("losetup", &["--list", "--noheadings"]),
        "",
        "stopping detaches"
    );
    assert!(run("dmsetup", &["ls"]).contains("No devices found"));
}

/// The file is there and the filesystem that should hold it is not: an empty pool would take its place.
#[test]
fn a_loop_file_that_is_gone_is_refused() {
    let world = World::new("gone");
    let engine = world.open(&[]);
    volume(&engine, "v", Bytes::mib(64));
    engine.stop().unwrap();
    let folder = world.root().join("devicemapper");
    fs::rename(folder.join("metadata.img"), folder.join("elsewhere")).unwrap();
    let (kind, words) = world.refused(&[]);
    assert_eq!(kind, Kind::PoolUnhealthy, "{words}");
    assert!(words.contains("metadata.img is gone"), "{words}");
    assert!(!folder.join("metadata.img").exists());
    fs::rename(folder.join("elsewhere"), folder.join("metadata.img")).unwrap();
    assert_eq!(world.open(&[]).volumes().unwrap().len(), 1);
}
