//! Thin pools on a real kernel: the conformance suite, signatures, loop devices, hold times.

use crate::world::{World, sweep};
use convoy_tests::command::{run as ran, tool as run};
use convoy_tests::disk::disks;
use convoy_thinpool::conformance;
use convoy_thinpool::{
    Control, KernelControl, Mode, Pool, PoolSpec, ThinSpec, blockdev, loopdev, signature,
};
use convoy_units::{Bytes, DataBlockSize, DevId, Sectors};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// The scratch disk that is a pool's metadata device. (The first is under the test's world.)
fn metadata() -> PathBuf {
    disks()[1].clone()
}

/// The scratch disk that is its data device.
fn data() -> PathBuf {
    disks()[2].clone()
}

/// A pool that was never there before, on two disks; nothing is left of the test before.
pub(crate) fn fresh_pool(n: u128) -> Pool {
    blank();
    Pool::activate(control(), &spec(n)).unwrap()
}

/// Nothing is left of the test before, and the metadata device is blank.
fn blank() {
    sweep();
    blockdev::zero_first_block(&metadata()).unwrap();
}

pub(crate) fn control() -> Arc<dyn Control> {
    Arc::new(KernelControl::open().expect("a kernel with device-mapper, as root"))
}

pub(crate) fn spec(n: u128) -> PoolSpec {
    PoolSpec {
        name: format!("lab-{n}").parse().unwrap(),
        uuid: Uuid::from_u128(n),
        metadata: metadata(),
        metadata_len: None,
        data: data(),
        block_size: DataBlockSize::DEFAULT,
        low_water: 16,
        error_if_no_space: true,
    }
}

pub(crate) fn thin(n: u64, size: Bytes) -> ThinSpec {
    ThinSpec {
        uuid: Uuid::from_u128(u128::from(n)),
        dev_id: DevId::new(n).unwrap(),
        size: size.sectors_floor(),
        read_only: false,
    }
}

#[test]
fn the_kernel_obeys_the_suite() {
    blank();
    conformance::run(&conformance::World {
        control: control(),
        metadata: metadata(),
        data: data(),
        blank: Box::new(|| blockdev::zero_first_block(&metadata()).unwrap()),
    });
}

#[test]
fn nodes_are_there_with_and_without_udev_and_named_for_people() {
    let pool = fresh_pool(1);
    pool.create_thin(DevId::new(1).unwrap()).unwrap();
    let device = pool.activate_thin(&thin(1, Bytes::mib(100))).unwrap();
    assert_eq!(blockdev::number_of(&device.node).unwrap(), device.number);
    assert_eq!(blockdev::size(&device.node).unwrap(), Bytes::mib(100));
    let by_name = Path::new("/dev/mapper").join(device.name.as_str());
    // With udev running the link is udev's, and comes when it comes: we never wait for it.
    let begin = Instant::now();
    while !by_name.exists() && begin.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(blockdev::number_of(&by_name).unwrap(), device.number);
    // A node that another device left behind is not trusted.
    std::fs::remove_file(&device.node).unwrap();
    run("mknod", &[device.node.to_str().unwrap(), "b", "98", "0"]);
    let again = pool.thin(Uuid::from_u128(1)).unwrap().unwrap();
    assert_eq!(blockdev::number_of(&again.node).unwrap(), device.number);
    pool.deactivate_thin(Uuid::from_u128(1)).unwrap();
    assert!(
        std::fs::symlink_metadata(&by_name).is_err(),
        "the link goes with the device"
    );
    pool.deactivate().unwrap();
}

#[test]
fn devices_that_carry_something_are_refused() {
    let carries = |expected: &str| {
        let found = signature::probe(&disks()[0]).unwrap();
        let what = found.map(|signature| signature.what);
        assert!(
            what.as_ref().is_some_and(|what| what.contains(expected)),
            "{expected}: {what:?}"
        );
    };
    World::new("signatures");
    carries("in use");
    // The pool's own devices while it is up, and its metadata after.
    let pool = fresh_pool(2);
    for device in [metadata(), data()] {
        let what = signature::probe(&device).unwrap().unwrap().what;
        assert!(what.contains("in use"), "{}: {what}", device.display());
    }
    pool.deactivate().unwrap();
    let what = signature::probe(&metadata()).unwrap().unwrap().what;
    assert!(what.contains("thin pool"), "{what}");
    signature::require_blank_metadata(&metadata()).unwrap_err();
    assert!(signature::is_thin_metadata(&metadata()).unwrap());
    blockdev::zero_first_block(&metadata()).unwrap();
    signature::require_blank_metadata(&metadata()).unwrap();
}

#[test]
fn a_file_is_found_again_on_its_loop_device() {
    let world = World::new("loops");
    let folder = &world.dir;
    let (file, moved) = (folder.join("loop-data"), folder.join("loop-moved"));
    loopdev::create_file(&file, Bytes::gib(1)).unwrap();
    assert_eq!(loopdev::find(&file).unwrap(), None);
    let attached = loopdev::attach(&file).unwrap();
    assert!(attached.direct_io, "ext4 has direct IO");
    assert_eq!(loopdev::attach(&file).unwrap(), attached, "never twice");
    // Found by inode: the path it was attached under may be another file by now.
    std::fs::rename(&file, &moved).unwrap();
    std::fs::write(&file, "another").unwrap();
    assert_eq!(loopdev::find(&moved).unwrap(), Some(attached.clone()));
    assert_eq!(loopdev::find(&file).unwrap(), None);
    blockdev::zero_first_block(&attached.node).unwrap();
    loopdev::detach(&attached.node).unwrap();
    loopdev::detach(&attached.node).unwrap();
    assert_eq!(loopdev::find(&moved).unwrap(), None);
    let again = loopdev::attach(&moved).unwrap();
    assert_eq!(loopdev::find(&moved).unwrap(), Some(again.clone()));
    loopdev::detach(&again.node).unwrap();
    std::fs::remove_file(&file).unwrap();
    std::fs::remove_file(&moved).unwrap();
}

#[test]
fn discarding_gives_the_space_back_down_to_the_file() {
    let world = World::new("discards");
    let folder = &world.dir;
    let files = [folder.join("pool-metadata"), folder.join("pool-data")];
    loopdev::create_file(&files[0], Bytes::mib(16)).unwrap();
    loopdev::create_file(&files[1], Bytes::gib(1)).unwrap();
    let [metadata, data] = files
        .each_ref()
        .map(|file| loopdev::attach(file).unwrap().node);
    let loop_spec = PoolSpec {
        metadata: metadata.clone(),
        metadata_len: None,
        data: data.clone(),
        ..spec(3)
    };
    let pool = Pool::activate(control(), &loop_spec).unwrap();
    pool.create_thin(DevId::new(1).unwrap()).unwrap();
    let device = pool.activate_thin(&thin(1, Bytes::gib(1))).unwrap();
    let of = format!("of={}", device.node.display());
    run(
        "dd",
        &["if=/dev/urandom", &of, "bs=1M", "count=32", "conv=fsync"],
    );
    let used = || pool.status().unwrap().usage().unwrap().data.used;
    assert_eq!(used(), 16);
    let blocks = || {
        use std::os::unix::fs::MetadataExt;
        nix::unistd::sync();
        std::fs::metadata(&files[1]).unwrap().blocks() * 512
    };
    assert!(blocks() >= 32 << 20);
    let whole = convoy_units::ByteRange {
        begin: 0,
        end: 1 << 30,
    };
    assert_eq!(
        blockdev::discard(&device.node, whole).unwrap(),
        blockdev::Discarded::Discarded
    );
    assert_eq!(used(), 0);
    assert!(
        blocks() < 1 << 20,
        "{} bytes are left in the file",
        blocks()
    );
    pool.deactivate_thin(Uuid::from_u128(1)).unwrap();
    pool.deactivate().unwrap();
    for (node, file) in [metadata, data].iter().zip(&files) {
        loopdev::detach(node).unwrap();
        std::fs::remove_file(file).unwrap();
    }
}

#[test]
fn another_tenants_old_data_reads_as_zeros() {
    let pool = fresh_pool(4);
    let write = |node: &Path, bytes: &str| {
        let of = format!("of={}", node.display());
        run(
            "dd",
            &[
                "if=/dev/urandom",
                &of,
                &format!("bs={bytes}"),
                "count=1",
                "conv=fsync",
            ],
        );
    };
    for n in [1, 2] {
        pool.create_thin(DevId::new(n).unwrap()).unwrap();
        let device = pool.activate_thin(&thin(n, Bytes::mib(64))).unwrap();
        write(&device.node, if n == 1 { "2M" } else { "4k" });
        if n == 2 {
            let bytes = run(
                "sh",
                &[
                    "-c",
                    &format!(
                        "head -c 2097152 {} | tail -c +4097 | tr -d '\\0' | wc -c",
                        device.node.display()
                    ),
                ],
            );
            assert_eq!(bytes.trim(), "0", "the rest of a new block is zero");
        }
        pool.deactivate_thin(Uuid::from_u128(u128::from(n)))
            .unwrap();
        pool.delete(DevId::new(n).unwrap()).unwrap();
    }
    pool.deactivate().unwrap();
}

#[test]
fn writes_are_held_shortly_by_a_snapshot() {
    let pool = fresh_pool(5);
    pool.create_thin(DevId::new(1).unwrap()).unwrap();
    let device = pool.activate_thin(&thin(1, Bytes::gib(2))).unwrap();
    let stop = AtomicBool::new(false);
    let mut holds = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let of = format!("of={}", device.node.display());
            while !stop.load(Ordering::Relaxed) {
                run(
                    "dd",
                    &[
                        "if=/dev/urandom",
                        &of,
                        "bs=64k",
                        "count=400",
                        "oflag=direct",
                    ],
                );
            }
        });
        let begin = Instant::now();
        for n in 2..40 {
            std::thread::sleep(Duration::from_millis(50));
            let snapshot = DevId::new(n).unwrap();
            let take = || pool.create_snapshot(snapshot, DevId::new(1).unwrap());
            holds.push(pool.while_suspended(Uuid::from_u128(1), take).unwrap().1);
            if begin.elapsed() > Duration::from_secs(20) {
                break;
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    holds.sort();
    let (median, most) = (holds[holds.len() / 2], holds[holds.len() - 1]);
    println!(
        "hold time of {} snapshots under writes: median {median:?}, most {most:?}",
        holds.len()
    );
    assert!(most < Duration::from_secs(2));
    assert_eq!(pool.status().unwrap().usage().unwrap().mode, Mode::Writable);
    let status = pool.thin_status(Uuid::from_u128(1)).unwrap();
    println!("{status:?}");
    pool.deactivate_thin(Uuid::from_u128(1)).unwrap();
    pool.deactivate().unwrap();
}

#[test]
fn a_full_pool_says_so_and_gets_well_by_deletion() {
    blank();
    let control = control();
    // A pool of 32 blocks on a linear slice of the data disk.
    run(
        "dmsetup",
        &[
            "create",
            "lab-slice",
            "--table",
            &format!("0 131072 linear {} 0", data().display()),
        ],
    );
    let small = PoolSpec {
        data: "/dev/mapper/lab-slice".into(),
        ..spec(6)
    };
    let pool = Pool::activate(control, &small).unwrap();
    pool.create_thin(DevId::new(1).unwrap()).unwrap();
    let device = pool.activate_thin(&thin(1, Bytes::gib(1))).unwrap();
    let of = format!("of={}", device.node.display());
    let words = ["if=/dev/urandom", &of, "bs=1M", "count=100", "oflag=direct"];
    assert_ne!(ran(Command::new("dd").args(words)).code, Some(0));
    let usage = pool.status().unwrap().usage().unwrap().clone();
    assert_eq!(usage.mode, Mode::OutOfDataSpace);
    assert_eq!((usage.data.used, usage.data.total), (32, 32));
    pool.deactivate_thin(Uuid::from_u128(1)).unwrap();
    pool.delete(DevId::new(1).unwrap()).unwrap();
    assert_eq!(pool.status().unwrap().usage().unwrap().mode, Mode::Writable);
    pool.deactivate().unwrap();
    run("dmsetup", &["remove", "lab-slice"]);
}

#[test]
fn a_shrunken_thin_device_keeps_its_blocks() {
    let pool = fresh_pool(7);
    pool.create_thin(DevId::new(1).unwrap()).unwrap();
    let device = pool.activate_thin(&thin(1, Bytes::mib(64))).unwrap();
    let of = format!("of={}", device.node.display());
    run(
        "dd",
        &["if=/dev/urandom", &of, "bs=1M", "count=16", "oflag=direct"],
    );
    pool.resize_thin(Uuid::from_u128(1), Sectors(4096)).unwrap();
    assert_eq!(blockdev::size(&device.node).unwrap(), Bytes::mib(2));
    let status = pool.thin_status(Uuid::from_u128(1)).unwrap();
    assert_eq!(
        status,
        convoy_thinpool::ThinStatus::Working {
            mapped: Sectors(32_768),
            highest: Some(Sectors(32_767))
        }
    );
    pool.deactivate_thin(Uuid::from_u128(1)).unwrap();
    pool.deactivate().unwrap();
}

/// A container that sees the host's `/run/udev` but not its IPC namespace waits for an answer that never comes.
#[test]
fn a_udev_that_never_answers_hangs_nobody() {
    let socket = Path::new("/run/udev/control");
    if socket.exists() {
        return;
    }
    std::fs::create_dir_all("/run/udev").unwrap();
    std::fs::write(socket, "").unwrap();
    blank();
    let begin = Instant::now();
    let pool = Pool::activate(control(), &spec(8)).unwrap();
    for n in 1..4 {
        pool.create_thin(DevId::new(n).unwrap()).unwrap();
        let device = pool.activate_thin(&thin(n, Bytes::mib(64))).unwrap();
        assert_eq!(blockdev::number_of(&device.node).unwrap(), device.number);
        let snapshot = DevId::new(n + 100).unwrap();
        let take = || pool.create_snapshot(snapshot, DevId::new(n).unwrap());
        let ((), held) = pool
            .while_suspended(Uuid::from_u128(u128::from(n)), take)
            .unwrap();
        assert!(held < Duration::from_secs(2), "{held:?}");
        pool.deactivate_thin(Uuid::from_u128(u128::from(n)))
            .unwrap();
    }
    pool.deactivate().unwrap();
    println!("with a deaf udev: {:?}", begin.elapsed());
    assert!(
        begin.elapsed() < Duration::from_secs(20),
        "one wait in vain, not one for each removal"
    );
    std::fs::remove_file(socket).unwrap();
}
