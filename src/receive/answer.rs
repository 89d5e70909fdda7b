//! Every answer to a webhook request. PingOne continues after a 200 only; after any other answer it
//! keeps the batch.
//!
//! | answer | when |
//! | --- | --- |
//! | 200 | every element is on stable storage: spooled, already known, or in quarantine |
//! | 200 | `GET` or `HEAD`: PingOne's *Test Connection* sends it first |
//! | 400 | the body is empty: a proxy that drops bodies must not lose PingOne's events |
//! | 400 | the whole body cannot be parsed and `on_unparseable = "reject"` |
//! | 401 | no valid credential; nothing of the body was read |
//! | 403 | the client's address is not in `allow_from` |
//! | 404, 405 | unknown path; method that a webhook does not accept |
//! | 408 | the body did not arrive within `limits.body_timeout` |
//! | 413 | the body is larger than `limits.body`, compressed or inflated |
//! | 429 + `Retry-After` | too many wrong credentials from one address |
//! | 503 + `Retry-After` | nothing was stored, by a fault of the service |

use axum::Json;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::spool::{AppendError, Receipt};

/// Answer to a webhook request.
#[derive(Debug)]
pub(super) enum WebhookAnswer {
    StoredCounts(StoredCounts),
    Probe,
    Unauthorized,
    TooManyAttempts,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    Timeout,
    TooLarge,
    Empty,
    Unparseable,
    Unavailable(Unavailable),
}

/// Body of the 200.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct StoredCounts {
    pub(super) received: u64,
    pub(super) accepted: u64,
    pub(super) duplicates: u64,
    pub(super) quarantined: u64,
}

/// Reason of a 503.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unavailable {
    /// `limits.in_flight` is reached.
    InFlight,
    /// The service is shutting down.
    ShuttingDown,
    /// The spool did not store the events.
    Spool(AppendError),
    /// A bug in the handler. The request may be repeated.
    Panic,
}

impl From<&Receipt> for StoredCounts {
    fn from(receipt: &Receipt) -> StoredCounts {
        let Receipt { accepted, duplicates, quarantined, .. } = *receipt;
        StoredCounts {
            received: accepted + duplicates + quarantined,
            accepted,
            duplicates,
            quarantined,
        }
    }
}

impl Unavailable {
    /// Returns the seconds to wait: until bytes in flight are stored, or until an operator has
    /// fixed the disk.
    fn retry_after(&self) -> u32 {
        match self {
            Unavailable::InFlight | Unavailable::Panic => 1,
            Unavailable::ShuttingDown => 5,
            Unavailable::Spool(_) => 10,
        }
    }

    fn message(&self) -> &'static str {
        match self {
            Unavailable::InFlight => "too many bytes in flight",
            Unavailable::ShuttingDown => "shutting down",
            Unavailable::Spool(AppendError::QuarantineFull) => "the quarantine is full",
            Unavailable::Spool(AppendError::TooLarge { .. }) => {
                "the batch, compressed, is larger than max_payload of the NATS servers"
            }
            Unavailable::Spool(_) => "the events could not be stored",
            Unavailable::Panic => "internal error",
        }
    }
}

impl WebhookAnswer {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            WebhookAnswer::StoredCounts(_) | WebhookAnswer::Probe => StatusCode::OK,
            WebhookAnswer::Empty | WebhookAnswer::Unparseable => StatusCode::BAD_REQUEST,
            WebhookAnswer::Unauthorized => StatusCode::UNAUTHORIZED,
            WebhookAnswer::TooManyAttempts => StatusCode::TOO_MANY_REQUESTS,
            WebhookAnswer::Forbidden => StatusCode::FORBIDDEN,
            WebhookAnswer::NotFound => StatusCode::NOT_FOUND,
            WebhookAnswer::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            WebhookAnswer::Timeout => StatusCode::REQUEST_TIMEOUT,
            WebhookAnswer::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            WebhookAnswer::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Returns whether the sender continues with its next batch (`true`) or repeats this one
    /// (`false`). `None` if the request did not prove to be the sender's, or carried no batch.
    pub(super) fn moves_the_sender_on(&self) -> Option<bool> {
        match self {
            WebhookAnswer::StoredCounts(_) => Some(true),
            WebhookAnswer::Timeout
            | WebhookAnswer::TooLarge
            | WebhookAnswer::Empty
            | WebhookAnswer::Unparseable
            | WebhookAnswer::Unavailable(_) => Some(false),
            WebhookAnswer::Probe
            | WebhookAnswer::Unauthorized
            | WebhookAnswer::TooManyAttempts
            | WebhookAnswer::Forbidden
            | WebhookAnswer::NotFound
            | WebhookAnswer::MethodNotAllowed => None,
        }
    }

    /// Builds the HTTP response.
    pub(super) fn into_response(self) -> Response {
        let status = self.status();
        let mut response = match &self {
            WebhookAnswer::StoredCounts(stored) => (status, Json(*stored)).into_response(),
            WebhookAnswer::Probe => {
                (status, "davinci-siem: POST PingOne events here\n").into_response()
            }
            WebhookAnswer::Unavailable(why) => error(status, why.message()),
            WebhookAnswer::Empty => {
                error(status, "the body is empty; nothing was stored; does a proxy drop bodies?")
            }
            WebhookAnswer::Unparseable => error(status, "the body cannot be parsed"),
            WebhookAnswer::Unauthorized => error(status, "credentials are missing or wrong"),
            WebhookAnswer::TooManyAttempts => {
                error(status, "credentials were wrong too often; wait a minute")
            }
            WebhookAnswer::Forbidden => error(status, "this address is not allowed"),
            WebhookAnswer::NotFound => error(status, "no webhook has this path"),
            WebhookAnswer::MethodNotAllowed => error(status, "a webhook takes POST, GET and HEAD"),
            WebhookAnswer::Timeout => error(status, "the body did not arrive in time"),
            WebhookAnswer::TooLarge => error(status, "the body is larger than limits.body"),
        };
        let headers = response.headers_mut();
        match &self {
            WebhookAnswer::Unavailable(why) => {
                headers.insert(header::RETRY_AFTER, why.retry_after().into());
            }
            WebhookAnswer::TooManyAttempts => {
                headers.insert(header::RETRY_AFTER, 60.into());
            }
            WebhookAnswer::Unauthorized => {
                let basic = HeaderValue::from_static("Basic realm=\"davinci-siem\"");
                headers.insert(header::WWW_AUTHENTICATE, basic);
            }
            WebhookAnswer::MethodNotAllowed => {
                let allowed =
                    [Method::POST, Method::GET, Method::HEAD].map(|method| method.to_string());
                if let Ok(allowed) = HeaderValue::from_str(&allowed.join(", ")) {
                    headers.insert(header::ALLOW, allowed);
                }
            }
            _ => {}
        }
        response
    }
}

fn error(status: StatusCode, message: &'static str) -> Response {
    #[derive(Serialize)]
    struct ErrorBody {
        error: &'static str,
    }
    (status, Json(ErrorBody { error: message })).into_response()
}
