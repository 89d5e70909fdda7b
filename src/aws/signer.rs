//! Signatures of requests with the credentials of one connection.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::sync::Mutex;
use url::Url;

use super::config::AwsConfig;
use super::credentials::{self, AwsCredentialSource};
use super::roles::AssumeRoleConfig;
use super::sts::TokenService;
use crate::http_client::{HttpClientConfig, RequestError};

/// Signs requests to one service.
#[derive(Debug)]
pub(crate) struct AwsSigner {
    region: String,
    /// Name of the service in signatures.
    service: &'static str,
    source: AwsCredentialSource,
    /// Role that is assumed with the credentials of the source.
    assume_role: Option<(AssumeRoleConfig, TokenService)>,
    current: Mutex<Option<CurrentCredentials>>,
}

/// Credentials in use.
#[derive(Debug)]
struct CurrentCredentials {
    credentials: Credentials,
    /// Time before which stale credentials are not requested again.
    renew_at: SystemTime,
}

/// Time between two attempts to renew credentials that are still valid.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(30);

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
    /// Creates a signer with the timeouts of `target`. Opens no connection.
    ///
    /// # Errors
    /// Returns an error if the client cannot be created.
    pub(crate) fn open(
        config: &AwsConfig,
        service: &'static str,
        target: &HttpClientConfig,
    ) -> Result<AwsSigner, RequestError> {
        let source = AwsCredentialSource::open(&config.identity, target)?;
        let assume_role = match &config.assume_role {
            Some((role, url)) => Some((role.clone(), TokenService::open(url, target)?)),
            None => None,
        };
        let region = config.region.clone();
        Ok(AwsSigner { region, service, source, assume_role, current: Mutex::default() })
    }

    /// Returns true if the credentials are those of a role, which AWS replaces by itself.
    pub(crate) fn has_role(&self) -> bool {
        self.assume_role.is_some() || !matches!(self.source, AwsCredentialSource::Key(_))
    }

    /// Drops the current credentials. The next signature requests others: an access key is read from its file again.
    pub(crate) async fn forget(&self) {
        *self.current.lock().await = None;
    }

    /// Returns the headers that sign a request with these headers and this body.
    ///
    /// # Errors
    /// Returns an error if there are no credentials.
    pub(crate) async fn sign(
        &self,
        method: &str,
        url: &Url,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<HeaderMap, SigningError> {
        let credentials = self.credentials().await?;
        signed_headers(&self.region, self.service, credentials, (method, url), headers, body)
    }

    /// Requests credentials of the source, or of the role that is assumed with them.
    async fn request(&self) -> Result<Credentials, SigningError> {
        let own = credentials::request(&self.source).await?;
        match &self.assume_role {
            Some((role, service)) => service.assume(role, &self.region, own).await,
            None => Ok(own),
        }
    }

    /// Returns the current credentials, or new ones shortly before they expire.
    async fn credentials(&self) -> Result<Credentials, SigningError> {
        let mut current = self.current.lock().await;
        let now = SystemTime::now();
        if let Some(known) = current.as_ref().filter(|known| !known.is_due(now)) {
            return Ok(known.credentials.clone());
        }
        let renew_at = now + RENEWAL_INTERVAL;
        match self.request().await {
            Ok(credentials) => {
                Ok(current.insert(CurrentCredentials { credentials, renew_at }).credentials.clone())
            }
            // They remain in use until they expire.
            Err(error) => match current.as_mut().filter(|known| !known.is_expired(now)) {
                Some(known) => {
                    known.renew_at = renew_at;
                    Ok(known.credentials.clone())
                }
                None => Err(error),
            },
        }
    }
}

impl CurrentCredentials {
    /// Returns true if other credentials are to be requested.
    fn is_due(&self, now: SystemTime) -> bool {
        let is_due = credentials::is_stale(&self.credentials, now) && self.renew_at <= now;
        is_due || self.is_expired(now)
    }

    fn is_expired(&self, now: SystemTime) -> bool {
        self.credentials.expiry().is_some_and(|expiry| expiry <= now)
    }
}

/// Returns the headers that sign a request.
///
/// # Errors
/// The request has a URL or a header that cannot be signed.
pub(super) fn signed_headers(
    region: &str,
    service: &str,
    credentials: Credentials,
    (method, url): (&str, &Url),
    headers: &HeaderMap,
    body: &[u8],
) -> Result<HeaderMap, SigningError> {
    let headers =
        headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let request = SignableRequest::new(method, url.as_str(), headers, SignableBody::Bytes(body));
    let signed = request.ok().and_then(|request| signature(region, service, credentials, request));
    signed.ok_or_else(|| SigningError {
        message: "the request cannot be signed; correct endpoint".to_owned(),
        is_permanent: true,
    })
}

/// Returns the headers of a signature; `None` if the request cannot be signed.
fn signature(
    region: &str,
    service: &str,
    credentials: Credentials,
    request: SignableRequest<'_>,
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
    let (signed, _) = sign(request, &params.into()).ok()?.into_parts();
    let headers = signed.headers().map(|(name, value)| {
        let mut header = HeaderValue::from_str(value).ok()?;
        header.set_sensitive(SENSITIVE.contains(&name));
        Some((HeaderName::from_bytes(name.as_bytes()).ok()?, header))
    });
    headers.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_credentials_are_renewed_at_most_every_30_seconds() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_hours(1);
        let after = |seconds: i64| match u64::try_from(seconds) {
            Ok(seconds) => now + Duration::from_secs(seconds),
            Err(_) => now - Duration::from_secs(seconds.unsigned_abs()),
        };
        for (expiry, renew_at, is_due) in [
            (Some(3600), -1, false),
            (Some(60), 20, false),
            (Some(60), -1, true),
            (Some(-1), 20, true),
            (None, -1, false),
        ] {
            let credentials = Credentials::new("AKIA", "s", None, expiry.map(after), "test");
            let known = CurrentCredentials { credentials, renew_at: after(renew_at) };
            assert_eq!(known.is_due(now), is_due, "{expiry:?} {renew_at}");
        }
    }
}
