//! Keys: the names of objects, safe on any file system and in any bucket.
//!
//! Lower case only, so that a case-insensitive file system keeps two keys apart; short, so that no
//! file system truncates them; no empty, `.` or `..` segment, so that no key leaves its directory.

use std::fmt;
use std::str::FromStr;

/// The name of an object: segments of `[a-z0-9._-]` joined by `/`, 1 to 200 bytes.
///
/// No segment is empty, `.` or `..`, and the first is not `tmp`, which belongs to the stores. No key
/// may be a directory of another (`a` beside `a/b`): stores on a file system cannot keep both.
/// Keys order by their bytes, which is also the order of listings.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

/// A text that is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an object key: 1 to 200 bytes, segments of a-z 0-9 . _ - joined by '/', the first not 'tmp'"
)]
pub struct InvalidKey(String);

impl Key {
    /// The longest key, in bytes.
    pub const MAX: usize = 200;
    /// The longest key of the original's, in bytes: what S3 takes.
    const MAX_OF_ORIGINAL: usize = 1024;

    /// The key with this text.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidKey> {
        let text = text.into();
        if is_key(&text) {
            Ok(Self(text))
        } else {
            // A hostile text may be megabytes long: the message quotes its beginning.
            Err(InvalidKey(text.chars().take(Self::MAX + 10).collect()))
        }
    }

    /// The key with this text among the objects of the original Convoy: segments of `[A-Za-z0-9._!-]`,
    /// 1 to 1024 bytes in all. Its names are in them as people typed them, filled up with `!` when short.
    ///
    /// Only for reading what is there: such a key may clash with another on a file system without case.
    pub fn of_original(text: impl Into<String>) -> Result<Self, InvalidKey> {
        let text = text.into();
        if text.len() <= Self::MAX_OF_ORIGINAL && text.split('/').all(is_original_segment) {
            Ok(Self(text))
        } else {
            Err(InvalidKey(text.chars().take(Self::MAX + 10).collect()))
        }
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The directory part without its last `/` (empty at the top) and the last segment.
    pub(crate) fn split(&self) -> (&str, &str) {
        self.0.rsplit_once('/').unwrap_or(("", &self.0))
    }
}

fn is_key(text: &str) -> bool {
    text.len() <= Key::MAX
        && text.split('/').all(is_segment)
        && text.split('/').next() != Some("tmp")
}

/// Whether this can be one part of a key between two `/`.
pub(crate) fn is_segment(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
    !matches!(text, "" | "." | "..") && text.bytes().all(allowed)
}

/// The same for the original's objects.
pub(crate) fn is_original_segment(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._!-".contains(&b);
    !matches!(text, "" | "." | "..") && text.bytes().all(allowed)
}

impl FromStr for Key {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        Self::new(text)
    }
}

impl TryFrom<String> for Key {
    type Error = InvalidKey;

    fn try_from(text: String) -> Result<Self, InvalidKey> {
        Self::new(text)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for Key {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests;
