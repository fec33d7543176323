//! The convoy daemon: `convoyd` is `convoy daemon` under its own name.

use clap::{ArgAction, Parser};
use convoy_fault::Fault;
use std::io::Write;
use std::process::ExitCode;

/// Thin-provisioned volumes with snapshots and incremental backups: the daemon.
#[derive(Debug, Parser)]
#[command(version, disable_version_flag = true)]
struct Cli {
    #[command(flatten)]
    args: convoyd::Args,

    /// Print version
    #[arg(long, short, action = ArgAction::Version)]
    version: Option<bool>,
}

fn main() -> ExitCode {
    match convoyd::run(Cli::parse().args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let hint = error
                .hint()
                .map(|hint| format!("hint: {hint}\n"))
                .unwrap_or_default();
            let text = format!("convoyd: {}\n{hint}", convoy_fault::chain(&error));
            // With nobody to read it, the exit status still tells.
            drop(std::io::stderr().write_all(text.as_bytes()));
            ExitCode::from(error.kind().exit_code())
        }
    }
}
