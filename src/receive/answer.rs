//! Every answer there is. Only a 200 moves PingOne on, and any other keeps the batch with it.
//!
//! | answer | when |
//! | --- | --- |
//! | 200 | every element is on stable storage: spooled, known, or in quarantine |
//! | 200 | `GET` or `HEAD`: PingOne's *Test Connection* asks this way first |
//! | 400 | the body is empty: a proxy that drops bodies must not use up PingOne's events |
//! | 400 | the body cannot be parsed at all and `on_unparseable = "reject"` |
//! | 401 | no valid credential; nothing of the body was read |
//! | 403 | the peer's address is not in `allow_from` |
//! | 404, 405 | not a webhook's path; a method that no webhook has |
//! | 408 | the body did not arrive within `limits.body_timeout` |
//! | 413 | the body is larger than `limits.body`, compressed or inflated |
//! | 429 + `Retry-After` | wrong credentials again, too often from one address |
//! | 503 + `Retry-After` | nothing was kept, and it is our fault: try again |

use axum::Json;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::spool::{AppendError, Receipt};

/// What a request is told.
#[derive(Debug)]
pub(super) enum Answer {
    Stored(Stored),
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

/// The body of the 200.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Stored {
    pub(super) received: u64,
    pub(super) accepted: u64,
    pub(super) duplicates: u64,
    pub(super) quarantined: u64,
}

/// Why nothing can be taken now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unavailable {
    /// `limits.in_flight` is reached.
    InFlight,
    /// The service is ending.
    ShuttingDown,
    /// The spool did not store it.
    Spool(AppendError),
    /// A bug in the handler; the request may be repeated.
    Panic,
}

impl From<&Receipt> for Stored {
    fn from(receipt: &Receipt) -> Stored {
        let Receipt { accepted, duplicates, quarantined, .. } = *receipt;
        Stored { received: accepted + duplicates + quarantined, accepted, duplicates, quarantined }
    }
}

impl Unavailable {
    /// Seconds to wait: until bytes in flight are stored, or until a disk has been looked after.
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
            Unavailable::Spool(_) => "the events could not be stored",
            Unavailable::Panic => "internal error",
        }
    }
}

impl Answer {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Answer::Stored(_) | Answer::Probe => StatusCode::OK,
            Answer::Empty | Answer::Unparseable => StatusCode::BAD_REQUEST,
            Answer::Unauthorized => StatusCode::UNAUTHORIZED,
            Answer::TooManyAttempts => StatusCode::TOO_MANY_REQUESTS,
            Answer::Forbidden => StatusCode::FORBIDDEN,
            Answer::NotFound => StatusCode::NOT_FOUND,
            Answer::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Answer::Timeout => StatusCode::REQUEST_TIMEOUT,
            Answer::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Answer::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Whether the sender goes on to its next batch or repeats this one; `None` where nobody has shown to be
    /// the sender, or sent a batch.
    pub(super) fn moves_the_sender_on(&self) -> Option<bool> {
        match self {
            Answer::Stored(_) => Some(true),
            Answer::Timeout
            | Answer::TooLarge
            | Answer::Empty
            | Answer::Unparseable
            | Answer::Unavailable(_) => Some(false),
            Answer::Probe
            | Answer::Unauthorized
            | Answer::TooManyAttempts
            | Answer::Forbidden
            | Answer::NotFound
            | Answer::MethodNotAllowed => None,
        }
    }

    /// The response.
    pub(super) fn into_response(self) -> Response {
        let status = self.status();
        let mut response = match &self {
            Answer::Stored(stored) => (status, Json(*stored)).into_response(),
            Answer::Probe => (status, "davinci-siem: POST PingOne events here\n").into_response(),
            Answer::Unavailable(why) => error(status, why.message()),
            Answer::Empty => {
                error(status, "the body is empty; nothing was stored; does a proxy drop bodies?")
            }
            Answer::Unparseable => error(status, "the body cannot be parsed"),
            Answer::Unauthorized => error(status, "credentials are missing or wrong"),
            Answer::TooManyAttempts => {
                error(status, "credentials were wrong too often; wait a minute")
            }
            Answer::Forbidden => error(status, "this address is not allowed"),
            Answer::NotFound => error(status, "no webhook has this path"),
            Answer::MethodNotAllowed => error(status, "a webhook takes POST, GET and HEAD"),
            Answer::Timeout => error(status, "the body did not arrive in time"),
            Answer::TooLarge => error(status, "the body is larger than limits.body"),
        };
        let headers = response.headers_mut();
        match &self {
            Answer::Unavailable(why) => {
                headers.insert(header::RETRY_AFTER, why.retry_after().into());
            }
            Answer::TooManyAttempts => {
                headers.insert(header::RETRY_AFTER, 60.into());
            }
            Answer::Unauthorized => {
                let basic = HeaderValue::from_static("Basic realm=\"davinci-siem\"");
                headers.insert(header::WWW_AUTHENTICATE, basic);
            }
            Answer::MethodNotAllowed => {
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
    struct Body {
        error: &'static str,
    }
    (status, Json(Body { error: message })).into_response()
}
