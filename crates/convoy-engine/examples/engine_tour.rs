//! A tour of the engine: a pool, a volume, a snapshot, a backup and its restore.
//!
//! Needs root and a kernel with dm-thin: `cargo xtask lab --disk :4G -- …`, or a test host.
//! Usage: `engine_tour ROOT BACKUPS`, two directories on a real filesystem.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "an example shows what it does"
)]

use convoy_engine::{Config, CreateVolume, Engine, Error, Operation};
use convoy_units::Bytes;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    let [_, root, backups] = words.as_slice() else {
        eprintln!("usage: engine_tour ROOT BACKUPS");
        return ExitCode::from(2);
    };
    match tour(Path::new(root), Path::new(backups)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("engine_tour: {}", convoy_fault::chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn tour(root: &Path, backups: &Path) -> Result<(), Error> {
    // No devices in the configuration: a loop-backed pool in files under the root.
    let engine = Engine::open(&Config::new(root))?;
    let op = Operation::silent();

    let name = "data".parse().expect("a valid name");
    let request = CreateVolume {
        name: Some(name),
        size: Some(Bytes::gib(1)),
        ..CreateVolume::default()
    };
    let volume = engine.create_volume(&request, &op)?.into_inner();
    let mounted = engine.mount_volume(&volume.name, None, &op)?;
    let folder = mounted.mountpoint.expect("just mounted");
    std::fs::write(folder.join("hello"), "written before the snapshot\n")
        .expect("a fresh filesystem");

    let snapshot = engine
        .create_snapshot(&volume.name, None, &op)?
        .into_inner();
    println!(
        "snapshot {} held writes for {:?}",
        snapshot.name,
        snapshot.hold.unwrap_or_default()
    );

    let destination = format!("vfs://{}", backups.display());
    let reference = snapshot
        .name
        .to_string()
        .parse()
        .expect("a name is a reference");
    let made = engine.create_backup(&reference, &destination, &Operation::silent())?;
    println!(
        "{}: {} read, {} stored",
        made.backup.url, made.summary.read, made.summary.stored
    );

    let request = CreateVolume {
        name: Some("again".parse().expect("a valid name")),
        backup: Some(made.backup.url),
        ..CreateVolume::default()
    };
    let again = engine
        .create_volume(&request, &Operation::silent())?
        .into_inner();
    let again = engine.mount_volume(&again.name, None, &op)?;
    let folder = again.mountpoint.expect("just mounted");
    print!(
        "{}",
        std::fs::read_to_string(folder.join("hello")).expect("restored")
    );

    // Takes everything down; without it the pool and the mounts stay, for the next `open` to adopt.
    engine.stop()
}
