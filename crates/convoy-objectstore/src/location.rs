//! Where backups go: `vfs:///directory` and `s3://bucket@region/path/`, as people type them.
//!
//! The forms and messages are those of the original Convoy, so that scripts keep working.

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use convoy_fault::{Fault, Kind};

use crate::{CloudStore, Error, ObjectStore, S3Options, VfsStore};

/// A destination, parsed. `Display` gives back what was typed; compare `normalised` ones.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Location {
    /// `vfs:///abs/path[/]`: a directory of this host or a share mounted there.
    Vfs {
        /// Absolute, without `..`; as typed otherwise.
        path: PathBuf,
    },
    /// `s3://bucket@region/path/` or `s3://bucket/path/`.
    S3 {
        /// The bucket.
        bucket: String,
        /// The region, where it was given.
        region: Option<String>,
        /// The path below the bucket as typed, without its first `/`.
        prefix: String,
    },
}

/// A text that is no destination.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidLocation {
    /// Nothing was given.
    #[error("Destination URL hasn't been specified")]
    Missing,
    /// Another scheme than those we know.
    #[error("Driver {0} is not supported!")]
    Scheme(String),
    /// No scheme at all.
    #[error("{0:?} is not a destination URL")]
    NoScheme(String),
    /// A `vfs://` URL that names no absolute directory.
    #[error("Invalid URL {0:?}. Must be vfs:///absolute/path, without host, '..' and query")]
    Vfs(String),
    /// An `s3://` URL of another form.
    #[error("Invalid URL. Must be either s3://bucket@region/path/, or s3://bucket/path")]
    S3,
}

impl Fault for InvalidLocation {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }

    fn hint(&self) -> Option<String> {
        Some("give --dest vfs:///absolute/path or s3://bucket@region/path/".to_owned())
    }
}

impl Location {
    /// One spelling for all ways to type the same place: no doubled `/`; a directory without and an
    /// S3 path with a `/` at its end.
    #[must_use]
    pub fn normalised(&self) -> Self {
        match self {
            Self::Vfs { path } => Self::Vfs {
                path: path.components().collect(),
            },
            Self::S3 {
                bucket,
                region,
                prefix,
            } => {
                let segments = prefix.split('/').filter(|segment| !segment.is_empty());
                let prefix = segments.flat_map(|segment| [segment, "/"]).collect();
                Self::S3 {
                    bucket: bucket.clone(),
                    region: region.clone(),
                    prefix,
                }
            }
        }
    }
}

/// Opens the destination. Nothing is created there before the first put, and a bucket is not asked yet.
///
/// Errors: a directory that does not exist or is none (`NotFound`); options that cannot be used (`Invalid`).
pub fn open(location: &Location, s3: &S3Options) -> Result<Arc<dyn ObjectStore>, Error> {
    match location {
        Location::Vfs { path } => Ok(Arc::new(VfsStore::open(path)?)),
        Location::S3 {
            bucket,
            region,
            prefix,
        } => {
            let store = CloudStore::s3(bucket, region.as_deref(), prefix, s3)?;
            Ok(Arc::new(store))
        }
    }
}

impl FromStr for Location {
    type Err = InvalidLocation;

    fn from_str(text: &str) -> Result<Self, InvalidLocation> {
        if text.is_empty() {
            return Err(InvalidLocation::Missing);
        }
        let quoted = || text.chars().take(300).collect::<String>();
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| InvalidLocation::NoScheme(quoted()))?;
        match scheme {
            "vfs" => parse_vfs(rest).ok_or_else(|| InvalidLocation::Vfs(quoted())),
            "s3" => parse_s3(rest).ok_or(InvalidLocation::S3),
            other => Err(InvalidLocation::Scheme(other.chars().take(60).collect())),
        }
    }
}

fn parse_vfs(rest: &str) -> Option<Location> {
    if !rest.starts_with('/') || rest.contains(['?', '#']) {
        return None;
    }
    let path = PathBuf::from(decode(rest, false)?);
    let plain = |component| matches!(component, Component::RootDir | Component::Normal(_));
    let clean = !has_control(path.to_str()?) && path.components().all(plain);
    clean.then_some(Location::Vfs { path })
}

fn parse_s3(rest: &str) -> Option<Location> {
    // The path is needed, `/` is enough.
    let (host, prefix) = rest.split_once('/')?;
    let (bucket, region) = match host.split_once('@') {
        Some((bucket, region)) => (bucket, Some(region)),
        None => (host, None),
    };
    let word = |text: &str| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        !text.is_empty() && text.bytes().all(allowed)
    };
    let prefix = decode(prefix, false)?;
    let good = word(bucket)
        && region.is_none_or(word)
        && !rest.contains(['?', '#'])
        && !has_control(&prefix)
        && !prefix
            .split('/')
            .any(|segment| matches!(segment, "." | ".."));
    good.then(|| Location::S3 {
        bucket: bucket.to_owned(),
        region: region.map(str::to_owned),
        prefix,
    })
}

fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vfs { path } => write!(f, "vfs://{}", encode_path(path)),
            Self::S3 {
                bucket,
                region,
                prefix,
            } => {
                let at = if region.is_some() { "@" } else { "" };
                let region = region.as_deref().unwrap_or_default();
                write!(f, "s3://{bucket}{at}{region}/{}", encode(prefix, PATH))
            }
        }
    }
}

/// A path as in a URL; one that is not UTF-8 is shown as well as possible.
pub(crate) fn encode_path(path: &Path) -> String {
    encode(&path.to_string_lossy(), PATH)
}

/// What stays as it is in a path, besides letters and digits.
const PATH: &[u8] = b"/-_.~!$&'()*+,;=:@";
/// What stays as it is in a query's value, besides letters and digits.
pub(crate) const QUERY: &[u8] = b"-_.~";

/// Percent-encodes every byte that is neither a letter, a digit nor in `plain`.
pub(crate) fn encode(text: &str, plain: &[u8]) -> String {
    let one = |b: u8| match b {
        _ if b.is_ascii_alphanumeric() || plain.contains(&b) => char::from(b).to_string(),
        _ => format!("%{b:02X}"),
    };
    text.bytes().map(one).collect()
}

/// Undoes percent-encoding; `plus` says whether `+` is a blank. `None` if malformed or not UTF-8.
pub(crate) fn decode(text: &str, plus: bool) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let digit = |b: u8| char::from(b).to_digit(16);
                let (high, low) = (digit(bytes.next()?)?, digit(bytes.next()?)?);
                u8::try_from(high * 16 + low).ok()?
            }
            b'+' if plus => b' ',
            _ => byte,
        });
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests;
