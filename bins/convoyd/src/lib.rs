//! The daemon as code: its flags, its configuration and its run, shared by `convoyd` and `convoy daemon`.

mod args;
mod buckets;
mod docker;
mod error;
mod file;
mod guard;
mod logs;
mod offline;
mod run;
mod settings;
mod watch;

pub use args::Args;
pub use docker::Docker;
pub use error::Error;
pub use offline::{Checkup, Remedy, doctor};
pub use run::run;
pub use settings::{Settings, resolve};

/// Where the daemon listens and its clients look.
pub const SOCKET: &str = "/run/convoy/convoy.sock";

#[cfg(test)]
mod tests;
