//! The daemon in numbers.

use super::Doors;
use crate::exposition::CONTENT_TYPE;
use crate::metrics::{Served, page};
use crate::refusal::Refusal;
use crate::verbs::Call;
use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use convoy_api::paths;

pub(super) fn routes() -> Router<Doors> {
    Router::new().route(paths::METRICS, get(metrics))
}

async fn metrics(State(doors): State<Doors>, call: Call) -> Result<Response, Refusal> {
    let span = call.span("metrics");
    let engine = doors.engine;
    let figures = doors
        .verbs
        .run(call, span, move |_| engine.figures())
        .await?;
    let served = Served {
        ended: doors.verbs.ended(),
        running: doors.verbs.running(),
    };
    let text = page(&figures, &served);
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
}
