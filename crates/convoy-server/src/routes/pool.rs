//! The pool: check it, make it larger. How it is is in `info`.

use super::Doors;
use crate::body::Parsed;
use crate::convert;
use crate::verbs::Call;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use convoy_api::{GrowPool, paths};
use convoy_engine::Operation;
use convoy_units::Bytes;

pub(super) fn routes() -> Router<Doors> {
    Router::new()
        .route(paths::POOL_CHECK, post(check))
        .route(paths::POOL_GROW, post(grow))
}

async fn check(State(doors): State<Doors>, call: Call) -> Response {
    let span = call.span("pool check");
    let engine = doors.engine;
    let verb = move |operation: &Operation<'_>| engine.check_pool(operation);
    doors
        .verbs
        .long(call, span, move |operation| {
            verb(operation).map(convert::pool_check)
        })
        .await
}

async fn grow(
    State(doors): State<Doors>,
    call: Call,
    Parsed(request): Parsed<GrowPool>,
) -> Response {
    let span = call.span("pool grow");
    let engine = doors.engine;
    let request = convoy_engine::GrowPool {
        data: request.data.map(Bytes),
        metadata: request.metadata.map(Bytes),
    };
    let verb =
        move |operation: &Operation<'_>| engine.grow_pool(&request, operation).map(convert::pool);
    doors.verbs.whole(call, span, verb).await
}
