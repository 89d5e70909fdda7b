//! Temporary credentials of a container's or a machine's role.
//! <https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html>
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-security-credentials.html>

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Method, Request};
use serde::Deserialize;
use url::Url;

use super::config::{
    AccessKeyConfig, AccessKeyId, AwsIdentity, ContainerEndpoint, ContainerToken, parse_key_id,
};
use super::roles::WebIdentityConfig;
use super::signer::SigningError;
use super::sts::TokenService;
use crate::http_client::{
    Answer, Class, Compression, HttpClient, HttpClientConfig, RequestError, class_of, peer,
    secret_header,
};
use crate::secret::{Form, Secret, SecretError};
use crate::tls::TlsConfig;

/// Time before their expiry at which credentials are renewed.
const RENEWAL_MARGIN: Duration = Duration::from_mins(5);

/// Lifetime of a session with the instance metadata service, in seconds.
const SESSION_SECONDS: HeaderValue = HeaderValue::from_static("60");

/// Path of the instance metadata service that lists the role.
const ROLES: &str = "/latest/meta-data/iam/security-credentials/";

/// Source of credentials, with the connection that it needs.
#[derive(Debug)]
pub(super) enum AwsCredentialSource {
    /// An access key.
    Key(AccessKeyConfig),
    /// A token of another issuer.
    WebIdentity(WebIdentityConfig, TokenService),
    /// Endpoint of a container platform.
    Container(ContainerEndpoint, HttpClient),
    /// Instance metadata service.
    Instance(Url, HttpClient),
}

impl AwsCredentialSource {
    /// Creates a source with the timeouts of `target`. The endpoint of a role is on the same machine: it is reached
    /// without proxy and TLS settings.
    ///
    /// # Errors
    /// Returns an error if the client cannot be created.
    pub(super) fn open(
        identity: &AwsIdentity,
        target: &HttpClientConfig,
    ) -> Result<AwsCredentialSource, RequestError> {
        let connection = |url: &Url| {
            let mut url = url.clone();
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
            HttpClient::open(&machine, HeaderMap::new())
        };
        Ok(match identity {
            AwsIdentity::WebIdentity(identity, url) => {
                AwsCredentialSource::WebIdentity(identity.clone(), TokenService::open(url, target)?)
            }
            AwsIdentity::Key(key) => AwsCredentialSource::Key(key.clone()),
            AwsIdentity::Container(endpoint) => {
                AwsCredentialSource::Container(endpoint.clone(), connection(&endpoint.url)?)
            }
            AwsIdentity::Instance(url) => {
                AwsCredentialSource::Instance(url.clone(), connection(url)?)
            }
        })
    }
}

/// Credentials, as the endpoints write them.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RoleCredentials {
    access_key_id: String,
    secret_access_key: String,
    token: String,
    expiration: DateTime<Utc>,
}

impl From<RequestError> for SigningError {
    fn from(error: RequestError) -> SigningError {
        let RequestError { message, is_permanent, .. } = error;
        SigningError { message: format!("no AWS credentials: {message}"), is_permanent }
    }
}

impl From<SecretError> for SigningError {
    fn from(error: SecretError) -> SigningError {
        SigningError { message: format!("no AWS credentials: {error}"), is_permanent: true }
    }
}

/// Requests credentials. An access key is read again from its file.
///
/// # Errors
/// Returns the reason why there are none.
pub(super) async fn request(source: &AwsCredentialSource) -> Result<Credentials, SigningError> {
    match source {
        AwsCredentialSource::Key(key) => of_key(key),
        AwsCredentialSource::WebIdentity(identity, service) => service.exchange(identity).await,
        AwsCredentialSource::Container(endpoint, requests) => {
            of_container(endpoint, requests).await
        }
        AwsCredentialSource::Instance(service, requests) => of_instance(service, requests).await,
    }
}

/// Returns true if credentials have to be renewed; access keys do not expire.
pub(super) fn is_stale(credentials: &Credentials, now: SystemTime) -> bool {
    credentials.expiry().is_some_and(|expiry| expiry < now + RENEWAL_MARGIN)
}

fn of_key(key: &AccessKeyConfig) -> Result<Credentials, SigningError> {
    let id = match &key.id {
        AccessKeyId::Fixed(id) => id.clone(),
        AccessKeyId::Replaced(id) => {
            let id = id.reread()?;
            parse_key_id(id.expose()).map_err(|mistake| SigningError {
                message: format!("no AWS credentials: id_file or id_env {mistake}"),
                is_permanent: true,
            })?
        }
    };
    let secret = key.secret.reread()?;
    let token = key.session_token.as_ref().map(Secret::reread).transpose()?;
    let token = token.map(|token| token.expose().to_owned());
    Ok(Credentials::new(id, secret.expose(), token, None, "configuration"))
}

async fn of_container(
    endpoint: &ContainerEndpoint,
    requests: &HttpClient,
) -> Result<Credentials, SigningError> {
    let token = match &endpoint.authorization {
        ContainerToken::None => None,
        ContainerToken::Variable(token) => Some(token.clone()),
        ContainerToken::File(path) => Some(Secret::from_file(path, Form::Header)?),
    };
    let mut request = empty(Method::GET, &endpoint.url)?;
    if let Some(token) = token {
        request.headers_mut().insert(AUTHORIZATION, secret_header(token.expose())?);
    }
    let answer = accepted(requests.request(request).await?, &endpoint.url)?;
    read(&answer, &endpoint.url)
}

/// Requests credentials from the instance metadata service, in a session (version 2).
async fn of_instance(service: &Url, requests: &HttpClient) -> Result<Credentials, SigningError> {
    let at = |path: &str| crate::http_client::below(service, path);
    let url = at("/latest/api/token");
    let mut request = empty(Method::PUT, &url)?;
    request.headers_mut().insert("x-aws-ec2-metadata-token-ttl-seconds", SESSION_SECONDS);
    let session = accepted(requests.request(request).await?, &url)?;
    let session = secret_header(String::from_utf8_lossy(&session.body).trim())?;
    let get = async |url: Url| {
        let mut request = empty(Method::GET, &url)?;
        request.headers_mut().insert("x-aws-ec2-metadata-token", session.clone());
        accepted(requests.request(request).await?, &url)
    };
    let roles = get(at(ROLES)).await?;
    let role = String::from_utf8_lossy(&roles.body);
    let role = role.lines().next().unwrap_or_default().trim();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "+=,.@_-".contains(c);
    if role.is_empty() || !role.chars().all(is_plain) {
        return Err(no_role(service, 200));
    }
    let url = at(&format!("{ROLES}{role}"));
    let answer = get(url.clone()).await?;
    read(&answer, &url)
}

fn empty(method: Method, url: &Url) -> Result<Request<Bytes>, SigningError> {
    let request = Request::builder().method(method).uri(url.as_str()).body(Bytes::new());
    request.map_err(|_| no_role(url, 0))
}

/// Returns the answer if it is a success.
fn accepted(answer: Answer, url: &Url) -> Result<Answer, SigningError> {
    match class_of(answer.status) {
        Class::Success if answer.is_whole => Ok(answer),
        Class::Success | Class::Retry => Err(SigningError {
            message: format!("no AWS credentials: {} answered HTTP {}", peer(url), answer.status),
            is_permanent: false,
        }),
        _ => Err(no_role(url, answer.status)),
    }
}

fn read(answer: &Answer, url: &Url) -> Result<Credentials, SigningError> {
    let read: Result<RoleCredentials, _> = serde_json::from_slice(&answer.body);
    let read = read.map_err(|_| no_role(url, answer.status))?;
    let RoleCredentials { access_key_id, secret_access_key, token, expiration } = read;
    let expiry = SystemTime::from(expiration);
    Ok(Credentials::new(access_key_id, secret_access_key, Some(token), Some(expiry), "role"))
}

fn no_role(url: &Url, status: u16) -> SigningError {
    let peer = peer(url);
    let message = format!(
        "no AWS credentials: {peer} (HTTP {status}) has no role that the sink can use; assign one to this container or \
         machine, or write access_key"
    );
    SigningError { message, is_permanent: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_temporary_credentials_are_renewed() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_hours(1);
        let with = |expiry| Credentials::new("AKIA", "canary", None, expiry, "test");
        for (minutes, expected) in [(0, true), (4, true), (6, false)] {
            let expiry = now + Duration::from_mins(minutes);
            assert_eq!(is_stale(&with(Some(expiry)), now), expected, "{minutes}");
        }
        assert!(!is_stale(&with(None), now));
        assert!(!format!("{:?}", with(None)).contains("canary"), "it is not printed");
    }
}
