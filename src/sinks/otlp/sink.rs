//! The running sink: one request per batch, with the HTTP client of the other sinks.

use http::HeaderMap;
use url::Url;

use super::{OtlpSinkConfig, answer, encode};
use crate::http_client::{self, HttpClient, below};
use crate::sinks::{Deliver, Item, Reason, Report};

/// Path of the endpoint for logs, appended to the configured URL.
const LOGS_PATH: &str = "/v1/logs";

/// A target of `type = "otlp"`.
#[derive(Debug)]
pub(crate) struct Otlp {
    requests: HttpClient,
    url: Url,
}

impl Otlp {
    pub(super) fn open(settings: &OtlpSinkConfig) -> Result<Otlp, Reason> {
        let headers = http_client::headers(&settings.headers, &settings.authorization)?;
        Ok(Otlp {
            requests: HttpClient::open(&settings.client, headers)?,
            url: url(&settings.client.url),
        })
    }
}

/// Returns the URL of the endpoint for logs.
pub(super) fn url(endpoint: &Url) -> Url {
    match endpoint.path().trim_end_matches('/').ends_with(LOGS_PATH) {
        true => endpoint.clone(),
        false => below(endpoint, LOGS_PATH),
    }
}

impl Deliver for Otlp {
    async fn deliver(&mut self, items: &[Item]) -> Report {
        let body = encode::request(items);
        match self.requests.post(&self.url, MEDIA_TYPE, HeaderMap::new(), body).await {
            Ok(answer) => answer::report(&answer, items.len()),
            Err(error) => Report::all(items, error.into()),
        }
    }

    /// Sends an empty request, which the protocol allows.
    async fn probe(&mut self) -> Result<String, Reason> {
        let posted = self.requests.post(&self.url, MEDIA_TYPE, HeaderMap::new(), Vec::new());
        answer::probed(&posted.await?)
    }
}

const MEDIA_TYPE: &str = "application/x-protobuf";
