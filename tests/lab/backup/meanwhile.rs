//! What happens beside a backup: it is cancelled, others are made, everything else is answered.

use super::{BLOCK, put};
use crate::verbs::{
    SIZE, back_up, delete_snapshot, delete_volume, is_sound, mount, name, refusal, restore,
    restore_request, silent, snapshot, unmount, volume,
};
use crate::world::{World, write_device};
use convoy_engine::{Event, Observer, Operation};
use convoy_fault::Kind;
use convoy_tests::disk::digest;
use convoy_tests::mapper;
use convoy_tests::noise::noise;
use convoy_units::Bytes;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

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
    let (world, engine) = World::opened("cancel");
    let made = volume(&engine, "v", SIZE);
    put(&made.device, &(4..16).collect::<Vec<_>>(), 1);
    snapshot(&engine, "v", "s");
    let canceller = Canceller::default();
    let said = engine.create_backup(&name("s"), &world.dest(), &Operation::new(&canceller));
    let (kind, words) = refusal(said);
    assert_eq!(kind, Kind::Interrupted, "{words}");
    assert!(engine.backups(&world.dest(), None).unwrap().is_empty());
    let uuid = engine
        .snapshot(&name("s"))
        .unwrap()
        .uuid
        .simple()
        .to_string();
    let devices = mapper::devices();
    assert!(
        !devices.iter().any(|device| device.contains(&uuid)),
        "{devices:?}"
    );
    let made_now = back_up(&engine, "s", &world.dest());
    is_sound(&engine, &made_now.backup.url);

    let canceller = Canceller::default();
    let request = restore_request("back", &made_now.backup.url);
    let said = refusal(engine.create_volume(&request, &Operation::new(&canceller)));
    assert_eq!(said.0, Kind::Interrupted, "{}", said.1);
    assert_eq!(refusal(engine.volume(&name("back"))).0, Kind::NotFound);
    // No pin is left: the snapshot can go.
    delete_snapshot(&engine, "s");
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
    let (world, engine) = World::opened("meanwhile");
    let made = volume(&engine, "v", SIZE);
    volume(&engine, "w", SIZE);
    put(&made.device, &(4..16).collect::<Vec<_>>(), 1);
    snapshot(&engine, "v", "base");
    back_up(&engine, "base", &world.dest());
    put(&made.device, &(4..16).collect::<Vec<_>>(), 2);
    snapshot(&engine, "v", "s");
    snapshot(&engine, "v", "idle");
    let expected = digest(&made.device);
    let gate = Gate::default();
    let dest = world.dest();
    let outcome = std::thread::scope(|scope| {
        let backup =
            scope.spawn(|| engine.create_backup(&name("s"), &dest, &Operation::new(&gate)));
        gate.wait_until_reached();
        let held = mapper::held_root("convoy-pool");
        assert_eq!(held, "-", "the held root is given back before");
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
        unmount(&engine, "v");
        delete_snapshot(&engine, "idle");
        volume(&engine, "x", SIZE);
        delete_volume(&engine, "w");
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
        delete_snapshot(&engine, free);
    }
    engine.stop().unwrap();
}

#[test]
fn backups_of_one_volume_follow_one_another_and_of_two_do_not_wait() {
    let (world, engine) = World::opened("queue");
    for label in ["v", "w"] {
        let made = volume(&engine, label, SIZE);
        put(&made.device, &(4..16).collect::<Vec<_>>(), 1);
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
