//! The daemon's guard: the same program again, in a process that outlives it by a moment.
//!
//! It resumes a volume that the daemon was holding for a snapshot when it was killed or stopped
//! (`convoy_engine::guard`). What is done here is about the process: it must not end by what ends the
//! daemon, and must hold nothing that the daemon's successor needs.

use crate::error::Error;
use convoy_engine::guard::{Guard, GuardProcess, serve};
use nix::sys::signal::SigSet;
use nix::unistd::{close, setsid};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// What `ps` shows.
const NAME: &str = "convoyd-guard";

/// A guard for this daemon, started now: a machine that has no process left for it says so at the start,
/// and snapshots try again.
pub(crate) fn start() -> Arc<dyn Guard> {
    let guard = GuardProcess::new(command);
    match guard.start() {
        Ok(()) => tracing::debug!(pid = guard.pid(), "guard started"),
        Err(error) => {
            let error = convoy_fault::chain(&error);
            tracing::error!("no snapshots until this is mended: {error}");
        }
    }
    Arc::new(guard)
}

/// This very program, even if its file was replaced meanwhile: both ends must speak alike.
fn command() -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0(NAME).env_clear();
    let own = std::env::current_exe().unwrap_or_default();
    command.args(words(&own)).arg("--suspend-guard");
    command
}

/// What comes before a daemon's flags: `convoy` has the daemon as a subcommand. (A file that was replaced
/// while it ran is called `convoyd (deleted)`.)
fn words(program: &Path) -> &'static [&'static str] {
    let name = program.file_name().and_then(OsStr::to_str);
    if name.is_some_and(|name| name.split(' ').next() == Some("convoyd")) {
        &[]
    } else {
        &["daemon"]
    }
}

/// Runs as the guard, until the daemon has ended and what it held runs.
///
/// # Errors
/// When standard input is not a socket, or the kernel's device mapper cannot be used.
pub(crate) fn run() -> Result<(), Error> {
    // Standard input is the daemon's end or nothing.
    let stream = io::stdin().as_fd().try_clone_to_owned();
    let stream = UnixStream::from(stream.map_err(Error::Guard)?);
    stream.peer_addr().map_err(Error::Guard)?;
    outlive();
    Ok(serve(stream, told)?)
}

/// Nothing that ends the daemon, or the service as a whole, shall end this. Each step is worth doing
/// without the others.
fn outlive() {
    // The signal to a terminal's process group.
    setsid().ok();
    // SIGTERM to everybody in the service; SIGKILL is all that is left, and it comes much later. Blocked,
    // for want of a way to ignore them without unsafe code: they wait for ever.
    SigSet::all().thread_block().ok();
    close_inherited();
    // Writes wait for this process: it is chosen by the killer for want of memory after all others, and is
    // spared where a whole control group is killed.
    drop(fs::write("/proc/self/oom_score_adj", "-1000"));
    drop(fs::write("/proc/self/comm", NAME));
}

/// Files that somebody opened before the daemon without saying that they are not to be inherited.
fn close_inherited() {
    let Ok(list) = fs::read_dir("/proc/self/fd") else {
        return;
    };
    let open: Vec<i32> = list
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    // Ours carry the mark that closes them at exec.
    for fd in open.into_iter().filter(|fd| *fd > 2 && !is_own(*fd)) {
        close(fd).ok();
    }
}

/// Whether a file was opened by this process: everything that Rust opens is marked so, nothing inherited
/// can be.
fn is_own(fd: i32) -> bool {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap_or_default();
    info.lines()
        .find_map(|line| line.strip_prefix("flags:"))
        .and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok())
        .is_none_or(|flags| flags & 0o2_000_000 != 0)
}

/// To the kernel's log, where an operator looks when a daemon was killed; nobody else hears it.
fn told(device: &str, why: &str) {
    let line = format!("<4>{NAME}: resumed {device}: {why}\n");
    drop(fs::write("/dev/kmsg", line));
}

#[cfg(test)]
mod tests {
    //! The guard is the same program, however it is called.

    use super::*;

    #[test]
    fn the_program_knows_how_to_become_a_guard() {
        for (program, before) in [
            ("/usr/bin/convoyd", &[][..]),
            ("/usr/bin/convoyd (deleted)", &[]),
            ("/usr/bin/convoy", &["daemon"]),
            ("/usr/bin/convoy (deleted)", &["daemon"]),
        ] {
            assert_eq!(words(Path::new(program)), before, "{program}");
        }
    }

    #[test]
    fn what_this_process_opened_is_its_own() {
        use std::os::fd::AsRawFd;
        let file = fs::File::open("/proc/self/stat").unwrap();
        assert!(is_own(file.as_raw_fd()));
        nix::fcntl::fcntl(
            &file,
            nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty()),
        )
        .unwrap();
        assert!(!is_own(file.as_raw_fd()));
    }
}
