//! Volumes and snapshots through the library, on a real kernel.

use crate::world::{
    World, dm_number, mount, name, refusal, snapshot, thin_ids, volume, write_device,
};
use convoy_engine::{CreateVolume, Created, Engine, Operation, SnapshotInfo, VolumeState};
use convoy_fault::Kind;
use convoy_tests::command::tool as run;
use convoy_tests::noise::noise;
use convoy_units::Bytes;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const SIZE: Bytes = Bytes::mib(256);

fn silent() -> Operation<'static> {
    Operation::silent()
}

/// A snapshot's device, made by hand: no code of ours is between the test and its bytes.
struct ByHand {
    node: PathBuf,
}

impl ByHand {
    fn new(engine: &Engine, snapshot: &SnapshotInfo) -> Self {
        let pool = engine.info().unwrap().pool.name;
        let (sectors, id) = (snapshot.size.0 / 512, snapshot.dev_id);
        let table = format!("0 {sectors} thin {} {id}", dm_number(pool.as_str()));
        run(
            "dmsetup",
            &["create", "by-hand", "--readonly", "--table", &table],
        );
        Self {
            node: "/dev/mapper/by-hand".into(),
        }
    }
}

impl Drop for ByHand {
    fn drop(&mut self) {
        run("dmsetup", &["remove", "by-hand"]);
    }
}

#[test]
fn a_volume_lives_and_dies() {
    let world = World::new("life");
    let engine = world.open(&[]);
    let made = volume(&engine, "data", SIZE);
    assert_eq!(
        (made.state, made.size, made.filesystem.as_str()),
        (VolumeState::Ready, SIZE, "ext4")
    );
    assert_eq!(
        (made.driver.as_str(), made.mountpoint),
        ("devicemapper", None)
    );
    assert_eq!(made.uuid.get_version_num(), 7);
    assert_ne!(made.dev_id.get(), 0, "0 is kept back");
    let dm_uuid = format!("CONVOY-{}-{}", made.pool.simple(), made.uuid.simple());
    let listed = run(
        "dmsetup",
        &["info", "--columns", "--noheadings", "-o", "uuid"],
    )
    .replace("CONVOY-", "\nCONVOY-");
    assert!(
        listed
            .lines()
            .any(|line| line.replace('-', "").trim() == dm_uuid.replace('-', "")),
        "{listed} lacks {dm_uuid}"
    );

    let target = mount(&engine, "data");
    let mounted = convoy_mount::mounted_at(&target).unwrap().unwrap();
    assert_eq!(mounted.fs_type, "ext4");
    assert_eq!(
        fs::read_dir(&target).unwrap().count(),
        0,
        "a new volume is empty: no lost+found"
    );
    fs::write(target.join("file"), "kept").unwrap();
    assert_eq!(
        engine.volume(&name("data")).unwrap().mountpoint.as_deref(),
        Some(target.as_path())
    );
    engine.unmount_volume(&name("data"), &silent()).unwrap();
    engine
        .unmount_volume(&name("data"), &silent())
        .expect("unmounting again changes nothing");
    assert_eq!(engine.volume(&name("data")).unwrap().mountpoint, None);
    let again = mount(&engine, "data");
    assert_eq!(fs::read(again.join("file")).unwrap(), b"kept");
    engine.unmount_volume(&name("data"), &silent()).unwrap();

    // Names of our own making, and the list by name.
    let made = engine.create_volume(
        &CreateVolume {
            size: Some(SIZE),
            ..CreateVolume::default()
        },
        &silent(),
    );
    let own = made.unwrap().into_inner().name;
    assert!(
        own.as_str().starts_with("volume-") && own.as_str().len() == 23,
        "{own}"
    );
    let names: Vec<String> = engine
        .volumes()
        .unwrap()
        .into_iter()
        .map(|v| v.name.to_string())
        .collect();
    assert_eq!(names, ["data".to_owned(), own.to_string()]);

    for gone in ["data", own.as_str()] {
        let node = engine.volume(&name(gone)).unwrap().device;
        engine.delete_volume(&name(gone), &silent()).unwrap();
        assert_eq!(refusal(engine.volume(&name(gone))).0, Kind::NotFound);
        assert!(fs::symlink_metadata(node).is_err(), "its device is gone");
    }
    assert_eq!(thin_ids(&engine), Vec::<String>::new());
    assert!(engine.volumes().unwrap().is_empty());
    assert_eq!(
        fs::read_dir(world.root().join("mounts")).unwrap().count(),
        0,
        "its own place is gone"
    );
    engine.stop().unwrap();
}

#[test]
fn what_is_not_there_is_not_found() {
    let world = World::new("not-found");
    let engine = world.open(&[]);
    let check = |said: (Kind, String), words: &str| {
        assert_eq!(said.0, Kind::NotFound, "{}", said.1);
        assert!(said.1.contains(words), "{}", said.1);
    };
    check(
        refusal(engine.volume(&name("no"))),
        "volume no doesn't exist",
    );
    check(
        refusal(engine.delete_volume(&name("no"), &silent())),
        "volume no doesn't exist",
    );
    check(
        refusal(engine.mount_volume(&name("no"), None, &silent())),
        "volume no doesn't exist",
    );
    check(
        refusal(engine.unmount_volume(&name("no"), &silent())),
        "volume no doesn't exist",
    );
    check(
        refusal(engine.create_snapshot(&name("no"), None, &silent())),
        "volume no doesn't exist",
    );
    check(
        refusal(engine.snapshots(Some(&name("no")))),
        "volume no doesn't exist",
    );
    check(refusal(engine.snapshot(&name("no"))), "snapshot no");
    check(
        refusal(engine.delete_snapshot(&name("no"), &silent())),
        "snapshot no",
    );
    check(
        refusal(engine.create_backup(&name("no"), &world.dest(), &silent())),
        "snapshot no",
    );
    engine.stop().unwrap();
}

#[test]
fn taken_names_and_wrong_sizes_are_refused_before_anything_is_touched() {
    let world = World::new("refused");
    let engine = world.open(&[]);
    let first = volume(&engine, "v", SIZE);
    snapshot(&engine, "v", "s");
    let before = (engine.info().unwrap().pool.transaction, thin_ids(&engine));
    let create = |name_of: &str, size: u64| {
        let request = CreateVolume {
            name: Some(name(name_of)),
            size: Some(Bytes(size)),
            ..CreateVolume::default()
        };
        engine.create_volume(&request, &silent())
    };
    let (kind, words) = refusal(create("v", SIZE.0));
    assert_eq!(kind, Kind::Conflict, "{words}");
    assert!(words.contains("Volume v already exists"), "{words}");
    assert_eq!(engine.volume(&name("v")).unwrap().uuid, first.uuid);
    let (kind, words) = refusal(engine.create_snapshot(&name("v"), Some(&name("s")), &silent()));
    assert_eq!(kind, Kind::Conflict, "{words}");
    assert!(words.contains("Snapshot name s already exists"), "{words}");
    // A snapshot's name is unique in the daemon, not in its volume.
    volume(&engine, "w", SIZE);
    assert_eq!(
        refusal(engine.create_snapshot(&name("w"), Some(&name("s")), &silent())).0,
        Kind::Conflict
    );
    engine.delete_volume(&name("w"), &silent()).unwrap();

    let block = 2 << 20;
    for size in [
        1,
        512,
        block - 1,
        block + 512,
        SIZE.0 + 1,
        u64::MAX,
        1 << 63,
    ] {
        let (kind, words) = refusal(create("x", size));
        assert_eq!(kind, Kind::Invalid, "{size}: {words}");
    }
    let (_, words) = refusal(create("x", block + 1));
    assert!(
        words.contains("multiple of block size, 2097152 bytes"),
        "{words}"
    );
    assert!(words.contains("the next one is 4194304"), "{words}");
    let other = |request: CreateVolume| refusal(engine.create_volume(&request, &silent()));
    let driver = CreateVolume {
        driver: Some("vfs".into()),
        ..CreateVolume::default()
    };
    let (kind, words) = other(driver);
    assert_eq!(
        (kind, words.contains("Cannot find driver vfs")),
        (Kind::Invalid, true),
        "{words}"
    );
    let fs = CreateVolume {
        filesystem: Some("ntfs".into()),
        ..CreateVolume::default()
    };
    assert_eq!(other(fs).0, Kind::Invalid);
    let after = (engine.info().unwrap().pool.transaction.0, thin_ids(&engine));
    // Volume w came and went.
    assert_eq!(after, (before.0.0 + 2, before.1));
    assert_eq!(engine.volumes().unwrap().len(), 1);
    engine.stop().unwrap();
}

#[test]
fn an_operation_repeated_is_not_done_twice() {
    let world = World::new("repeated");
    let engine = world.open(&[]);
    let op = silent();
    let request = CreateVolume {
        name: Some(name("v")),
        size: Some(SIZE),
        ..CreateVolume::default()
    };
    let first = engine.create_volume(&request, &op).unwrap();
    assert!(matches!(first, Created::New(_)));
    let second = engine.create_volume(&request, &op).unwrap();
    assert!(matches!(second, Created::Unchanged(_)));
    assert_eq!(first.into_inner().uuid, second.into_inner().uuid);
    let op = silent();
    let snap = |op| {
        engine
            .create_snapshot(&name("v"), Some(&name("s")), op)
            .unwrap()
    };
    assert!(matches!(snap(&op), Created::New(_)));
    assert!(matches!(snap(&op), Created::Unchanged(_)));
    assert_eq!(engine.snapshots(None).unwrap().len(), 1);
    engine.stop().unwrap();
}

#[test]
fn a_default_volume_is_thin_and_its_clones_can_be_told_apart() {
    let world = World::new("default");
    let engine = world.open(&[]);
    let made = engine
        .create_volume(&CreateVolume::default(), &silent())
        .unwrap()
        .into_inner();
    assert_eq!(made.size, Bytes::gib(100));
    let mapped = engine.volume(&made.name).unwrap().mapped.unwrap();
    println!("a new ext4 volume of 100 GiB maps {mapped}");
    assert!(mapped <= Bytes::mib(50), "{mapped}");
    let features = run("dumpe2fs", &["-h", made.device.to_str().unwrap()]);
    let features = features
        .lines()
        .find(|line| line.starts_with("Filesystem features"))
        .unwrap();
    assert!(features.contains("metadata_csum_seed"), "{features}");
    engine.stop().unwrap();
}

#[test]
fn a_mounted_volume_is_not_deleted() {
    let world = World::new("mounted");
    let engine = world.open(&[]);
    volume(&engine, "v", SIZE);
    let target = mount(&engine, "v");
    fs::write(target.join("file"), "kept").unwrap();
    let (kind, words) = refusal(engine.delete_volume(&name("v"), &silent()));
    assert_eq!(kind, Kind::Busy, "{words}");
    assert!(
        words.contains("Cannot delete volume v, it hasn't been umounted"),
        "{words}"
    );
    assert!(words.contains(target.to_str().unwrap()), "{words}");
    assert_eq!(fs::read(target.join("file")).unwrap(), b"kept");
    // A place that we did not choose and do not know of counts as well.
    engine.unmount_volume(&name("v"), &silent()).unwrap();
    let beside = world.path("beside");
    fs::create_dir(&beside).unwrap();
    let device = engine.volume(&name("v")).unwrap().device;
    run(
        "mount",
        &[device.to_str().unwrap(), beside.to_str().unwrap()],
    );
    assert_eq!(
        refusal(engine.delete_volume(&name("v"), &silent())).0,
        Kind::Busy
    );
    assert_eq!(fs::read(beside.join("file")).unwrap(), b"kept");
    run("umount", &[beside.to_str().unwrap()]);
    engine.delete_volume(&name("v"), &silent()).unwrap();
    engine.stop().unwrap();
}

#[test]
fn a_volume_is_mounted_at_one_place() {
    let world = World::new("places");
    let engine = world.open(&[]);
    volume(&engine, "v", SIZE);
    volume(&engine, "w", SIZE);
    let (here, there) = (world.path("here"), world.path("there with space"));
    for place in [&here, &there] {
        fs::create_dir(place).unwrap();
    }
    let at =
        |volume: &str, place: &Path| engine.mount_volume(&name(volume), Some(place), &silent());
    let first = at("v", &there).unwrap();
    assert_eq!(first.mountpoint.as_deref(), Some(there.as_path()));
    assert_eq!(
        at("v", &there).unwrap().mountpoint,
        first.mountpoint,
        "again is no change"
    );
    let entries = |place: &Path| {
        let mounts = convoy_mount::mounts().unwrap();
        mounts
            .into_iter()
            .filter(|mount| mount.target == place)
            .count()
    };
    assert_eq!(entries(&there), 1);
    let (kind, words) = refusal(at("v", &here));
    assert_eq!(kind, Kind::Conflict, "{words}");
    assert!(words.contains("was already mounted at"), "{words}");
    let (kind, words) = refusal(engine.mount_volume(&name("v"), None, &silent()));
    assert_eq!(
        kind,
        Kind::Conflict,
        "the default place is another one too: {words}"
    );
    let (kind, words) = refusal(at("w", &there));
    assert_eq!(kind, Kind::Conflict, "{words}");
    // Through a symbolic link it is the same place.
    std::os::unix::fs::symlink(&there, world.path("link")).unwrap();
    assert_eq!(
        at("v", &world.path("link")).unwrap().mountpoint,
        first.mountpoint
    );
    for (wrong, why) in [
        (Path::new("relative"), "absolute"),
        (&world.path("no"), "No such file"),
    ] {
        let (kind, words) = refusal(at("w", wrong));
        assert_eq!(
            (kind, words.contains(why)),
            (Kind::Invalid, true),
            "{words}"
        );
    }
    fs::write(world.path("file"), "").unwrap();
    assert_eq!(refusal(at("w", &world.path("file"))).0, Kind::Invalid);
    assert_eq!(engine.volume(&name("w")).unwrap().mountpoint, None);
    engine.stop().unwrap();
    assert_eq!(entries(&there), 0);
}

/// The original looked for a volume's device name anywhere in the lines of the mount table: with `vol10`
/// mounted, `vol1` counted as mounted, could not be deleted, and was "unmounted" from the other's place.
#[test]
fn a_volume_whose_name_begins_anothers_is_itself() {
    let world = World::new("prefix");
    let engine = world.open(&[]);
    volume(&engine, "vol1", SIZE);
    volume(&engine, "vol10", SIZE);
    let target = mount(&engine, "vol10");
    fs::write(target.join("file"), "kept").unwrap();
    assert_eq!(engine.volume(&name("vol1")).unwrap().mountpoint, None);
    engine.unmount_volume(&name("vol1"), &silent()).unwrap();
    assert_eq!(
        engine.volume(&name("vol10")).unwrap().mountpoint.as_deref(),
        Some(target.as_path())
    );
    let other = mount(&engine, "vol1");
    assert_ne!(other, target);
    assert!(!other.join("file").exists());
    engine.unmount_volume(&name("vol1"), &silent()).unwrap();
    engine.delete_volume(&name("vol1"), &silent()).unwrap();
    assert_eq!(fs::read(target.join("file")).unwrap(), b"kept");
    engine.stop().unwrap();
}

/// Deletion inside the pool alone would leave the blocks in the file under it for ever.
#[test]
fn deletion_gives_the_space_back() {
    let world = World::new("space");
    let engine = world.open(&[]);
    let file = engine.info().unwrap().pool.data_device;
    let taken = || {
        run("sync", &[]);
        fs::metadata(&file).unwrap().blocks() * 512
    };
    let empty = taken();
    let made = volume(&engine, "v", SIZE);
    write_device(&made.device, 128 << 20, &noise(1, 64 << 20));
    snapshot(&engine, "v", "s");
    // The snapshot keeps the blocks it had, the volume has others.
    write_device(&made.device, 128 << 20, &noise(2, 32 << 20));
    let full = taken();
    assert!(full >= empty + (96 << 20), "{empty} {full}");
    engine.delete_snapshot(&name("s"), &silent()).unwrap();
    let less = taken();
    assert!(less <= full - (32 << 20), "{full} {less}");
    snapshot(&engine, "v", "s2");
    write_device(&made.device, 128 << 20, &noise(3, 16 << 20));
    engine.delete_volume(&name("v"), &silent()).unwrap();
    let end = taken();
    println!(
        "data file: {empty} empty, {full} full, {less} without the snapshot, {end} at the end"
    );
    assert!(end <= empty + (4 << 20), "{empty} {end}");
    let pool = engine.info().unwrap().pool;
    assert_eq!(pool.data_used, Bytes(0));
    assert!(
        engine.snapshots(None).unwrap().is_empty(),
        "its snapshots went with it"
    );
    engine.stop().unwrap();
}

#[test]
fn who_holds_a_volume_is_named_and_it_stays() {
    let world = World::new("held");
    let engine = world.open(&[]);
    let made = volume(&engine, "v", SIZE);
    let mut sleeper = Command::new("sleep")
        .arg("600")
        .stdin(fs::File::open(&made.device).unwrap())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let named = format!("sleep (pid {}", sleeper.id());
    let (kind, words) = refusal(engine.delete_volume(&name("v"), &silent()));
    assert_eq!(
        (kind, words.contains(&named)),
        (Kind::Busy, true),
        "{words}"
    );
    assert_eq!(engine.volume(&name("v")).unwrap().state, VolumeState::Ready);
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();

    let target = mount(&engine, "v");
    let mut sleeper = Command::new("sleep")
        .arg("600")
        .current_dir(&target)
        .spawn()
        .unwrap();
    let named = format!("sleep (pid {}", sleeper.id());
    let (kind, words) = refusal(engine.unmount_volume(&name("v"), &silent()));
    assert_eq!(
        (kind, words.contains(&named)),
        (Kind::Busy, true),
        "{words}"
    );
    assert_eq!(engine.volume(&name("v")).unwrap().mountpoint, Some(target));
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    engine.unmount_volume(&name("v"), &silent()).unwrap();
    engine.delete_volume(&name("v"), &silent()).unwrap();
    engine.stop().unwrap();
}

#[test]
fn snapshots_are_made_listed_and_deleted() {
    let world = World::new("snapshots");
    let engine = world.open(&[]);
    let made = volume(&engine, "v", SIZE);
    volume(&engine, "w", SIZE);
    let content = noise(1, 4 << 20);
    write_device(&made.device, 64 << 20, &content);
    // Unmounted, and with a name of our own making.
    let own = engine
        .create_snapshot(&name("v"), None, &silent())
        .unwrap()
        .into_inner();
    assert!(
        own.name.as_str().starts_with("snapshot-") && own.name.as_str().len() == 25,
        "{}",
        own.name
    );
    write_device(&made.device, 64 << 20, &noise(2, 4 << 20));
    snapshot(&engine, "w", "z");
    let last = snapshot(&engine, "v", "a");
    assert_eq!((last.volume, last.size), (made.uuid, SIZE));
    let names = |volume: Option<&str>| -> Vec<String> {
        let volume = volume.map(name);
        let listed = engine.snapshots(volume.as_ref()).unwrap();
        listed.into_iter().map(|s| s.name.to_string()).collect()
    };
    assert_eq!(names(Some("v")), [own.name.as_str(), "a"]);
    assert_eq!(names(None), [own.name.as_str(), "z", "a"], "oldest first");
    assert_eq!(engine.volume(&name("v")).unwrap().snapshots.len(), 2);
    assert_eq!(engine.snapshot(&name("v@a")).unwrap().uuid, last.uuid);
    assert_eq!(refusal(engine.snapshot(&name("w@a"))).0, Kind::NotFound);
    {
        let device = ByHand::new(&engine, &own);
        let mut found = vec![0; 4 << 20];
        fs::File::open(&device.node)
            .unwrap()
            .read_exact_at(&mut found, 64 << 20)
            .unwrap();
        assert!(found == content, "a snapshot is what was");
    }
    engine.delete_snapshot(&name("v@a"), &silent()).unwrap();
    engine
        .delete_snapshot(&name(own.name.as_str()), &silent())
        .unwrap();
    assert_eq!(names(Some("v")), Vec::<String>::new());
    assert_eq!(
        thin_ids(&engine).len(),
        3,
        "two volumes, and the other's snapshot"
    );
    engine.stop().unwrap();
}

/// Writes numbered files, each durable before its number is told.
fn write_on(target: &Path, stop: &AtomicBool, durable: &AtomicU64) {
    for number in 0.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let file = fs::File::create(target.join(format!("file-{number}"))).unwrap();
        file.write_all_at(&noise(number, 40_000), 0).unwrap();
        file.sync_all().unwrap();
        fs::File::open(target).unwrap().sync_all().unwrap();
        durable.store(number + 1, Ordering::SeqCst);
    }
}

#[test]
fn a_snapshot_under_writes_is_clean_and_has_all_that_was_durable() {
    let world = World::new("writes");
    let engine = world.open(&[]);
    volume(&engine, "v", Bytes::gib(1));
    let target = mount(&engine, "v");
    let (stop, durable) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut taken = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| write_on(&target, &stop, &durable));
        // Dirty pages that nobody flushes are there too.
        scope.spawn(|| {
            let file = fs::File::create(target.join("dirty")).unwrap();
            for at in 0.. {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                file.write_all_at(&noise(at, 1 << 16), (at % 512) << 16)
                    .unwrap();
            }
        });
        while durable.load(Ordering::SeqCst) < 3 {
            std::thread::sleep(Duration::from_millis(10));
        }
        for number in 0..12 {
            let before = durable.load(Ordering::SeqCst);
            let begin = Instant::now();
            let made = snapshot(&engine, "v", &format!("s{number}"));
            taken.push((made, before, begin.elapsed()));
            std::thread::sleep(Duration::from_millis(100));
        }
        stop.store(true, Ordering::SeqCst);
    });
    let mut holds: Vec<Duration> = taken.iter().map(|(made, ..)| made.hold.unwrap()).collect();
    for (made, _, whole) in &taken {
        let hold = made.hold.unwrap();
        assert!(
            hold > Duration::ZERO && hold <= *whole,
            "{hold:?} of {whole:?}"
        );
    }
    holds.sort();
    let (median, most) = (holds[holds.len() / 2], holds[holds.len() - 1]);
    println!(
        "MEASURED hold time of {} snapshots under writes: median {median:?}, most {most:?}",
        holds.len()
    );
    assert!(most < Duration::from_secs(2), "{most:?}");
    assert!(
        taken.last().unwrap().1 > taken[0].1,
        "the writer went on between snapshots"
    );
    for (made, before, _) in [&taken[0], &taken[6], &taken[11]] {
        let device = ByHand::new(&engine, made);
        run("e2fsck", &["-f", "-n", device.node.to_str().unwrap()]);
        let beside = world.path("beside");
        fs::create_dir_all(&beside).unwrap();
        run(
            "mount",
            &[
                "-o",
                "ro,noload",
                device.node.to_str().unwrap(),
                beside.to_str().unwrap(),
            ],
        );
        for number in 0..*before {
            let found = fs::read(beside.join(format!("file-{number}"))).unwrap();
            assert!(
                found == noise(number, 40_000),
                "file {number} of {before} in {}",
                made.name
            );
        }
        run("umount", &[beside.to_str().unwrap()]);
    }
    engine.stop().unwrap();
}

/// The original's library left the origin suspended when the snapshot failed: every writer of the volume
/// hung until somebody resumed it by hand.
#[test]
fn a_snapshot_that_fails_leaves_the_volume_running_and_nothing_behind() {
    let world = World::new("fails");
    let engine = world.open(&[]);
    let made = volume(&engine, "v", SIZE);
    let target = mount(&engine, "v");
    let pool = engine.info().unwrap().pool;
    // Somebody else took the number that comes next.
    let next = made.dev_id.get() + 1;
    run(
        "dmsetup",
        &[
            "message",
            pool.name.as_str(),
            "0",
            &format!("create_thin {next}"),
        ],
    );
    let (kind, words) = refusal(engine.create_snapshot(&name("v"), Some(&name("s")), &silent()));
    println!("{kind}: {words}");
    let dm_name = made
        .device
        .file_name()
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    let state = run(
        "dmsetup",
        &[
            "info",
            "--columns",
            "--noheadings",
            "-o",
            "suspended",
            &dm_name,
        ],
    );
    assert_eq!(state.trim(), "Active");
    fs::write(target.join("file"), "still here").unwrap();
    run("sync", &["--file-system", target.to_str().unwrap()]);
    assert!(engine.snapshots(None).unwrap().is_empty());
    assert_eq!(engine.info().unwrap().pool.transaction, pool.transaction);
    assert_eq!(
        thin_ids(&engine),
        [made.dev_id.to_string(), next.to_string()],
        "what was not ours is left alone"
    );
    // The number is not tried again.
    let taken = snapshot(&engine, "v", "s");
    assert_eq!(taken.dev_id.get(), next + 1);
    engine.stop().unwrap();
}

/// A volume whose filesystem cannot be made is undone at once.
#[test]
fn a_creation_that_fails_leaves_nothing_behind() {
    let world = World::new("undone");
    let engine = world.open(&[]);
    // One block is too small for a filesystem of its own journal.
    let request = |fs: &str| CreateVolume {
        name: Some(name("v")),
        size: Some(Bytes::mib(2)),
        filesystem: Some(fs.to_owned()),
        ..CreateVolume::default()
    };
    // mkfs.xfs refuses 2 MiB, or is not installed: either way it fails after the device was made.
    let (_, words) = refusal(engine.create_volume(&request("xfs"), &silent()));
    println!("{words}");
    assert_eq!(refusal(engine.volume(&name("v"))).0, Kind::NotFound);
    assert_eq!(thin_ids(&engine), Vec::<String>::new());
    assert_eq!(engine.info().unwrap().pool.data_used, Bytes(0));
    engine.create_volume(&request("ext4"), &silent()).unwrap();
    engine.stop().unwrap();
}

#[test]
fn many_at_once_do_not_disturb_one_another() {
    let world = World::new("many");
    let engine = world.open(&[]);
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let engine = &engine;
            scope.spawn(move || {
                for round in 0..2 {
                    let (v, s) = (format!("v{thread}"), format!("s{thread}-{round}"));
                    let made = volume(engine, &v, Bytes::mib(64));
                    write_device(&made.device, 32 << 20, &noise(thread, 1 << 20));
                    mount(engine, &v);
                    snapshot(engine, &v, &s);
                    engine.unmount_volume(&name(&v), &silent()).unwrap();
                    if round == 0 {
                        engine.delete_volume(&name(&v), &silent()).unwrap();
                    }
                }
            });
        }
    });
    assert_eq!(engine.volumes().unwrap().len(), 6);
    assert_eq!(thin_ids(&engine).len(), 12);
    for (thread, volume) in engine.volumes().unwrap().iter().enumerate() {
        let mut found = vec![0; 1 << 20];
        fs::File::open(&volume.device)
            .unwrap()
            .read_exact_at(&mut found, 32 << 20)
            .unwrap();
        assert!(found == noise(thread as u64, 1 << 20), "{}", volume.name);
    }
    engine.stop().unwrap();
}

/// A full pool must say so at once, and let itself be emptied: a verb that hangs until the kernel gives up
/// takes the whole host with it.
#[test]
fn a_full_pool_refuses_new_things_and_is_emptied_by_deletion() {
    let world = World::new("pool-full");
    let (data, metadata) = (
        world.disk("data", Bytes::mib(64)),
        world.disk("metadata", Bytes::mib(8)),
    );
    let engine = world.open(&[("dm.datadev", &data), ("dm.metadatadev", &metadata)]);
    let made = volume(&engine, "v", SIZE);
    // Writers wait for more space for this long, then their writes fail.
    let patience = "/sys/module/dm_thin_pool/parameters/no_space_timeout";
    let before = fs::read_to_string(patience).unwrap();
    fs::write(patience, "2").unwrap();
    let of = format!("of={}", made.device.display());
    let words = ["if=/dev/zero", &of, "bs=1M", "count=128", "oflag=direct"];
    let writer = Command::new("dd")
        .args(words)
        .stderr(Stdio::null())
        .status();
    assert!(!writer.unwrap().success(), "the pool holds half of it");
    fs::write(patience, before).unwrap();
    let begin = Instant::now();
    assert_eq!(engine.info().unwrap().pool.mode, "out_of_data_space");
    let request = CreateVolume {
        name: Some(name("w")),
        size: Some(SIZE),
        ..CreateVolume::default()
    };
    let transaction = engine.info().unwrap().pool.transaction;
    for (kind, words) in [
        refusal(engine.create_volume(&request, &silent())),
        refusal(engine.create_snapshot(&name("v"), Some(&name("s")), &silent())),
    ] {
        assert_eq!(kind, Kind::PoolFull, "{words}");
    }
    assert_eq!(engine.info().unwrap().pool.transaction, transaction);
    assert_eq!(engine.volumes().unwrap().len(), 1);
    engine.delete_volume(&name("v"), &silent()).unwrap();
    assert!(
        begin.elapsed() < Duration::from_secs(20),
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(engine.info().unwrap().pool.mode, "rw");
    engine.create_volume(&request, &silent()).unwrap();
    engine.stop().unwrap();
}

/// A filesystem that somebody mounted over a volume's own place is not ours to take away.
#[test]
fn what_lies_over_a_volume_is_not_unmounted() {
    let world = World::new("covered");
    let engine = world.open(&[]);
    volume(&engine, "v", SIZE);
    let target = mount(&engine, "v");
    let place = target.to_str().unwrap();
    run("mount", &["-t", "tmpfs", "over", place]);
    fs::write(target.join("theirs"), "kept").unwrap();
    let (kind, words) = refusal(engine.unmount_volume(&name("v"), &silent()));
    assert_eq!(kind, Kind::Busy, "{words}");
    assert_eq!(fs::read(target.join("theirs")).unwrap(), b"kept");
    assert_eq!(
        refusal(engine.delete_volume(&name("v"), &silent())).0,
        Kind::Busy
    );
    run("umount", &[place]);
    engine.unmount_volume(&name("v"), &silent()).unwrap();
    engine.stop().unwrap();
}
