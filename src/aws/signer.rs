//! Signatures of requests with the credentials of one connection.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::sync::Mutex;
use url::Url;

use super::config::{AwsConfig, AwsIdentity};
use super::credentials;
use crate::http_client::{Compression, HttpClient, HttpClientConfig, RequestError};
use crate::tls::TlsConfig;

/// Signs requests to one service.
#[derive(Debug)]
pub(crate) struct AwsSigner {
    config: AwsConfig,
    /// Name of the service in signatures.
    service: &'static str,
    /// Connection to the endpoint of a role.
    requests: HttpClient,
    current: Mutex<Option<Credentials>>,
}

/// Reason why a request could not be signed. The message holds no secret.
#[derive(Debug)]
pub(crate) struct SigningError {
    /// Message for operators.
    pub(crate) message: String,
    /// True if no request can be signed until an operator changes something.
    pub(crate) is_permanent: bool,
}

/// Headers of a signature that hold a secret, or a proof of it.
const SENSITIVE: [&str; 2] = ["authorization", "x-amz-security-token"];

impl AwsSigner {
    /// Creates a signer with the timeouts of `target`. The endpoint of a role is on the same machine: it is reached
    /// without proxy and TLS. Opens no connection.
    ///
    /// # Errors
    /// Returns an error if the client cannot be created.
    pub(crate) fn open(
        config: &AwsConfig,
        service: &'static str,
        target: &HttpClientConfig,
    ) -> Result<AwsSigner, RequestError> {
        let mut url = match &config.identity {
            AwsIdentity::Key(_) => target.url.clone(),
            AwsIdentity::Container(endpoint) => endpoint.url.clone(),
            AwsIdentity::Instance(url) => url.clone(),
        };
        // The origin only: the client takes segments of a path for secrets.
        url.set_path("/");
        let machine = HttpClientConfig {
            url,
            tls: TlsConfig::default(),
            proxy: None,
            allows_private: true,
            compression: Compression::None,
            ..target.clone()
        };
        let requests = HttpClient::open(&machine, HeaderMap::new())?;
        Ok(AwsSigner { config: config.clone(), service, requests, current: Mutex::default() })
    }

    /// Returns the headers that sign a POST request with these headers and this body.
    ///
    /// # Errors
    /// Returns an error if there are no credentials.
    pub(crate) async fn sign(
        &self,
        url: &Url,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<HeaderMap, SigningError> {
        let credentials = self.credentials().await?;
        signature(&self.config.region, self.service, credentials, url, headers, body).ok_or_else(
            || SigningError {
                message: "the request cannot be signed; correct endpoint".to_owned(),
                is_permanent: true,
            },
        )
    }

    /// Returns the current credentials, or new ones shortly before they expire.
    async fn credentials(&self) -> Result<Credentials, SigningError> {
        let mut current = self.current.lock().await;
        let now = SystemTime::now();
        if let Some(credentials) =
            current.as_ref().filter(|known| !credentials::is_stale(known, now))
        {
            return Ok(credentials.clone());
        }
        match credentials::request(&self.config.identity, &self.requests).await {
            Ok(renewed) => Ok(current.insert(renewed).clone()),
            // They remain in use until they expire.
            Err(error) => match current.as_ref().filter(|known| known.expiry() > Some(now)) {
                Some(known) => Ok(known.clone()),
                None => Err(error),
            },
        }
    }
}

/// Returns the headers of a signature; `None` if the request cannot be signed.
fn signature(
    region: &str,
    service: &str,
    credentials: Credentials,
    url: &Url,
    headers: &HeaderMap,
    body: &[u8],
) -> Option<HeaderMap> {
    let identity = credentials.into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()
        .ok()?;
    let headers =
        headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let body = SignableBody::Bytes(body);
    let request = SignableRequest::new("POST", url.as_str(), headers, body).ok()?;
    let (signed, _) = sign(request, &params.into()).ok()?.into_parts();
    let headers = signed.headers().map(|(name, value)| {
        let mut header = HeaderValue::from_str(value).ok()?;
        header.set_sensitive(SENSITIVE.contains(&name));
        Some((HeaderName::from_bytes(name.as_bytes()).ok()?, header))
    });
    headers.collect()
}
