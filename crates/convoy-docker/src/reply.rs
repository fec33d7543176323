//! What an engine is answered: JSON with the fields it knows. A refusal says so twice, by HTTP status 500 and in
//! `Err`: Docker looks at either, Podman at the status alone.

use convoy_fault::Fault;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Map, Value, json};
use std::path::Path;

/// What the plugins of the engines' own authors answer with, and both engines take.
const CONTENT: &str = "application/vnd.docker.plugins.v1.1+json";

/// A success.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reply(Value);

impl Reply {
    pub(crate) fn activated() -> Self {
        Self(json!({ "Implements": ["VolumeDriver"] }))
    }

    /// Volumes are of this host: `global` would tell a swarm that each exists on every node.
    pub(crate) fn capabilities() -> Self {
        Self(json!({ "Capabilities": { "Scope": "local" } }))
    }

    pub(crate) fn done() -> Self {
        Self(json!({ "Err": "" }))
    }

    pub(crate) fn mountpoint(path: Option<&Path>) -> Self {
        Self(json!({ "Mountpoint": text(path), "Err": "" }))
    }

    pub(crate) fn volume(
        name: &str,
        path: Option<&Path>,
        created: &str,
        status: &Map<String, Value>,
    ) -> Self {
        let volume = json!({
            "Name": name, "Mountpoint": text(path), "CreatedAt": created, "Status": status,
        });
        Self(json!({ "Volume": volume, "Err": "" }))
    }

    pub(crate) fn volumes<'a>(all: impl Iterator<Item = (String, Option<&'a Path>)>) -> Self {
        let one = |(name, path): (String, Option<&Path>)| json!({ "Name": name, "Mountpoint": text(path) });
        Self(json!({ "Volumes": all.map(one).collect::<Vec<_>>(), "Err": "" }))
    }

    pub(crate) fn into_response(self) -> Response<Full<Bytes>> {
        response(StatusCode::OK, &self.0)
    }
}

/// A failure, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    status: StatusCode,
    text: String,
}

impl Refusal {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            text: text.into(),
        }
    }

    /// A verb's failure, with what to do about it: nobody but the person in front of the engine will read it.
    pub(crate) fn of(error: &(impl Fault + 'static)) -> Self {
        let hint = error.hint().map(|hint| format!(" ({hint})"));
        Self::new(format!(
            "{}{}",
            convoy_fault::chain(error),
            hint.unwrap_or_default()
        ))
    }

    pub(crate) fn unknown(text: String) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            text,
        }
    }

    pub(crate) fn too_long(text: String) -> Self {
        Self {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            text,
        }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn into_response(self) -> Response<Full<Bytes>> {
        response(self.status, &json!({ "Err": self.text }))
    }
}

/// Our own paths are text; anybody's strange one is shown rather than refused.
fn text(path: Option<&Path>) -> String {
    path.map(|path| path.to_string_lossy().into_owned())
        .unwrap_or_default()
}

fn response(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(CONTENT));
    response
}
