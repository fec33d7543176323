//! The runner's loop: copies the guest's output until the guest is gone, watching clock and signals.

use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// How much of the kernel's log is kept for the case that the guest dies.
const TAIL: usize = 8000;

/// Where a pipe's bytes go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum To {
    Stdout,
    Stderr,
    /// The kernel's log: kept, and shown when asked to.
    Log,
}

/// When the run is to be ended, and why.
pub(crate) struct Deadline {
    pub(crate) at: Instant,
    pub(crate) end: End,
}

/// Why a run is ended from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Somebody wants it, and this becomes the exit status.
    Early(u8),
    /// The kernel's first process is gone; what is left only holds the pipes.
    Leftovers,
}

/// How long the kernel's helpers may take to follow their first process.
const GRACE: Duration = Duration::from_secs(1);

/// What to watch besides the pipes.
pub(crate) struct Watch {
    pub(crate) deadlines: Vec<Deadline>,
    /// End the run so when this text shows up on standard output.
    pub(crate) cut_on: Option<(Vec<u8>, End)>,
    pub(crate) show_log: bool,
    pub(crate) signals: SignalFd,
}

/// How the copying ended.
pub(crate) struct Ended {
    /// The exit status of an early end; none when the guest ended by itself.
    pub(crate) early: Option<u8>,
    /// The last of the kernel's log.
    pub(crate) log: Vec<u8>,
}

/// Blocks the signals that end a run in this thread, so that they arrive as readable events.
/// Children inherit the block: the launcher undoes it.
pub(crate) fn catch_signals() -> anyhow::Result<SignalFd> {
    let mut set = SigSet::empty();
    for signal in [
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGHUP,
        Signal::SIGCHLD,
    ] {
        set.add(signal);
    }
    set.thread_block().context("block signals")?;
    let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
    SignalFd::with_flags(&set, flags).context("watch for signals")
}

/// Copies until every writer is gone; `stop` is called once if the run has to end early.
pub(crate) fn run(
    mut pipes: Vec<(std::io::PipeReader, To)>,
    mut watch: Watch,
    mut stop: impl FnMut(),
) -> anyhow::Result<Ended> {
    let mut ended = Ended {
        early: None,
        log: Vec::new(),
    };
    let mut seen = Vec::new();
    let mut stopped = false;
    let mut buffer = vec![0; 65536];
    while !pipes.is_empty() {
        let ready = wait(&pipes, &watch)?;
        let mut end = watch.interruption();
        for index in ready.into_iter().rev() {
            let Some((pipe, to)) = pipes.get_mut(index) else {
                continue;
            };
            let length = pipe.read(&mut buffer).unwrap_or(0);
            let bytes = buffer.get(..length).unwrap_or_default();
            if bytes.is_empty() {
                pipes.remove(index);
                continue;
            }
            match to {
                To::Log => keep_log(&mut ended.log, bytes, watch.show_log),
                To::Stderr => pass(std::io::stderr(), bytes),
                To::Stdout => {
                    pass(std::io::stdout(), bytes);
                    end = end.or_else(|| watch.cut(&mut seen, bytes));
                }
            }
        }
        if let Some(end) = end.filter(|_| !stopped) {
            stopped = true;
            ended.early = if let End::Early(code) = end {
                Some(code)
            } else {
                None
            };
            watch.deadlines.clear();
            stop();
        }
    }
    Ok(ended)
}

impl Watch {
    /// What a signal that came or a deadline that passed demands.
    fn interruption(&mut self) -> Option<End> {
        let now = Instant::now();
        if let Ok(Some(info)) = self.signals.read_signal() {
            let number = u8::try_from(info.ssi_signo).unwrap_or(127);
            if i32::from(number) != Signal::SIGCHLD as i32 {
                return Some(End::Early(128 + number));
            }
            self.deadlines.push(Deadline {
                at: now + GRACE,
                end: End::Leftovers,
            });
        }
        self.deadlines
            .iter()
            .find(|deadline| deadline.at <= now)
            .map(|deadline| deadline.end)
    }

    /// Whether the text that was waited for is in what was seen so far.
    fn cut(&mut self, seen: &mut Vec<u8>, bytes: &[u8]) -> Option<End> {
        let (text, end) = self.cut_on.as_ref()?;
        seen.extend(bytes);
        let found = seen.windows(text.len().max(1)).any(|window| window == text);
        let keep = seen.len().saturating_sub(text.len());
        seen.drain(..keep);
        found.then_some(*end)
    }

    /// Time until the next deadline.
    fn timeout(&self) -> PollTimeout {
        let Some(next) = self.deadlines.iter().map(|deadline| deadline.at).min() else {
            return PollTimeout::NONE;
        };
        let left = next.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
        PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
    }
}

/// The indexes of the pipes that have bytes or have ended.
fn wait(pipes: &[(std::io::PipeReader, To)], watch: &Watch) -> anyhow::Result<Vec<usize>> {
    let fds = pipes.iter().map(|(pipe, _)| pipe.as_fd());
    let fds: Vec<BorrowedFd<'_>> = fds.chain([watch.signals.as_fd()]).collect();
    let mut polled: Vec<PollFd<'_>> = fds
        .into_iter()
        .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
        .collect();
    match poll(&mut polled, watch.timeout()) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => {}
        Err(errno) => return Err(errno).context("wait for the guest"),
    }
    let ready = polled.iter().take(pipes.len()).enumerate();
    Ok(ready
        .filter(|(_, fd)| fd.any().unwrap_or(false))
        .map(|(index, _)| index)
        .collect())
}

fn keep_log(log: &mut Vec<u8>, bytes: &[u8], show: bool) {
    log.extend(bytes);
    let surplus = log.len().saturating_sub(TAIL);
    log.drain(..surplus);
    if show {
        pass(std::io::stderr(), bytes);
    }
}

/// A reader who went away does not end the guest.
fn pass(mut to: impl Write, bytes: &[u8]) {
    to.write_all(bytes).and_then(|()| to.flush()).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(text: &str) -> Watch {
        Watch {
            deadlines: Vec::new(),
            cut_on: Some((text.as_bytes().to_vec(), End::Early(137))),
            show_log: false,
            signals: SignalFd::with_flags(&SigSet::empty(), SfdFlags::SFD_NONBLOCK).unwrap(),
        }
    }

    #[test]
    fn the_text_is_found_across_reads() {
        let (mut watch, mut seen) = (watch("done 23"), Vec::new());
        assert_eq!(watch.cut(&mut seen, b"done 22\ndone"), None);
        assert_eq!(watch.cut(&mut seen, b" 2"), None);
        assert_eq!(watch.cut(&mut seen, b"3\n"), Some(End::Early(137)));
        assert!(seen.len() <= 7);
    }

    #[test]
    fn a_passed_deadline_interrupts() {
        let mut watch = watch("x");
        assert_eq!(watch.interruption(), None);
        watch.deadlines.push(Deadline {
            at: Instant::now(),
            end: End::Early(124),
        });
        assert_eq!(watch.interruption(), Some(End::Early(124)));
    }

    #[test]
    fn the_log_keeps_its_tail() {
        let mut log = Vec::new();
        keep_log(&mut log, &[1; TAIL], false);
        keep_log(&mut log, &[2; 5], false);
        assert_eq!(log.len(), TAIL);
        assert_eq!(log.last(), Some(&2));
    }
}
