//! The folders below a destination: ours, and the original's, which is only read.
//!
//! They lie side by side, so that neither program sees the other's objects.

use crate::key::{is_original_segment, is_segment};
use crate::{InvalidKey, Key};

/// Which of the two a store is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Folder {
    /// `convoy-repository/`.
    Repository,
    /// `convoy-objectstore/`: what the original Convoy, versions 0.2 to 0.5, wrote.
    Original,
}

impl Folder {
    /// Its name, below the destination's path.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Repository => "convoy-repository",
            Self::Original => "convoy-objectstore",
        }
    }

    /// The key with this text, if it can be one here.
    pub(crate) fn key(self, text: impl Into<String>) -> Result<Key, InvalidKey> {
        match self {
            Self::Repository => Key::new(text),
            Self::Original => Key::of_original(text),
        }
    }

    /// Whether this can be one part of a key between two `/`.
    pub(crate) fn is_segment(self, text: &str) -> bool {
        match self {
            Self::Repository => is_segment(text),
            Self::Original => is_original_segment(text),
        }
    }
}
