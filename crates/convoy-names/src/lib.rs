//! What is it called: names parsed once and valid ever after.
//!
//! One rule for volumes, snapshots and pools: `[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}`. Names are labels for
//! people; identity is the UUID beside them, and no path or device-mapper name is made of a name.

use std::fmt;
use std::str::FromStr;

/// The rule as a person reads it in an error.
pub const RULE: &str =
    "1 to 128 characters: letters, digits, '_', '.', '-', beginning with a letter or a digit";

/// A name that breaks the rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a valid {what} name: a name has {RULE}")]
pub struct InvalidName {
    what: &'static str,
    text: String,
}

fn is_valid(text: &str) -> bool {
    let bytes = text.as_bytes();
    let first = bytes.first().is_some_and(u8::is_ascii_alphanumeric);
    first
        && bytes.len() <= 128
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(b))
}

macro_rules! name {
    ($(#[doc = $doc:literal])* $name:ident, $what:literal) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                if is_valid(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    // A hostile name may be megabytes long: the message quotes its beginning.
                    let text = text.chars().take(140).collect();
                    Err(InvalidName { what: $what, text })
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

name! {
    /// The name of a volume, unique among the volumes of one daemon.
    VolumeName, "volume"
}
name! {
    /// The name of a snapshot, unique among the snapshots of one daemon.
    SnapshotName, "snapshot"
}
name! {
    /// The name of a thin pool: also the name of its device-mapper device.
    PoolName, "pool"
}
name! {
    /// The name of a configured backup destination.
    DestinationName, "destination"
}

/// A snapshot as a person refers to it: `SNAPSHOT` or `VOLUME@SNAPSHOT` (`@` cannot occur in a name).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotRef {
    /// The volume, where it was given.
    pub volume: Option<VolumeName>,
    /// The snapshot.
    pub snapshot: SnapshotName,
}

impl FromStr for SnapshotRef {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        match text.split_once('@') {
            Some((volume, snapshot)) => Ok(Self {
                volume: Some(volume.parse()?),
                snapshot: snapshot.parse()?,
            }),
            None => Ok(Self {
                volume: None,
                snapshot: text.parse()?,
            }),
        }
    }
}

impl fmt::Display for SnapshotRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.volume {
            Some(volume) => write!(f, "{volume}@{}", self.snapshot),
            None => write!(f, "{}", self.snapshot),
        }
    }
}

#[cfg(test)]
mod tests;
