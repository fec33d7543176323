//! The lab: a command run as root in a throw-away Linux kernel that has device-mapper.
//!
//! The kernel is Debian's `user-mode-linux`, an ordinary program. The runner (`host`) starts it over
//! this machine's files; this same program is the guest's process 1 (`guest`); a `reaper` cleans up.

mod args;
mod disk;
mod guest;
mod host;
mod job;
mod kernel;
mod link;
mod modules;
mod processor;
mod pump;
mod reaper;
mod serial;
mod switch;

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

/// Hidden words that make this program one of the lab's own processes.
const GUEST_WORD: &str = "__lab-guest";
const COMMAND_WORD: &str = "__lab-command";
const REAPER_WORD: &str = "__lab-reaper";
const LAUNCH_WORD: &str = "__lab-launch";

/// Runs one of the lab's own processes, when the words say so.
pub(crate) fn hidden(words: &[String]) -> Option<ExitCode> {
    let (word, rest) = words.split_first()?;
    let path = || rest.first().map(Path::new);
    match word.as_str() {
        // The kernel adds words of its own after the path.
        GUEST_WORD => guest::init(path()?),
        COMMAND_WORD => Some(guest::become_command(path()?)),
        REAPER_WORD => Some(reaper::main(path()?)),
        LAUNCH_WORD => Some(reaper::launch(rest)),
        _ => None,
    }
}

/// `cargo xtask lab`.
pub(crate) fn main(words: &[String]) -> anyhow::Result<ExitCode> {
    let options = args::parse(words)?;
    if options.help {
        println!("{}", args::HELP);
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(dir) = &options.switch {
        return switch::serve(dir).map(|()| ExitCode::SUCCESS);
    }
    if options.host {
        return run_here(&options);
    }
    match host::run(&options) {
        Ok(code) => Ok(ExitCode::from(code)),
        Err(error) => {
            eprintln!("lab: {error:#}");
            Ok(ExitCode::from(if error.is::<crate::run::Usage>() {
                2
            } else {
                125
            }))
        }
    }
}

fn run_here(options: &args::Options) -> anyhow::Result<ExitCode> {
    let Some((name, words)) = options.command.split_first() else {
        return Err(crate::run::usage("--host needs a command"));
    };
    let error = Command::new(name).args(words).exec();
    Err(anyhow::Error::new(error).context(format!("run {name} on this kernel")))
}
