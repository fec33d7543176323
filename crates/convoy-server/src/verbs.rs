//! Running a verb: in a task of its own, under a span of its own, answered as one object or as lines.

use crate::observer::Reporter;
use crate::refusal::Refusal;
use crate::tally::{Ended, Tally};
use axum::body::{Body, Bytes};
use axum::extract::FromRequestParts;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use convoy_api::{Answer, DETACHED, Detached, Frame, OPERATION, PREFER, stream::NDJSON};
use convoy_engine::Operation;
use convoy_fault::{Fault, Kind};
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tracing::Span;
use uuid::Uuid;

/// Lines that wait for a reader; beyond them progress is dropped.
const BACKLOG: usize = 64;
/// How long the last line waits for a reader who does not read.
const LAST_LINE: Duration = Duration::from_mins(1);

/// Who is at the other end of a connection, as the kernel says (`SO_PEERCRED`).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) uid: u32,
    pub(crate) pid: Option<i32>,
}

/// One request for a verb.
#[derive(Debug)]
pub(crate) struct Call {
    /// Its name in the answer, the log, the intent and the commit record.
    pub(crate) operation: Uuid,
    /// Answer with lines.
    streamed: bool,
    /// Answer as soon as the verb is on record as a job.
    detached: bool,
    /// It only looks: whether it did is for a debugger to know, not for an operator.
    reading: bool,
    /// Which verb, once it is known.
    verb: OnceLock<&'static str>,
    peer: Option<Peer>,
}

impl<S: Send + Sync> FromRequestParts<S> for Call {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let accept = parts
            .headers
            .get(ACCEPT)
            .and_then(|value| value.to_str().ok());
        let streamed = accept.is_some_and(|accept| accept.contains(NDJSON));
        let prefer = parts.headers.get(PREFER);
        let detached = prefer.is_some_and(|value| value.as_bytes() == DETACHED.as_bytes());
        let peer = Extension::<Peer>::from_request_parts(parts, state).await;
        Ok(Self {
            operation: operation(parts)?.unwrap_or_else(Uuid::now_v7),
            streamed,
            detached,
            reading: parts.method == Method::GET,
            verb: OnceLock::new(),
            peer: peer.ok().map(|Extension(peer)| peer),
        })
    }
}

/// The name the caller gave its call, if it did.
fn operation(parts: &Parts) -> Result<Option<Uuid>, Refusal> {
    let Some(value) = parts.headers.get(OPERATION) else {
        return Ok(None);
    };
    // Only the form that we print: one call must not have two spellings in logs.
    let named = value.to_str().ok().filter(|text| text.len() == 36);
    let named = named.and_then(|text| text.parse::<Uuid>().ok());
    match named.filter(|operation| !operation.is_nil()) {
        Some(operation) => Ok(Some(operation)),
        None => Err(Refusal::new(
            Kind::Invalid,
            format!("the header {OPERATION} is not a UUID such as an error names its operation by"),
        )),
    }
}

impl Call {
    /// The span everything of this verb is logged under, and the name it is counted by; the noun's fields are
    /// recorded by the caller.
    pub(crate) fn span(&self, verb: &'static str) -> Span {
        self.verb.get_or_init(|| verb);
        let span = tracing::info_span!(
            "verb",
            verb,
            operation = %self.operation,
            uid = tracing::field::Empty,
            pid = tracing::field::Empty,
            volume = tracing::field::Empty,
            snapshot = tracing::field::Empty,
            backup = tracing::field::Empty,
            destination = tracing::field::Empty,
        );
        if let Some(peer) = self.peer {
            span.record("uid", peer.uid);
            span.record("pid", peer.pid);
        }
        span
    }
}

/// Starts verbs and knows which still run.
#[derive(Debug, Clone)]
pub(crate) struct Verbs {
    /// Which run. Listed, rather than held by clones of this: every open connection has one of those.
    running: Arc<watch::Sender<Count>>,
    stopping: Arc<AtomicBool>,
    tally: Arc<Tally>,
}

#[derive(Debug, Default)]
struct Count {
    running: HashSet<Uuid>,
    /// None may begin any more.
    closed: bool,
}

/// Who hears of a verb while it runs.
#[derive(Debug, Default)]
struct Hears {
    lines: Option<mpsc::Sender<Frame<()>>>,
    recorded: Option<oneshot::Sender<()>>,
}

/// One running verb, until dropped.
#[derive(Debug)]
struct Run {
    counter: Arc<watch::Sender<Count>>,
    operation: Uuid,
}

/// The other end: waits for the verbs that run.
#[derive(Debug)]
pub(crate) struct Running {
    verbs: watch::Receiver<Count>,
    door: Arc<watch::Sender<Count>>,
    stopping: Arc<AtomicBool>,
}

impl Verbs {
    pub(crate) fn new() -> (Self, Running) {
        let (sender, receiver) = watch::channel(Count::default());
        let stopping = Arc::new(AtomicBool::new(false));
        let sender = Arc::new(sender);
        let verbs = Self {
            running: Arc::clone(&sender),
            stopping: Arc::clone(&stopping),
            tally: Arc::default(),
        };
        (
            verbs,
            Running {
                verbs: receiver,
                door: sender,
                stopping,
            },
        )
    }

    /// How verbs ended so far.
    pub(crate) fn ended(&self) -> BTreeMap<(&'static str, &'static str), Ended> {
        self.tally.read()
    }

    /// How many verbs run.
    pub(crate) fn running(&self) -> usize {
        self.running.borrow().running.len()
    }

    /// Runs a verb to its end and gives what it gives, for an answer that is no JSON.
    pub(crate) async fn run<T, E>(
        &self,
        call: Call,
        span: Span,
        verb: impl FnOnce(&Operation<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, Refusal>
    where
        T: Send + 'static,
        E: Fault + 'static,
    {
        let task = self.start(&call, span, Hears::default(), verb);
        Ok(finished(task.await, call.operation)?.result)
    }

    /// Runs a verb to its end and answers with what it gives, as one object.
    pub(crate) async fn whole<T, E>(
        &self,
        call: Call,
        span: Span,
        verb: impl FnOnce(&Operation<'_>) -> Result<T, E> + Send + 'static,
    ) -> Response
    where
        T: Serialize + Send + 'static,
        E: Fault + 'static,
    {
        let task = self.start(&call, span, Hears::default(), verb);
        match finished(task.await, call.operation) {
            Ok(answer) => Json(answer).into_response(),
            Err(refusal) => refusal.into_response(),
        }
    }

    /// Runs a long verb: as lines if the caller asked for them, else as one object.
    pub(crate) async fn long<T, E>(
        &self,
        call: Call,
        span: Span,
        verb: impl FnOnce(&Operation<'_>) -> Result<T, E> + Send + 'static,
    ) -> Response
    where
        T: Serialize + Send + 'static,
        E: Fault + 'static,
    {
        if call.detached {
            return self.detached(call, span, verb).await;
        }
        if !call.streamed {
            return self.whole(call, span, verb).await;
        }
        let operation = call.operation;
        let (events, heard) = mpsc::channel(BACKLOG);
        let (last, lasting) = mpsc::channel(1);
        drop(events.try_send(Frame::Started { operation }));
        let hears = Hears {
            lines: Some(events),
            ..Hears::default()
        };
        let task = self.start(&call, span, hears, verb);
        // Its own task: the outcome is awaited even when the connection is gone.
        tokio::spawn(async move {
            let frame = match finished(task.await, operation) {
                Ok(Answer { operation, result }) => Frame::Result { operation, result },
                Err(refusal) => Frame::Problem {
                    problem: refusal.into_problem(),
                },
            };
            // A reader who is gone or stuck has the log to learn the outcome from.
            drop(last.send_timeout(line(&frame), LAST_LINE).await);
        });
        // The events' channel closes when the verb ends, so the last line comes last.
        let lines = ReceiverStream::new(heard)
            .map(|frame| line(&frame))
            .chain(ReceiverStream::new(lasting));
        let body = Body::from_stream(lines.map(Ok::<_, Infallible>));
        ([(CONTENT_TYPE, NDJSON)], body).into_response()
    }

    /// Begins a long verb and answers once it is on record as a job; with its outcome if it ends before, or is
    /// none.
    async fn detached<T, E>(
        &self,
        call: Call,
        span: Span,
        verb: impl FnOnce(&Operation<'_>) -> Result<T, E> + Send + 'static,
    ) -> Response
    where
        T: Serialize + Send + 'static,
        E: Fault + 'static,
    {
        let operation = call.operation;
        let (sender, recorded) = oneshot::channel();
        let hears = Hears {
            recorded: Some(sender),
            ..Hears::default()
        };
        let task = self.start(&call, span, hears, verb);
        // The sender goes with the verb: one that is no job is waited for.
        if recorded.await.is_ok() {
            let result = Detached { job: operation };
            return (StatusCode::ACCEPTED, Json(Answer { operation, result })).into_response();
        }
        match finished(task.await, operation) {
            Ok(answer) => Json(answer).into_response(),
            Err(refusal) => refusal.into_response(),
        }
    }

    fn start<T, E>(
        &self,
        call: &Call,
        span: Span,
        hears: Hears,
        verb: impl FnOnce(&Operation<'_>) -> Result<T, E> + Send + 'static,
    ) -> tokio::task::JoinHandle<Result<T, Refusal>>
    where
        T: Send + 'static,
        E: Fault + 'static,
    {
        let (operation, reading) = (call.operation, call.reading);
        let verb_name = call.verb.get().copied().unwrap_or("unnamed");
        let tally = Arc::clone(&self.tally);
        // Counted before the task is: whoever waits must see what was accepted.
        let running = match Run::begin(&self.running, operation) {
            Ok(running) => running,
            Err(refusal) => return tokio::spawn(std::future::ready(Err(refusal))),
        };
        let stopping = Arc::clone(&self.stopping);
        tokio::task::spawn_blocking(move || {
            let _entered = span.entered();
            let reporter = Reporter::new(hears.lines, hears.recorded, &stopping);
            let begun = Instant::now();
            // A panic is a broken invariant of one verb; the others' callers still get their answers.
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                verb(&Operation {
                    id: operation,
                    observer: &reporter,
                })
            }));
            let took = begun.elapsed();
            tally.count(verb_name, outcome_of(&outcome), took);
            let outcome = conclude(outcome, took, operation, reading);
            // Held to here: a closure captures only what it names.
            drop(running);
            outcome
        })
    }
}

/// In a word, for counting.
fn outcome_of<T, E: Fault>(outcome: &std::thread::Result<Result<T, E>>) -> &'static str {
    match outcome {
        Ok(Ok(_)) => "done",
        Ok(Err(error)) => error.kind().code(),
        Err(_) => "panicked",
    }
}

/// Logs a verb's end, once, where its error is handled.
fn conclude<T, E: Fault>(
    outcome: std::thread::Result<Result<T, E>>,
    took: Duration,
    operation: Uuid,
    reading: bool,
) -> Result<T, Refusal> {
    let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    match outcome {
        Ok(Ok(result)) => {
            if reading {
                tracing::debug!(milliseconds, "done");
            } else {
                tracing::info!(milliseconds, "done");
            }
            Ok(result)
        }
        Ok(Err(error)) => {
            let refusal = Refusal::of(&error, operation);
            let code = error.kind().code();
            if matches!(error.kind(), Kind::Invalid | Kind::NotFound) {
                tracing::info!(
                    milliseconds,
                    code,
                    error = convoy_fault::chain(&error),
                    "refused"
                );
            } else {
                tracing::error!(
                    milliseconds,
                    code,
                    error = convoy_fault::chain(&error),
                    "failed"
                );
            }
            Err(refusal)
        }
        Err(_) => {
            tracing::error!(milliseconds, "panicked: the message is on stderr");
            Err(broken(operation))
        }
    }
}

fn finished<T>(
    joined: Result<Result<T, Refusal>, tokio::task::JoinError>,
    operation: Uuid,
) -> Result<Answer<T>, Refusal> {
    let result = joined.map_err(|_| broken(operation))??;
    Ok(Answer { operation, result })
}

fn broken(operation: Uuid) -> Refusal {
    let message = "the daemon broke one of its own rules; the verb may be half done";
    let mut problem = Refusal::new(Kind::Failed, message)
        .with_operation(operation)
        .into_problem();
    problem.hint =
        Some("restart the daemon, which finishes or undoes it, and report its log".to_owned());
    Refusal::from(problem)
}

fn stopping(operation: Uuid) -> Refusal {
    let refusal = Refusal::new(
        Kind::Unreachable,
        "the daemon is stopping; nothing was begun",
    );
    refusal.with_operation(operation)
}

fn still_runs(operation: Uuid) -> Refusal {
    let message = format!("operation {operation} still runs");
    let mut problem = Refusal::new(Kind::Busy, message)
        .with_operation(operation)
        .into_problem();
    problem.hint = Some("ask again once it has ended".to_owned());
    Refusal::from(problem)
}

fn line<T: Serialize>(frame: &Frame<T>) -> Bytes {
    let mut line = serde_json::to_vec(frame).expect("frames are structs of text and numbers");
    line.push(b'\n');
    Bytes::from(line)
}

impl Run {
    /// Refused when no more may begin, and when this very call still runs: its caller lost the answer
    /// and asks again too early.
    fn begin(counter: &Arc<watch::Sender<Count>>, operation: Uuid) -> Result<Self, Refusal> {
        let mut outcome = Ok(());
        counter.send_if_modified(|count| {
            outcome = if count.closed {
                Err(stopping(operation))
            } else if count.running.insert(operation) {
                Ok(())
            } else {
                Err(still_runs(operation))
            };
            outcome.is_ok()
        });
        outcome.map(|()| Self {
            counter: Arc::clone(counter),
            operation,
        })
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.counter.send_modify(|count| {
            count.running.remove(&self.operation);
        });
    }
}

impl Running {
    /// Waits until no verb runs, `patience` at most. Whether none runs.
    ///
    /// A connection that is still open may begin one later, until `close`.
    pub(crate) async fn wait(&mut self, patience: Duration) -> bool {
        tokio::time::timeout(
            patience,
            self.verbs.wait_for(|count| count.running.is_empty()),
        )
        .await
        .is_ok()
    }

    /// From now on no verb begins.
    pub(crate) fn close(&self) {
        self.door.send_modify(|count| count.closed = true);
    }

    /// Asks verbs that can to stop at their next safe point.
    pub(crate) fn cancel(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }
}
