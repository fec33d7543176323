//! Lets Amazon's library for credentials send its few requests through our client: one TLS in the program.

use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;

/// How long an answer may take, where the library sets no limit of its own.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most of an answer that is read: credentials are short.
const ANSWER: usize = 256 << 10;

/// Our client, as the library wants one.
#[derive(Debug, Clone)]
pub(super) struct Messenger {
    pub(super) client: reqwest::Client,
    pub(super) patience: Duration,
}

impl Messenger {
    pub(super) fn new(client: reqwest::Client) -> Self {
        Self {
            client,
            patience: PATIENCE,
        }
    }

    async fn send(self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let request = request
            .try_into_http1x()
            .map_err(|error| ConnectorError::user(error.into()))?;
        let (parts, body) = request.into_parts();
        let body = body.bytes().map(<[u8]>::to_vec).unwrap_or_default();
        let url = parts.uri.to_string();
        let request = self
            .client
            .request(parts.method, url)
            .headers(parts.headers)
            .body(body)
            .timeout(self.patience);
        let mut response = request.send().await.map_err(failed)?;
        let status = response.status();
        let mut bytes = Vec::new();
        while let Some(part) = response.chunk().await.map_err(failed)? {
            bytes.extend_from_slice(&part);
            if bytes.len() > ANSWER {
                return Err(ConnectorError::other("the answer is too long".into(), None));
            }
        }
        let mut answer = HttpResponse::new(status.into(), SdkBody::from(bytes));
        for (name, value) in response.headers() {
            // What is no text is none of ours.
            if let Ok(value) = value.to_str() {
                answer
                    .headers_mut()
                    .insert(name.as_str().to_owned(), value.to_owned());
            }
        }
        Ok(answer)
    }
}

/// Without the address, whose query may be a secret.
fn failed(error: reqwest::Error) -> ConnectorError {
    let error = error.without_url();
    if error.is_timeout() {
        ConnectorError::timeout(error.into())
    } else if error.is_connect() || error.is_request() {
        ConnectorError::io(error.into())
    } else {
        ConnectorError::other(error.into(), None)
    }
}

impl HttpConnector for Messenger {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(self.clone().send(request))
    }
}

impl HttpClient for Messenger {
    /// Its one second for the instance's metadata service is kept, so that other machines do not wait for it.
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let limits = [settings.connect_timeout(), settings.read_timeout()];
        let patience = limits
            .into_iter()
            .flatten()
            .reduce(|one, other| one + other);
        SharedHttpConnector::new(Self {
            patience: patience.map_or(PATIENCE, |patience| patience.min(PATIENCE)),
            ..self.clone()
        })
    }
}
