//! The trash: look, take back, empty.

use super::Doors;
use crate::body::{Named, Parsed, name_of};
use crate::convert;
use crate::refusal::Refusal;
use crate::verbs::Call;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{delete, get, post};
use convoy_api::{Trash, TrashedVolume, Undelete, paths};
use convoy_engine::Operation;
use convoy_names::VolumeName;
use tracing::field::display;

pub(super) fn routes() -> Router<Doors> {
    Router::new()
        .route(paths::TRASH, get(list).delete(empty))
        .route(paths::TRASHED, delete(empty_one))
        .route(paths::TRASH_UNDELETE, post(undelete))
}

async fn list(State(doors): State<Doors>, call: Call) -> Response {
    let span = call.span("trash list");
    let engine = doors.engine;
    let verb = move |_: &Operation<'_>| engine.trash().map(shown);
    doors.verbs.whole(call, span, verb).await
}

async fn empty(State(doors): State<Doors>, call: Call) -> Response {
    let span = call.span("trash empty");
    let engine = doors.engine;
    let verb = move |operation: &Operation<'_>| engine.empty_trash(None, operation).map(shown);
    doors.verbs.long(call, span, verb).await
}

async fn empty_one(
    State(doors): State<Doors>,
    call: Call,
    Named(name): Named<VolumeName>,
) -> Response {
    let span = call.span("trash empty");
    span.record("volume", display(&name));
    let engine = doors.engine;
    let verb =
        move |operation: &Operation<'_>| engine.empty_trash(Some(&name), operation).map(shown);
    doors.verbs.long(call, span, verb).await
}

async fn undelete(
    State(doors): State<Doors>,
    call: Call,
    Named(name): Named<VolumeName>,
    Parsed(request): Parsed<Undelete>,
) -> Result<Response, Refusal> {
    let new: Option<VolumeName> = request.name.as_deref().map(name_of).transpose()?;
    let span = call.span("undelete");
    span.record("volume", display(&name));
    let engine = doors.engine;
    let verb = move |operation: &Operation<'_>| {
        engine
            .undelete_volume(&name, new.as_ref(), operation)
            .map(convert::volume)
    };
    Ok(doors.verbs.whole(call, span, verb).await)
}

fn shown(volumes: Vec<convoy_engine::TrashedVolume>) -> Trash {
    let volume = |volume: convoy_engine::TrashedVolume| TrashedVolume {
        uuid: volume.uuid,
        name: volume.name.to_string(),
        size: volume.size.0,
        snapshots: volume.snapshots,
        since: volume.since,
        left_seconds: volume.left.as_secs(),
    };
    Trash {
        volumes: volumes.into_iter().map(volume).collect(),
    }
}
