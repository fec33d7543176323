//! Numbers the kernel knows thin devices and pool states by.

use std::fmt;

/// A thin device's number inside its pool: 24 bits.
///
/// 0 is valid to the kernel and never given to a volume: it is kept back for an on-pool label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DevId(u32);

/// A number that does not fit 24 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a thin device id is at most 16777215, not {0}")]
pub struct IdError(pub u64);

impl DevId {
    /// Kept back for the on-pool label.
    pub const LABEL: Self = Self(0);
    /// The greatest id.
    pub const MAX: Self = Self((1 << 24) - 1);

    /// Checked: below 2^24.
    pub const fn new(id: u64) -> Result<Self, IdError> {
        if id <= Self::MAX.0 as u64 {
            #[expect(clippy::cast_possible_truncation, reason = "below 2^24")]
            Ok(Self(id as u32))
        } else {
            Err(IdError(id))
        }
    }

    /// As a number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for DevId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The pool's transaction id: a counter that only its manager changes, by compare-and-swap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TransactionId(pub u64);

impl TransactionId {
    /// The id after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
