//! Ask: HTTP over the daemon's unix socket.
//!
//! [`Client`] has one blocking method for each of the daemon's verbs. A long verb also takes a function
//! that hears of its progress. Nothing here knows device mapper: a program with only this crate can do
//! everything the daemon does for its callers.

mod client;
mod connection;
mod error;
mod reply;

pub use client::{Client, Progress};
pub use error::Error;

#[cfg(test)]
mod tests;
