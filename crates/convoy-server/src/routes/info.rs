//! The daemon and its pool.

use super::Doors;
use crate::convert;
use crate::diagnosis::diagnosis;
use crate::verbs::Call;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use convoy_api::paths;

pub(super) fn routes() -> Router<Doors> {
    Router::new()
        .route(paths::HEALTH, get(health))
        .route(paths::INFO, get(info))
        .route(paths::DOCTOR, get(doctor))
}

/// Alive: answered without asking the engine, which may be waiting for the kernel.
async fn health() -> &'static str {
    "ok\n"
}

async fn info(State(doors): State<Doors>, call: Call) -> Response {
    let span = call.span("info");
    let engine = doors.engine;
    doors
        .verbs
        .whole(call, span, move |_| engine.info().map(convert::info))
        .await
}

async fn doctor(State(doors): State<Doors>, call: Call) -> Response {
    let span = call.span("doctor");
    let engine = doors.engine;
    doors
        .verbs
        .whole(call, span, move |_| engine.diagnose().map(diagnosis))
        .await
}
