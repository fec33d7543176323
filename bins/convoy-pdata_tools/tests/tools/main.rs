//! The tools from outside: their words in, their bytes and exit status out.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops at the first thing that is not as it should be"
)]

mod grammar;
mod judged;
mod names;
mod size;
mod whole;
mod world;
