//! One request and what came of it: what the library does not tell, noted where the request is sent.

use std::cell::RefCell;
use std::future::Future;
use std::time::Duration;

use async_trait::async_trait;
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
    static ANSWER: RefCell<Answer>;
}

/// Makes one request within its time, and says what was seen of it. No error means: not in time.
pub(super) async fn exchange<T>(
    patience: Duration,
    request: impl Future<Output = Result<T, object_store::Error>>,
) -> (Result<T, Option<object_store::Error>>, Answer) {
    ANSWER
        .scope(RefCell::default(), async {
            let result = tokio::time::timeout(patience, request).await;
            let mut answer = ANSWER.with(RefCell::take);
            let result = if let Ok(result) = result {
                result.map_err(Some)
            } else {
                answer.late = true;
                Err(None)
            };
            (result, answer)
        })
        .await
}

/// Whether the request in hand was refused because there is such an object.
pub(super) fn already_exists() -> bool {
    ANSWER.with(|answer| matches!(answer.borrow().status, Some(304 | 412)))
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
        let response = self.0.call(request).await.inspect_err(|error| {
            note(|answer| answer.broken = Some(error.kind()));
        })?;
        let status = response.status();
        let header = |name: &str| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
        let (region, date) = (header("x-amz-bucket-region"), header("date"));
        note(|answer| {
            answer.status = Some(status.as_u16());
            (answer.region, answer.date) = (region, date);
        });
        if status.is_success() {
            return Ok(response);
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

/// Nothing is noted of requests that are no exchange of ours: those for credentials.
fn note(write: impl FnOnce(&mut Answer)) {
    let noted = ANSWER.try_with(|answer| write(&mut answer.borrow_mut()));
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
