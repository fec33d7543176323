//! Connections: how many, from whom, and for how long they may say nothing.

use crate::listener::Listener;
use crate::verbs::Peer;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::Semaphore;

/// Bounds on what callers may take up.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at one time; further ones wait to be accepted.
    pub connections: usize,
    /// Connections at one time of one user other than root; further ones are closed.
    pub per_user: usize,
    /// How long a connection may take to send a request's head, the first or the next.
    pub head: Duration,
    /// How long the end of the daemon waits for running verbs before it asks them to stop.
    pub drain: Duration,
    /// And how long it then waits for them to do so.
    pub cancel: Duration,
    /// How long callers may take, after all verbs have ended, to read their answers.
    pub answers: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            per_user: 256,
            head: Duration::from_secs(15),
            drain: Duration::from_secs(30),
            cancel: Duration::from_secs(10),
            answers: Duration::from_secs(3),
        }
    }
}

/// Accepts and answers until `shutdown`; then closes the socket and gives back the connections that are
/// still being answered.
pub(crate) async fn accept(
    router: Router,
    listener: Listener,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) -> GracefulShutdown {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(limits.connections));
    let users = Users::default();
    let mut shutdown = pin!(shutdown);
    loop {
        let place = tokio::select! {
            biased;
            () = &mut shutdown => break,
            place = Arc::clone(&places).acquire_owned() => place,
        };
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = listener.inner().accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, most likely: some will be freed.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Some((peer, seat)) = admit(&stream, &users, limits.per_user) else {
            continue;
        };
        let service = TowerToHyperService::new(router.clone().layer(Extension(peer)));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head)
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            let _held = (place, seat);
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended");
            }
        });
    }
    graceful
}

fn admit(stream: &UnixStream, users: &Users, per_user: usize) -> Option<(Peer, Seat)> {
    let credentials = match stream.peer_cred() {
        Ok(credentials) => credentials,
        Err(error) => {
            tracing::warn!(%error, "cannot tell who connects");
            return None;
        }
    };
    let peer = Peer {
        uid: credentials.uid(),
        pid: credentials.pid(),
    };
    let seat = users.seat(peer.uid, per_user);
    if seat.is_none() {
        tracing::warn!(uid = peer.uid, per_user, "too many connections of one user");
    }
    seat.map(|seat| (peer, seat))
}

/// Open connections by user.
#[derive(Debug, Default, Clone)]
struct Users(Arc<Mutex<HashMap<u32, usize>>>);

/// One of a user's connections, until dropped.
#[derive(Debug)]
struct Seat {
    users: Users,
    uid: u32,
}

impl Users {
    fn seat(&self, uid: u32, limit: usize) -> Option<Seat> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(uid).or_default();
        // Root can stop the daemon anyway, and must be able to look at it while users crowd it.
        if uid != 0 && *count >= limit {
            return None;
        }
        *count += 1;
        Some(Seat {
            users: self.clone(),
            uid,
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut counts = self.users.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.uid) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.uid);
            }
        }
    }
}
