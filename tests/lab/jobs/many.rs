//! Many clients at once: a hundred when there is time (`CONVOY_TORTURE`), else twenty.

use crate::world::World;
use convoy_tests::daemon::Daemon;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Each makes a volume of 6 MiB, takes a snapshot and deletes it all; meanwhile lists are answered.
#[test]
fn many_clients_at_once_are_all_served() {
    let clients = match std::env::var_os("CONVOY_TORTURE") {
        Some(_) => 100,
        None => 20,
    };
    let world = World::new("hundred");
    let daemon = Daemon::start(&world.root(), &[]);
    let (over, slowest) = (AtomicBool::new(false), AtomicU64::new(0));
    let begin = Instant::now();
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..clients)
            .map(|client| {
                let daemon = &daemon;
                scope.spawn(move || {
                    let (volume, snapshot) = (format!("v{client}"), format!("s{client}"));
                    daemon.ok(&["create", &volume, "--size", "6M"]);
                    daemon.ok(&["snapshot", "create", &volume, "--name", &snapshot]);
                    daemon.ok(&["delete", &volume]);
                })
            })
            .collect();
        let (daemon, over, slowest) = (&daemon, &over, &slowest);
        scope.spawn(move || {
            while !over.load(Ordering::SeqCst) {
                let asked = Instant::now();
                daemon.json(&["list"]);
                let took = u64::try_from(asked.elapsed().as_millis()).unwrap();
                slowest.fetch_max(took, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        for client in running {
            client.join().unwrap();
        }
        over.store(true, Ordering::SeqCst);
    });
    println!(
        "MEASURED {clients} clients, each a creation, a snapshot and a deletion: {:?}; the slowest list meanwhile {} ms",
        begin.elapsed(),
        slowest.load(Ordering::SeqCst)
    );
    assert_eq!(daemon.json(&["list"]), serde_json::json!({}));
    assert_eq!(daemon.json(&["snapshot", "list"]), serde_json::json!({}));
    // A list reads the catalog row by row, and each row may wait for the commit of somebody else.
    assert!(slowest.load(Ordering::SeqCst) < 60_000);
    assert_eq!(daemon.stop(), Some(0));
}
