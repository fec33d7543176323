//! Answer Docker and Podman: the volume plugin protocol, version 1, on a unix socket of its own.
//!
//! `docs/docker.md` has the protocol as engines really speak it and what we answer. What engines ask often, and while
//! everything else may be in trouble (`Get`, `List`, `Path`, `Capabilities`), is answered from the catalog alone. What
//! changes something runs to its end in a task of its own, whatever becomes of the connection, and may be repeated.

mod call;
mod connections;
mod making;
mod options;
mod plugin;
mod reply;
mod status;

pub use connections::{Limits, serve};
pub use plugin::Settings;
