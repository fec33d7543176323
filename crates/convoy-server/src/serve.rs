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
/// more; callers get `limits.answers` to read what was answered. Volumes stay mounted and the pool active: dropping the engine takes nothing down.
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
    let connections = tokio::spawn(connections.shutdown());
    if !finish(&mut running, &limits).await {
        return Ended::Abandoned;
    }
    // Whoever does not read its answer has had it done all the same: that is no reason to end badly.
    if tokio::time::timeout(limits.answers, connections)
        .await
        .is_err()
    {
        tracing::warn!("stopping: some callers do not read their answers");
    }
    // A request that was still being read may have begun a verb meanwhile; from here on none can.
    running.close();
    if finish(&mut running, &limits).await {
        Ended::Drained
    } else {
        Ended::Abandoned
    }
}

/// Whether what runs came to its end, by itself or when asked to.
async fn finish(running: &mut Running, limits: &Limits) -> bool {
    if running.wait(limits.drain).await {
        return true;
    }
    tracing::warn!("stopping: asking what still runs to stop");
    running.cancel();
    running.wait(limits.cancel).await
}
