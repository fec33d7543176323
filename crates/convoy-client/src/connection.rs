//! One request over one connection to the socket.

use crate::error::Error;
use convoy_api::{DETACHED, OPERATION, PREFER, stream::NDJSON};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::handshake;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use std::io;
use std::path::Path;
use std::time::Duration;
use tokio::net::UnixStream;
use uuid::Uuid;

/// A local daemon accepts at once or is too busy to: the original's bound too.
const CONNECT: Duration = Duration::from_secs(10);
const JSON: &str = "application/json";

/// What to ask.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    /// With its query.
    pub(crate) path: String,
    /// Empty for none.
    pub(crate) body: Vec<u8>,
    /// The name of the call, where it has one.
    pub(crate) operation: Option<Uuid>,
    /// As lines, rather than as one object.
    pub(crate) streamed: bool,
    /// Answered as soon as it is a job.
    pub(crate) detached: bool,
}

/// Sends it and waits for the beginning of the answer, for as long as the verb takes: a backup may run
/// for a day, and a daemon that dies closes the connection.
pub(crate) async fn ask(socket: &Path, ask: Ask) -> Result<Response<Incoming>, Error> {
    let stream = connect(socket).await.map_err(|source| Error::Unreachable {
        socket: socket.to_owned(),
        source,
    })?;
    let operation = ask.operation;
    let cut_off = |source| Error::CutOff {
        operation,
        source: Some(source),
    };
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(cut_off)?;
    // The connection's own error says no more than the request's, which is reported.
    tokio::spawn(async move { drop(connection.await) });
    sender
        .send_request(request(socket, ask)?)
        .await
        .map_err(cut_off)
}

async fn connect(socket: &Path) -> io::Result<UnixStream> {
    match tokio::time::timeout(CONNECT, UnixStream::connect(socket)).await {
        Ok(connected) => connected,
        Err(_) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no answer within {} s", CONNECT.as_secs()),
        )),
    }
}

fn request(socket: &Path, ask: Ask) -> Result<Request<Full<Bytes>>, Error> {
    let mut builder = Request::builder()
        .method(ask.method)
        .uri(ask.path)
        // HTTP/1.1 wants a host; a unix socket has none.
        .header(HOST, "convoy")
        .header(USER_AGENT, concat!("convoy/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT, if ask.streamed { NDJSON } else { JSON })
        .header(CONTENT_TYPE, JSON);
    if let Some(operation) = ask.operation {
        builder = builder.header(OPERATION, operation.to_string());
    }
    if ask.detached {
        builder = builder.header(PREFER, DETACHED);
    }
    builder
        .body(Full::new(Bytes::from(ask.body)))
        .map_err(|error| Error::Protocol {
            socket: socket.to_owned(),
            what: format!("the request cannot be written: {error}"),
        })
}
