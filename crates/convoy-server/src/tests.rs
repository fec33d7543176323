//! Hostile and unlucky callers against the real listener, limits and verb runner, with verbs of the test's.

use crate::body::{Asked, Named, Parsed};
use crate::refusal::Refusal;
use crate::routes::with_fallbacks;
use crate::verbs::{Call, Running, Verbs};
use crate::{Ended, Error, Limits, Listener};
use axum::Router;
use axum::extract::{FromRequestParts, State};
use axum::response::Response;
use axum::routing::{get, post};
use convoy_api::{CreateVolume, Done, SnapshotsOf};
use convoy_engine::{Event, Operation, Phase};
use convoy_fault::{Fault, Kind};
use convoy_names::SnapshotRef;
use convoy_units::Bytes;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Verbs that ran to their end.
static FINISHED: AtomicUsize = AtomicUsize::new(0);

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Failure(&'static str, #[source] std::io::Error);

impl Fault for Failure {
    fn kind(&self) -> Kind {
        Kind::PoolFull
    }

    fn hint(&self) -> Option<String> {
        Some("delete something".into())
    }
}

fn full() -> Failure {
    Failure("creating volume data", std::io::Error::other("no space"))
}

async fn create(
    State(verbs): State<Verbs>,
    call: Call,
    Parsed(body): Parsed<CreateVolume>,
) -> Response {
    let span = call.span("create");
    verbs
        .long(call, span, move |operation: &Operation<'_>| {
            operation.observer.event(Event::Phase(Phase::Formatting));
            for done in 1..=1000 {
                let (done, total) = (Bytes(done), Bytes(1000));
                operation.observer.event(Event::Progress { done, total });
            }
            if body.size == Some(0) {
                Err(full())
            } else {
                Ok(body)
            }
        })
        .await
}

/// Runs until it is asked to stop, for two seconds at most.
async fn slow(State(verbs): State<Verbs>, call: Call) -> Response {
    let span = call.span("slow");
    verbs
        .long(call, span, |operation: &Operation<'_>| {
            for _ in 0..200 {
                if operation.observer.cancelled() {
                    return Err(full());
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            FINISHED.fetch_add(1, Ordering::SeqCst);
            Ok(Done {})
        })
        .await
}

/// Answers with more than a socket takes from somebody who does not read.
async fn large(State(verbs): State<Verbs>, call: Call) -> Response {
    let span = call.span("large");
    let verb = |_: &Operation<'_>| Ok::<_, Failure>("x".repeat(16 << 20));
    verbs.whole(call, span, verb).await
}

async fn panics(State(verbs): State<Verbs>, call: Call) -> Response {
    let span = call.span("panics");
    let verb = |_: &Operation<'_>| -> Result<Done, Failure> { panic!("a broken rule") };
    verbs.whole(call, span, verb).await
}

async fn named(
    Named(name): Named<SnapshotRef>,
    Asked(_): Asked<SnapshotsOf>,
) -> Result<String, Refusal> {
    Ok(name.to_string())
}

fn routes() -> (Router, Running) {
    let (verbs, running) = Verbs::new();
    let router = Router::new()
        .route("/create", post(create))
        .route("/slow", post(slow))
        .route("/large", post(large))
        .route("/panics", post(panics))
        .route("/snapshots/{name}", get(named));
    (with_fallbacks(router).with_state(verbs), running)
}

struct Daemon {
    _dir: tempfile::TempDir,
    socket: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    thread: std::thread::JoinHandle<Ended>,
}

fn daemon(limits: Limits) -> Daemon {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("run/convoy.sock");
    let (stop, stopped) = oneshot::channel::<()>();
    let (ready, is_ready) = std::sync::mpsc::channel();
    let path = socket.clone();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap();
        let ended = runtime.block_on(async {
            let listener = Listener::bind(&path).unwrap();
            ready.send(()).unwrap();
            let (router, running) = routes();
            crate::serve::run(router, running, listener, limits, async {
                drop(stopped.await);
            })
            .await
        });
        runtime.shutdown_background();
        ended
    });
    is_ready.recv().unwrap();
    Daemon {
        _dir: dir,
        socket,
        stop: Some(stop),
        thread,
    }
}

impl Daemon {
    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.socket).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream
    }

    /// Sends bytes and gives all that comes back until the daemon closes.
    fn say(&self, request: &[u8]) -> String {
        let mut stream = self.connect();
        // The daemon may refuse and close before it has read all.
        drop(stream.write_all(request));
        let mut reply = Vec::new();
        drop(stream.read_to_end(&mut reply));
        String::from_utf8_lossy(&reply).into_owned()
    }

    fn ask(&self, head: &str, body: &str) -> String {
        let length = body.len();
        let head =
            format!("{head}\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
        self.say(format!("{head}{body}").as_bytes())
    }

    fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }
}

#[track_caller]
fn refuses(reply: &str, status: u16, parts: &[&str]) {
    assert!(reply.starts_with(&format!("HTTP/1.1 {status} ")), "{reply}");
    for part in parts {
        assert!(reply.contains(part), "{part} in {reply}");
    }
}

#[test]
fn a_verb_answers_with_its_operation() {
    let daemon = daemon(Limits::default());
    let reply = daemon.ask("POST /create HTTP/1.1", r#"{"name":"data"}"#);
    assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{reply}");
    assert!(
        reply.contains(r#"{"operation":"0"#) && reply.ends_with(r#","result":{"name":"data"}}"#),
        "{reply}"
    );
    let reply = daemon.ask("POST /create HTTP/1.1", "");
    assert!(reply.ends_with(r#""result":{}}"#), "{reply}");
}

#[test]
fn a_call_keeps_the_name_its_caller_gave_it() {
    let daemon = daemon(Limits::default());
    let id = "01920000-0000-7000-8000-00000000000a";
    let head = |id: &str| format!("POST /create HTTP/1.1\r\nConvoy-Operation: {id}");
    for body in ["{}", r#"{"size":0}"#] {
        let reply = daemon.ask(&head(id), body);
        assert!(reply.contains(&format!(r#""operation":"{id}""#)), "{reply}");
    }
    let bare = id.replace('-', "");
    let nil = "00000000-0000-0000-0000-000000000000";
    for bad in [
        "",
        "1",
        "../../etc/passwd",
        nil,
        &bare,
        &format!("{{{id}}}"),
    ] {
        refuses(&daemon.ask(&head(bad), "{}"), 400, &["convoy-operation"]);
    }
}

#[test]
fn a_call_that_still_runs_is_not_begun_twice() {
    let mut daemon = daemon(Limits::default());
    let id = "01920000-0000-7000-8000-00000000000b";
    let head = format!("POST /slow HTTP/1.1\r\nconvoy-operation: {id}");
    let mut stream = daemon.connect();
    let first = format!("{head}\r\nhost: x\r\ncontent-length: 0\r\n\r\n");
    stream.write_all(first.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let again = daemon.ask(&head, "");
    refuses(&again, 409, &["E_BUSY", "still runs", id]);
    daemon.stop();
    assert_eq!(daemon.thread.join().unwrap(), Ended::Drained);
}

#[test]
fn a_failure_is_a_problem_with_its_chain_hint_and_operation() {
    let daemon = daemon(Limits::default());
    let reply = daemon.ask("POST /create HTTP/1.1", r#"{"size":0}"#);
    let parts = [
        r#""code":"E_POOL_FULL","message":"creating volume data: no space","hint":"delete something","retryable":false"#,
        r#""operation":"0"#,
    ];
    refuses(&reply, 507, &parts);
}

#[test]
fn a_long_verb_answers_with_lines_when_asked() {
    let daemon = daemon(Limits::default());
    let head = "POST /create HTTP/1.1\r\naccept: application/x-ndjson";
    let reply = daemon.ask(head, r#"{"name":"data"}"#);
    let at = |part: &str| {
        reply
            .find(part)
            .unwrap_or_else(|| panic!("{part} in {reply}"))
    };
    assert!(
        at(r#"{"event":"started","operation":"#) < at(r#"{"event":"phase","phase":"formatting"}"#)
    );
    assert!(at(r#"{"event":"phase""#) < at(r#"{"event":"progress","done":1,"total":1000}"#));
    assert!(at(r#""done":1,"#) < at(r#"{"event":"progress","done":1000,"total":1000}"#));
    assert!(at(r#""done":1000,"#) < at(r#"{"event":"result","operation":"#));
    assert!(
        reply.matches("progress").count() < 10,
        "thinned out: {reply}"
    );
    let reply = daemon.ask(head, r#"{"size":0}"#);
    assert!(
        reply.contains(r#"{"event":"problem","problem":{"code":"E_POOL_FULL""#),
        "{reply}"
    );
}

#[test]
fn bodies_that_are_not_requests_are_refused_and_the_daemon_lives() {
    let daemon = daemon(Limits::default());
    let head = "POST /create HTTP/1.1";
    refuses(&daemon.ask(head, "{"), 400, &["E_INVALID", "EOF"]);
    refuses(
        &daemon.ask(head, r#"{"size":"1G"}"#),
        400,
        &["invalid type: string"],
    );
    refuses(
        &daemon.ask(head, r#"{"colour":1}"#),
        400,
        &["unknown field `colour`"],
    );
    refuses(
        &daemon.ask(head, &"[".repeat(1_000_000)),
        400,
        &["E_INVALID"],
    );
    refuses(
        &daemon.ask(
            head,
            &format!(r#"{{"labels":{}"#, r#"{"a":"#.repeat(100_000)),
        ),
        400,
        &["E_INVALID"],
    );
    refuses(
        &daemon.ask(head, &"x".repeat((1 << 20) + 1)),
        413,
        &["E_INVALID", "1048576 bytes"],
    );
    let chunk = format!("10000\r\n{}\r\n", "y".repeat(0x10000)).repeat(17);
    let chunked = format!(
        "{head}\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n{chunk}0\r\n\r\n"
    );
    refuses(&daemon.say(chunked.as_bytes()), 413, &["E_INVALID"]);
    let not_text = [
        format!("{head}\r\nhost: x\r\nconnection: close\r\ncontent-length: 12\r\n\r\n").as_bytes(),
        b"{\"name\":\"\xff\"}",
    ]
    .concat();
    refuses(&daemon.say(&not_text), 400, &["E_INVALID"]);
    refuses(
        &daemon.say(b"\x16\x03\x01 not http at all\r\n\r\n"),
        400,
        &[],
    );
    let reply = daemon.ask(head, "{}");
    assert!(reply.starts_with("HTTP/1.1 200 OK"), "{reply}");
}

#[test]
fn names_are_checked_at_the_door() {
    let daemon = daemon(Limits::default());
    let ask = |path: &str| daemon.ask(&format!("GET {path} HTTP/1.1"), "");
    assert!(ask("/snapshots/data%40s1").ends_with("data@s1"));
    for name in [
        "..",
        "..%2Fx",
        "-rf",
        "a%00b",
        "%1B%5B2J",
        "a%20b",
        "%FF",
        &"a".repeat(129),
    ] {
        refuses(&ask(&format!("/snapshots/{name}")), 400, &["E_INVALID"]);
    }
    refuses(
        &ask("/snapshots/a?colour=red"),
        400,
        &["E_INVALID", "unknown field"],
    );
    refuses(&ask("/moon"), 404, &["E_NOT_FOUND", "there is no /moon"]);
    refuses(
        &ask("/create"),
        405,
        &["E_INVALID", "/create does not know GET"],
    );
}

#[test]
fn a_panic_is_one_verbs_problem() {
    let daemon = daemon(Limits::default());
    refuses(
        &daemon.ask("POST /panics HTTP/1.1", ""),
        500,
        &["E_FAILED", "restart the daemon"],
    );
    assert!(
        daemon
            .ask("POST /create HTTP/1.1", "")
            .starts_with("HTTP/1.1 200")
    );
}

#[test]
fn a_dropped_connection_never_stops_a_verb() {
    let mut daemon = daemon(Limits::default());
    let before = FINISHED.load(Ordering::SeqCst);
    for accept in ["application/json", "application/x-ndjson"] {
        let mut stream = daemon.connect();
        let request = format!(
            "POST /slow HTTP/1.1\r\nhost: x\r\naccept: {accept}\r\ncontent-length: 0\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(300));
    }
    daemon.stop();
    assert_eq!(daemon.thread.join().unwrap(), Ended::Drained);
    assert!(FINISHED.load(Ordering::SeqCst) >= before + 2);
}

#[test]
fn the_end_finishes_what_runs_and_takes_the_socket_away() {
    let mut daemon = daemon(Limits::default());
    let socket = daemon.socket.clone();
    let mut stream = daemon.connect();
    stream
        .write_all(b"POST /slow HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")
        .unwrap();
    std::thread::sleep(Duration::from_millis(300));
    daemon.stop();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert!(reply.ends_with(r#""result":{}}"#), "{reply}");
    assert_eq!(daemon.thread.join().unwrap(), Ended::Drained);
    assert!(!socket.exists());
}

/// A client that stopped reading kept the daemon's end waiting, and it ended as if it had abandoned a
/// verb; so did one that never sent the rest of its request.
#[test]
fn the_end_does_not_wait_for_whoever_does_not_read() {
    let limits = Limits {
        answers: Duration::from_millis(300),
        ..Limits::default()
    };
    for request in [
        "POST /large HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n",
        "POST /create HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{",
    ] {
        let mut daemon = daemon(limits);
        let mut stream = daemon.connect();
        stream.write_all(request.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        let begun = Instant::now();
        daemon.stop();
        assert_eq!(daemon.thread.join().unwrap(), Ended::Drained);
        assert!(begun.elapsed() < Duration::from_secs(3), "{request}");
    }
}

#[test]
fn a_verb_whose_request_was_still_coming_at_the_end_is_finished() {
    let mut daemon = daemon(Limits::default());
    let mut stream = daemon.connect();
    let head = "POST /create HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{";
    stream.write_all(head.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    daemon.stop();
    std::thread::sleep(Duration::from_millis(300));
    stream.write_all(b"}").unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 200 OK"), "{reply}");
    assert_eq!(daemon.thread.join().unwrap(), Ended::Drained);
}

#[test]
fn nothing_begins_after_the_last_wait() {
    let (verbs, running) = Verbs::new();
    running.close();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let response = runtime.block_on(async {
        let request = axum::http::Request::new(());
        let (mut parts, ()) = request.into_parts();
        let call = Call::from_request_parts(&mut parts, &()).await.unwrap();
        let span = call.span("late");
        let verb = |_: &Operation<'_>| -> Result<Done, Failure> { panic!("it began") };
        verbs.whole(call, span, verb).await
    });
    assert_eq!(response.status().as_u16(), Kind::Unreachable.http_status());
}

#[test]
fn the_end_asks_what_runs_too_long_to_stop() {
    let limits = Limits {
        drain: Duration::from_millis(100),
        ..Limits::default()
    };
    let mut daemon = daemon(limits);
    let mut stream = daemon.connect();
    stream
        .write_all(b"POST /slow HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")
        .unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let begun = Instant::now();
    daemon.stop();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    refuses(&reply, 507, &[]);
    assert_eq!(daemon.thread.join().unwrap(), Ended::Drained);
    assert!(begun.elapsed() < Duration::from_millis(1200));
}

#[test]
fn whoever_says_nothing_is_let_go() {
    let limits = Limits {
        head: Duration::from_millis(200),
        ..Limits::default()
    };
    let daemon = daemon(limits);
    for beginning in ["", "POST /create HTT", "POST /create HTTP/1.1\r\nhost: "] {
        let mut stream = daemon.connect();
        stream.write_all(beginning.as_bytes()).unwrap();
        let begun = Instant::now();
        let mut reply = Vec::new();
        drop(stream.read_to_end(&mut reply));
        assert!(begun.elapsed() < Duration::from_secs(5), "{beginning:?}");
    }
}

#[test]
fn connections_are_few_and_a_crowd_locks_nobody_out_for_long() {
    let limits = Limits {
        connections: 4,
        head: Duration::from_millis(300),
        ..Limits::default()
    };
    let daemon = daemon(limits);
    let crowd: Vec<UnixStream> = (0..20).map(|_| daemon.connect()).collect();
    let reply = daemon.ask("POST /create HTTP/1.1", "");
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    drop(crowd);
}

fn bind(path: &Path) -> Result<Listener, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let _inside = runtime.enter();
    Listener::bind(path)
}

#[test]
fn the_socket_is_for_its_owner_and_group() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run/convoy/convoy.sock");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let _inside = runtime.enter();
    let listener = Listener::bind(&path).unwrap();
    assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o660);
    assert_eq!(
        path.parent().unwrap().metadata().unwrap().mode() & 0o777,
        0o750
    );
    assert!(matches!(bind(&path), Err(Error::InUse(_))));
    drop(listener);
    assert!(!path.exists());
}

#[test]
fn a_stale_socket_is_replaced_and_nothing_else_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("convoy.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    drop(bind(&path).unwrap());
    std::fs::write(&path, "somebody's data").unwrap();
    let error = bind(&path).unwrap_err();
    assert!(matches!(error, Error::NotASocket(_)));
    assert_eq!(error.kind(), Kind::Conflict);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "somebody's data");
}

#[test]
fn a_socket_that_was_replaced_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("convoy.sock");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let _inside = runtime.enter();
    let ours = Listener::bind(&path).unwrap();
    std::fs::rename(&path, dir.path().join("aside")).unwrap();
    let theirs = Listener::bind(&path).unwrap();
    drop(ours);
    assert!(path.exists());
    drop(theirs);
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let error = bind(&file.join("convoy.sock")).unwrap_err();
    assert!(error.to_string().contains("file"), "{error}");
}
