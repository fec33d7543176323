//! Volumes: make, look at, mount, unmount, delete.

use super::Doors;
use crate::body::{Named, Parsed, name_of};
use crate::convert;
use crate::refusal::Refusal;
use crate::verbs::Call;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use convoy_api::{CreateVolume, Done, MountVolume, Volumes, paths};
use convoy_engine::{Mode, Operation, Owner};
use convoy_fault::Kind;
use convoy_names::VolumeName;
use convoy_units::Bytes;
use std::path::PathBuf;
use tracing::field::display;

pub(super) fn routes() -> Router<Doors> {
    Router::new()
        .route(paths::VOLUMES, get(list).post(create))
        .route(paths::VOLUME, get(inspect).delete(delete))
        .route(paths::VOLUME_MOUNT, post(mount))
        .route(paths::VOLUME_UNMOUNT, post(unmount))
        .route(paths::VOLUME_TRIM, post(trim))
}

async fn list(State(doors): State<Doors>, call: Call) -> Response {
    let span = call.span("volume list");
    let engine = doors.engine;
    let verb = move |_: &Operation<'_>| {
        let volumes = engine.volumes()?.into_iter().map(convert::volume).collect();
        Ok::<_, convoy_engine::Error>(Volumes { volumes })
    };
    doors.verbs.whole(call, span, verb).await
}

async fn inspect(
    State(doors): State<Doors>,
    call: Call,
    Named(name): Named<VolumeName>,
) -> Response {
    let span = call.span("volume inspect");
    span.record("volume", display(&name));
    let engine = doors.engine;
    doors
        .verbs
        .whole(call, span, move |_| {
            engine.volume(&name).map(convert::volume)
        })
        .await
}

async fn create(
    State(doors): State<Doors>,
    call: Call,
    Parsed(request): Parsed<CreateVolume>,
) -> Result<Response, Refusal> {
    let request = read(request)?;
    let span = call.span("volume create");
    if let Some(name) = &request.name {
        span.record("volume", display(name));
    }
    if let Some(backup) = &request.backup {
        span.record("backup", display(backup));
    }
    let engine = doors.engine;
    let verb = move |operation: &Operation<'_>| {
        engine
            .create_volume(&request, operation)
            .map(convert::created_volume)
    };
    Ok(doors.verbs.long(call, span, verb).await)
}

/// A request in the engine's words.
pub(crate) fn read(request: CreateVolume) -> Result<convoy_engine::CreateVolume, Refusal> {
    Ok(convoy_engine::CreateVolume {
        name: request.name.as_deref().map(name_of).transpose()?,
        size: request.size.map(Bytes),
        filesystem: request.filesystem,
        driver: request.driver,
        backup: request.backup,
        labels: request.labels,
        from_snapshot: request.snapshot.as_deref().map(name_of).transpose()?,
        mount_options: request.mount_options,
        mkfs_options: request.mkfs_options,
        owner: owner(request.uid, request.gid),
        mode: request.mode.as_deref().map(mode).transpose()?,
    })
}

/// One of the two named is enough: the other is root's.
fn owner(uid: Option<u32>, gid: Option<u32>) -> Option<Owner> {
    (uid.is_some() || gid.is_some()).then(|| Owner {
        uid: uid.unwrap_or_default(),
        gid: gid.unwrap_or_default(),
    })
}

fn mode(text: &str) -> Result<Mode, Refusal> {
    text.parse()
        .map_err(|error: convoy_engine::InvalidMode| Refusal::new(Kind::Invalid, error.to_string()))
}

async fn delete(
    State(doors): State<Doors>,
    call: Call,
    Named(name): Named<VolumeName>,
) -> Response {
    let span = call.span("volume delete");
    span.record("volume", display(&name));
    let engine = doors.engine;
    let verb =
        move |operation: &Operation<'_>| engine.delete_volume(&name, operation).map(|()| Done {});
    doors.verbs.long(call, span, verb).await
}

async fn mount(
    State(doors): State<Doors>,
    call: Call,
    Named(name): Named<VolumeName>,
    Parsed(request): Parsed<MountVolume>,
) -> Result<Response, Refusal> {
    let target = mountpoint(request)?;
    let span = call.span("volume mount");
    span.record("volume", display(&name));
    let engine = doors.engine;
    let verb = move |operation: &Operation<'_>| {
        engine
            .mount_volume(&name, target.as_deref(), operation)
            .map(convert::volume)
    };
    Ok(doors.verbs.whole(call, span, verb).await)
}

async fn trim(State(doors): State<Doors>, call: Call, Named(name): Named<VolumeName>) -> Response {
    let span = call.span("volume trim");
    span.record("volume", display(&name));
    let engine = doors.engine;
    let verb = move |operation: &Operation<'_>| {
        engine
            .trim_volume(&name, operation)
            .map(|trimmed| convert::trimmed(&trimmed))
    };
    doors.verbs.long(call, span, verb).await
}

/// Relative paths are refused: relative to the daemon is not what the caller means.
pub(crate) fn mountpoint(request: MountVolume) -> Result<Option<PathBuf>, Refusal> {
    match request.mountpoint.map(PathBuf::from) {
        Some(path) if !path.is_absolute() => {
            let message = format!("the mount point {} is not an absolute path", path.display());
            Err(Refusal::new(Kind::Invalid, message))
        }
        path => Ok(path),
    }
}

async fn unmount(
    State(doors): State<Doors>,
    call: Call,
    Named(name): Named<VolumeName>,
) -> Response {
    let span = call.span("volume unmount");
    span.record("volume", display(&name));
    let engine = doors.engine;
    let verb =
        move |operation: &Operation<'_>| engine.unmount_volume(&name, operation).map(|()| Done {});
    doors.verbs.whole(call, span, verb).await
}
