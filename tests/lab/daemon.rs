//! The daemon and the command line as programs: what a user types, and what a kill leaves.

use serde_json::Value;

mod doors;
mod ends;
mod load;
mod walk;

/// An object has these keys, perhaps among others.
#[track_caller]
fn has_keys(value: &Value, keys: &[&str]) {
    let object = value.as_object().unwrap();
    for key in keys {
        assert!(object.contains_key(*key), "{key} is missing in {value}");
    }
}

/// The text at a path in a document.
#[track_caller]
fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value
        .pointer(path)
        .and_then(Value::as_str)
        .unwrap_or_else(|| panic!("{path} in {value}"))
}
