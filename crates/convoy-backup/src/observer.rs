//! Who hears of the progress of a long verb, and may ask it to stop.

use convoy_units::Bytes;

/// What a verb is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// Reading the source and sending chunks.
    Reading,
    /// Everything is sent; the backup is being published.
    Publishing,
    /// Writing the sink.
    Restoring,
    /// Reading back.
    Verifying,
}

/// Hears of progress. Called from one thread at a time, often; must not block for long.
pub trait Observer: Send + Sync {
    /// A phase begins.
    fn phase(&self, _phase: Phase) {}

    /// `done` of `total` bytes are dealt with. Holes count for nothing: `total` is what has to be read,
    /// written or verified, and neither ever decreases within a phase.
    fn progress(&self, _done: Bytes, _total: Bytes) {}

    /// Whether to stop: asked at every chunk or so.
    fn cancelled(&self) -> bool {
        false
    }
}

/// Nobody listens.
impl Observer for () {}
