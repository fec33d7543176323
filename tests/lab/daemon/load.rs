//! A large volume, and many clients.

use super::text;
use crate::world::World;
use convoy_tests::daemon::Daemon;
use convoy_tests::disk::Direct;
use convoy_tests::noise::fill;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

#[test]
fn memory_is_bounded_whatever_the_size() {
    const BLOCK: u64 = 64 << 10;
    const COUNT: u64 = 2048;
    let world = World::new("memory");
    let words = ["--driver-opts", "dm.thinpoolblocksize=128"];
    let daemon = Daemon::start(&world.root(), &words);
    let idle = daemon.peak_memory();
    daemon.ok(&["create", "huge", "--size", "1T"]);
    let device = daemon.json(&["inspect", "huge"]);
    let file = fs::OpenOptions::new()
        .write(true)
        .open(text(&device, "/DriverInfo/Device"))
        .unwrap();
    let place = |number: u64| (number * 509 + 8) * (1 << 20) / BLOCK * BLOCK;
    let mut bytes = vec![0; usize::try_from(BLOCK).unwrap()];
    for number in 0..COUNT {
        fill(number, &mut bytes);
        file.write_all_at(&bytes, place(number)).unwrap();
    }
    file.sync_all().unwrap();
    drop(file);
    daemon.ok(&["snapshot", "create", "huge", "--name", "s"]);
    let made = daemon.back_up("s", &world.dest());
    let after_backup = daemon.peak_memory();
    let url = text(&made, "/URL");
    daemon.ok(&["create", "back", "--backup", url]);
    let after_restore = daemon.peak_memory();
    daemon.ok(&["backup", "verify", url]);
    let after = daemon.peak_memory();
    println!(
        "MEASURED peak memory, 1 TiB with {COUNT} scattered blocks of 64 KiB: {} KiB idle, {} KiB after backup, {} KiB after restore, {} KiB after verify; {}",
        idle >> 10,
        after_backup >> 10,
        after_restore >> 10,
        after >> 10,
        made["Summary"]
    );
    assert!(after < 128 << 20, "{after}");
    let back = daemon.json(&["inspect", "back"]);
    assert_eq!(back["Size"], serde_json::json!(1u64 << 40));
    // Each block as it was written, and nothing behind it.
    let mut both = vec![0; 2 * bytes.len()];
    let mut device = Direct::open(Path::new(text(&back, "/DriverInfo/Device")), both.len());
    for number in 0..COUNT {
        fill(number, &mut both[..bytes.len()]);
        assert!(
            device.read(place(number), both.len()) == both,
            "block {number}"
        );
    }
    drop(device);
    daemon.ok(&["delete", "huge", "back"]);
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn eight_clients_at_once_are_all_served() {
    let world = World::new("eight");
    let daemon = Daemon::start(&world.root(), &[]);
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for client in 0..8 {
            let daemon = &daemon;
            scope.spawn(move || {
                let volume = format!("v{client}");
                daemon.ok(&["create", &volume, "--size", "64M"]);
                daemon.ok(&[
                    "snapshot",
                    "create",
                    &volume,
                    "--name",
                    &format!("s{client}"),
                ]);
                daemon.json(&["list"]);
                daemon.ok(&["delete", &volume]);
                daemon.ok(&["create", &volume, "--size", "64M"]);
            });
        }
    });
    println!(
        "eight clients, 16 creations, 8 snapshots, 8 deletions: {:?}",
        begin.elapsed()
    );
    assert_eq!(daemon.json(&["list"]).as_object().unwrap().len(), 8);
    assert_eq!(daemon.json(&["snapshot", "list"]), serde_json::json!({}));
    assert_eq!(daemon.stop(), Some(0));
}
