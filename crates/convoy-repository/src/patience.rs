//! How long to wait between attempts: real pauses, or none in tests.

use crate::error::Error;
use convoy_objectstore::ErrorKind;
use std::time::Duration;

/// Attempts of one request before its failure is reported.
const ATTEMPTS: u32 = 6;

/// Waits.
pub trait Patience: Send + Sync + std::fmt::Debug {
    /// Wait a random time up to `window`.
    fn pause(&self, window: Duration);
}

/// Sleeps for a random part of the window.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sleep;

impl Patience for Sleep {
    fn pause(&self, window: Duration) {
        let mut random = [0; 4];
        // Without randomness the whole window is waited: slower, never wrong.
        let part = getrandom::fill(&mut random).map_or(1.0, |()| {
            f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX)
        });
        std::thread::sleep(window.mul_f64(part));
    }
}

/// Never waits: for tests and simulations.
#[derive(Debug, Clone, Copy, Default)]
pub struct Impatient;

impl Patience for Impatient {
    fn pause(&self, _: Duration) {
        std::thread::yield_now();
    }
}

/// The window before attempt `attempt` (from 1): 0.5 s, doubling to 64 s (protocol: append).
pub(crate) fn window(attempt: u32) -> Duration {
    Duration::from_millis(500) * (1 << attempt.saturating_sub(1).min(7))
}

/// Whether the same request may get another answer soon.
pub(crate) fn worth_repeating(error: &convoy_objectstore::Error) -> bool {
    matches!(
        error.kind,
        ErrorKind::Transient | ErrorKind::Throttled | ErrorKind::Unclear
    )
}

/// A request that may be repeated without harm, repeated while the store is out of sorts.
pub(crate) fn patiently<T>(
    patience: &dyn Patience,
    doing: impl Fn() -> String,
    mut request: impl FnMut() -> Result<T, convoy_objectstore::Error>,
) -> Result<T, Error> {
    let mut attempt = 1;
    loop {
        match request() {
            Ok(value) => return Ok(value),
            Err(error) if attempt < ATTEMPTS && worth_repeating(&error) => {
                tracing::debug!(%error, attempt, "cannot {}, trying again", doing());
                patience.pause(window(attempt).min(Duration::from_secs(8)));
                attempt += 1;
            }
            Err(source) => {
                return Err(Error::Store {
                    doing: doing(),
                    source,
                });
            }
        }
    }
}
