//! What an engine asks, read with patience: keys in any case, an empty body for `{}`, `null` for nothing.
//!
//! Go's decoder is so lenient, and callers have come to rely on it.

use crate::reply::Refusal;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Call {
    Activate,
    Capabilities,
    List,
    Create {
        name: String,
        options: BTreeMap<String, String>,
    },
    Get(String),
    Path(String),
    Remove(String),
    Mount {
        name: String,
        id: String,
    },
    Unmount {
        name: String,
        id: String,
    },
}

impl Call {
    /// Reads a request; `body` is not looked at where nothing is asked in it.
    pub(crate) fn read(path: &str, body: &[u8]) -> Result<Self, Refusal> {
        let verb = path
            .strip_prefix("/VolumeDriver.")
            .unwrap_or_else(|| path.trim_start_matches('/'));
        match verb {
            "Plugin.Activate" => return Ok(Self::Activate),
            "Capabilities" => return Ok(Self::Capabilities),
            "List" => return Ok(Self::List),
            "Create" | "Get" | "Path" | "Remove" | "Mount" | "Unmount" => (),
            _ => {
                return Err(Refusal::unknown(format!(
                    "there is no {path} in this plugin"
                )));
            }
        }
        let fields = object(body)?;
        let name = text(&fields, "Name")?.filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| Refusal::new(format!("{verb}: the request has no Name")))?;
        let id = || Ok(text(&fields, "ID")?.unwrap_or_default());
        Ok(match verb {
            "Create" => Self::Create {
                options: options(&fields)?,
                name,
            },
            "Get" => Self::Get(name),
            "Path" => Self::Path(name),
            "Remove" => Self::Remove(name),
            "Mount" => Self::Mount { id: id()?, name },
            _ => Self::Unmount { id: id()?, name },
        })
    }
}

/// `serde_json` bounds the depth itself, at 128 levels.
fn object(body: &[u8]) -> Result<Map<String, Value>, Refusal> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(Value::Null) => Ok(Map::new()),
        Ok(_) => Err(Refusal::new("the request's body is no JSON object")),
        Err(error) => Err(Refusal::new(format!(
            "the request's body is no JSON: {error}"
        ))),
    }
}

fn field<'a>(fields: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    let same = |name: &String| name.eq_ignore_ascii_case(key);
    let exact = fields.get(key);
    exact
        .or_else(|| Some(fields.iter().find(|(name, _)| same(name))?.1))
        .filter(|value| !value.is_null())
}

fn text(fields: &Map<String, Value>, key: &str) -> Result<Option<String>, Refusal> {
    match field(fields, key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(Refusal::new(format!("{key} is not a text"))),
    }
}

fn options(fields: &Map<String, Value>) -> Result<BTreeMap<String, String>, Refusal> {
    let all = match field(fields, "Opts") {
        None => return Ok(BTreeMap::new()),
        Some(Value::Object(all)) => all,
        Some(_) => return Err(Refusal::new("Opts is not a map of texts")),
    };
    let option = |(name, value): (&String, &Value)| match value {
        Value::String(text) => Ok((name.clone(), text.clone())),
        _ => Err(Refusal::new(format!("option {name:?} is not a text"))),
    };
    all.iter().map(option).collect()
}

#[cfg(test)]
mod tests {
    //! Bodies as engines send them, and as nobody should.

    use super::*;

    #[track_caller]
    fn check(path: &str, body: &str, expected: &Call) {
        let call = Call::read(path, body.as_bytes()).unwrap();
        assert_eq!(call, *expected, "{path} {body}");
    }

    #[track_caller]
    fn refuse(path: &str, body: &str, words: &str) {
        let refusal = Call::read(path, body.as_bytes()).unwrap_err();
        assert!(refusal.text().contains(words), "{}", refusal.text());
    }

    fn create(options: &[(&str, &str)]) -> Call {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Call::Create {
            name: "v".to_owned(),
            options: options.iter().map(own).collect(),
        }
    }

    #[test]
    fn what_has_no_body_needs_none() {
        check("/Plugin.Activate", "", &Call::Activate);
        check("/VolumeDriver.List", "", &Call::List);
        check("/VolumeDriver.List", "{}", &Call::List);
        check("/VolumeDriver.Capabilities", "{}", &Call::Capabilities);
    }

    #[test]
    fn options_may_be_absent_or_null_or_texts() {
        let path = "/VolumeDriver.Create";
        check(path, r#"{"Name":"v"}"#, &create(&[]));
        check(path, r#"{"Name":"v","Opts":null}"#, &create(&[]));
        check(path, r#"{"Name":"v","Opts":{}}"#, &create(&[]));
        let body = r#"{"name":"v","OPTS":{"size":"10G"},"Later":[1]}"#;
        check(path, body, &create(&[("size", "10G")]));
        refuse(
            path,
            r#"{"Name":"v","Opts":{"size":10}}"#,
            "\"size\" is not a text",
        );
        refuse(path, r#"{"Name":"v","Opts":[]}"#, "not a map");
    }

    #[test]
    fn an_empty_body_is_refused_where_a_name_is_needed() {
        for verb in ["Create", "Get", "Path", "Remove", "Mount", "Unmount"] {
            refuse(&format!("/VolumeDriver.{verb}"), "", "no Name");
            refuse(&format!("/VolumeDriver.{verb}"), "null", "no Name");
            refuse(&format!("/VolumeDriver.{verb}"), "[]", "no JSON object");
        }
        refuse("/VolumeDriver.Get", r#"{"Name":7}"#, "not a text");
        refuse("/VolumeDriver.Get", "{", "no JSON");
        refuse("/VolumeDriver.Destroy", "{}", "there is no");
    }

    #[test]
    fn depth_is_bounded() {
        let deep = "[".repeat(1_000_000);
        refuse("/VolumeDriver.Get", &deep, "recursion limit");
        let inside = format!(r#"{{"Name":{}"#, "[".repeat(500_000));
        refuse("/VolumeDriver.Get", &inside, "recursion limit");
    }
}
