//! One request and what came of it: what the library does not tell, noted where the request is sent.

use std::cell::RefCell;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::options::Limits;

use async_trait::async_trait;
use http_body_util::BodyExt;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};

/// The most of an error's body that is read.
const BODY: usize = 64 << 10;
/// The most of a server's words that is shown.
const WORDS: usize = 300;

/// What was seen of a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Answer {
    /// Whether anything was sent, or may have been.
    pub(super) sent: bool,
    /// How the exchange broke off, if it did before an answer.
    pub(super) broken: Option<HttpErrorKind>,
    /// Whether its time was over.
    pub(super) late: bool,
    /// The answer's status.
    pub(super) status: Option<u16>,
    /// The service's own code for an error, such as `SlowDown`.
    pub(super) code: String,
    /// Its words for people.
    pub(super) message: String,
    /// Where the bucket is, if the answer says so.
    pub(super) region: Option<String>,
    /// The server's clock.
    pub(super) date: Option<String>,
}

tokio::task_local! {
    /// Of the request that this task is making.
    static REQUEST: Request;
}

/// A request under way.
#[derive(Debug)]
struct Request {
    answer: RefCell<Answer>,
    /// Shared with whoever moves its bytes.
    course: Arc<Course>,
}

/// When something last moved, and by when all must be over.
#[derive(Debug)]
struct Course {
    begun: Instant,
    limits: Limits,
    /// Milliseconds after `begun`.
    moved: AtomicU64,
    /// Milliseconds after `begun`.
    end: AtomicU64,
}

impl Course {
    fn new(limits: Limits, size: u64) -> Self {
        let course = Self {
            begun: Instant::now(),
            limits,
            moved: AtomicU64::new(0),
            end: AtomicU64::new(0),
        };
        course.expect(size);
        course
    }

    fn now(&self) -> u64 {
        millis(self.begun.elapsed())
    }

    fn moves(&self) {
        self.moved.store(self.now(), Ordering::Relaxed);
    }

    fn expect(&self, size: u64) {
        let end = self
            .now()
            .saturating_add(millis(self.limits.patience(size)));
        self.end.store(end, Ordering::Relaxed);
    }

    /// Returns when nothing has moved for too long, or all took too long.
    async fn over(&self) {
        loop {
            let silent = self.moved.load(Ordering::Relaxed) + millis(self.limits.silence);
            let until = silent.min(self.end.load(Ordering::Relaxed));
            match until.checked_sub(self.now()) {
                None | Some(0) => return,
                Some(left) => tokio::time::sleep(Duration::from_millis(left)).await,
            }
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Makes one request of so many bytes within its time, and says what was seen of it. No error means: not in time.
pub(super) async fn exchange<T>(
    limits: Limits,
    size: u64,
    request: impl Future<Output = Result<T, object_store::Error>>,
) -> (Result<T, Option<object_store::Error>>, Answer) {
    let course = Arc::new(Course::new(limits, size));
    let state = Request {
        answer: RefCell::default(),
        course: Arc::clone(&course),
    };
    REQUEST
        .scope(state, async {
            let result = tokio::select! {
                result = request => result.map_err(Some),
                () = course.over() => {
                    note(|answer| answer.late = true);
                    Err(None)
                }
            };
            (result, REQUEST.with(|request| request.answer.take()))
        })
        .await
}

/// From here on so many bytes are to come.
pub(super) fn expect(size: u64) {
    REQUEST.with(|request| request.course.expect(size));
}

/// Whether the request in hand was refused because there is such an object.
pub(super) fn already_exists() -> bool {
    REQUEST.with(|request| matches!(request.answer.borrow().status, Some(304 | 412)))
}

/// Sends requests and notes what comes of them.
#[derive(Debug, Clone)]
pub(super) struct Exchange(pub(super) reqwest::Client);

impl HttpConnector for Exchange {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Exchange {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        note(|answer| answer.sent = true);
        let course = course();
        let response = self.send(request, &course).await.inspect_err(|error| {
            note(|answer| answer.broken = Some(error.kind()));
        })?;
        course.moves();
        let status = response.status();
        let header = |name: &str| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
        let (region, date) = (header("x-amz-bucket-region"), header("date"));
        note(|answer| {
            answer.status = Some(status.as_u16());
            (answer.region, answer.date) = (region, date);
        });
        if status.is_success() {
            let (parts, body) = response.into_parts();
            let body = body.map_frame(move |frame| {
                course.moves();
                frame
            });
            return Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body)));
        }
        // What a server says of an error may repeat the request's headers, tokens among them: two elements of
        // it are taken and the rest goes no further.
        let (parts, body) = response.into_parts();
        let text = beginning(body).await;
        note(|answer| {
            answer.code = element(&text, "Code");
            answer.message = element(&text, "Message");
        });
        Ok(HttpResponse::from_parts(parts, Vec::new().into()))
    }
}

impl Exchange {
    /// As the library itself would, and it is seen how the body goes.
    async fn send(
        &self,
        request: HttpRequest,
        course: &Arc<Course>,
    ) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let url = parts.uri.to_string();
        let course = Arc::clone(course);
        let body = body.map_frame(move |frame| {
            course.moves();
            frame
        });
        let request = self.0.request(parts.method, url).headers(parts.headers);
        let request = request.body(reqwest::Body::wrap(body));
        let response = request.send().await.map_err(told)?;
        let response: http::Response<reqwest::Body> = response.into();
        let (parts, body) = response.into_parts();
        let body = HttpResponseBody::new(body.map_err(told));
        Ok(HttpResponse::from_parts(parts, body))
    }
}

/// What broke, in the library's words: it tells a connection that was not made from one that broke.
fn told(error: reqwest::Error) -> HttpError {
    let kind = if error.is_timeout() {
        HttpErrorKind::Timeout
    } else if error.is_connect() {
        HttpErrorKind::Connect
    } else if error.is_decode() || error.is_body() {
        HttpErrorKind::Interrupted
    } else {
        HttpErrorKind::Unknown
    };
    HttpError::new(kind, error.without_url())
}

fn course() -> Arc<Course> {
    REQUEST.with(|request| Arc::clone(&request.course))
}

/// Nothing is noted of requests that are no exchange of ours: those for credentials.
fn note(write: impl FnOnce(&mut Answer)) {
    let noted = REQUEST.try_with(|request| write(&mut request.answer.borrow_mut()));
    noted.unwrap_or_default();
}

async fn beginning(body: HttpResponseBody) -> String {
    use futures_util::StreamExt;
    let mut bytes = Vec::new();
    let mut stream = body.bytes_stream();
    while let Some(Ok(part)) = stream.next().await
        && bytes.len() < BODY
    {
        bytes.extend_from_slice(&part);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The text of the first element of that name, fit for a message.
fn element(xml: &str, name: &str) -> String {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let text = xml
        .split_once(&open)
        .and_then(|(_, rest)| rest.split_once(&close));
    let text = text.map_or("", |(text, _)| text);
    text.chars()
        .filter(|c| !c.is_control())
        .take(WORDS)
        .collect()
}

#[cfg(test)]
mod tests {
    //! What is taken of a server's words.

    use super::*;

    #[test]
    fn two_elements_are_taken_and_no_secrets() {
        let xml = "<?xml version=\"1.0\"?><Error><Code>Slow\u{1b}Down</Code><Message>be kind</Message><CanonicalRequest>token</CanonicalRequest></Error>";
        assert_eq!(element(xml, "Code"), "SlowDown");
        assert_eq!(element(xml, "Message"), "be kind");
        assert_eq!(element(xml, "Region"), "");
        assert_eq!(element("<Code>cut", "Code"), "");
        let long = format!("<Code>{}</Code>", "x".repeat(1000));
        assert_eq!(element(&long, "Code").len(), WORDS);
    }
}
