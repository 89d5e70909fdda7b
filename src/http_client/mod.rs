//! HTTP client of the sinks and of the trace exporter: timeouts, compression, and failures in an operator's words.
//!
//! Each sink has its own client, and so its own connection pool. Timeouts are always set, redirects are never
//! followed (a redirect would carry credentials to another host), and a proxy is used only if it is configured.
//! <https://www.rfc-editor.org/rfc/rfc9110>

mod answer;
mod classify;
mod compress;
mod config;
mod credential_filter;
mod guard;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use thiserror::Error;
use url::Url;

use crate::error_chain::{connection_failure, error_chain, without_numbers};
use crate::secret::SecretError;
use crate::tls::{self, ClientTlsError};
pub(crate) use answer::Answer;
#[cfg(any(test, fuzzing, feature = "object_store"))]
pub(crate) use answer::parse_retry_after;
#[cfg(feature = "object_store")]
pub(crate) use answer::{is_page, media_type};
pub(crate) use classify::advice;
pub(crate) use classify::{Class, class_of};
pub(crate) use config::{Authorization, Compression, HeaderConfig, HttpClientConfig, ProxyConfig};
pub(crate) use config::{NONE_OR_GZIP, is_own_header, parse_header_name, parse_url, read_proxy};

/// Error of a request that got no answer, or could not be sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub(crate) struct RequestError {
    /// Message for operators. Holds no secret and nothing of an event.
    pub(crate) message: String,
    /// True if the same request fails again until an operator changes something.
    pub(crate) is_permanent: bool,
    /// True if the answer did not come within the timeout.
    pub(crate) is_late: bool,
}

impl From<SecretError> for RequestError {
    fn from(error: SecretError) -> RequestError {
        RequestError::new(error.to_string())
    }
}

impl From<ClientTlsError> for RequestError {
    fn from(error: ClientTlsError) -> RequestError {
        RequestError::new(error.to_string())
    }
}

impl RequestError {
    fn new(message: impl Into<String>) -> RequestError {
        let message = without_numbers(&message.into());
        RequestError { message, is_permanent: false, is_late: false }
    }
}

/// Sends requests to one target.
#[derive(Debug)]
pub(crate) struct HttpClient {
    client: reqwest::Client,
    compression: Compression,
    filter: Arc<credential_filter::CredentialFilter>,
    /// Host and port of the target, and of the proxy. Never the whole URL, which may contain
    /// secrets.
    peer: String,
}

impl HttpClient {
    /// Creates a client that sends `headers` with every request. Opens no connection.
    ///
    /// # Errors
    ///
    /// The settings cannot be used, or a certificate or secret cannot be read.
    pub(crate) fn open(
        settings: &HttpClientConfig,
        headers: HeaderMap,
    ) -> Result<HttpClient, RequestError> {
        let filter = Arc::new(credential_filter::CredentialFilter::of(settings, &headers));
        let client = open_client(settings, headers)?;
        let peer = match &settings.proxy {
            Some(proxy) => format!("{} through {}", peer(&settings.url), peer(&proxy.url)),
            None => peer(&settings.url),
        };
        Ok(HttpClient { client, compression: settings.compression, filter, peer })
    }

    /// Returns the client with a filter that also removes every part of a URL that is a secret. `text` is the URL as
    /// the operator has written it.
    pub(crate) fn with_secret_url(self, text: &str, url: &Url) -> HttpClient {
        let filter = credential_filter::CredentialFilter::of_url(text, url, self.filter);
        HttpClient { filter: Arc::new(filter), ..self }
    }

    /// Sends a POST request with a body. Credentials in `headers` are removed from quoted parts of the answer, too.
    ///
    /// # Errors
    ///
    /// No answer came, so no item of the body is delivered for certain.
    pub(crate) async fn post(
        &self,
        url: &Url,
        content_type: &str,
        mut headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<Answer, RequestError> {
        let (own, body) = self.encode(content_type, body).await?;
        headers.extend(own);
        self.post_encoded(url, headers, body).await
    }

    /// Compresses a body as configured. Returns it with the headers that describe it, for a signature.
    ///
    /// # Errors
    ///
    /// The content type cannot be sent, or the process ends.
    pub(crate) async fn encode(
        &self,
        content_type: &str,
        body: Vec<u8>,
    ) -> Result<(HeaderMap, Vec<u8>), RequestError> {
        let (body, encoding) = compress::compress(body, self.compression).await?;
        let value = |text: &str| {
            let unusable = |_| RequestError::new("the content type cannot be sent in a header");
            HeaderValue::from_str(text).map_err(unusable)
        };
        let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, value(content_type)?)]);
        if let Some(encoding) = encoding {
            headers.insert(CONTENT_ENCODING, value(encoding)?);
        }
        Ok((headers, body))
    }

    /// Sends a POST request with a body of [`encode`](HttpClient::encode) and its headers.
    ///
    /// # Errors
    ///
    /// See [`post`](HttpClient::post).
    pub(crate) async fn post_encoded(
        &self,
        url: &Url,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<Answer, RequestError> {
        let filter = credential_filter::CredentialFilter::with(&self.filter, &headers);
        let request = self.client.post(url.clone()).headers(headers);
        let request = request.header(ACCEPT, "application/json").body(Bytes::from(body));
        self.send(request, filter).await
    }

    /// Sends a GET request, for probes.
    ///
    /// # Errors
    ///
    /// No answer came.
    pub(crate) async fn get(&self, url: &Url) -> Result<Answer, RequestError> {
        self.get_with(url, HeaderMap::new()).await
    }

    /// Does the same as [`get`](HttpClient::get), with headers. Credentials in them are removed from quoted parts of
    /// the answer, too.
    ///
    /// # Errors
    ///
    /// No answer came.
    pub(crate) async fn get_with(
        &self,
        url: &Url,
        headers: HeaderMap,
    ) -> Result<Answer, RequestError> {
        let filter = credential_filter::CredentialFilter::with(&self.filter, &headers);
        self.send(self.client.get(url.clone()).headers(headers), filter).await
    }

    /// Sends a request that a library has made.
    ///
    /// # Errors
    ///
    /// The request is malformed, or no answer came.
    pub(crate) async fn request(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<Answer, RequestError> {
        let request = reqwest::Request::try_from(request);
        let request = request.map_err(|_| RequestError::new("the request has no usable URL"))?;
        let request = reqwest::RequestBuilder::from_parts(self.client.clone(), request);
        self.send(request, Arc::clone(&self.filter)).await
    }

    async fn send(
        &self,
        request: reqwest::RequestBuilder,
        filter: Arc<credential_filter::CredentialFilter>,
    ) -> Result<Answer, RequestError> {
        match request.header(ACCEPT_ENCODING, "identity").send().await {
            Ok(response) => Ok(Answer::read(response, filter).await),
            Err(error) => Err(no_answer(error, &self.peer)),
        }
    }
}

/// Returns the error of a request to `peer` that got no answer.
pub(crate) fn no_answer(error: reqwest::Error, peer: &str) -> RequestError {
    if let Some(private) = guard::refused(&error) {
        let message = format!("{peer}: {private}");
        return RequestError { is_permanent: true, ..RequestError::new(message) };
    }
    let is_late = error.is_timeout() && !error.is_connect();
    // The URL may contain secrets, and the error chain is logged.
    let message = connection_failure(&error.without_url(), peer);
    RequestError { is_late, ..RequestError::new(message) }
}

/// Creates a client with the timeouts, certificates and proxy of `settings` that sends `headers` with every request.
/// Opens no connection.
///
/// # Errors
///
/// The settings cannot be used, or a certificate or secret cannot be read.
pub(crate) fn open_client(
    settings: &HttpClientConfig,
    headers: HeaderMap,
) -> Result<reqwest::Client, RequestError> {
    guard::check_literal(settings)?;
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("davinci-siem/", env!("CARGO_PKG_VERSION")))
        .default_headers(headers)
        .timeout(settings.timeout)
        .connect_timeout(settings.connect_timeout)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy();
    let proxy = settings.proxy.as_ref().map(|proxy| proxy.url.scheme());
    if [Some(settings.url.scheme()), proxy].contains(&Some("https")) {
        let mut tls = tls::client_config(&settings.tls)?;
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        builder = builder.tls_backend_preconfigured(tls);
    } else {
        builder = builder.tls_certs_only([]);
    }
    if !settings.allows_private {
        builder = builder.dns_resolver(Arc::new(guard::PublicResolver));
    }
    if let Some(proxy) = &settings.proxy {
        builder = builder.proxy(proxy_of(proxy)?);
    }
    builder.build().map_err(|error| {
        RequestError::new(format!("no HTTP client can be made: {}", error_chain(&error)))
    })
}

/// Returns host and port of a URL.
pub(crate) fn peer(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port_or_known_default() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

fn proxy_of(settings: &ProxyConfig) -> Result<reqwest::Proxy, RequestError> {
    let unusable = |_| RequestError::new("the proxy's URL cannot be used; correct proxy.url");
    let proxy = reqwest::Proxy::all(settings.url.clone()).map_err(unusable)?;
    let Some((username, password)) = &settings.credentials else { return Ok(proxy) };
    let password = password.reread()?;
    Ok(proxy.basic_auth(username, password.expose()))
}

/// Returns the headers of every request, with secrets read again from their files.
///
/// # Errors
///
/// A secret cannot be read, or is not a valid header value.
pub(crate) fn headers(
    settings: &[HeaderConfig],
    authorization: &Authorization,
) -> Result<HeaderMap, RequestError> {
    let mut headers = HeaderMap::new();
    for header in settings {
        match header {
            HeaderConfig::Plain(name, value) => headers.append(name, value.clone()),
            HeaderConfig::Secret(name, secret) => {
                let secret = secret.reread()?;
                headers.append(name, secret_header(secret.expose())?)
            }
        };
    }
    if let Some(value) = self::authorization(authorization)? {
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

/// Returns the `Authorization` header, with its secret read again from its file.
///
/// # Errors
///
/// See [`headers`].
pub(crate) fn authorization(settings: &Authorization) -> Result<Option<HeaderValue>, RequestError> {
    let value = match settings.reread()? {
        Authorization::None => return Ok(None),
        Authorization::Basic { username, password } => {
            let pair = format!("{username}:{}", password.expose());
            format!("Basic {}", STANDARD.encode(pair))
        }
        Authorization::Token(scheme, token) => format!("{scheme} {}", token.expose()),
    };
    secret_header(&value).map(Some)
}

/// Makes a header value that is marked sensitive and never logged.
///
/// # Errors
///
/// A header cannot carry the value.
pub(crate) fn secret_header(value: &str) -> Result<HeaderValue, RequestError> {
    let mut value = HeaderValue::from_str(value).map_err(|_| {
        RequestError::new(
            "a secret holds what a header cannot carry, such as a line break; correct it",
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// Returns the base URL with `path` appended to its path. An empty path changes nothing.
pub(crate) fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    if path.is_empty() {
        return url;
    }
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url
}
