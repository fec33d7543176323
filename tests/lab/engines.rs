//! Docker and Podman themselves as callers of the volume plugin, from Debian's packages: what a user does with volumes,
//! and what restarts and kills leave. What they send is recorded, for the tests that replay it anywhere.

mod docker;
mod image;
mod podman;
mod recorder;

use convoy_tests::command::{Ran, run};
use std::process::Command;
use std::time::{Duration, Instant};

/// Runs a program to its end.
#[track_caller]
fn program(name: &str, words: &[&str]) -> Ran {
    run(Command::new(name).args(words))
}

/// Waits for something to become true.
#[track_caller]
fn eventually(what: &str, holds: impl Fn() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(
            begin.elapsed() < Duration::from_mins(1),
            "not in a minute: {what}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Whether a volume is mounted by the kernel's table.
fn is_mounted(uuid: &str) -> bool {
    let table = convoy_mount::mounts().unwrap();
    table.iter().any(|mount| mount.target.ends_with(uuid))
}
