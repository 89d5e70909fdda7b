//! Answers to a request for a token: the token with its lifetime, or the reason for its absence.
//!
//! An error quotes only words and numbers of the answer that cannot be a secret, never its text.

use std::time::Duration;

use http::HeaderValue;
use serde::Deserialize;
use tokio::time::Instant;

use crate::http_client::{Answer, Class, RequestError, class_of, secret_header};
use crate::secret::SecretError;

/// Longest time before its expiry at which a token is renewed.
const RENEWAL_MARGIN: Duration = Duration::from_mins(5);

/// Upper bound of a token's lifetime: no token is used longer, whatever its answer says.
const MAX_LIFETIME: Duration = Duration::from_hours(48);

/// Access token, as the header that carries it.
#[derive(Debug, Clone)]
pub(crate) struct AccessToken {
    /// Value of `Authorization`, marked sensitive.
    pub(crate) authorization: HeaderValue,
    /// Time from which a new token is requested.
    pub(super) renew_at: Instant,
    /// Time from which the token is not used any more.
    pub(super) expires_at: Instant,
}

impl AccessToken {
    /// Returns the token itself, for protocols without HTTP headers.
    #[cfg(feature = "kafka")]
    pub(crate) fn text(&self) -> &str {
        let header = self.authorization.to_str().unwrap_or_default();
        header.strip_prefix("Bearer ").unwrap_or_default()
    }

    /// Returns the time for which the token is still valid.
    #[cfg(feature = "kafka")]
    pub(crate) fn lifetime(&self) -> Duration {
        self.expires_at.saturating_duration_since(Instant::now())
    }
}

/// Reason why there is no token. The message holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TokenError {
    /// A later request may succeed.
    Unavailable {
        /// Message for operators.
        message: String,
        /// Waiting time that the issuer requests.
        after: Option<Duration>,
    },
    /// No request succeeds until an operator changes something.
    Refused {
        /// Message for operators.
        message: String,
    },
}

impl From<RequestError> for TokenError {
    fn from(error: RequestError) -> TokenError {
        let RequestError { message, is_permanent, .. } = error;
        let message = format!("no access token: {message}");
        match is_permanent {
            true => TokenError::Refused { message },
            false => TokenError::Unavailable { message, after: None },
        }
    }
}

impl From<SecretError> for TokenError {
    fn from(error: SecretError) -> TokenError {
        TokenError::Refused { message: format!("no access token: {error}") }
    }
}

/// Successful answer. Microsoft Entra ID writes times as numbers, a managed identity as texts.
#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    #[serde(default, deserialize_with = "seconds")]
    expires_in: Option<u64>,
    /// Seconds since the Unix epoch, where `expires_in` is missing.
    #[serde(default, deserialize_with = "seconds")]
    expires_on: Option<u64>,
}

/// Reads a number, or a text with a number. Anything else counts as missing.
fn seconds<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Seconds {
        Number(u64),
        Text(String),
        Other(serde::de::IgnoredAny),
    }
    Ok(match Seconds::deserialize(from)? {
        Seconds::Number(seconds) => Some(seconds),
        Seconds::Text(text) => text.trim().parse().ok(),
        Seconds::Other(_) => None,
    })
}

/// Error of the issuer (RFC 6749 §5.2).
#[derive(Deserialize, Default)]
struct IssuerError {
    #[serde(default)]
    error: String,
    #[serde(default)]
    error_codes: Vec<u64>,
}

/// Reads the token of an answer to a request that was sent at `sent_at`. `now` is in seconds since the Unix epoch.
///
/// # Errors
/// Returns the reason why the answer has no token.
pub(super) fn token(
    answer: &Answer,
    issuer: &str,
    is_managed: bool,
    sent_at: Instant,
    now: u64,
) -> Result<AccessToken, TokenError> {
    let status = answer.status;
    if class_of(status) != Class::Success {
        return Err(refusal(answer, issuer, is_managed));
    }
    let malformed = || TokenError::Refused {
        message: format!(
            "no access token: {issuer} answered HTTP {status} without a token; correct its URL"
        ),
    };
    if !answer.is_whole {
        let message = format!("no access token: the answer of {issuer} broke off");
        return Err(TokenError::Unavailable { message, after: None });
    }
    let read: TokenAnswer = serde_json::from_slice(&answer.body).map_err(|_| malformed())?;
    let until = |instant: u64| instant.saturating_sub(now);
    let lifetime = read.expires_in.or(read.expires_on.map(until)).ok_or_else(malformed)?;
    let lifetime = Duration::from_secs(lifetime).min(MAX_LIFETIME);
    let authorization = secret_header(&format!("Bearer {}", read.access_token));
    Ok(AccessToken {
        authorization: authorization.map_err(|_| malformed())?,
        // A token with a short life is renewed in the middle of it, not at once.
        renew_at: sent_at + lifetime.saturating_sub(RENEWAL_MARGIN).max(lifetime / 2),
        expires_at: sent_at + lifetime,
    })
}

fn refusal(answer: &Answer, issuer: &str, is_managed: bool) -> TokenError {
    let status = answer.status;
    let read: IssuerError = serde_json::from_slice(&answer.body).unwrap_or_default();
    let is_word = |text: &str| {
        (1..=40).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    let mut message = format!("no access token: {issuer} answered HTTP {status}");
    if is_word(&read.error) {
        message.push_str(&format!(", {}", read.error));
    }
    let code = read.error_codes.first().copied();
    if let Some(code) = code {
        message.push_str(&format!(", AADSTS{code}"));
    }
    // The metadata service answers so while it starts or is updated.
    let is_starting = is_managed && matches!(status, 404 | 410);
    if is_starting || class_of(status) == Class::Retry {
        return TokenError::Unavailable { message, after: answer.retry_after };
    }
    message.push_str(": ");
    message.push_str(advice(code, is_managed));
    TokenError::Refused { message }
}

/// Returns the advice for an error code of Microsoft Entra ID.
/// <https://learn.microsoft.com/entra/identity-platform/reference-error-codes>
fn advice(code: Option<u64>, is_managed: bool) -> &'static str {
    match code {
        Some(7_000_215) => "the client secret is wrong; write its value, not its id",
        Some(7_000_222) => "the client secret has expired; create another",
        Some(700_016) => "the directory has no such application; correct client_id or tenant_id",
        Some(90_002) => "there is no such directory; correct tenant_id, or cloud",
        Some(70_021 | 700_211 | 700_212 | 700_213) => {
            "no federated credential of the application matches issuer, subject and audience of the token in token_file"
        }
        Some(700_024) => "the token in token_file has expired; see the process that replaces it",
        Some(500_011) => "the directory does not know the audience; correct cloud or audience",
        _ if is_managed => {
            "assign the identity to this machine or app, or correct client_id, object_id or resource_id"
        }
        _ => "correct tenant_id, client_id and the credential",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, body: body.as_bytes().to_vec(), is_whole: true, ..Answer::default() }
    }

    #[tokio::test]
    async fn the_lifetime_is_read_in_every_spelling() {
        let sent_at = Instant::now();
        for (body, renewed, expired) in [
            (r#"{"access_token":"t","expires_in":3599,"token_type":"Bearer"}"#, 3299, 3599),
            (r#"{"access_token":"t","expires_in":"86399","expires_on":"1"}"#, 86_099, 86_399),
            (r#"{"access_token":"t","expires_on":"1600"}"#, 300, 600),
            (r#"{"access_token":"t","expires_on":1100}"#, 50, 100),
            (r#"{"access_token":"t","expires_in":60}"#, 30, 60),
            (r#"{"access_token":"t","expires_in":99999999999}"#, 48 * 3600 - 300, 48 * 3600),
        ] {
            let token = token(&answer(200, body), "x", true, sent_at, 1000).expect("a token");
            assert_eq!((token.renew_at - sent_at).as_secs(), renewed, "{body}");
            assert_eq!((token.expires_at - sent_at).as_secs(), expired, "{body}");
            assert_eq!(token.authorization, "Bearer t");
            assert!(token.authorization.is_sensitive() && !format!("{token:?}").contains("Bearer"));
        }
    }

    #[tokio::test]
    async fn an_error_is_temporary_or_names_what_to_correct() {
        let sent_at = Instant::now();
        let invalid = r#"{"error":"invalid_client","error_description":"AADSTS7000215: canary","error_codes":[7000215]}"#;
        for (status, body, is_managed, expected) in [
            (401, invalid, false, "R invalid_client, AADSTS7000215: the client secret is wrong"),
            (400, r#"{"error":"invalid_request"}"#, false, "R correct tenant_id"),
            (400, r#"{"error":"invalid_request"}"#, true, "R assign the identity"),
            (400, r#"{"error":"A canary!"}"#, false, "R answered HTTP 400: "),
            (404, "", false, "R correct tenant_id"),
            (404, "", true, "U answered HTTP 404"),
            (410, "", true, "U answered HTTP 410"),
            (429, "", false, "U answered HTTP 429"),
            (503, "<html>canary</html>", false, "U answered HTTP 503"),
            (301, "", false, "R answered HTTP 301"),
            (200, "<html>canary</html>", false, "R without a token"),
            (200, r#"{"access_token":"canary"}"#, false, "R without a token"),
            (200, r#"{"access_token":"canary","expires_in":null}"#, false, "R without a token"),
            (200, "{\"access_token\":\"canary\\n\",\"expires_in\":60}", false, "R without a token"),
        ] {
            let found = token(&answer(status, body), "x:1", is_managed, sent_at, 0);
            let found = match found.expect_err(body) {
                TokenError::Unavailable { message, .. } => format!("U {message}"),
                TokenError::Refused { message } => format!("R {message}"),
            };
            let (verdict, words) = expected.split_at(2);
            assert!(found.starts_with(verdict) && found.contains(words), "{expected}: {found}");
            assert!(!found.contains("canary"), "{found}");
        }
        let torn = Answer { is_whole: false, ..answer(200, "{\"acc") };
        let torn = token(&torn, "x", false, sent_at, 0).expect_err("torn");
        assert!(matches!(torn, TokenError::Unavailable { .. }), "{torn:?}");
    }
}
