//! HTTP requests of the library `object_store`, by this program's own client. The last exchange is recorded: the
//! library's errors hold URLs and answers, and neither `Retry-After` nor, for each error, the status.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use http::header::RETRY_AFTER;
use http::{HeaderMap, Response};
use memchr::memmem;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient as LibraryClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest,
    HttpResponse, HttpService,
};
use url::Url;

use crate::http_client::{
    HttpClientConfig, RequestError, is_page, media_type, no_answer, open_client, parse_retry_after,
    peer,
};
use crate::sinks::Reason;
use crate::tls::TlsConfig;

/// Bound of an answer, in bytes. Answers to uploads and tokens are much shorter.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// Hosts that give credentials to the machine itself. A proxy does not reach them.
const METADATA_HOSTS: [&str; 5] = [
    "169.254.169.254",
    "169.254.170.2",
    "169.254.170.23",
    "[fd00:ec2::23]",
    "metadata.google.internal",
];

/// The last request, and its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Exchange {
    /// Host and port.
    pub(super) peer: String,
    /// True if the request was for the store, and not for credentials.
    pub(super) is_for_store: bool,
    pub(super) result: ExchangeResult,
}

/// Result of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ExchangeResult {
    Answer(StoreAnswer),
    NoAnswer(RequestError),
}

/// An answer, as far as its consequence depends on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct StoreAnswer {
    pub(super) status: u16,
    /// The store's own code for the error, a word such as `SlowDown`.
    pub(super) code: Option<String>,
    pub(super) retry_after: Option<Duration>,
    /// True if the body is a page for people, which no store sends.
    pub(super) is_page: bool,
}

/// Makes clients for the library, and holds the last exchange of all of them.
#[derive(Debug, Clone)]
pub(super) struct Exchanges {
    service: RecordingClient,
}

/// A client that records its exchanges.
#[derive(Debug, Clone)]
struct RecordingClient {
    client: reqwest::Client,
    /// Client for `METADATA_HOSTS`, without a proxy.
    direct: reqwest::Client,
    /// Host and port of the store.
    store: String,
    last: Arc<Mutex<Option<Exchange>>>,
}

impl Exchanges {
    /// Creates the clients. Opens no connection.
    ///
    /// # Errors
    /// Returns an error if a certificate or secret cannot be read.
    pub(super) fn open(settings: &HttpClientConfig) -> Result<Exchanges, Reason> {
        let direct = HttpClientConfig {
            proxy: None,
            allows_private: true,
            tls: TlsConfig::default(),
            ..settings.clone()
        };
        Ok(Exchanges {
            service: RecordingClient {
                client: open_client(settings, HeaderMap::new())?,
                direct: open_client(&direct, HeaderMap::new())?,
                store: peer(&settings.url),
                last: Arc::default(),
            },
        })
    }

    /// Returns the last exchange, and forgets it.
    pub(super) fn take(&self) -> Option<Exchange> {
        self.service.last.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl HttpConnector for Exchanges {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<LibraryClient> {
        Ok(LibraryClient::new(self.service.clone()))
    }
}

impl HttpService for RecordingClient {
    fn call<'s, 'f>(
        &'s self,
        request: HttpRequest,
    ) -> BoxFuture<'f, Result<HttpResponse, HttpError>>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(self.exchange(request))
    }
}

impl RecordingClient {
    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let url: Url =
            parts.uri.to_string().parse().map_err(|error| {
                HttpError::new::<url::ParseError>(HttpErrorKind::Unknown, error)
            })?;
        let peer = peer(&url);
        // A virtual host begins with the bucket.
        let is_for_store = peer.ends_with(&self.store);
        let host = url.host_str().unwrap_or_default();
        let client = if METADATA_HOSTS.contains(&host) { &self.direct } else { &self.client };
        let mut request = reqwest::Request::new(parts.method, url);
        *request.headers_mut() = parts.headers;
        *request.body_mut() = Some(reqwest::Body::wrap(body));
        let answered = match client.execute(request).await {
            Ok(response) => read(response).await,
            Err(error) => Err(error),
        };
        let answered = answered.map_err(|error| no_answer(error, &peer));
        let result = match &answered {
            Ok((answer, _)) => ExchangeResult::Answer(answer.clone()),
            Err(error) => ExchangeResult::NoAnswer(error.clone()),
        };
        let exchange = Exchange { peer, is_for_store, result };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(exchange);
        let kind = HttpErrorKind::Unknown;
        answered.map(|(_, response)| response).map_err(|error| HttpError::new(kind, error))
    }
}

/// Reads an answer. A longer one is cut: the library then does not understand it.
async fn read(
    mut response: reqwest::Response,
) -> Result<(StoreAnswer, HttpResponse), reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk[..chunk.len().min(MAX_ANSWER_BYTES - body.len())]);
    }
    let (status, headers) = (response.status(), response.headers());
    let retry_after = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let header = headers.get("x-ms-error-code").and_then(|value| value.to_str().ok());
    let code = match status.is_success() {
        true => None,
        false => header.and_then(word).or_else(|| code_in(&body)),
    };
    let answer = StoreAnswer {
        status: status.as_u16(),
        code,
        retry_after: retry_after.and_then(|text| parse_retry_after(text, SystemTime::now())),
        is_page: is_page(media_type(headers).as_deref(), &body),
    };
    let mut whole = Response::new(body.into());
    *whole.status_mut() = status;
    *whole.headers_mut() = std::mem::take(response.headers_mut());
    Ok((answer, whole))
}

/// Returns the error code in the XML of S3, Azure and Google.
fn code_in(body: &[u8]) -> Option<String> {
    let start = memmem::find(body, b"<Code>")? + b"<Code>".len();
    let length = memmem::find(&body[start..], b"</Code>")?;
    word(std::str::from_utf8(&body[start..start + length]).ok()?)
}

/// Returns the text if it is a word that a message may show. A secret that is repeated there has digits.
fn word(text: &str) -> Option<String> {
    let is_word =
        (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphabetic());
    is_word.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_word_is_a_code() {
        for (body, code) in [
            (
                "<?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>x</Message></Error>",
                Some("SlowDown"),
            ),
            ("<Error><Code>no word</Code></Error>", None),
            ("<Error><Code>q3Vx8LmZ0tR7yBnKw5Hd</Code></Error>", None),
            ("<Error><Code></Code></Error>", None),
            ("<Error><Code>Cut", None),
            ("{\"error\":\"json\"}", None),
            ("", None),
        ] {
            assert_eq!(code_in(body.as_bytes()).as_deref(), code, "{body}");
        }
    }
}
