//! JSON as the format has it: one meaning per text, or none (format §5.1).
//!
//! Parsers differ on names that occur twice, on depth and on types that nearly fit, and two readers
//! that differ on an entry would fold two states. So texts are checked first, deciding fields are taken
//! strictly, and fields for information never decide: what does not fit is as good as absent.

mod information;

pub(crate) use information::information;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::HashSet;
use std::marker::PhantomData;
use uuid::Uuid;

/// Objects and lists within each other, at most.
const MAX_DEPTH: u8 = 32;
/// Names in one object, at most: each is remembered while the object is checked.
const MAX_NAMES: usize = 1024;

/// The object that this text is; `Err` names the broken rule.
pub(crate) fn read<T: DeserializeOwned>(text: &[u8]) -> Result<T, String> {
    if !text.trim_ascii_start().starts_with(b"{") {
        return Err("not a JSON object".to_owned());
    }
    let mut checked = serde_json::Deserializer::from_slice(text);
    Strict(MAX_DEPTH)
        .deserialize(&mut checked)
        .and_then(|()| checked.end())
        .and_then(|()| serde_json::from_slice(text))
        .map_err(|error| error.to_string())
}

/// Visits everything and keeps nothing; `.0` levels may still be opened.
#[derive(Clone, Copy)]
struct Strict(u8);

impl Strict {
    fn below<E: serde::de::Error>(self) -> Result<Self, E> {
        let below = self.0.checked_sub(1).map(Self);
        below.ok_or_else(|| E::custom("nested too deeply"))
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let below = self.below()?;
        while list.next_element_seed(below)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let below = self.below()?;
        let mut names = HashSet::new();
        while let Some(name) = object.next_key::<String>()? {
            object.next_value_seed(below)?;
            if names.contains(&name) {
                return Err(A::Error::custom(format!("{name:?} occurs twice")));
            }
            names.insert(name);
            if names.len() > MAX_NAMES {
                return Err(A::Error::custom("an object has too many names"));
            }
        }
        Ok(())
    }
}

/// A field that may be null and not absent: serde takes an absent `Option` for null unless it is read
/// by a function.
pub(crate) fn nullable<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer)
}

/// A list of objects: serde takes a list of values for a struct too.
pub(crate) fn objects<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let objects: Vec<Object<T>> = Vec::deserialize(deserializer)?;
    Ok(objects.into_iter().map(|object| object.0).collect())
}

/// A struct in the form of an object.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectOnly(PhantomData))
    }
}

struct ObjectOnly<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectOnly<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(object)).map(Object)
    }
}

/// A UUID in its one spelling: lower case, with dashes.
pub(crate) fn uuid<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Uuid, D::Error> {
    Spelled::deserialize(deserializer).map(|spelled| spelled.0)
}

/// As `uuid`, or null.
pub(crate) fn nullable_uuid<'de, D>(deserializer: D) -> Result<Option<Uuid>, D::Error>
where
    D: Deserializer<'de>,
{
    let spelled: Option<Spelled> = Option::deserialize(deserializer)?;
    Ok(spelled.map(|spelled| spelled.0))
}

/// A list of those.
pub(crate) fn uuids<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Uuid>, D::Error> {
    let spelled: Vec<Spelled> = Vec::deserialize(deserializer)?;
    Ok(spelled.into_iter().map(|spelled| spelled.0).collect())
}

struct Spelled(Uuid);

impl<'de> Deserialize<'de> for Spelled {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match Uuid::try_parse(&text) {
            Ok(uuid) if uuid.hyphenated().to_string() == text => Ok(Self(uuid)),
            _ => Err(D::Error::custom("not a UUID in lower case with dashes")),
        }
    }
}

#[cfg(test)]
mod tests {
    //! A text has one meaning for every reader, or none.

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Sample {
        #[serde(deserialize_with = "nullable")]
        root: Option<u64>,
        #[serde(default, deserialize_with = "information")]
        size: u64,
    }

    #[track_caller]
    fn check(text: &str, expected: Option<(Option<u64>, u64)>) {
        let sample = read::<Sample>(text.as_bytes());
        assert_eq!(sample.ok().map(|s| (s.root, s.size)), expected, "{text}");
    }

    #[test]
    fn one_meaning_or_none() {
        check(r#" {"root":1,"size":2,"more":[{}]} "#, Some((Some(1), 2)));
        check(r#"{"root":null}"#, Some((None, 0)));
        check(r#"{"root":null,"size":"large"}"#, Some((None, 0)));
        check(r#"{"root":null,"size":-1}"#, Some((None, 0)));
        // Absent is not null: a root that was left out is not a volume of holes.
        check("{}", None);
        check("[1,2]", None);
        check(r#"{"root":1.0}"#, None);
        check(r#"{"root":-0}"#, None);
        check(r#"{"root":18446744073709551616}"#, None);
        check(r#"{"root":1,"root":2}"#, None);
        check(r#"{"root":1,"more":{"a":1,"\u0061":2}}"#, None);
        check(r#"{"root":1,"more":"\ud800"}"#, None);
        check(r#"{"root":1,"more":1e999}"#, None);
        check(r#"{"root":1} {}"#, None);
        let wide = |n: usize| {
            let names: Vec<String> = (0..n).map(|n| format!("\"{n}\":0")).collect();
            format!("{{\"root\":1,\"more\":{{{}}}}}", names.join(","))
        };
        check(&wide(1024), Some((Some(1), 0)));
        check(&wide(1025), None);
        let deep = |n| format!("{{\"root\":1,\"more\":{}{}}}", "[".repeat(n), "]".repeat(n));
        check(&deep(31), Some((Some(1), 0)));
        check(&deep(32), None);
    }
}
