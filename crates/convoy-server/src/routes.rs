//! Which path is which verb: one file for each noun.

mod backups;
mod info;
mod jobs;
mod metrics;
mod pool;
mod reshape;
mod snapshots;
mod trash;
mod volumes;

use crate::refusal::Refusal;
use crate::verbs::Verbs;
use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use convoy_engine::Engine;
use convoy_fault::Kind;
use std::sync::Arc;

/// What every verb is given.
#[derive(Debug, Clone)]
pub(crate) struct Doors {
    pub(crate) engine: Arc<Engine>,
    pub(crate) verbs: Verbs,
}

/// All of `/v1`.
pub(crate) fn router(engine: Arc<Engine>, verbs: Verbs) -> Router {
    let nouns = info::routes()
        .merge(metrics::routes())
        .merge(volumes::routes())
        .merge(snapshots::routes())
        .merge(reshape::routes())
        .merge(backups::routes())
        .merge(trash::routes())
        .merge(jobs::routes())
        .merge(pool::routes());
    with_fallbacks(nouns).with_state(Doors { engine, verbs })
}

/// Refusals for what is not there, in our own words.
pub(crate) fn with_fallbacks<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    router
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
}

async fn no_such_path(uri: Uri) -> Refusal {
    Refusal::new(Kind::NotFound, format!("there is no {}", uri.path()))
}

async fn no_such_method(method: Method, uri: Uri) -> Refusal {
    let refusal = Refusal::new(
        Kind::Invalid,
        format!("{} does not know {method}", uri.path()),
    );
    refusal.with_status(StatusCode::METHOD_NOT_ALLOWED)
}
