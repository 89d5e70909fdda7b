//! One method of a Google API: requests with an access token, and verdicts of its errors.
//! <https://cloud.google.com/apis/design/errors>

use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use serde::Deserialize;
use url::Url;

use super::{Reason, Verdict};
use crate::google::{GoogleConfig, GoogleTokenClient};
use crate::http_client::{
    Answer, Class, HttpClient, HttpClientConfig, RequestError, advice, class_of,
};
use crate::oauth::{AccessToken, TokenCache};

/// Connection to one API, signed in as one identity.
#[derive(Debug)]
pub(super) struct GoogleApi {
    requests: HttpClient,
    tokens: Arc<TokenCache>,
    identity: GoogleTokenClient,
}

/// Property of a sink that decides the advice about an error.
#[derive(Debug, Clone, Copy)]
pub(super) struct GoogleAdvice {
    /// Sentence end for 403.
    pub(super) role: &'static str,
    /// Sentence end for 404.
    pub(super) resource: &'static str,
}

#[derive(Deserialize)]
struct ApiErrorAnswer {
    error: ApiError,
}

/// `google.rpc.Status`.
#[derive(Deserialize)]
struct ApiError {
    status: String,
}

impl GoogleApi {
    /// Creates a connection. `tokens` is shared by all connections of the sink.
    pub(super) fn open(
        client: &HttpClientConfig,
        identity: &GoogleConfig,
        tokens: &Arc<TokenCache>,
    ) -> Result<GoogleApi, Reason> {
        Ok(GoogleApi {
            requests: HttpClient::open(client, HeaderMap::new())?,
            tokens: Arc::clone(tokens),
            identity: GoogleTokenClient::new(identity, client),
        })
    }

    /// Sends a JSON body once. After a 401 or 403, sends it a second time with another token: the credentials may have
    /// been replaced by those of another account.
    pub(super) async fn post(&self, url: &Url, body: Vec<u8>) -> Result<Answer, Verdict> {
        let token = self.tokens.token(&self.identity).await?;
        let answer = self.attempt(url, &token, body.clone()).await?;
        if !matches!(answer.status, 401 | 403) {
            return Ok(answer);
        }
        let token = self.tokens.renewed(&token, &self.identity).await?;
        Ok(self.attempt(url, &token, body).await?)
    }

    async fn attempt(
        &self,
        url: &Url,
        token: &AccessToken,
        body: Vec<u8>,
    ) -> Result<Answer, RequestError> {
        let headers = HeaderMap::from_iter([(AUTHORIZATION, token.authorization.clone())]);
        self.requests.post(url, "application/json", headers, body).await
    }
}

/// Returns the verdict of an error for all items of a request; `None` for a success.
pub(super) fn failure(answer: &Answer, texts: GoogleAdvice) -> Option<Verdict> {
    let status = answer.status;
    let code = code(answer);
    let named = code.as_deref().map_or(String::new(), |code| format!(", {code}"));
    let reason = |words: &str| answer.reason(format!("HTTP {status}{named}{words}"), code.clone());
    let fatal = |words: &str| Verdict::Fatal { reason: reason(&format!(": {words}")) };
    Some(match (status, class_of(status)) {
        (401, _) => fatal("it refuses the access token; correct the credentials"),
        (403, _) => fatal(texts.role),
        (404, _) => fatal(texts.resource),
        (_, Class::Success) => return None,
        // CANCELLED: a proxy or Google gave the request up.
        (499, _) | (_, Class::Retry) => {
            Verdict::Retry { after: answer.retry_after, reason: reason("") }
        }
        (_, Class::Fatal) => fatal(advice(status)),
        (400, _) if code.as_deref() == Some("FAILED_PRECONDITION") => fatal(
            "the project cannot serve it; check billing, the encryption key and the region policies of the project",
        ),
        // Not an answer of Google: a page of a proxy, or plain HTTP at a port for TLS.
        (_, Class::Refused) if code.is_none() => {
            fatal("the answer is not one of Google; correct endpoint, or the proxy")
        }
        (_, Class::TooLarge | Class::Refused) => Verdict::Split { reason: reason("") },
    })
}

/// Returns the error code, if it is a word; any other text is not shown in logs.
fn code(answer: &Answer) -> Option<String> {
    let read: ApiErrorAnswer = serde_json::from_slice(&answer.body).ok()?;
    let code = read.error.status;
    let is_letter = |byte: u8| byte.is_ascii_uppercase() || byte == b'_';
    ((1..=40).contains(&code.len()) && code.bytes().all(is_letter)).then_some(code)
}

/// Parses a part of a resource's name, which becomes a part of a URL's path.
pub(super) fn parse_name(text: &str) -> Result<String, &'static str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.~:".contains(c);
    match (1..=255).contains(&text.len()) && text.chars().all(is_plain) && text != ".." {
        true => Ok(text.to_owned()),
        false => Err(
            "must be 1 to 255 of letters, digits and - _ . ~ :, without the rest of the resource's name",
        ),
    }
}
