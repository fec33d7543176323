//! Connections: who may, how many, and for how long they may say nothing.

use crate::call::Call;
use crate::plugin::{Plugin, Settings, VERBS};
use crate::reply::Refusal;
use convoy_engine::Engine;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

/// Bounds on what callers may take up.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at one time: for one more, that which has been idle longest is closed.
    pub connections: usize,
    /// How long a request's head may take, the first or the next.
    pub head: Duration,
    /// How long a request's body may take.
    pub body: Duration,
    /// The longest body, in bytes.
    pub longest: usize,
    /// How long the end of the daemon waits for running verbs, and then again after asking them to stop.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            // Engines keep a connection for the next call.
            head: Duration::from_mins(2),
            body: Duration::from_secs(10),
            longest: 1 << 20,
            drain: Duration::from_secs(30),
        }
    }
}

/// Answers on a socket until `shutdown` completes, then waits for running verbs; whether all came to their end.
/// Volumes stay mounted. Must be called inside a tokio runtime.
pub async fn serve(
    engine: Arc<Engine>,
    listener: &UnixListener,
    settings: Settings,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) -> bool {
    let plugin = Plugin::new(engine, settings);
    accept(&plugin, listener, limits, shutdown).await;
    let ended = || tokio::time::timeout(limits.drain, plugin.verbs.acquire_many(VERBS));
    if ended().await.is_ok() {
        return true;
    }
    plugin.stop();
    ended().await.is_ok()
}

async fn accept(
    plugin: &Arc<Plugin>,
    listener: &UnixListener,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let idle = Arc::new(Idle::default());
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => return,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) if is_admitted(&stream) => stream,
            Ok(_) => continue,
            Err(error) => {
                // Out of file descriptors, most likely: some will be freed.
                tracing::warn!(%error, "cannot accept a connection of a container engine");
                idle.close_oldest();
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        if places.available_permits() == 0 {
            idle.close_oldest();
        }
        let place = tokio::select! {
            biased;
            () = &mut shutdown => return,
            place = Arc::clone(&places).acquire_owned() => place,
        };
        let seat = Arc::new(Seat::new(Arc::clone(&idle)));
        let (plugin, own) = (Arc::clone(plugin), Arc::clone(&seat));
        let task = tokio::spawn(async move {
            let _place = place;
            let ended = connection(plugin, stream, &own, limits).await;
            own.leave();
            if let Err(error) = ended {
                tracing::debug!(%error, "connection of a container engine ended");
            }
        });
        seat.rest_as(task.abort_handle());
    }
}

/// Root, or who runs the daemon: whoever may ask for mounts is as good as root.
fn is_admitted(stream: &UnixStream) -> bool {
    let own = std::fs::metadata("/proc/self").map(|own| std::os::unix::fs::MetadataExt::uid(&own));
    match stream.peer_cred() {
        Ok(peer) if peer.uid() == 0 || own.is_ok_and(|own| own == peer.uid()) => true,
        Ok(peer) => {
            tracing::warn!(
                uid = peer.uid(),
                pid = peer.pid(),
                "refused: the plugin's socket is for container engines"
            );
            false
        }
        Err(error) => {
            tracing::warn!(%error, "cannot tell who connects");
            false
        }
    }
}

async fn connection(
    plugin: Arc<Plugin>,
    stream: UnixStream,
    seat: &Arc<Seat>,
    limits: Limits,
) -> Result<(), hyper::Error> {
    let service = service_fn(|request: Request<Incoming>| {
        let (plugin, seat) = (Arc::clone(&plugin), Arc::clone(seat));
        async move {
            seat.work();
            let response = answer(plugin, request, limits).await;
            seat.rest();
            Ok::<_, Infallible>(response)
        }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

async fn answer(
    plugin: Arc<Plugin>,
    request: Request<Incoming>,
    limits: Limits,
) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    let answered = match read(request, limits).await {
        Ok(body) => match Call::read(&path, &body) {
            Ok(call) => plugin.answer(call).await,
            Err(refusal) => Err(refusal),
        },
        Err(refusal) => Err(refusal),
    };
    match answered {
        Ok(reply) => reply.into_response(),
        Err(refusal) => {
            tracing::info!(path, error = refusal.text(), "refused");
            refusal.into_response()
        }
    }
}

async fn read(request: Request<Incoming>, limits: Limits) -> Result<Bytes, Refusal> {
    if request.method() != Method::POST {
        return Err(Refusal::unknown("every call is a POST".to_owned()));
    }
    let too_long = || {
        let longest = limits.longest;
        Refusal::too_long(format!("the request's body is longer than {longest} bytes"))
    };
    // One that says so itself is not read first.
    if request.body().size_hint().lower() > limits.longest as u64 {
        return Err(too_long());
    }
    let body = Limited::new(request.into_body(), limits.longest).collect();
    match tokio::time::timeout(limits.body, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_long()),
        Ok(Err(error)) => Err(Refusal::new(format!(
            "the request's body was cut off: {error}"
        ))),
        Err(_) => Err(Refusal::new("the request's body took too long")),
    }
}

/// Connections that wait for a request, the longest waiting first.
#[derive(Debug, Default)]
struct Idle(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    tasks: BTreeMap<u64, AbortHandle>,
}

impl Idle {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close_oldest(&self) {
        if let Some((_, oldest)) = self.lock().tasks.pop_first() {
            oldest.abort();
        }
    }
}

/// A connection's place among the idle.
#[derive(Debug)]
struct Seat {
    idle: Arc<Idle>,
    task: OnceLock<AbortHandle>,
    state: Mutex<Turn>,
}

/// What a connection does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Waits(Option<u64>),
    Works,
    Left,
}

impl Seat {
    fn new(idle: Arc<Idle>) -> Self {
        Self {
            idle,
            task: OnceLock::new(),
            state: Mutex::new(Turn::Waits(None)),
        }
    }

    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits from now on, unless it has begun something or is gone already.
    fn rest_as(&self, task: AbortHandle) {
        let task = self.task.get_or_init(|| task);
        let mut turn = self.turn();
        if *turn == Turn::Waits(None) {
            *turn = Turn::Waits(Some(self.queue(task)));
        }
    }

    fn rest(&self) {
        let mut turn = self.turn();
        let key = self.task.get().map(|task| self.queue(task));
        *turn = Turn::Waits(key);
    }

    fn work(&self) {
        self.unqueue(Turn::Works);
    }

    fn leave(&self) {
        self.unqueue(Turn::Left);
    }

    fn unqueue(&self, now: Turn) {
        let mut turn = self.turn();
        if let Turn::Waits(Some(key)) = *turn {
            self.idle.lock().tasks.remove(&key);
        }
        *turn = now;
    }

    fn queue(&self, task: &AbortHandle) -> u64 {
        let mut idle = self.idle.lock();
        let key = idle.next;
        idle.next += 1;
        idle.tasks.insert(key, task.clone());
        key
    }
}
