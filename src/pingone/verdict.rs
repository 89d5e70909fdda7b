//! Consequence of an answer of PingOne's API, in an operator's words.

use std::time::Duration;

use serde::Deserialize;

use super::client::PingOneError;
use crate::http_client::{Answer, Class, class_of};

/// Longest wait between two attempts, unless PingOne requests a longer one.
const MAX_WAIT: Duration = Duration::from_mins(1);

/// Longest requested wait that is kept to. After a longer request, the command ends and says so.
const MAX_REQUESTED: Duration = Duration::from_mins(10);

/// Consequence of one answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AnswerVerdict {
    /// The body is the result.
    Success,
    /// The token is not valid any more.
    RenewToken,
    /// The same request may succeed after this time.
    Retry(Duration, PingOneError),
    /// The same request fails again.
    Failed(PingOneError),
}

/// Error document of PingOne.
#[derive(Deserialize, Default)]
#[serde(default)]
struct ErrorDocument {
    code: String,
    message: String,
}

/// Judges the answer to a request for `object`, a noun phrase. `attempt` counts from 0.
pub(super) fn verdict(answer: &Answer, object: &str, attempt: u32) -> AnswerVerdict {
    let status = answer.status;
    let document: ErrorDocument = serde_json::from_slice(&answer.body).unwrap_or_default();
    let code = shown_code(&document.code);
    let message = format!("PingOne answered HTTP {status}{code} to the request for {object}");
    match (status, class_of(status)) {
        (_, Class::Success) if answer.is_whole => AnswerVerdict::Success,
        (_, Class::Success) if answer.is_too_long => {
            AnswerVerdict::Failed(PingOneError::Unexpected(format!(
                "PingOne's answer to the request for {object} is longer than 16 MiB"
            )))
        }
        (_, Class::Success) => {
            let message = format!("the answer to the request for {object} broke off");
            AnswerVerdict::Retry(wait(None, attempt), PingOneError::Unavailable(message))
        }
        (401, _) => AnswerVerdict::RenewToken,
        // The gateway answers so to a path that it does not know.
        (403, _) if document.message.contains("missing equal-sign") => {
            AnswerVerdict::Failed(PingOneError::Unsupported(format!(
                "{message}: this environment does not offer it; see that DaVinci is a service of the environment"
            )))
        }
        (403, _) => AnswerVerdict::Failed(PingOneError::Forbidden(format!(
            "{message}: give the worker application a role that may read it, or add the service to the environment"
        ))),
        (404, _) => AnswerVerdict::Failed(PingOneError::Unsupported(format!(
            "{message}: correct pingone.environment and pingone.region"
        ))),
        (_, Class::Retry) => match too_long(answer, &message) {
            Some(error) => AnswerVerdict::Failed(error),
            None => AnswerVerdict::Retry(
                wait(answer.retry_after, attempt),
                PingOneError::Unavailable(message),
            ),
        },
        _ => AnswerVerdict::Failed(PingOneError::Unexpected(message)),
    }
}

/// Returns the error of an answer that requests a wait of more than ten minutes.
pub(super) fn too_long(answer: &Answer, message: &str) -> Option<PingOneError> {
    answer.retry_after.filter(|requested| *requested > MAX_REQUESTED)?;
    Some(PingOneError::Unavailable(format!(
        "{message} and requests a wait of more than ten minutes; try again later"
    )))
}

/// Returns the time before the next attempt: at least what PingOne requests.
pub(super) fn wait(requested: Option<Duration>, attempt: u32) -> Duration {
    let own = Duration::from_secs(1 << attempt.min(6)).min(MAX_WAIT);
    requested.map_or(own, |requested| requested.max(Duration::from_millis(1)))
}

/// Returns a code of PingOne, which consists of capitals; any other text may be a secret.
fn shown_code(code: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    match (1..=40).contains(&code.len()) && code.bytes().all(is_plain) {
        true => format!(" ({code})"),
        false => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_one_consequence() {
        let path = r#"{"message":"Invalid key=value pair (missing equal-sign) in Authorization header: 'Bearer canary'."}"#;
        for (status, body, seconds, expected) in [
            (200, "{}", None, "success"),
            (401, "{}", None, "renew"),
            (
                403,
                r#"{"code":"ACCESS_FAILED","message":"canary"}"#,
                None,
                "failed HTTP 403 (ACCESS_FAILED) to the request for x: give",
            ),
            (
                403,
                path,
                None,
                "failed HTTP 403 to the request for x: this environment does not offer it",
            ),
            (404, "", None, "failed HTTP 404 to the request for x: correct pingone.environment"),
            (400, r#"{"code":"canary canary"}"#, None, "failed HTTP 400 to the request for x"),
            (
                429,
                r#"{"code":"REQUEST_LIMITED"}"#,
                Some(7),
                "retry 7000 HTTP 429 (REQUEST_LIMITED)",
            ),
            (429, "", Some(0), "retry 1 HTTP 429"),
            (429, "", Some(600), "retry 600000 HTTP 429"),
            (
                429,
                "",
                Some(601),
                "failed HTTP 429 to the request for x and requests a wait of more",
            ),
            (503, "", Some(u64::MAX), "failed HTTP 503 to the request for x and requests a wait"),
            (429, "", None, "retry 4000 HTTP 429"),
            (503, "<html>canary</html>", None, "retry 4000 HTTP 503"),
        ] {
            let answer = Answer {
                status,
                body: body.as_bytes().to_vec(),
                is_whole: true,
                retry_after: seconds.map(Duration::from_secs),
                ..Answer::default()
            };
            let found = match verdict(&answer, "x", 2) {
                AnswerVerdict::Success => "success".to_owned(),
                AnswerVerdict::RenewToken => "renew".to_owned(),
                AnswerVerdict::Retry(wait, error) => format!("retry {} {error}", wait.as_millis()),
                AnswerVerdict::Failed(error) => format!("failed {error}"),
            };
            let found = found.replace("PingOne answered ", "");
            assert!(
                found.starts_with(expected) && !found.contains("canary"),
                "{expected}: {found}"
            );
        }
        let torn = Answer { status: 200, ..Answer::default() };
        assert!(matches!(verdict(&torn, "x", 0), AnswerVerdict::Retry(..)));
        assert_eq!(wait(None, 30), MAX_WAIT);
    }
}
