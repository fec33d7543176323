//! Jobs: look at, wait for, cancel.

use super::Doors;
use crate::body::{Asked, Named};
use crate::convert;
use crate::verbs::Call;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use convoy_api::{Jobs, WaitFor, paths};
use convoy_engine::Operation;
use std::time::Duration;

/// No answer is held back longer: who waits on asks again, which a daemon that stops can refuse.
const LONGEST: Duration = Duration::from_secs(20);

pub(super) fn routes() -> Router<Doors> {
    Router::new()
        .route(paths::JOBS, get(list))
        .route(paths::JOB, get(inspect))
        .route(paths::JOB_CANCEL, post(cancel))
}

async fn list(State(doors): State<Doors>, call: Call) -> Response {
    let span = call.span("job list");
    let engine = doors.engine;
    let verb = move |_: &Operation<'_>| {
        let jobs = engine.jobs()?.into_iter().map(convert::job).collect();
        Ok::<_, convoy_engine::Error>(Jobs { jobs })
    };
    doors.verbs.whole(call, span, verb).await
}

async fn inspect(
    State(doors): State<Doors>,
    call: Call,
    Named(reference): Named<String>,
    Asked(query): Asked<WaitFor>,
) -> Response {
    let span = call.span("job inspect");
    let engine = doors.engine;
    let patience = query.wait_milliseconds.map(Duration::from_millis);
    let verb = move |operation: &Operation<'_>| {
        let job = match patience {
            None => engine.job(&reference),
            Some(patience) => wait(&engine, &reference, patience.min(LONGEST), operation),
        };
        job.map(convert::job)
    };
    doors.verbs.whole(call, span, verb).await
}

/// In short turns: a daemon that stops waits for nobody who waits.
fn wait(
    engine: &convoy_engine::Engine,
    reference: &str,
    patience: Duration,
    operation: &Operation<'_>,
) -> Result<convoy_engine::JobInfo, convoy_engine::Error> {
    const TURN: Duration = Duration::from_millis(200);
    let mut left = patience;
    loop {
        let job = engine.wait_job(reference, left.min(TURN))?;
        left = left.saturating_sub(TURN);
        if job.state.is_over() || left.is_zero() || operation.observer.cancelled() {
            return Ok(job);
        }
    }
}

async fn cancel(
    State(doors): State<Doors>,
    call: Call,
    Named(reference): Named<String>,
) -> Response {
    let span = call.span("job cancel");
    let engine = doors.engine;
    let verb = move |_: &Operation<'_>| engine.cancel_job(&reference).map(convert::job);
    doors.verbs.whole(call, span, verb).await
}
