//! The one processor that a guest's kernel and all its helpers run on.
//!
//! User Mode Linux stops and starts its traced processes at every system call and page fault. Between
//! two processors each of those turns is an interrupt from one to the other, dear on a virtual machine;
//! on one processor it is a switch of tasks. Measured on two virtual processors: a shell's loop 5 times
//! faster, a program's start 4 times.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use anyhow::Context;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// A processor of this machine, taken for one guest for as long as this lives.
pub(crate) struct Processor {
    number: usize,
    /// An abstract address is a lock that dies with its holder and leaves no file.
    #[allow(dead_code, reason = "held, never read")]
    lock: Option<UnixListener>,
}

impl Processor {
    /// Takes one that no other guest has; when all are taken, shares any of them.
    pub(crate) fn take() -> anyhow::Result<Self> {
        let allowed = allowed()?;
        let free = allowed
            .iter()
            .find_map(|&number| Some((number, lock(number)?)));
        if let Some((number, lock)) = free {
            return Ok(Self {
                number,
                lock: Some(lock),
            });
        }
        let turn = usize::try_from(std::process::id()).unwrap_or_default();
        let number = turn
            .checked_rem(allowed.len())
            .and_then(|at| allowed.get(at));
        Ok(Self {
            number: *number.context("this process may run on no processor")?,
            lock: None,
        })
    }

    /// Its number, as a word for the launcher.
    pub(crate) fn word(&self) -> String {
        self.number.to_string()
    }
}

/// Keeps this process, and all that it starts, on the processor that the word names.
pub(crate) fn stay_on(word: &str) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    set.set(word.parse().context("read a processor's number")?)
        .context("choose the processor")?;
    sched_setaffinity(Pid::from_raw(0), &set).context("stay on one processor")
}

/// The processors this process may use, in order.
fn allowed() -> anyhow::Result<Vec<usize>> {
    let set = sched_getaffinity(Pid::from_raw(0)).context("ask which processors may be used")?;
    Ok((0..CpuSet::count())
        .filter(|&number| set.is_set(number) == Ok(true))
        .collect())
}

fn lock(number: usize) -> Option<UnixListener> {
    let address = SocketAddr::from_abstract_name(format!("convoy-lab-processor-{number}")).ok()?;
    UnixListener::bind_addr(&address).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_guest_has_a_processor_for_itself_while_there_is_one() {
        // Other guests may hold some of them meanwhile, so only what must hold among ours is asked.
        let taken: Vec<Processor> = (0..=allowed().unwrap().len())
            .map(|_| Processor::take().unwrap())
            .collect();
        let mut own: Vec<usize> = taken
            .iter()
            .filter(|processor| processor.lock.is_some())
            .map(|processor| processor.number)
            .collect();
        own.dedup();
        assert!(own.is_sorted());
        assert!(
            taken.last().unwrap().lock.is_none(),
            "one more than there are"
        );
        assert!(
            taken
                .iter()
                .all(|taken| allowed().unwrap().contains(&taken.number))
        );
    }
}
