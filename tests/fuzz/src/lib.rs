//! Hostile bytes for every reader: one function per target, each holding real properties.
//!
//! A target takes any bytes and never panics, in bounded time and memory, unless the code under test broke a
//! promise. What stands between the fuzzer and the code (checksums, block numbers, MACs, hashes) is repaired
//! first, so that mutations get past it; the rest of an input decides whether it is. `cargo xtask fuzz` runs the
//! targets under libFuzzer on stable Rust; `cargo test` replays `corpus/` and `regressions/` through them.
#![expect(
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::panic,
    reason = "a broken property must stop the fuzzer at once"
)]

mod input;
pub mod metadata;
pub mod original;
pub mod repository;
pub mod status;
pub mod text;

/// One thing to feed.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name: also that of its folder in `corpus/`.
    pub name: &'static str,
    /// What it feeds, in words.
    pub about: &'static str,
    /// Feeds it one input.
    pub run: fn(&[u8]),
    /// Inputs to begin with, from models and from real text.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Words that occur in its inputs, for the fuzzer's dictionary.
    pub words: &'static [&'static str],
    /// The longest input worth trying, in bytes.
    pub max_len: usize,
    /// Its share of the time when all are run.
    pub weight: u32,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    metadata::superblock::TARGET,
    metadata::node::TARGET,
    metadata::details::TARGET,
    metadata::difference::TARGET,
    metadata::check::TARGET,
    status::POOL,
    status::THIN,
    status::TABLE,
    repository::config::TARGET,
    repository::log::TARGET,
    repository::envelope::TARGET,
    repository::pack::TARGET,
    repository::segment::TARGET,
    repository::node::TARGET,
    original::VOLUME,
    original::BACKUP,
    original::BLOCK,
    original::NAMES,
    text::MOUNTINFO,
    text::SIZE,
    text::NAMES,
    text::LOCATION,
    text::OPTIONS,
];

/// The target of this name.
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
