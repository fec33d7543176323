//! Serving from the first connection to the last verb.

use crate::connections::{Limits, accept};
use crate::listener::Listener;
use crate::routes;
use crate::verbs::{Running, Verbs};
use axum::Router;
use convoy_engine::Engine;
use std::future::Future;
use std::sync::Arc;

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Every verb was finished.
    Drained,
    /// Verbs that would not stop are still running; what they leave is finished or undone at the next
    /// start, as after a kill.
    Abandoned,
}

/// Answers on the socket until `shutdown` completes. Then it accepts nothing more and removes the socket,
/// lets running verbs finish for `limits.drain`, asks those that can to stop, and waits `limits.cancel`
/// more. Volumes stay mounted and the pool active: dropping the engine takes nothing down.
pub async fn serve(
    engine: Arc<Engine>,
    listener: Listener,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) -> Ended {
    let (verbs, running) = Verbs::new();
    let router = routes::router(engine, verbs);
    run(router, running, listener, limits, shutdown).await
}

/// [`serve`] with any routes.
pub(crate) async fn run(
    router: Router,
    mut running: Running,
    listener: Listener,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) -> Ended {
    let connections = accept(router, listener, limits, shutdown).await;
    tracing::info!("stopping: finishing what runs");
    // Idle connections close at once, the others after their answers.
    tokio::spawn(connections.shutdown());
    if running.wait(limits.drain).await {
        return Ended::Drained;
    }
    tracing::warn!("stopping: asking what still runs to stop");
    running.cancel();
    if running.wait(limits.cancel).await {
        Ended::Drained
    } else {
        Ended::Abandoned
    }
}
