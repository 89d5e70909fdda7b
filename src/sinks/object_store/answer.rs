//! Verdicts on an object, from the store's answer. An object holds many events, so no answer refuses it for good: what
//! a repetition cannot solve waits for an operator.

use super::config::StoreConfig;
use super::exchange::{Exchange, ExchangeResult, StoreAnswer};
use crate::sinks::{Reason, Verdict};

/// API of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StoreKind {
    S3,
    AzureBlob,
    Gcs,
}

/// Result of an attempt to create an object.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Creation {
    /// The store has stored it.
    Stored,
    /// The store has an object of this name.
    Exists(Reason),
    Failed(Verdict),
}

impl StoreKind {
    pub(super) fn of(store: &StoreConfig) -> StoreKind {
        match store {
            StoreConfig::S3(_) => StoreKind::S3,
            StoreConfig::AzureBlob(_) => StoreKind::AzureBlob,
            StoreConfig::Gcs(_) => StoreKind::Gcs,
        }
    }
}

/// Returns the failure of an exchange that the library took for a success, if a page came in place of the store's
/// answer.
pub(super) fn unconfirmed(exchange: Option<&Exchange>) -> Option<Creation> {
    match exchange {
        Some(Exchange { peer, result: ExchangeResult::Answer(answer), .. }) if answer.is_page => {
            Some(page(answer, peer))
        }
        _ => None,
    }
}

/// Judges an exchange that the library did not take for a success. `bucket` is its name.
pub(super) fn failed(exchange: Option<Exchange>, kind: StoreKind, bucket: &str) -> Creation {
    let Some(Exchange { peer, is_for_store, result }) = exchange else {
        // No request was sent: the library could not read or use the credentials.
        return fatal("the credentials cannot be used; check them and the files that hold them");
    };
    let answer = match result {
        ExchangeResult::Answer(answer) => answer,
        ExchangeResult::NoAnswer(error) => return Creation::Failed(error.into()),
    };
    if is_for_store { judge(&answer, kind, &peer, bucket) } else { refused_token(&answer, &peer) }
}

/// Judges the store's answer to the creation of an object.
fn judge(answer: &StoreAnswer, kind: StoreKind, peer: &str, bucket: &str) -> Creation {
    let StoreAnswer { status, code, .. } = answer;
    let code = code.as_deref().unwrap_or_default();
    let at = named(answer, peer);
    match (status, code) {
        (200..=299 | 304 | 412, _) if answer.is_page => page(answer, peer),
        // Each store returns the ETag of the new object.
        (200..=299, _) => retry(
            answer,
            format!("{at} without an ETag, as no store answers; correct endpoint, or the proxy"),
        ),
        // The only condition of the request is that no such object exists.
        (304 | 412, _) => exists(answer, &at),
        (409, "BlobAlreadyExists" | "BlobImmutableDueToPolicy") if kind == StoreKind::AzureBlob => {
            exists(answer, &at)
        }
        (307 | 400, "TemporaryRedirect" | "RequestTimeout")
        | (408 | 409 | 425 | 429, _)
        | (500 | 502..=504 | 506.., _) => retry(answer, format!("{at}; it is sent again")),
        (_, "RequestTimeTooSkewed") => {
            fatal(format!("{at}: the clock of this machine differs from the store's; correct it"))
        }
        (_, "ExpiredToken" | "TokenRefreshRequired" | "InvalidToken") => {
            fatal(format!("{at}: the temporary key has expired; replace it"))
        }
        (301 | 307 | 308, _) | (400, "AuthorizationHeaderMalformed") => fatal(format!(
            "{at}: bucket {bucket} is in another region or at another address; correct region or endpoint"
        )),
        (400, "EntityTooLarge") | (413, _) => {
            fatal(format!("{at}: the object is too large; lower batch.bytes"))
        }
        (401 | 403, _) => fatal(format!(
            "{at}: it refuses to create an object in {bucket}; correct the credentials or their permissions"
        )),
        (404, _) => {
            fatal(format!("{at}: bucket {bucket} does not exist; create it or correct its name"))
        }
        (501, _) => fatal(format!(
            "{at}: it does not support the condition If-None-Match, so it cannot keep an object from being \
             written twice; use a version that does"
        )),
        _ => fatal(format!("{at}: it refuses the object; see its own log")),
    }
}

/// Judges the refusal of a request for credentials.
fn refused_token(answer: &StoreAnswer, peer: &str) -> Creation {
    let at = named(answer, peer);
    match answer.status {
        408 | 429 | 500.. => retry(answer, format!("{at} to a request for credentials")),
        _ => {
            fatal(format!("{at} to a request for credentials; correct the role or the credentials"))
        }
    }
}

/// Returns the beginning of a message: peer, status and code.
fn named(answer: &StoreAnswer, peer: &str) -> String {
    match &answer.code {
        Some(code) => format!("{peer} answered {} ({code})", answer.status),
        None => format!("{peer} answered {}", answer.status),
    }
}

fn exists(answer: &StoreAnswer, at: &str) -> Creation {
    let message = format!("{at}: it has an object of this name, which this sink has not written");
    Creation::Exists(reason(answer, message))
}

/// Returns the failure for a page in place of the store's answer: the store has not received the object.
fn page(answer: &StoreAnswer, peer: &str) -> Creation {
    let message = format!(
        "{} with a page in HTML: a login page or a proxy answered in place of the store; correct endpoint, or the proxy",
        named(answer, peer)
    );
    retry(answer, message)
}

fn reason(answer: &StoreAnswer, message: String) -> Reason {
    let StoreAnswer { status, code, .. } = answer.clone();
    Reason { status: Some(status), code, ..Reason::new(message) }
}

fn retry(answer: &StoreAnswer, message: String) -> Creation {
    let after = answer.retry_after;
    Creation::Failed(Verdict::Retry { after, reason: reason(answer, message) })
}

fn fatal(message: impl Into<String>) -> Creation {
    Creation::Failed(Verdict::Fatal { reason: Reason::new(message) })
}
