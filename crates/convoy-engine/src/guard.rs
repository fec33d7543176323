//! Who lets a held volume run again if we cannot: a process beside the one that has the engine.
//!
//! A snapshot holds its volume for milliseconds. A process that is killed, or stopped, in just these leaves
//! every writer waiting until the next opening; so another one has that duty as well. The one that has
//! the engine keeps a [`GuardProcess`] in its [`crate::Seams`]; the other one calls [`serve`].

pub use convoy_thinpool::guard::{Guard, GuardError, GuardProcess, Ticket, Unguarded, Verdict};

use crate::error::{Doing, Error};
use convoy_thinpool::KernelControl;
use std::os::unix::net::UnixStream;

/// Serves as the guard at the other end of a [`GuardProcess`]'s socket until that closes, and lets run what
/// is held then. `told` hears of each device that was resumed: its dm uuid, and why.
///
/// Does nothing about the process it runs in. It should outlive the one it guards: in a session of its
/// own, deaf to the signals that end a service, the last to be chosen when memory runs out.
///
/// # Errors
/// As [`crate::Seams::kernel`]; `Failed` when the socket breaks, after everything was resumed.
pub fn serve(stream: UnixStream, mut told: impl FnMut(&str, &str)) -> Result<(), Error> {
    let control = KernelControl::open().doing(|| "opening the kernel's device mapper")?;
    convoy_thinpool::guard::serve(stream, &control, |device, why| told(device.as_str(), why))
        .doing(|| "serving as a guard")
}
