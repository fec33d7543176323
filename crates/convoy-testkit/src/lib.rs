//! Worlds to test in: thin metadata written from a model, damage, and lab helpers.
//!
//! Nothing here shares code with the readers under test: the format is written a second time, so that a
//! misunderstanding would have to be made twice to go unnoticed.
#![expect(
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::panic,
    reason = "a test world that is used wrongly should stop the test at once"
)]

pub mod original;
pub mod thin;
