//! The difference from outside: against the model, on damaged metadata, and against Debian's tools.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops at the first thing that is not as it should be"
)]

mod answer;
mod damage;
mod equality;
mod example;
mod model;
mod reads;
mod tools;
mod usage;
