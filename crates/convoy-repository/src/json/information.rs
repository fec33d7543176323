//! Fields for information: what does not fit is as good as absent, and little of it is kept (format §5.1).
//!
//! Nothing decides by them, so whoever can write to the store may put anything there. They are bounded
//! while they are read: a name of megabytes would else be in every list of backups.

use serde::Deserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Bytes of a string, or of a name in an object, at most.
const MAX_TEXT: usize = 1024;
/// Values in one field, those that hold others included, at most: far more than any writer's labels.
const MAX_VALUES: usize = 1024;

/// A field for information: its default if it is of another type or too large. With `#[serde(default)]`,
/// also if it is absent.
pub(crate) fn information<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned + Default,
{
    let mut budget = Budget(Some(MAX_VALUES));
    let value = Bounded(&mut budget).deserialize(deserializer)?;
    let fits = value.filter(|_| budget.0.is_some());
    Ok(fits
        .and_then(|value| serde_json::from_value(value).ok())
        .unwrap_or_default())
}

/// Values that may still be kept; `None` once there was too much.
struct Budget(Option<usize>);

impl Budget {
    fn take(&mut self) -> bool {
        self.0 = self.0.and_then(|left| left.checked_sub(1));
        self.0.is_some()
    }

    fn text(&mut self, text: &str) {
        if text.len() > MAX_TEXT {
            self.0 = None;
        }
    }
}

/// Reads any value to its end, and keeps it while the budget lasts.
struct Bounded<'a>(&'a mut Budget);

impl Bounded<'_> {
    fn kept(self, value: impl Into<Value>) -> Option<Value> {
        self.0.take().then(|| value.into())
    }
}

impl<'de> DeserializeSeed<'de> for Bounded<'_> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bounded<'_> {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(self.kept(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(self.kept(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(self.kept(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(self.kept(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(self.kept(Number::from_f64(value).map_or(Value::Null, Value::Number)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        self.0.text(text);
        Ok(self.0.take().then(|| text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        self.0.take();
        let mut kept = Vec::new();
        while let Some(item) = list.next_element_seed(Bounded(self.0))? {
            kept.extend(item);
        }
        Ok(self.0.0.map(|_| Value::Array(kept)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        self.0.take();
        let mut kept = Map::new();
        while let Some(name) = object.next_key::<String>()? {
            self.0.text(&name);
            if let Some(value) = object.next_value_seed(Bounded(self.0))? {
                kept.insert(name, value);
            }
        }
        Ok(self.0.0.map(|_| Value::Object(kept)))
    }
}

#[cfg(test)]
mod tests {
    //! What fits is kept whole, what does not is absent, and the rest of the entry is read on.

    use super::*;
    use serde::Deserialize;
    use serde_json::json;

    #[derive(Deserialize)]
    struct Sample {
        #[serde(default, deserialize_with = "information")]
        info: Option<Value>,
        after: u64,
    }

    #[track_caller]
    fn check(info: &Value, kept: bool) {
        let text = json!({ "info": info, "after": 7 }).to_string();
        let sample: Sample = crate::json::read(text.as_bytes()).unwrap();
        assert_eq!(sample.info.as_ref(), kept.then_some(info));
        assert_eq!(sample.after, 7);
    }

    #[test]
    fn the_limits() {
        check(&json!("x".repeat(1024)), true);
        check(&json!("x".repeat(1025)), false);
        check(&json!({ "a": ["x".repeat(1025)], "b": 1 }), false);
        check(&json!({ "x".repeat(1025): 1 }), false);
        check(&json!(vec![0; 1023]), true);
        check(&json!(vec![0; 1024]), false);
        check(&json!(vec![json!([[], {}]); 341]), true);
        check(&json!(vec![json!([[], {}]); 342]), false);
        check(&json!({ "a": [null, true, 1, -1, 0.5, "é"] }), true);
    }

    /// A field of sixteen megabytes of small values took sixteen times its size in memory.
    #[test]
    fn a_huge_field_is_read_past() {
        let text = format!("{{\"info\":[{}0],\"after\":7}}", "0,".repeat(4 << 20));
        let sample: Sample = crate::json::read(text.as_bytes()).unwrap();
        assert_eq!((sample.info, sample.after), (None, 7));
    }
}
