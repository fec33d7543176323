//! Volumes reshaped: resize, rename, label, roll back, and snapshots of several.

use super::Doors;
use crate::body::{Named, Parsed, name_of};
use crate::convert;
use crate::refusal::Refusal;
use crate::verbs::Call;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use convoy_api::{
    CreateSnapshots, CreatedSnapshots, LabelVolume, RenameVolume, ResizeVolume, ResizedVolume,
    RolledBack, paths,
};
use convoy_engine::{Created, Operation};
use convoy_names::{SnapshotName, SnapshotRef, VolumeName};
use convoy_units::Bytes;
use tracing::field::display;

pub(super) fn routes() -> Router<Doors> {
    Router::new()
        .route(paths::VOLUME_RESIZE, post(resize))
        .route(paths::VOLUME_RENAME, post(rename))
        .route(paths::VOLUME_LABELS, post(label))
        .route(paths::SNAPSHOT_ROLLBACK, post(roll_back))
        .route(paths::SNAPSHOT_GROUPS, post(create_group))
}

async fn resize(
    State(doors): State<Doors>,
    call: Call,
    Named(name): Named<VolumeName>,
    Parsed(request): Parsed<ResizeVolume>,
) -> Response {
    let span = call.span("volume resize");
    span.record("volume", display(&name));
    let engine = doors.engine;
    let verb = move |operation: &Operation<'_>| {
        let resized = engine.resize_volume(&name, Bytes(request.size), operation)?;
        Ok::<_, convoy_engine::Error>(ResizedVolume {
            unchanged: resized.unchanged,
            before: resized.before.0,
            grows_at_mount: resized.grows_at_mount,
            volume: convert::volume(resized.volume),
        })
    };
    doors.verbs.whole(call, span, verb).await
}

async fn rename(
    State(doors): State<Doors>,
    call: Call,
    Named(name): Named<VolumeName>,
    Parsed(request): Parsed<RenameVolume>,
) -> Result<Response, Refusal> {
    let new: VolumeName = name_of(&request.name)?;
    let span = call.span("volume rename");
    span.record("volume", display(&name));
    let engine = doors.engine;
    let verb = move |operation: &Operation<'_>| {
        let renamed = engine.rename_volume(&name, &new, operation);
        renamed.map(convert::volume)
    };
    Ok(doors.verbs.whole(call, span, verb).await)
}

async fn label(
    State(doors): State<Doors>,
    call: Call,
    Named(name): Named<VolumeName>,
    Parsed(request): Parsed<LabelVolume>,
) -> Response {
    let span = call.span("volume label");
    span.record("volume", display(&name));
    let engine = doors.engine;
    let verb = move |operation: &Operation<'_>| {
        let labelled = engine.label_volume(&name, &request.set, &request.remove, operation);
        labelled.map(convert::volume)
    };
    doors.verbs.whole(call, span, verb).await
}

async fn roll_back(
    State(doors): State<Doors>,
    call: Call,
    Named(name): Named<SnapshotRef>,
) -> Response {
    let span = call.span("snapshot rollback");
    span.record("snapshot", display(&name));
    let engine = doors.engine;
    let verb = move |operation: &Operation<'_>| {
        let done = engine.roll_back(&name, operation)?;
        let unchanged = matches!(done, Created::Unchanged(_));
        let done = done.into_inner();
        Ok::<_, convoy_engine::Error>(RolledBack {
            unchanged,
            volume: convert::volume(done.volume),
            safety: convert::snapshot(done.safety),
        })
    };
    doors.verbs.whole(call, span, verb).await
}

async fn create_group(
    State(doors): State<Doors>,
    call: Call,
    Parsed(request): Parsed<CreateSnapshots>,
) -> Result<Response, Refusal> {
    let volumes = request.volumes.iter().map(|volume| name_of(volume));
    let volumes = volumes.collect::<Result<Vec<VolumeName>, _>>()?;
    let name: Option<SnapshotName> = request.name.as_deref().map(name_of).transpose()?;
    let span = call.span("snapshot group");
    if let Some(name) = &name {
        span.record("snapshot", display(name));
    }
    let engine = doors.engine;
    let verb = move |operation: &Operation<'_>| {
        let made = engine.create_snapshots(&volumes, name.as_ref(), operation)?;
        let unchanged = matches!(made, Created::Unchanged(_));
        let snapshots = made.into_inner().into_iter().map(convert::snapshot);
        Ok::<_, convoy_engine::Error>(CreatedSnapshots {
            unchanged,
            snapshots: snapshots.collect(),
        })
    };
    Ok(doors.verbs.whole(call, span, verb).await)
}
