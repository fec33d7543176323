//! A backup's address: `DEST?backup=NAME&volume=NAME`, as printed and as shells leave it.
//!
//! The original printed its JSON with `&` written as `\u0026`, and people pasted that; some shells
//! then took the backslash away. All three spellings are read.

use std::fmt;
use std::str::FromStr;

use convoy_fault::{Fault, Kind};
use convoy_names::VolumeName;

use crate::location::{QUERY, decode, encode};
use crate::{InvalidLocation, Location};

/// One backup at one destination. `Display` gives the raw form, with `&`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BackupUrl {
    /// The destination.
    pub location: Location,
    /// The backup's name; keeps the rule for names.
    pub backup: String,
    /// The volume's name when it was backed up; keeps the rule for names.
    pub volume: String,
}

/// A text that is no backup URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidBackupUrl {
    /// The destination part is none.
    #[error("the destination of the backup URL is not valid")]
    Location(#[source] InvalidLocation),
    /// No query, or other keys than the two.
    #[error("{0:?} is not a backup URL: it needs ?backup=NAME&volume=NAME after the destination")]
    Query(String),
    /// A name that breaks the rule.
    #[error("the backup URL names no valid {what}")]
    Name {
        /// Which of the two.
        what: &'static str,
        /// The rule.
        #[source]
        source: convoy_names::InvalidName,
    },
}

impl Fault for InvalidBackupUrl {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }

    fn hint(&self) -> Option<String> {
        Some("`convoy backup list DEST` prints the URLs of all backups; quote them".to_owned())
    }
}

impl FromStr for BackupUrl {
    type Err = InvalidBackupUrl;

    fn from_str(text: &str) -> Result<Self, InvalidBackupUrl> {
        let malformed = || InvalidBackupUrl::Query(text.chars().take(300).collect());
        let (destination, query) = text.split_once('?').ok_or_else(malformed)?;
        let location = destination.parse().map_err(InvalidBackupUrl::Location)?;
        let (mut backup, mut volume) = (None, None);
        for pair in unescape(query).split('&') {
            let (key, value) = pair.split_once('=').ok_or_else(malformed)?;
            let place = match key {
                "backup" => &mut backup,
                "volume" => &mut volume,
                _ => return Err(malformed()),
            };
            let value = decode(value, true).ok_or_else(malformed)?;
            if place.replace(value).is_some() {
                return Err(malformed());
            }
        }
        Ok(Self {
            location,
            backup: checked("backup", backup.ok_or_else(malformed)?)?,
            volume: checked("volume", unpadded(volume.ok_or_else(malformed)?))?,
        })
    }
}

/// `&` for its escaped spellings: only before a key, since a name may well contain `u0026`.
fn unescape(query: &str) -> String {
    ["backup=", "volume="]
        .iter()
        .fold(query.to_owned(), |query, key| {
            let query = query.replace(&format!("\\u0026{key}"), &format!("&{key}"));
            query.replace(&format!("u0026{key}"), &format!("&{key}"))
        })
}

/// The original lists volumes of short names by their directories, whose names are filled up to four characters.
fn unpadded(name: String) -> String {
    if name.len() == 4 {
        name.trim_end_matches('!').to_owned()
    } else {
        name
    }
}

/// The longest name in a URL: the original's names end where file names do.
const LONGEST: usize = 240;

fn checked(what: &'static str, name: String) -> Result<String, InvalidBackupUrl> {
    // One rule for all names; the volume's type is at hand. Of a long one it holds for every part.
    let is_long = (129..=LONGEST).contains(&name.len()) && name.is_ascii();
    let (head, tail) = name.split_at(if is_long { 128 } else { name.len() });
    for part in [head, &format!("x{tail}")] {
        let parsed: Result<VolumeName, _> = part.parse();
        parsed.map_err(|source| InvalidBackupUrl::Name { what, source })?;
    }
    Ok(name)
}

impl fmt::Display for BackupUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (backup, volume) = (encode(&self.backup, QUERY), encode(&self.volume, QUERY));
        write!(f, "{}?backup={backup}&volume={volume}", self.location)
    }
}

#[cfg(test)]
mod tests {
    //! All spellings of one URL, and what is none.

    use super::*;

    #[test]
    fn all_spellings_are_one_url() {
        let raw = "vfs:///b/?backup=backup-0123&volume=v.1_u0026x";
        let url: BackupUrl = raw.parse().unwrap();
        assert_eq!(
            (url.backup.as_str(), url.volume.as_str()),
            ("backup-0123", "v.1_u0026x")
        );
        assert_eq!(url.to_string(), raw);
        for text in [
            "vfs:///b/?backup=backup-0123\\u0026volume=v.1_u0026x",
            "vfs:///b/?backup=backup-0123u0026volume=v.1_u0026x",
            "vfs:///b/?volume=v.1_u0026x&backup=backup-0123",
            "vfs:///b/?backup=backup%2D0123&volume=v.1_u0026x",
        ] {
            assert_eq!(text.parse::<BackupUrl>().unwrap(), url, "{text}");
        }
    }

    #[test]
    fn names_of_the_original_are_read() {
        let volume = |text: &str| -> String {
            let url: BackupUrl = format!("vfs:///b?backup=x&volume={text}").parse().unwrap();
            url.volume
        };
        assert_eq!(volume("ab%21%21"), "ab");
        assert_eq!(volume("abc!"), "abc");
        assert_eq!(volume(&"v".repeat(LONGEST)), "v".repeat(LONGEST));
    }

    #[test]
    fn anything_else_is_refused() {
        let long = |tail: &str| format!("vfs:///b?backup=x&volume={}{tail}", "v".repeat(128));
        for text in [long("/../x"), long(&"v".repeat(LONGEST)), long("!")] {
            assert!(text.parse::<BackupUrl>().is_err(), "{text}");
        }
        for text in [
            "vfs:///b",
            "vfs:///b?",
            "vfs:///b?backup=x",
            "vfs:///b?backup=x&volume=",
            "vfs:///b?backup=x&volume=!!!!",
            "vfs:///b?backup=x&volume=abcd!",
            "vfs:///b?backup=../x&volume=y",
            "vfs:///b?backup=x%2F&volume=y",
            "vfs:///b?backup=x&volume=y&backup=z",
            "vfs:///b?backup=x&volume=y&endpoint=http",
            "nfs:///b?backup=x&volume=y",
        ] {
            assert_eq!(
                text.parse::<BackupUrl>().unwrap_err().kind(),
                Kind::Invalid,
                "{text}"
            );
        }
    }
}
