//! Answer: the engine's verbs over HTTP on a unix socket.
//!
//! [`Listener::bind`] takes the socket, [`serve`] answers on it until told to stop. Every verb runs in a
//! blocking task of its own that goes on to its end whatever becomes of the connection: a caller that
//! goes away has never stopped a backup half-way. What is read from a connection is bounded in size,
//! depth and time, and so is the number of connections.

mod body;
mod connections;
mod convert;
mod diagnosis;
mod error;
mod exposition;
mod listener;
mod metrics;
mod observer;
mod refusal;
mod routes;
mod serve;
mod tally;
mod verbs;

pub use connections::Limits;
pub use diagnosis::diagnosis;
pub use error::Error;
pub use listener::Listener;
pub use serve::{Ended, serve};

#[cfg(test)]
mod tests;
