//! Snapshots: take, look at, delete.

use super::Doors;
use crate::body::{Asked, Named, Parsed, name_of};
use crate::convert;
use crate::refusal::Refusal;
use crate::verbs::Call;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use convoy_api::{CreateSnapshot, Done, Snapshots, SnapshotsOf, paths};
use convoy_engine::{Engine, Operation, SnapshotInfo, SnapshotUsage};
use convoy_names::{SnapshotName, SnapshotRef, VolumeName};
use std::collections::BTreeMap;
use tracing::field::display;
use uuid::Uuid;

pub(super) fn routes() -> Router<Doors> {
    Router::new()
        .route(paths::SNAPSHOTS, get(list).post(create))
        .route(paths::SNAPSHOT, get(inspect).delete(delete))
}

async fn list(
    State(doors): State<Doors>,
    call: Call,
    Asked(query): Asked<SnapshotsOf>,
) -> Result<Response, Refusal> {
    let volume: Option<VolumeName> = query.volume.as_deref().map(name_of).transpose()?;
    let span = call.span("snapshot list");
    let engine = doors.engine;
    let verb = move |_: &Operation<'_>| {
        let snapshots = engine.snapshots(volume.as_ref())?;
        let snapshots = measured(&engine, snapshots);
        Ok::<_, convoy_engine::Error>(Snapshots { snapshots })
    };
    Ok(doors.verbs.whole(call, span, verb).await)
}

async fn inspect(
    State(doors): State<Doors>,
    call: Call,
    Named(name): Named<SnapshotRef>,
) -> Response {
    let span = call.span("snapshot inspect");
    span.record("snapshot", display(&name));
    let engine = doors.engine;
    doors
        .verbs
        .whole(call, span, move |_| {
            let snapshot = engine.snapshot(&name)?;
            let usage = usage(&engine, std::slice::from_ref(&snapshot));
            let usage = usage.get(&snapshot.uuid);
            Ok::<_, convoy_engine::Error>(convert::measured_snapshot(snapshot, usage))
        })
        .await
}

fn measured(engine: &Engine, snapshots: Vec<SnapshotInfo>) -> Vec<convoy_api::Snapshot> {
    let usage = usage(engine, &snapshots);
    snapshots
        .into_iter()
        .map(|snapshot| {
            let usage = usage.get(&snapshot.uuid);
            convert::measured_snapshot(snapshot, usage)
        })
        .collect()
}

/// What they take up, as far as the pool can tell: a pool that cannot must not hide its snapshots.
fn usage(engine: &Engine, snapshots: &[SnapshotInfo]) -> BTreeMap<Uuid, SnapshotUsage> {
    engine.snapshot_usage(snapshots).unwrap_or_else(|error| {
        tracing::warn!(
            "what snapshots take up is not known: {}",
            convoy_fault::chain(&error)
        );
        BTreeMap::new()
    })
}

async fn create(
    State(doors): State<Doors>,
    call: Call,
    Parsed(request): Parsed<CreateSnapshot>,
) -> Result<Response, Refusal> {
    let volume: VolumeName = name_of(&request.volume)?;
    let name: Option<SnapshotName> = request.name.as_deref().map(name_of).transpose()?;
    let span = call.span("snapshot create");
    span.record("volume", display(&volume));
    if let Some(name) = &name {
        span.record("snapshot", display(name));
    }
    let engine = doors.engine;
    let verb = move |operation: &Operation<'_>| {
        engine
            .create_snapshot(&volume, name.as_ref(), operation)
            .map(convert::created_snapshot)
    };
    Ok(doors.verbs.whole(call, span, verb).await)
}

async fn delete(
    State(doors): State<Doors>,
    call: Call,
    Named(name): Named<SnapshotRef>,
) -> Response {
    let span = call.span("snapshot delete");
    span.record("snapshot", display(&name));
    let engine = doors.engine;
    let verb =
        move |operation: &Operation<'_>| engine.delete_snapshot(&name, operation).map(|()| Done {});
    doors.verbs.whole(call, span, verb).await
}
