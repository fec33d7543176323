//! What cleans up after a guest, even when the runner itself is killed.
//!
//! The kernel is several processes (itself, the traced processes of the guest, I/O helpers), and the
//! helpers outlive a SIGKILL of the first, holding our pipes and the disks. The reaper is a process of
//! its own at the end of a pipe, the leash: when the leash is let go, on purpose or by the runner's
//! death, it kills everything in the kernel's session and removes the run's folder.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::Context;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

use super::processor::{self, Processor};
use super::{LAUNCH_WORD, REAPER_WORD};

/// The runner's end of the leash.
pub(crate) struct Reaper {
    child: Child,
    leash: Option<ChildStdin>,
}

impl Reaper {
    /// Starts the process that will remove `run_dir`.
    pub(crate) fn start(run_dir: &Path) -> anyhow::Result<Self> {
        let mut child = Command::new("/proc/self/exe")
            .arg(REAPER_WORD)
            .arg(run_dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("start the reaper")?;
        let leash = child.stdin.take();
        Ok(Self { child, leash })
    }

    /// Names the process whose session is to be killed.
    pub(crate) fn guard(&mut self, pid: u32) -> anyhow::Result<()> {
        let leash = self.leash.as_mut().context("the leash is gone")?;
        leash
            .write_all(format!("{pid}\n").as_bytes())
            .context("tell the reaper")
    }

    /// Lets go of the leash: the guest dies now.
    pub(crate) fn release(&mut self) {
        self.leash = None;
    }

    /// Releases, and waits until everything is gone.
    pub(crate) fn finish(&mut self) {
        self.release();
        self.child.wait().ok();
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        self.finish();
    }
}

/// The reaper's own process.
pub(crate) fn main(run_dir: &Path) -> ExitCode {
    // Out of reach of what ends the runner's group; failing means being a leader already.
    nix::unistd::setsid().ok();
    let mut told = String::new();
    std::io::stdin().read_to_string(&mut told).ok();
    if let Ok(leader) = told.trim().parse() {
        kill_session(leader);
    }
    std::fs::remove_dir_all(run_dir).ok();
    ExitCode::SUCCESS
}

/// Kills until nothing is left, or five seconds have passed.
fn kill_session(leader: i32) {
    for _ in 0..500 {
        let left = members(leader);
        if left.is_empty() {
            return;
        }
        for pid in left {
            kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The process and everything in its group or session, zombies aside.
fn members(leader: i32) -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|&pid: &i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        belongs(&stat, pid, leader)
    })
    .collect()
}

/// `/proc/PID/stat` (proc(5)): after the name in brackets come state, parent, group, session.
fn belongs(stat: &str, pid: i32, leader: i32) -> bool {
    let Some((_, fields)) = stat.rsplit_once(')') else {
        return false;
    };
    let fields: Vec<&str> = fields.split_whitespace().take(4).collect();
    let [state, _, group, session] = fields.as_slice() else {
        return false;
    };
    let is_leader = |field: &str| field.parse() == Ok(leader);
    *state != "Z" && (pid == leader || is_leader(group) || is_leader(session))
}

/// Becomes the kernel's process, bound to die with the runner. Words: the runner's id, the
/// processor to stay on, then the kernel's command line.
pub(crate) fn launch(words: &[String]) -> ExitCode {
    let [runner, on, kernel, rest @ ..] = words else {
        return ExitCode::from(125);
    };
    // The runner blocks signals for itself; the kernel needs them to end its helpers.
    SigSet::all().thread_unblock().ok();
    set_pdeathsig(Signal::SIGKILL).ok();
    if nix::unistd::getppid().to_string() != *runner {
        // It died before the line above took effect.
        return ExitCode::from(125);
    }
    if let Err(error) = processor::stay_on(on) {
        // Slower, not wrong.
        eprintln!("lab: {error:#}");
    }
    let error = Command::new(kernel).args(rest).exec();
    eprintln!("lab: {kernel}: {error}");
    ExitCode::from(125)
}

/// The command that launches a kernel bound to this process and to one processor.
pub(crate) fn launcher(processor: &Processor) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg(LAUNCH_WORD).arg(std::process::id().to_string());
    command.arg(processor.word());
    command
}

/// Lets a pipe's end pass to the processes started from now on.
pub(crate) fn pass_on(pipe: impl AsFd) -> anyhow::Result<()> {
    fcntl(pipe, FcntlArg::F_SETFD(FdFlag::empty())).context("pass on a pipe")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_told_by_leader_group_and_session() {
        assert!(belongs("7 (linux) S 1 7 7 0", 7, 7));
        assert!(belongs("9 (a) b) S 1 7 3 0", 9, 7));
        assert!(belongs("9 (x) T 1 3 7 0", 9, 7));
        assert!(!belongs("9 (x) S 7 3 3 0", 9, 7));
        assert!(!belongs("7 (x) Z 1 7 7 0", 7, 7));
        assert!(!belongs("", 7, 7));
    }

    #[test]
    fn this_process_is_a_member_of_its_own_session() {
        let session = nix::unistd::getsid(None).unwrap();
        let own = nix::unistd::getpid().as_raw();
        assert!(members(session.as_raw()).contains(&own));
    }
}
