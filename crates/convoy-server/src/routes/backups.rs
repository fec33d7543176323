//! Backups: make, look at, verify, delete.

use super::Doors;
use crate::body::{Asked, Parsed, name_of};
use crate::convert;
use crate::refusal::Refusal;
use crate::verbs::Call;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use convoy_api::{
    BackupUrl, Backups, BackupsOf, CreateBackup, Done, OfferEndpoint, Restore, paths,
};
use convoy_engine::Operation;
use convoy_names::{SnapshotRef, VolumeName};
use tracing::field::display;

pub(super) fn routes() -> Router<Doors> {
    Router::new()
        .route(paths::BACKUPS, get(list).post(create))
        .route(paths::BACKUP_INSPECT, post(inspect))
        .route(paths::BACKUP_RESTORE, post(restore))
        .route(paths::BACKUP_DELETE, post(delete))
        .route(paths::BACKUP_VERIFY, post(verify))
        .route(paths::ENDPOINTS, post(offer_endpoint))
}

async fn list(
    State(doors): State<Doors>,
    call: Call,
    Asked(query): Asked<BackupsOf>,
) -> Result<Response, Refusal> {
    let volume: Option<VolumeName> = query.volume.as_deref().map(name_of).transpose()?;
    let span = call.span("backup list");
    span.record("destination", display(&query.destination));
    let engine = doors.engine;
    let verb = move |_: &Operation<'_>| {
        let backups = engine.backups(&query.destination, volume.as_ref())?;
        let backups = backups.into_iter().map(convert::backup).collect();
        Ok::<_, convoy_engine::Error>(Backups { backups })
    };
    Ok(doors.verbs.whole(call, span, verb).await)
}

async fn inspect(
    State(doors): State<Doors>,
    call: Call,
    Parsed(request): Parsed<BackupUrl>,
) -> Response {
    let span = call.span("backup inspect");
    span.record("backup", display(&request.url));
    let engine = doors.engine;
    doors
        .verbs
        .whole(call, span, move |_| {
            engine.backup(&request.url).map(convert::backup)
        })
        .await
}

async fn create(
    State(doors): State<Doors>,
    call: Call,
    Parsed(request): Parsed<CreateBackup>,
) -> Result<Response, Refusal> {
    let snapshot: SnapshotRef = name_of(&request.snapshot)?;
    let span = call.span("backup create");
    span.record("snapshot", display(&snapshot));
    span.record("destination", display(&request.destination));
    let engine = doors.engine;
    let verb = move |operation: &Operation<'_>| {
        let outcome = engine.create_backup(&snapshot, &request.destination, operation);
        outcome.map(convert::created_backup)
    };
    Ok(doors.verbs.long(call, span, verb).await)
}

async fn delete(
    State(doors): State<Doors>,
    call: Call,
    Parsed(request): Parsed<BackupUrl>,
) -> Response {
    let span = call.span("backup delete");
    span.record("backup", display(&request.url));
    let engine = doors.engine;
    let verb = move |operation: &Operation<'_>| {
        engine
            .delete_backup(&request.url, operation)
            .map(|()| Done {})
    };
    doors.verbs.long(call, span, verb).await
}

async fn restore(
    State(doors): State<Doors>,
    call: Call,
    Parsed(request): Parsed<Restore>,
) -> Result<Response, Refusal> {
    let volume: VolumeName = name_of(&request.volume)?;
    let span = call.span("backup restore");
    span.record("volume", display(&volume));
    span.record("backup", display(&request.url));
    let engine = doors.engine;
    let verb = move |operation: &Operation<'_>| {
        let restored = engine.restore_in_place(&request.url, &volume, operation);
        restored.map(convert::restored)
    };
    Ok(doors.verbs.long(call, span, verb).await)
}

async fn verify(
    State(doors): State<Doors>,
    call: Call,
    Parsed(request): Parsed<BackupUrl>,
) -> Response {
    let span = call.span("backup verify");
    span.record("backup", display(&request.url));
    let engine = doors.engine;
    let verb = move |operation: &Operation<'_>| {
        engine
            .verify_backup(&request.url, operation)
            .map(convert::verification)
    };
    doors.verbs.long(call, span, verb).await
}

async fn offer_endpoint(
    State(doors): State<Doors>,
    call: Call,
    Parsed(request): Parsed<OfferEndpoint>,
) -> Response {
    let span = call.span("endpoint");
    let engine = doors.engine;
    let verb = move |_: &Operation<'_>| {
        engine
            .offer_endpoint(&request.place, &request.endpoint)
            .map(|()| Done {})
    };
    doors.verbs.whole(call, span, verb).await
}
