//! A JSON document as the original laid it out: one tab a level.

use crate::safe;
use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{PrettyFormatter, Serializer};

/// With a line feed at its end.
pub(crate) fn document(value: &Value) -> String {
    let mut bytes = Vec::new();
    let formatter = PrettyFormatter::with_indent(b"\t");
    value
        .serialize(&mut Serializer::with_formatter(&mut bytes, formatter))
        .expect("a JSON value is written to memory");
    bytes.push(b'\n');
    safe::json(&String::from_utf8(bytes).expect("serde_json writes UTF-8"))
}
