//! Answers to a request for a token: the token with its lifetime, or the reason for its absence.
//!
//! An error quotes only words of the answer that cannot be a secret, never its text.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use tokio::time::Instant;

use crate::http_client::{Answer, Class, class_of};
use crate::oauth::{AccessToken, TokenError};

/// Answer of a token endpoint, or of the metadata server.
#[derive(Deserialize)]
struct GoogleToken {
    access_token: String,
    /// Lifetime in seconds.
    expires_in: u64,
}

/// Token of a service account that a federated identity acts as.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ImpersonatedToken {
    access_token: String,
    expire_time: DateTime<Utc>,
}

/// Error of a token endpoint (RFC 6749 §5.2), or of a Google API.
#[derive(Deserialize)]
struct GoogleError {
    error: ErrorName,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ErrorName {
    OfToken(String),
    OfApi { status: String },
}

/// Kind of issuer, which decides about advice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Issuer {
    /// Token endpoint for the assertions of a service account.
    ServiceAccount,
    /// Security Token Service, for federated identities.
    Exchange,
    /// The metadata server.
    Metadata,
    /// Service account that a federated identity acts as.
    Impersonation,
}

/// Reads the token of an answer of `peer` to a request that was sent at `sent_at`.
///
/// # Errors
/// Returns the reason why the answer has no token.
pub(super) fn token(
    answer: &Answer,
    issuer: Issuer,
    peer: &str,
    sent_at: Instant,
    now: DateTime<Utc>,
) -> Result<AccessToken, TokenError> {
    let status = answer.status;
    if class_of(status) != Class::Success {
        return Err(refusal(answer, issuer, peer));
    }
    if !answer.is_whole {
        let message = format!("no access token: the answer of {peer} broke off");
        return Err(TokenError::Unavailable { message, after: None });
    }
    let malformed = || TokenError::Refused {
        message: format!(
            "no access token: {peer} answered HTTP {status} without a token; correct its URL"
        ),
    };
    let (token, lifetime) = match issuer {
        Issuer::Impersonation => {
            let read: ImpersonatedToken =
                serde_json::from_slice(&answer.body).map_err(|_| malformed())?;
            let left = read.expire_time.signed_duration_since(now);
            (read.access_token, left.to_std().unwrap_or_default())
        }
        _ => {
            let read: GoogleToken =
                serde_json::from_slice(&answer.body).map_err(|_| malformed())?;
            (read.access_token, Duration::from_secs(read.expires_in))
        }
    };
    AccessToken::new(&token, lifetime, sent_at).map_err(|_| malformed())
}

fn refusal(answer: &Answer, issuer: Issuer, peer: &str) -> TokenError {
    let status = answer.status;
    let error = serde_json::from_slice::<GoogleError>(&answer.body).map(|read| match read.error {
        ErrorName::OfToken(name) | ErrorName::OfApi { status: name } => name,
    });
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    let is_word = |name: &String| (1..=40).contains(&name.len()) && name.bytes().all(is_letter);
    let error = error.ok().filter(is_word);
    let named = error.as_deref().map_or(String::new(), |name| format!(", {name}"));
    let message = format!("no access token: {peer} answered HTTP {status}{named}");
    if class_of(status) == Class::Retry {
        return TokenError::Unavailable { message, after: answer.retry_after };
    }
    let advice = advice(issuer, error.as_deref());
    TokenError::Refused { message: format!("{message}: {advice}") }
}

fn advice(issuer: Issuer, error: Option<&str>) -> &'static str {
    match (issuer, error) {
        (Issuer::ServiceAccount, Some("invalid_grant")) => {
            "the key was deleted, its service account is disabled, or this machine's clock is wrong"
        }
        (Issuer::ServiceAccount, _) => "download the key of the service account again",
        (Issuer::Exchange, _) => {
            "the workload identity pool does not accept the token; compare its issuer, audience and attribute condition"
        }
        (Issuer::Metadata, _) => {
            "assign a service account to this machine or pod, or correct service_account"
        }
        (Issuer::Impersonation, _) => {
            "grant the federated identity the role Workload Identity User on the service account"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, body: body.as_bytes().to_vec(), is_whole: true, ..Answer::default() }
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).expect("a time")
    }

    #[tokio::test]
    async fn each_issuer_states_the_lifetime_in_its_own_way() {
        let sent_at = Instant::now();
        for (issuer, body, seconds) in [
            (Issuer::ServiceAccount, r#"{"access_token":"t","expires_in":3599}"#, 3599),
            (Issuer::Metadata, r#"{"access_token":"t","expires_in":60,"token_type":"x"}"#, 60),
            (
                Issuer::Impersonation,
                r#"{"accessToken":"t","expireTime":"1970-01-01T01:00:00Z"}"#,
                3500,
            ),
        ] {
            let found = token(&answer(200, body), issuer, "x", sent_at, at(100)).expect("a token");
            assert_eq!((found.expires_at - sent_at).as_secs(), seconds, "{body}");
            assert_eq!(found.authorization, "Bearer t");
        }
    }

    #[tokio::test]
    async fn an_error_is_temporary_or_names_what_to_correct() {
        let grant = r#"{"error":"invalid_grant","error_description":"canary"}"#;
        let api = r#"{"error":{"code":403,"message":"canary","status":"PERMISSION_DENIED"}}"#;
        for (issuer, status, body, expected) in [
            (Issuer::ServiceAccount, 400, grant, "R invalid_grant: the key was deleted"),
            (Issuer::ServiceAccount, 401, "canary", "R HTTP 401: download the key"),
            (Issuer::Exchange, 400, grant, "R invalid_grant: the workload identity pool"),
            (Issuer::Metadata, 404, "canary", "R HTTP 404: assign a service account"),
            (Issuer::Impersonation, 403, api, "R PERMISSION_DENIED: grant the federated"),
            (Issuer::Metadata, 503, "", "U HTTP 503"),
            (Issuer::ServiceAccount, 429, "", "U HTTP 429"),
            (Issuer::ServiceAccount, 400, r#"{"error":"a canary!"}"#, "R HTTP 400: "),
            (Issuer::ServiceAccount, 200, "<html>canary</html>", "R without a token"),
            (Issuer::ServiceAccount, 200, r#"{"access_token":"canary"}"#, "R without a token"),
            (Issuer::Impersonation, 200, r#"{"access_token":"canary"}"#, "R without a token"),
        ] {
            let found = token(&answer(status, body), issuer, "x", Instant::now(), at(0));
            let found = match found.expect_err(body) {
                TokenError::Unavailable { message, .. } => format!("U {message}"),
                TokenError::Refused { message } => format!("R {message}"),
            };
            let (kind, words) = expected.split_at(2);
            assert!(found.starts_with(kind) && found.contains(words), "{expected}: {found}");
            assert!(!found.contains("canary"), "{found}");
        }
        let torn = Answer { is_whole: false, ..answer(200, "{") };
        let torn = token(&torn, Issuer::Metadata, "x", Instant::now(), at(0)).expect_err("torn");
        assert!(matches!(torn, TokenError::Unavailable { .. }), "{torn:?}");
    }
}
