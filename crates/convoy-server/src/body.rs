//! What a request carries, parsed into types or refused: its body, its query, and the name in its path.

use crate::refusal::Refusal;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use convoy_fault::Kind;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

/// The longest request there is: a name, a URL and some labels need a thousandth of it.
pub(crate) const LIMIT: usize = 1 << 20;
/// A caller on the same host has its whole request ready.
const PATIENCE: Duration = Duration::from_secs(10);

/// A JSON body; an empty one stands for `{}`.
///
/// Deep nesting is bounded by `serde_json` (128 levels), unknown and duplicate fields are refused by the
/// types. The content type is not looked at: only we read here.
#[derive(Debug)]
pub(crate) struct Parsed<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Parsed<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        let body = read(request.into_body()).await?;
        parse(&body).map(Self)
    }
}

async fn read(body: Body) -> Result<Bytes, Refusal> {
    let whole = Limited::new(body, LIMIT).collect();
    match tokio::time::timeout(PATIENCE, whole).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let refusal = Refusal::new(
                Kind::Invalid,
                format!("the request's body is longer than {LIMIT} bytes"),
            );
            Err(refusal.with_status(StatusCode::PAYLOAD_TOO_LARGE))
        }
        Ok(Err(error)) => Err(Refusal::new(
            Kind::Invalid,
            format!("cannot read the request's body: {error}"),
        )),
        Err(_) => {
            let seconds = PATIENCE.as_secs();
            let refusal = Refusal::new(
                Kind::Invalid,
                format!("the request's body did not come within {seconds} s"),
            );
            Err(refusal.with_status(StatusCode::REQUEST_TIMEOUT))
        }
    }
}

pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    let body = if body.trim_ascii().is_empty() {
        b"{}"
    } else {
        body
    };
    serde_json::from_slice(body).map_err(|error| {
        Refusal::new(
            Kind::Invalid,
            format!("cannot read the request's body: {error}"),
        )
    })
}

/// The query of a request.
#[derive(Debug)]
pub(crate) struct Asked<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(query)) => Ok(Self(query)),
            Err(rejection) => Err(Refusal::new(Kind::Invalid, rejection.body_text())),
        }
    }
}

/// The `{name}` of a path, parsed by its rule.
#[derive(Debug)]
pub(crate) struct Named<T>(pub(crate) T);

impl<T, S> FromRequestParts<S> for Named<T>
where
    T: FromStr,
    T::Err: Display,
    S: Send + Sync,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(name)) => name_of(&name).map(Self),
            Err(rejection) => Err(Refusal::new(Kind::Invalid, rejection.body_text())),
        }
    }
}

/// A name by its rule, which the refusal quotes.
pub(crate) fn name_of<T: FromStr>(text: &str) -> Result<T, Refusal>
where
    T::Err: Display,
{
    text.parse()
        .map_err(|error: T::Err| Refusal::new(Kind::Invalid, error.to_string()))
}
