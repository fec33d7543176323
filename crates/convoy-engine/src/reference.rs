//! A UUID, or the beginning of one, where a caller may give a name.
//!
//! The original's documentation promised it. A name always wins, the beginning must be long enough that no
//! word is taken for one by chance, and it must mean one thing only.

use crate::error::Error;
use convoy_fault::Kind;
use uuid::Uuid;

/// Fewest hexadecimal digits: as many as stand before a UUID's first hyphen.
const DIGITS: usize = 8;

/// The beginning of a UUID as it is printed, hyphens in their places or all left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UuidPrefix(String);

impl UuidPrefix {
    /// What was typed, if it can be one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        let hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let enough = (DIGITS..=32).contains(&digits.len());
        let digits = digits.to_ascii_lowercase();
        let hyphens =
            !text.contains('-') || hyphenated(&digits).starts_with(&text.to_ascii_lowercase());
        (hexadecimal && enough && hyphens).then_some(Self(digits))
    }

    /// Whether this one begins so.
    pub(crate) fn begins(&self, uuid: Uuid) -> bool {
        uuid.simple().to_string().starts_with(&self.0)
    }
}

/// Digits with a UUID's hyphens, one after the last group that is whole.
fn hyphenated(digits: &str) -> String {
    let mut text = String::with_capacity(36);
    for (index, digit) in digits.chars().enumerate() {
        text.push(digit);
        if matches!(index, 7 | 11 | 15 | 19) {
            text.push('-');
        }
    }
    text
}

/// The one of these that the text is the beginning of; `what` names their kind in the refusal of several.
pub(crate) fn only<T>(
    text: &str,
    what: &str,
    all: impl IntoIterator<Item = T>,
    uuid: impl Fn(&T) -> Uuid,
) -> Result<Option<T>, Error> {
    let Some(prefix) = UuidPrefix::parse(text) else {
        return Ok(None);
    };
    let mut found = all.into_iter().filter(|each| prefix.begins(uuid(each)));
    let first = found.next();
    match found.count() {
        0 => Ok(first),
        more => Err(Error::new(
            Kind::Invalid,
            format!(
                "{text} is the beginning of the UUIDs of {} {what}s",
                more + 1
            ),
        )
        .hinting("give more of the UUID, or the name")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Uuid = Uuid::from_u128(0x019a_b3c4_d5e6_7001_8000_0000_0000_0001);
    const OTHER: Uuid = Uuid::from_u128(0x019a_b3c4_d5e6_7002_8000_0000_0000_0002);

    #[track_caller]
    fn finds(text: &str, expected: Option<Uuid>) {
        let found = only(text, "volume", [ONE, OTHER], |uuid| *uuid);
        assert_eq!(found.unwrap(), expected, "{text}");
    }

    #[test]
    fn a_uuid_is_known_by_its_whole_and_by_its_beginning() {
        finds("019ab3c4-d5e6-7001-8000-000000000001", Some(ONE));
        finds("019ab3c4d5e670018000000000000001", Some(ONE));
        finds("019AB3C4-D5E6-7002", Some(OTHER));
        finds("019ab3c4d5e67002", Some(OTHER));
        finds("019ab3c4-d5e6-7003", None);
    }

    #[test]
    fn what_may_be_a_word_is_none() {
        for text in [
            "019ab3c",
            "cafe",
            "0-19ab3c4",
            "019ab3c4-d5e670-01",
            "vol-019ab3c4",
            "",
            "-",
        ] {
            finds(text, None);
        }
        finds(&"0".repeat(33), None);
    }

    #[test]
    fn what_means_two_is_refused() {
        let error = only("019ab3c4-", "volume", [ONE, OTHER], |uuid| *uuid).unwrap_err();
        assert_eq!(convoy_fault::Fault::kind(&error), Kind::Invalid);
        assert!(error.to_string().contains("2 volumes"), "{error}");
    }
}
