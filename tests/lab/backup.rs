//! Backups and restores through the library, on a real kernel: correct after every history, refused on
//! every doubt, and in nobody's way.

use crate::world::{World, digest, mount, name, refusal, snapshot, volume, write_device};
use convoy_engine::{BackupOutcome, CreateVolume, Engine, Event, Observer, Operation, VolumeInfo};
use convoy_fault::Kind;
use convoy_tests::command::tool as run;
use convoy_tests::noise::noise;
use convoy_thinpool::blockdev;
use convoy_units::{ByteRange, Bytes};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

const SIZE: Bytes = Bytes::mib(64);
const BLOCK: u64 = 2 << 20;

fn silent() -> Operation<'static> {
    Operation::silent()
}

#[track_caller]
fn back_up(engine: &Engine, snapshot: &str, dest: &str) -> BackupOutcome {
    match engine.create_backup(&name(snapshot), dest, &silent()) {
        Ok(made) => made,
        Err(error) => panic!("{}", convoy_fault::chain(&error)),
    }
}

fn restore_request(volume: &str, url: &str) -> CreateVolume {
    CreateVolume {
        name: Some(name(volume)),
        backup: Some(url.to_owned()),
        ..CreateVolume::default()
    }
}

#[track_caller]
fn restore(engine: &Engine, volume: &str, url: &str) -> VolumeInfo {
    match engine.create_volume(&restore_request(volume, url), &silent()) {
        Ok(made) => made.into_inner(),
        Err(error) => panic!("{}", convoy_fault::chain(&error)),
    }
}

/// Fills some of a device's blocks with bytes of this seed.
fn put(device: &Path, blocks: &[u64], seed: u64) {
    for block in blocks {
        write_device(device, block * BLOCK, &noise(seed * 1000 + block, 1 << 20));
    }
}

fn discard(device: &Path, block: u64) {
    blockdev::discard(
        device,
        ByteRange {
            begin: block * BLOCK,
            end: (block + 1) * BLOCK,
        },
    )
    .unwrap();
}

/// The original's "full backup" after its base was deleted was merged with the backup before: blocks that
/// had been discarded since came back from the dead in the restored volume.
#[test]
fn without_its_base_a_backup_is_full_and_correct() {
    let world = World::new("no-base");
    let engine = world.open(&[]);
    let made = volume(&engine, "v", SIZE);
    put(&made.device, &[16, 17, 21, 23], 1);
    snapshot(&engine, "v", "one");
    let first = back_up(&engine, "one", &world.dest());
    assert_eq!(first.backup.base, None);
    let one = digest(&made.device);
    discard(&made.device, 23);
    put(&made.device, &[25], 2);
    snapshot(&engine, "v", "two");
    let two = digest(&made.device);
    engine.delete_snapshot(&name("one"), &silent()).unwrap();
    let second = back_up(&engine, "two", &world.dest());
    assert_eq!(
        second.backup.base, None,
        "its base is gone: it is a full one"
    );
    // Known chunks are found again all the same.
    assert!(
        second.summary.new <= Bytes(BLOCK + (2 << 20)),
        "{:?}",
        second.summary
    );
    assert_eq!(
        digest(&restore(&engine, "back-two", &second.backup.url).device),
        two
    );
    assert_eq!(
        digest(&restore(&engine, "back-one", &first.backup.url).device),
        one
    );

    // With its base here it is an increment, and the discarded block is a hole.
    discard(&made.device, 16);
    snapshot(&engine, "v", "three");
    let three = digest(&made.device);
    let third = back_up(&engine, "three", &world.dest());
    assert_eq!(third.backup.base, Some(second.backup.uuid));
    assert_eq!(third.summary.read, Bytes(0), "a hole is not read");
    assert_eq!(
        digest(&restore(&engine, "back-three", &third.backup.url).device),
        three
    );
    engine.stop().unwrap();
}

/// The original found the backups of a volume by its name: a new volume under an old one's name went on
/// with the old one's chain, and its restored image was a mixture of both.
#[test]
fn a_new_volume_of_an_old_name_begins_its_own_chain() {
    let world = World::new("same-name");
    let engine = world.open(&[]);
    let old = volume(&engine, "data", SIZE);
    put(&old.device, &[16, 17, 18, 30], 1);
    snapshot(&engine, "data", "old");
    let first = back_up(&engine, "old", &world.dest());
    let before = digest(&old.device);
    engine.delete_volume(&name("data"), &silent()).unwrap();
    let new = volume(&engine, "data", Bytes::mib(48));
    put(&new.device, &[17], 2);
    snapshot(&engine, "data", "new");
    let second = back_up(&engine, "new", &world.dest());
    assert_eq!(second.backup.base, None);
    assert_ne!(second.backup.volume, first.backup.volume);
    let back = restore(&engine, "back", &second.backup.url);
    assert_eq!(
        (back.size, digest(&back.device)),
        (Bytes::mib(48), digest(&new.device))
    );
    let back = restore(&engine, "back-old", &first.backup.url);
    assert_eq!((back.size, digest(&back.device)), (SIZE, before));
    // Both are listed under the name they had.
    assert_eq!(
        engine
            .backups(&world.dest(), Some(&name("data")))
            .unwrap()
            .len(),
        2
    );
    engine.stop().unwrap();
}

#[test]
fn a_backup_is_restored_into_a_pool_of_any_block_size() {
    let world = World::new("sizes");
    let pools = [("128", 640u64 << 10), ("384", 576 << 10), ("8192", 4 << 20)];
    let mut engines = Vec::new();
    for (sectors, _) in pools {
        let other = World {
            dir: world.path(sectors),
        };
        fs::create_dir(&other.dir).unwrap();
        let pool = format!("pool-{sectors}");
        engines.push(other.open(&[
            ("dm.thinpoolname", &pool),
            ("dm.thinpoolblocksize", sectors),
        ]));
    }
    for (from, (sectors, odd)) in pools.into_iter().enumerate() {
        // A size that is a whole number of this pool's blocks, and of no other's.
        let size = Bytes((36 << 20) + odd);
        let made = volume(&engines[from], "v", size);
        for at in [0, 20 << 20, (30 << 20) + 12_288, size.0 - (300 << 10)] {
            write_device(&made.device, at, &noise(at, 300 << 10));
        }
        snapshot(&engines[from], "v", "s");
        let first = back_up(&engines[from], "s", &world.dest());
        write_device(&made.device, 21 << 20, &noise(9, 1 << 20));
        snapshot(&engines[from], "v", "s2");
        let second = back_up(&engines[from], "s2", &world.dest());
        assert_eq!(second.backup.base, Some(first.backup.uuid));
        let expected = digest(&made.device);
        for (to, (other, _)) in pools.into_iter().enumerate() {
            let back = restore(&engines[to], &format!("from-{sectors}"), &second.backup.url);
            let what = format!("from blocks of {sectors} to {other} sectors");
            assert_eq!(
                (back.size, digest(&back.device)),
                (size, expected.clone()),
                "{what}"
            );
        }
    }
    for engine in engines {
        engine.stop().unwrap();
    }
}

#[test]
fn another_size_than_the_backups_is_refused() {
    let world = World::new("other-size");
    let engine = world.open(&[]);
    volume(&engine, "v", SIZE);
    snapshot(&engine, "v", "s");
    let url = back_up(&engine, "s", &world.dest()).backup.url;
    for size in [SIZE.0 - BLOCK, SIZE.0 + BLOCK, 1] {
        let request = CreateVolume {
            size: Some(Bytes(size)),
            ..restore_request("back", &url)
        };
        let (kind, words) = refusal(engine.create_volume(&request, &silent()));
        assert_eq!(kind, Kind::Invalid, "{words}");
        assert!(
            words.contains("Volume size must match with backup's size"),
            "{words}"
        );
        assert!(words.contains(&SIZE.0.to_string()), "{words}");
    }
    assert_eq!(engine.volumes().unwrap().len(), 1);
    let request = CreateVolume {
        size: Some(SIZE),
        ..restore_request("back", &url)
    };
    engine
        .create_volume(&request, &silent())
        .expect("the same size may be said");
    engine.stop().unwrap();
}

#[test]
fn backups_are_listed_shown_and_deleted() {
    let world = World::new("listed");
    let engine = world.open(&[]);
    assert!(
        engine.backups(&world.dest(), None).unwrap().is_empty(),
        "a place never used has none"
    );
    let made = volume(&engine, "v", SIZE);
    put(&made.device, &[16, 17], 1);
    snapshot(&engine, "v", "s1");
    let first = back_up(&engine, "s1", &world.dest());
    put(&made.device, &[17, 18], 2);
    snapshot(&engine, "v", "s2");
    let second = back_up(&engine, "v@s2", &world.dest());
    let url = format!("{}?backup={}&volume=v", world.dest(), second.backup.name);
    assert_eq!(second.backup.url, url);
    let listed: Vec<String> = engine
        .backups(&world.dest(), None)
        .unwrap()
        .into_iter()
        .map(|b| b.url)
        .collect();
    assert_eq!(listed, [first.backup.url.clone(), url.clone()]);
    let shown = engine.backup(&url).unwrap();
    assert_eq!(
        (shown.uuid, shown.snapshot_name.as_str()),
        (second.backup.uuid, "s2")
    );
    assert_eq!(
        (shown.volume, shown.volume_size, shown.base),
        (made.uuid, SIZE, Some(first.backup.uuid))
    );
    assert_eq!(
        refusal(engine.backups(&world.dest(), Some(&name("other")))).0,
        Kind::NotFound
    );
    for wrong in [
        format!("{}?backup=backup-0000000000000000&volume=v", world.dest()),
        format!("{}?backup={}&volume=w", world.dest(), second.backup.name),
    ] {
        let said = [
            refusal(engine.backup(&wrong)),
            refusal(engine.delete_backup(&wrong, &silent())),
            refusal(engine.create_volume(&restore_request("x", &wrong), &silent())),
        ];
        for (kind, words) in said {
            assert_eq!(kind, Kind::NotFound, "{words}");
        }
    }
    for wrong in [
        "",
        "nonsense",
        "vfs://",
        "vfs://relative?backup=b&volume=v",
        "ftp://x?backup=b&volume=v",
    ] {
        let (kind, words) = refusal(engine.backup(wrong));
        assert!(
            matches!(kind, Kind::Invalid | Kind::NotFound | Kind::Unsupported),
            "{wrong}: {kind} {words}"
        );
    }
    // Deleting the base leaves the increment whole.
    engine.delete_backup(&first.backup.url, &silent()).unwrap();
    assert_eq!(refusal(engine.backup(&first.backup.url)).0, Kind::NotFound);
    assert_eq!(
        refusal(engine.delete_backup(&first.backup.url, &silent())).0,
        Kind::NotFound
    );
    assert_eq!(engine.backups(&world.dest(), None).unwrap().len(), 1);
    let report = engine.verify_backup(&url, &silent()).unwrap();
    assert!(
        report.problems.is_empty() && report.chunks > 0,
        "{:?}",
        report.problems
    );
    assert_eq!(
        digest(&restore(&engine, "back", &url).device),
        digest(&made.device)
    );
    engine.stop().unwrap();
}

#[test]
fn an_operation_repeated_makes_one_backup() {
    let world = World::new("once");
    let engine = world.open(&[]);
    volume(&engine, "v", SIZE);
    snapshot(&engine, "v", "s");
    let op = silent();
    let first = engine
        .create_backup(&name("s"), &world.dest(), &op)
        .unwrap();
    let again = engine
        .create_backup(&name("s"), &world.dest(), &op)
        .unwrap();
    assert_eq!(first.backup.uuid, again.backup.uuid);
    assert_eq!(first.backup.operation, op.id);
    assert_eq!(engine.backups(&world.dest(), None).unwrap().len(), 1);
    engine.stop().unwrap();
}

/// Every file below, with its content's digest.
fn inventory(folder: &Path) -> String {
    let folder = folder.to_str().unwrap();
    run(
        "sh",
        &[
            "-c",
            &format!("cd '{folder}' && find . -type f | sort | xargs -r sha256sum"),
        ],
    )
}

/// An unmounted share leaves an empty folder that looks like a new destination: a backup into it would
/// fill the wrong disk, and vanish under the share when it is mounted again.
#[test]
fn a_destination_that_is_gone_or_another_is_refused() {
    let world = World::new("gone");
    let engine = world.open(&[]);
    volume(&engine, "v", SIZE);
    snapshot(&engine, "v", "s");
    let url = back_up(&engine, "s", &world.dest()).backup.url;
    let (share, away) = (world.path("backups"), world.path("away"));
    let all = |expected: &str| {
        let said = [
            refusal(engine.create_backup(&name("s"), &world.dest(), &silent())),
            refusal(engine.backups(&world.dest(), None)),
            refusal(engine.backup(&url)),
            refusal(engine.delete_backup(&url, &silent())),
            refusal(engine.verify_backup(&url, &silent())),
            refusal(engine.create_volume(&restore_request("back", &url), &silent())),
        ];
        for (number, (kind, words)) in said.into_iter().enumerate() {
            assert_eq!(kind, Kind::DestinationUnavailable, "{number}: {words}");
            assert!(words.contains(expected), "{number}: {words}");
        }
    };
    fs::rename(&share, &away).unwrap();
    all("backups");
    assert!(!share.exists(), "it was not made");
    fs::create_dir(&share).unwrap();
    all("is the share mounted?");
    assert_eq!(
        fs::read_dir(&share).unwrap().count(),
        0,
        "nothing was written"
    );
    // Another engine's repository in its place.
    let other = World {
        dir: world.path("other"),
    };
    fs::create_dir(&other.dir).unwrap();
    let second = other.open(&[("dm.thinpoolname", "other")]);
    volume(&second, "w", SIZE);
    snapshot(&second, "w", "ws");
    back_up(&second, "ws", &world.dest());
    second.stop().unwrap();
    let before = inventory(&share);
    all("holds repository");
    assert_eq!(
        inventory(&share),
        before,
        "the other's repository is as it was"
    );
    // The right one again.
    fs::rename(&share, world.path("another")).unwrap();
    fs::rename(&away, &share).unwrap();
    assert_eq!(engine.backup(&url).unwrap().url, url);
    back_up(&engine, "s", &world.dest());
    assert_eq!(engine.volumes().unwrap().len(), 1);
    engine.stop().unwrap();
}

/// The packs of a repository, largest first.
fn packs(world: &World) -> Vec<PathBuf> {
    let packs = world.path("backups/convoy-repository/packs");
    let listed = run(
        "find",
        &[packs.to_str().unwrap(), "-type", "f", "-printf", "%s %p\n"],
    );
    let mut listed: Vec<(u64, PathBuf)> = listed
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(size, path)| (size.parse().unwrap(), path.into()))
        .collect();
    listed.sort();
    listed.into_iter().rev().map(|(_, path)| path).collect()
}

#[test]
fn damage_is_found_named_and_never_restored() {
    let world = World::new("damage");
    let engine = world.open(&[]);
    let made = volume(&engine, "v", SIZE);
    put(&made.device, &[16, 17, 18], 1);
    snapshot(&engine, "v", "s");
    let url = back_up(&engine, "s", &world.dest()).backup.url;
    assert!(
        engine
            .verify_backup(&url, &silent())
            .unwrap()
            .problems
            .is_empty()
    );
    let pack = packs(&world).remove(0);
    let whole = fs::read(&pack).unwrap();
    let file_name = pack.file_name().unwrap().to_str().unwrap();
    fs::set_permissions(&pack, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    // One flipped bit; and a pack that lost its end; and one that is gone.
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x10;
    for (what, bytes) in [
        ("flipped", Some(&flipped[..])),
        ("short", Some(&whole[..middle])),
        ("gone", None),
    ] {
        match bytes {
            Some(bytes) => fs::write(&pack, bytes).unwrap(),
            None => fs::remove_file(&pack).unwrap(),
        }
        let report = engine.verify_backup(&url, &silent()).unwrap();
        let named = report
            .problems
            .iter()
            .any(|problem| problem.object.contains(file_name));
        assert!(
            named,
            "{what}: {:?} does not name {file_name}",
            report.problems
        );
        let before = engine.info().unwrap().pool.data_used;
        let (kind, words) =
            refusal(engine.create_volume(&restore_request("back", &url), &silent()));
        assert_eq!(kind, Kind::Integrity, "{what}: {words}");
        assert_eq!(
            refusal(engine.volume(&name("back"))).0,
            Kind::NotFound,
            "{what}"
        );
        assert_eq!(
            engine.info().unwrap().pool.data_used,
            before,
            "{what}: its blocks are free again"
        );
    }
    fs::write(&pack, &whole).unwrap();
    assert!(
        engine
            .verify_backup(&url, &silent())
            .unwrap()
            .problems
            .is_empty()
    );
    assert_eq!(
        digest(&restore(&engine, "back", &url).device),
        digest(&made.device)
    );
    engine.stop().unwrap();
}

/// Stops a verb once it has moved something.
#[derive(Default)]
struct Canceller(AtomicBool);

impl Observer for Canceller {
    fn event(&self, event: Event) {
        if matches!(event, Event::Progress { .. }) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    fn cancelled(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

#[test]
fn a_cancelled_backup_or_restore_leaves_nothing() {
    let world = World::new("cancel");
    let engine = world.open(&[]);
    let made = volume(&engine, "v", SIZE);
    put(&made.device, &(4..28).collect::<Vec<_>>(), 1);
    snapshot(&engine, "v", "s");
    let canceller = Canceller::default();
    let said = engine.create_backup(&name("s"), &world.dest(), &Operation::new(&canceller));
    let (kind, words) = refusal(said);
    assert_eq!(kind, Kind::Interrupted, "{words}");
    assert!(engine.backups(&world.dest(), None).unwrap().is_empty());
    assert!(
        !run("dmsetup", &["ls"]).contains(
            &engine
                .snapshot(&name("s"))
                .unwrap()
                .uuid
                .simple()
                .to_string()
        )
    );
    let made_now = back_up(&engine, "s", &world.dest());
    assert!(
        engine
            .verify_backup(&made_now.backup.url, &silent())
            .unwrap()
            .problems
            .is_empty()
    );

    let canceller = Canceller::default();
    let request = restore_request("back", &made_now.backup.url);
    let said = refusal(engine.create_volume(&request, &Operation::new(&canceller)));
    assert_eq!(said.0, Kind::Interrupted, "{}", said.1);
    assert_eq!(refusal(engine.volume(&name("back"))).0, Kind::NotFound);
    // No pin is left: the snapshot can go.
    engine.delete_snapshot(&name("s"), &silent()).unwrap();
    assert_eq!(
        digest(&restore(&engine, "back", &made_now.backup.url).device),
        digest(&made.device)
    );
    engine.stop().unwrap();
}

/// Holds a backup where its data moves, until it is let go.
#[derive(Default)]
struct Gate {
    state: Mutex<(bool, bool)>,
    moved: Condvar,
}

impl Gate {
    fn wait_until_reached(&self) {
        let mut state = self.state.lock().unwrap();
        while !state.0 {
            let (next, timeout) = self
                .moved
                .wait_timeout(state, Duration::from_secs(30))
                .unwrap();
            assert!(!timeout.timed_out(), "the backup never came to its data");
            state = next;
        }
    }

    fn reached(&self) -> bool {
        self.state.lock().unwrap().0
    }

    fn open(&self) {
        self.state.lock().unwrap().1 = true;
        self.moved.notify_all();
    }
}

impl Observer for Gate {
    fn event(&self, event: Event) {
        if !matches!(event, Event::Progress { .. }) {
            return;
        }
        let mut state = self.state.lock().unwrap();
        state.0 = true;
        self.moved.notify_all();
        while !state.1 {
            state = self.moved.wait(state).unwrap();
        }
    }
}

/// The original held one lock for the whole of a backup: for hours no volume of the host could be mounted,
/// and containers did not start.
#[test]
fn nothing_else_waits_for_a_backup() {
    let world = World::new("meanwhile");
    let engine = world.open(&[]);
    let made = volume(&engine, "v", SIZE);
    volume(&engine, "w", SIZE);
    put(&made.device, &(4..28).collect::<Vec<_>>(), 1);
    snapshot(&engine, "v", "base");
    back_up(&engine, "base", &world.dest());
    put(&made.device, &(4..28).collect::<Vec<_>>(), 2);
    snapshot(&engine, "v", "s");
    snapshot(&engine, "v", "idle");
    let expected = digest(&made.device);
    let gate = Gate::default();
    let dest = world.dest();
    let outcome = std::thread::scope(|scope| {
        let backup =
            scope.spawn(|| engine.create_backup(&name("s"), &dest, &Operation::new(&gate)));
        gate.wait_until_reached();
        let status = run("dmsetup", &["status", "convoy-pool"]);
        assert_eq!(
            status.split_whitespace().nth(6),
            Some("-"),
            "the held root is given back before: {status}"
        );
        // Everything on the same volume, and on another, is answered while it stands still.
        let begin = Instant::now();
        engine.volumes().unwrap();
        engine.volume(&name("v")).unwrap();
        engine.info().unwrap();
        assert_eq!(
            engine.backups(&dest, None).unwrap().len(),
            1,
            "it is not visible before it is complete"
        );
        let queries = begin.elapsed();
        let target = mount(&engine, "v");
        fs::write(target.join("file"), "written meanwhile").unwrap();
        let taken = snapshot(&engine, "v", "meanwhile");
        engine.unmount_volume(&name("v"), &silent()).unwrap();
        engine.delete_snapshot(&name("idle"), &silent()).unwrap();
        volume(&engine, "x", SIZE);
        engine.delete_volume(&name("w"), &silent()).unwrap();
        println!(
            "MEASURED during a backup: queries {queries:?}, all verbs {:?}, hold {:?}",
            begin.elapsed(),
            taken.hold
        );
        assert!(
            begin.elapsed() < Duration::from_secs(20),
            "{:?}",
            begin.elapsed()
        );
        // What it reads and compares with cannot go.
        for pinned in ["s", "base"] {
            let (kind, words) = refusal(engine.delete_snapshot(&name(pinned), &silent()));
            assert_eq!(
                (kind, words.contains("in use")),
                (Kind::Busy, true),
                "{words}"
            );
        }
        let (kind, words) = refusal(engine.delete_volume(&name("v"), &silent()));
        assert_eq!(kind, Kind::Busy, "{words}");
        assert!(!backup.is_finished());
        gate.open();
        backup.join().unwrap().unwrap()
    });
    assert_eq!(
        digest(&restore(&engine, "back", &outcome.backup.url).device),
        expected
    );
    for free in ["s", "base"] {
        engine.delete_snapshot(&name(free), &silent()).unwrap();
    }
    engine.stop().unwrap();
}

#[test]
fn backups_of_one_volume_follow_one_another_and_of_two_do_not_wait() {
    let world = World::new("queue");
    let engine = world.open(&[]);
    for label in ["v", "w"] {
        let made = volume(&engine, label, SIZE);
        put(&made.device, &(4..28).collect::<Vec<_>>(), 1);
    }
    snapshot(&engine, "v", "s1");
    write_device(
        &engine.volume(&name("v")).unwrap().device,
        20 << 20,
        &noise(3, 1 << 20),
    );
    snapshot(&engine, "v", "s2");
    snapshot(&engine, "w", "ws");
    let (gate, second_gate) = (Gate::default(), Gate::default());
    let dest = world.dest();
    std::thread::scope(|scope| {
        let first =
            scope.spawn(|| engine.create_backup(&name("s1"), &dest, &Operation::new(&gate)));
        gate.wait_until_reached();
        let second =
            scope.spawn(|| engine.create_backup(&name("s2"), &dest, &Operation::new(&second_gate)));
        // Another volume's passes by.
        back_up(&engine, "ws", &dest);
        assert!(!second_gate.reached() && !second.is_finished() && !first.is_finished());
        gate.open();
        let first = first.join().unwrap().unwrap();
        second_gate.open();
        let second = second.join().unwrap().unwrap();
        assert_eq!(
            second.backup.base,
            Some(first.backup.uuid),
            "it builds on the one it waited for"
        );
        assert!(second.summary.read <= Bytes(BLOCK), "{:?}", second.summary);
    });
    assert_eq!(engine.backups(&dest, None).unwrap().len(), 3);
    engine.stop().unwrap();
}

#[test]
fn a_full_destination_leaves_no_backup_and_harms_none() {
    let world = World::new("full");
    let engine = world.open(&[]);
    let made = volume(&engine, "v", SIZE);
    let share = world.path("share");
    fs::create_dir(&share).unwrap();
    let disk = world.disk("share.img", Bytes::mib(24));
    run("mkfs.ext4", &["-q", "-F", "-m", "0", &disk]);
    run("mount", &[&disk, share.to_str().unwrap()]);
    let folder = share.join("backups");
    fs::create_dir(&folder).unwrap();
    let dest = format!("vfs://{}", folder.display());
    put(&made.device, &[16, 17], 1);
    snapshot(&engine, "v", "small");
    let first = back_up(&engine, "small", &dest);
    put(&made.device, &(4..31).collect::<Vec<_>>(), 2);
    snapshot(&engine, "v", "large");
    let (kind, words) = refusal(engine.create_backup(&name("large"), &dest, &silent()));
    println!("{kind}: {words}");
    assert!(
        matches!(kind, Kind::DestinationUnavailable | Kind::Failed),
        "{kind}: {words}"
    );
    assert!(words.contains("No space left"), "{words}");
    let listed = engine.backups(&dest, None).unwrap();
    assert_eq!(
        listed.iter().map(|b| b.uuid).collect::<Vec<_>>(),
        [first.backup.uuid]
    );
    assert!(
        engine
            .verify_backup(&first.backup.url, &silent())
            .unwrap()
            .problems
            .is_empty()
    );
    engine
        .delete_snapshot(&name("large"), &silent())
        .expect("nothing is pinned");
    engine.stop().unwrap();
}

/// What a percent costs, printed for the record.
#[test]
fn an_increment_of_one_percent_reads_and_stores_one_percent() {
    let world = World::new("percent");
    let engine = world.open(&[]);
    let made = volume(&engine, "v", Bytes::mib(256));
    let content = noise(1, 2 << 20);
    for block in 0..100 {
        let mut bytes = content.clone();
        bytes[..8].copy_from_slice(&u64::to_le_bytes(block));
        for chunk in bytes.chunks_mut(4096) {
            chunk[8..16].copy_from_slice(&u64::to_le_bytes(block * 7919));
        }
        write_device(&made.device, (block + 4) * BLOCK, &bytes);
    }
    snapshot(&engine, "v", "s1");
    let full = back_up(&engine, "s1", &world.dest()).summary;
    write_device(&made.device, 30 * BLOCK, &noise(30, 2 << 20));
    snapshot(&engine, "v", "s2");
    let percent = back_up(&engine, "s2", &world.dest()).summary;
    println!(
        "MEASURED full: changed {}, read {}, stored {}, {} requests, {:?}",
        full.changed, full.read, full.stored, full.requests, full.duration
    );
    println!(
        "MEASURED 1 %: changed {}, read {}, stored {}, {} requests, {:?}",
        percent.changed, percent.read, percent.stored, percent.requests, percent.duration
    );
    assert_eq!(percent.read, Bytes(BLOCK));
    assert!(
        percent.stored <= Bytes(BLOCK + (128 << 10)),
        "{}",
        percent.stored
    );
    engine.stop().unwrap();
}

/// The tour in `crates/convoy-engine/examples`: what a program that embeds the engine looks like.
#[test]
fn the_engines_example_runs() {
    let world = World::new("tour");
    let program = Path::new(&std::env::var("CONVOY_EXAMPLE_DIR").unwrap()).join("engine_tour");
    let (root, backups) = (world.root(), world.path("backups"));
    let said = run(
        program.to_str().unwrap(),
        &[root.to_str().unwrap(), backups.to_str().unwrap()],
    );
    assert!(said.ends_with("written before the snapshot"), "{said}");
    assert!(run("dmsetup", &["ls"]).contains("No devices found"));
}

#[test]
fn a_destination_gets_a_name_and_labels_travel_with_the_backup() {
    let world = World::new("names");
    let engine = world.open(&[]);
    let labels = |pairs: &[(&str, &str)]| {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    };
    let request = CreateVolume {
        name: Some(name("v")),
        size: Some(SIZE),
        labels: labels(&[("tier", "gold"), ("team", "storage")]),
        ..CreateVolume::default()
    };
    engine.create_volume(&request, &silent()).unwrap();
    snapshot(&engine, "v", "one");
    snapshot(&engine, "v", "two");
    assert_eq!(engine.destinations().unwrap(), []);
    let first = back_up(&engine, "one", &world.dest());
    let known = engine.destinations().unwrap();
    assert_eq!(known.len(), 1);
    assert_eq!(
        known[0].name.as_ref().map(ToString::to_string),
        Some("backups".to_owned())
    );
    // The name stands for the URL, and the answer has the URL: it restores without this catalog.
    let second = back_up(&engine, "two", "backups");
    assert!(second.backup.url.starts_with(&world.dest()));
    assert_eq!(second.backup.base, Some(first.backup.uuid));
    assert_eq!(second.backup.labels, request.labels);
    let back = CreateVolume {
        labels: labels(&[("tier", "silver")]),
        ..restore_request("back", &second.backup.url)
    };
    let back = engine.create_volume(&back, &silent()).unwrap().into_inner();
    assert_eq!(
        back.labels,
        labels(&[("tier", "silver"), ("team", "storage")])
    );
    assert_eq!(refusal(engine.backups("nowhere", None)).0, Kind::NotFound);
    engine.stop().unwrap();
}

/// What the index remembers may be gone from the store: a backup that builds on it would be reported
/// complete and could not be restored.
#[test]
fn a_backup_after_damage_is_whole_again() {
    let world = World::new("healed");
    let engine = world.open(&[]);
    let made = volume(&engine, "v", SIZE);
    put(&made.device, &[16, 17, 21, 23], 1);
    snapshot(&engine, "v", "one");
    let first = back_up(&engine, "one", &world.dest());
    // Every pack loses its end, as on a disk that ran out in a crash.
    let packs = world.path("backups/convoy-repository/packs");
    let mut cut = 0;
    for folder in fs::read_dir(&packs).unwrap() {
        for pack in fs::read_dir(folder.unwrap().path()).unwrap() {
            let pack = fs::OpenOptions::new()
                .write(true)
                .open(pack.unwrap().path())
                .unwrap();
            pack.set_len(pack.metadata().unwrap().len() / 2).unwrap();
            cut += 1;
        }
    }
    assert!(cut >= 2, "{cut} packs");
    let report = engine.verify_backup(&first.backup.url, &silent()).unwrap();
    assert!(!report.problems.is_empty());
    let (kind, words) =
        refusal(engine.create_volume(&restore_request("x", &first.backup.url), &silent()));
    assert_eq!(kind, Kind::Integrity, "{words}");
    put(&made.device, &[17], 2);
    snapshot(&engine, "v", "two");
    let second = back_up(&engine, "two", &world.dest());
    assert_eq!(
        second.backup.base, None,
        "the base is damaged: a full backup"
    );
    let report = engine.verify_backup(&second.backup.url, &silent()).unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    let back = restore(&engine, "back", &second.backup.url);
    assert_eq!(digest(&back.device), digest(&made.device));
    engine.stop().unwrap();
}
