//! Snapshots: of what, when, and at what cost to writers.

use crate::verbs::{
    SIZE, delete_snapshot, dm_name, mount, name, refusal, silent, snapshot, thin_ids, volume,
};
use crate::world::{World, read_device, write_device};
use convoy_engine::{Engine, SnapshotInfo};
use convoy_fault::Kind;
use convoy_tests::command::tool as run;
use convoy_tests::mapper;
use convoy_tests::noise::noise;
use convoy_units::Bytes;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A snapshot's device, made by hand: no code of ours is between the test and its bytes.
struct ByHand {
    node: PathBuf,
}

impl ByHand {
    fn new(engine: &Engine, snapshot: &SnapshotInfo) -> Self {
        let pool = engine.info().unwrap().pool.name;
        let (sectors, id) = (snapshot.size.0 / 512, snapshot.dev_id);
        let table = format!("0 {sectors} thin {} {id}", mapper::number(pool.as_str()));
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
fn snapshots_are_made_listed_and_deleted() {
    let (_, engine) = World::opened("snapshots");
    let made = volume(&engine, "v", SIZE);
    volume(&engine, "w", SIZE);
    let content = noise(1, 4 << 20);
    write_device(&made.device, 32 << 20, &content);
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
    write_device(&made.device, 32 << 20, &noise(2, 4 << 20));
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
        let found = read_device(&device.node, 32 << 20, 4 << 20);
        assert!(found == content, "a snapshot is what was");
    }
    delete_snapshot(&engine, "v@a");
    delete_snapshot(&engine, own.name.as_str());
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
    let (world, engine) = World::opened("writes");
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
    let (_, engine) = World::opened("fails");
    let made = volume(&engine, "v", SIZE);
    let target = mount(&engine, "v");
    let pool = engine.info().unwrap().pool;
    // Somebody else took the number that comes next.
    let next = made.dev_id.get() + 1;
    mapper::message(pool.name.as_str(), &format!("create_thin {next}"));

    let (kind, words) = refusal(engine.create_snapshot(&name("v"), Some(&name("s")), &silent()));

    println!("{kind}: {words}");
    assert!(!mapper::is_suspended(dm_name(&made.device)));
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
