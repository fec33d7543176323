//! The whole, from outside: helpers for the tests that run in the lab.
//!
//! They panic rather than return errors: what they cannot do fails the test that asked, with
//! everything the programs said. `CONVOY_BIN_DIR`, `CONVOY_EXAMPLE_DIR` and `CONVOY_DISKS` come from
//! `cargo xtask test`; without the latter the disks are those of a lab guest.

pub mod command;
pub mod daemon;
pub mod disk;
pub mod log_writes;
pub mod mapper;
pub mod noise;
pub mod story;
pub mod tree;

use std::path::PathBuf;

/// The folder with the programs under test.
///
/// # Panics
///
/// Outside `cargo xtask test`.
#[track_caller]
pub fn programs() -> PathBuf {
    folder("CONVOY_BIN_DIR")
}

/// The folder with the libraries' example programs.
///
/// # Panics
///
/// Outside `cargo xtask test`.
#[track_caller]
pub fn examples() -> PathBuf {
    folder("CONVOY_EXAMPLE_DIR")
}

#[track_caller]
fn folder(variable: &str) -> PathBuf {
    let value = std::env::var_os(variable);
    value
        .map(PathBuf::from)
        .expect("run by `cargo xtask test`, which names this folder")
}
