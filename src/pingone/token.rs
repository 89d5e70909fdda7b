//! The access token of the worker application: OAuth 2.0 client credentials (RFC 6749 §4.4).

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use serde::Deserialize;
use tokio::time::Instant;
use url::form_urlencoded::Serializer;

use super::client::PingOneError;
use super::config::PingOneConfig;
use super::verdict::{too_long, wait};
use crate::http_client::{Answer, Class, HttpClient, below, class_of, secret_header};

const FORM: &str = "application/x-www-form-urlencoded";

/// Lifetime of a token whose answer states none.
const DEFAULT_LIFETIME: u64 = 600;

/// Position of the client's credentials in a request. A worker application accepts one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CredentialPosition {
    /// `client_secret_basic`
    Header,
    /// `client_secret_post`
    Body,
}

/// An access token, as the header that carries it.
#[derive(Debug, Clone)]
pub(super) struct WorkerToken {
    pub(super) authorization: HeaderValue,
    /// Time from which another token is requested: half of its life.
    pub(super) renew_at: Instant,
}

/// Result of one request for a token.
#[derive(Debug)]
pub(super) enum TokenVerdict {
    Issued(WorkerToken),
    /// The credentials are wrong, or at the wrong position.
    InvalidClient,
    Retry(Duration, PingOneError),
    Failed(PingOneError),
}

#[derive(Deserialize)]
struct IssuedToken {
    access_token: String,
    expires_in: Option<u64>,
}

#[derive(Deserialize, Default)]
struct OAuthError {
    #[serde(default)]
    error: String,
}

/// Requests a token once.
///
/// # Errors
/// The secret cannot be read.
pub(super) async fn request(
    client: &HttpClient,
    config: &PingOneConfig,
    position: CredentialPosition,
    attempt: u32,
) -> Result<TokenVerdict, PingOneError> {
    let sent_at = Instant::now();
    let secret = config.client_secret.reread();
    let secret = secret.map_err(|error| PingOneError::Credentials(error.to_string()))?;
    let id = config.client_id.to_string();
    let mut form = Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    let mut headers = HeaderMap::new();
    match position {
        CredentialPosition::Header => {
            let pair = STANDARD.encode(format!("{id}:{}", secret.expose()));
            let value = secret_header(&format!("Basic {pair}"));
            let value = value.map_err(|error| PingOneError::Credentials(error.to_string()))?;
            headers.insert(AUTHORIZATION, value);
        }
        CredentialPosition::Body => {
            form.append_pair("client_id", &id).append_pair("client_secret", secret.expose());
        }
    }
    let url = below(&config.auth_url, &format!("/{}/as/token", config.environment));
    let answer = client.post(&url, FORM, headers, form.finish().into_bytes()).await;
    Ok(match answer {
        Ok(answer) => judge(&answer, sent_at, attempt),
        Err(error) if error.is_permanent => TokenVerdict::Failed(PingOneError::unreachable(&error)),
        Err(error) => TokenVerdict::Retry(wait(None, attempt), PingOneError::unreachable(&error)),
    })
}

fn judge(answer: &Answer, sent_at: Instant, attempt: u32) -> TokenVerdict {
    let status = answer.status;
    let message = format!("PingOne answered HTTP {status} to the request for an access token");
    if class_of(status) == Class::Success {
        let issued: Option<IssuedToken> = serde_json::from_slice(&answer.body).ok();
        let header = issued
            .as_ref()
            .and_then(|issued| secret_header(&format!("Bearer {}", issued.access_token)).ok());
        let (Some(issued), Some(authorization)) = (issued, header) else {
            return TokenVerdict::Failed(PingOneError::Unexpected(format!(
                "{message} without a token; correct pingone.auth_url"
            )));
        };
        let lifetime = issued.expires_in.unwrap_or(DEFAULT_LIFETIME).min(86_400);
        let renew_at = sent_at + Duration::from_secs(lifetime) / 2;
        return TokenVerdict::Issued(WorkerToken { authorization, renew_at });
    }
    let OAuthError { error } = serde_json::from_slice(&answer.body).unwrap_or_default();
    match status {
        401 if error == "invalid_client" => TokenVerdict::InvalidClient,
        _ if class_of(status) == Class::Retry => match too_long(answer, &message) {
            Some(error) => TokenVerdict::Failed(error),
            None => TokenVerdict::Retry(
                wait(answer.retry_after, attempt),
                PingOneError::Unavailable(message),
            ),
        },
        404 => TokenVerdict::Failed(PingOneError::Credentials(format!(
            "{message}: there is no such environment in this region; correct pingone.environment or pingone.region"
        ))),
        _ => TokenVerdict::Failed(PingOneError::Credentials(format!(
            "{message}: enable the worker application, with the grant type client credentials"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_is_a_token_or_names_the_remedy() {
        for (status, body, expected) in [
            (200, r#"{"access_token":"t","expires_in":3600}"#, "issued 1800"),
            (200, r#"{"access_token":"t"}"#, "issued 300"),
            (200, "<html>canary</html>", "without a token; correct pingone.auth_url"),
            (401, r#"{"error":"invalid_client","error_description":"canary"}"#, "InvalidClient"),
            (400, r#"{"error":"unauthorized_client"}"#, "grant type client credentials"),
            (404, "", "correct pingone.environment or pingone.region"),
            (429, "", "Retry"),
            (503, "canary", "Retry"),
        ] {
            let sent_at = Instant::now();
            let body = body.as_bytes().to_vec();
            let answer = Answer { status, body, is_whole: true, ..Answer::default() };
            let found = match judge(&answer, sent_at, 0) {
                TokenVerdict::Issued(token) => {
                    assert!(token.authorization.is_sensitive());
                    format!("issued {}", (token.renew_at - sent_at).as_secs())
                }
                other => format!("{other:?}"),
            };
            assert!(found.contains(expected) && !found.contains("canary"), "{expected}: {found}");
        }
    }
}
