//! Verdicts for Splunk's codes, and for the statuses of other collectors.
//!
//! The collector does not refuse a request as a whole: it indexes the events before `invalid-event-number`, but neither
//! that event nor the later ones. The number is valid with status 400, and with 503 if the queue was full within a
//! request; with any other status it is ignored.
//! <https://help.splunk.com/en/splunk-enterprise/get-started/get-data-in/troubleshoot-http-event-collector>

use serde::Deserialize;
use serde_json::Value;

use crate::http_client::{Answer, Class, advice, class_of};
use crate::sinks::{Reason, Report, SinkFinding, Verdict};

pub(super) const NO_DATA: i64 = 5;
const SERVER_IS_BUSY: i64 = 9;
pub(super) const ACKNOWLEDGEMENT_IS_DISABLED: i64 = 14;
pub(super) const HEALTHY: i64 = 17;

/// An answer of the collector. An answer of a proxy in its place has no code.
#[derive(Debug)]
pub(in crate::sinks) struct Reply {
    pub(super) answer: Answer,
    pub(super) code: Option<i64>,
    pub(super) ack_id: Option<u64>,
    /// Error type of AWS, without its namespace.
    error_type: Option<String>,
    /// True if the body is a JSON object.
    is_object: bool,
    invalid_event: Option<usize>,
}

#[derive(Default, Deserialize)]
struct HecAnswer {
    /// A number at Splunk, a text at AWS.
    code: Option<Value>,
    #[serde(rename = "__type")]
    error_type: Option<String>,
    #[serde(rename = "ackId")]
    ack_id: Option<u64>,
    #[serde(rename = "invalid-event-number")]
    invalid_event: Option<usize>,
}

impl Reply {
    pub(in crate::sinks) fn read(answer: Answer) -> Reply {
        let is_object = answer.is_object();
        let read = serde_json::from_slice(&answer.body).ok().filter(|_| is_object);
        let HecAnswer { code, error_type, ack_id, invalid_event } = read.unwrap_or_default();
        let named = error_type.as_deref().or_else(|| code.as_ref().and_then(Value::as_str));
        let error_type = named.and_then(|name| name.rsplit('#').next()).map(str::to_owned);
        let code = code.as_ref().and_then(Value::as_i64);
        Reply { answer, code, ack_id, error_type, is_object, invalid_event }
    }

    pub(super) fn reason(&self, message: &str) -> Reason {
        let status = self.answer.status;
        let code = self.code.map(|code| code.to_string());
        let text = self.code.and_then(text).map_or(String::new(), |text| format!(", {text}"));
        let said = match &code {
            Some(code) => format!("HTTP {status}, code {code}{text}"),
            None => format!("HTTP {status}"),
        };
        self.answer.reason(format!("{message} ({said})"), code)
    }
}

/// Returns the report for `count` events that were sent together.
pub(in crate::sinks) fn report(reply: &Reply, count: usize) -> Report {
    let all = |verdict: Verdict| Report::from(vec![verdict; count]);
    let refused = || reply.reason("the collector refused the event");
    match (reply.answer.status, reply.code) {
        (200, Some(24 | 25)) => all(Verdict::Delivered).with(SinkFinding::SlowDown, count as u64),
        (200, Some(0)) => all(Verdict::Delivered),
        (200, None) if !reply.answer.is_whole && !reply.answer.is_too_long => all(retry(reply)),
        (200..=299, _) => all(Verdict::Fatal {
            reason: reply.reason("the answer is not one of a collector; correct the endpoint"),
        }),
        (400, Some(6 | 12 | 13 | 15)) => at(reply.invalid_event, count, &refused()),
        (400, Some(7)) => wrong_index(reply, count),
        (_, Some(NO_DATA)) => all(Verdict::Split { reason: refused() }),
        (_, Some(1..=4 | 10 | 11 | 14 | 16 | 21 | 22 | 28)) => all(Verdict::Fatal {
            reason: reply
                .reason("the collector does not let this token in; correct it in Splunk or here"),
        }),
        (503, Some(SERVER_IS_BUSY)) => busy(reply, count),
        // A proxy refuses the request; the collector has not received it.
        (400 | 409 | 422, None) => all(Verdict::Retry {
            after: reply.answer.retry_after,
            reason: reply.reason("something before the collector refuses the request"),
        }),
        (_, Some(8 | 9 | 18..=20 | 23 | 26 | 27)) => all(retry(reply)),
        (status, _) => all(match class_of(status) {
            Class::Success | Class::Retry => retry(reply),
            Class::TooLarge | Class::Refused => Verdict::Split { reason: refused() },
            Class::Fatal => Verdict::Fatal {
                reason: reply.reason(&format!("the collector cannot be used: {}", advice(status))),
            },
        }),
    }
}

/// Beginnings of AWS's error types that pass by themselves, although their status is 400.
const TEMPORARY_TYPES: [&str; 4] =
    ["InternalFailure", "LimitExceeded", "ServiceUnavailable", "Throttling"];

/// Beginnings of AWS's error types that concern the token or the log group, and no event.
const FATAL_TYPES: [&str; 8] = [
    "AccessDenied",
    "ExpiredToken",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSignature",
    "MissingAuthenticationToken",
    "ResourceNotFound",
    "UnrecognizedClient",
];

fn is_among(reply: &Reply, types: &[&str]) -> bool {
    let name = reply.error_type.as_deref();
    name.is_some_and(|name| types.iter().any(|beginning| name.starts_with(beginning)))
}

/// Returns the verdict of a collector that is not Splunk. It judges a request as a whole, and its codes have no defined
/// meaning. `has_body` is true if an acknowledgement has a body.
pub(super) fn verdict_by_status(reply: &Reply, has_body: bool) -> Verdict {
    let status = reply.answer.status;
    let is_torn = !reply.answer.is_whole && !reply.answer.is_too_long;
    let has_error = reply.error_type.is_some() || reply.code.is_some_and(|code| code != 0);
    let is_empty = !has_body && reply.answer.body.is_empty();
    let is_success = status == 200 && (reply.is_object || is_empty) && !has_error;
    match class_of(status) {
        Class::Success if is_torn => retry(reply),
        Class::Success if reply.answer.is_page() => reply.answer.page_verdict(),
        Class::Success if is_success => Verdict::Delivered,
        Class::Success => Verdict::Fatal {
            reason: reply.reason("the answer is not one of a collector; correct the endpoint"),
        },
        Class::Retry => retry(reply),
        Class::Refused | Class::Fatal if is_among(reply, &TEMPORARY_TYPES) => retry(reply),
        Class::Refused if is_among(reply, &FATAL_TYPES) => Verdict::Fatal {
            reason: reply.reason(
                "the collector does not let this token in, or has no such log group and stream; correct them",
            ),
        },
        // A proxy refuses the request; the collector has not received it.
        Class::Refused if !reply.is_object => Verdict::Retry {
            after: reply.answer.retry_after,
            reason: reply.reason("something before the collector refuses the request"),
        },
        Class::TooLarge | Class::Refused => {
            Verdict::Split { reason: reply.reason("the collector refused the events") }
        }
        Class::Fatal => Verdict::Fatal {
            reason: reply.reason(&format!("the collector cannot be used: {}", advice(status))),
        },
    }
}

/// Returns the result of an empty request to a collector that is not Splunk.
pub(super) fn probed_by_status(reply: &Reply, has_body: bool) -> Result<String, Reason> {
    match verdict_by_status(reply, has_body) {
        Verdict::Delivered | Verdict::Split { .. } => {
            Ok(format!("answers (HTTP {} to an empty request)", reply.answer.status))
        }
        verdict => Err(verdict.into_reason()),
    }
}

/// The event at `number` is invalid. Splunk Cloud reports a body that is too large as an invalid first event, so the
/// number 0 is trusted only in a request with a single event.
fn at(number: Option<usize>, count: usize, reason: &Reason) -> Report {
    let Some(number) = number.filter(|number| (1..count).contains(number)) else {
        return vec![Verdict::Split { reason: reason.clone() }; count].into();
    };
    let mut verdicts = vec![Verdict::Delivered; number];
    verdicts.push(Verdict::Rejected { reason: reason.clone() });
    verdicts.resize(count, Verdict::NotTried);
    verdicts.into()
}

/// The index is wrong. All events have the same index, so the cause is the token and not an event. The number is one too
/// high: the events before the one before it are indexed.
fn wrong_index(reply: &Reply, count: usize) -> Report {
    let number = reply.invalid_event.filter(|number| *number <= count).unwrap_or(0);
    let mut verdicts = vec![Verdict::Delivered; number.saturating_sub(1)];
    let reason = reply.reason(
        "the collector refuses the index; allow it for this token in Splunk, or correct index",
    );
    verdicts.resize(count, Verdict::Fatal { reason });
    verdicts.into()
}

/// The queue was full at an event. The events before it are indexed, and are not sent again.
fn busy(reply: &Reply, count: usize) -> Report {
    let indexed = reply.invalid_event.filter(|number| *number < count).unwrap_or(0);
    let mut verdicts = vec![Verdict::Delivered; indexed];
    verdicts.resize(count, retry(reply));
    verdicts.into()
}

fn retry(reply: &Reply) -> Verdict {
    let reason = reply.reason("the collector cannot take events now");
    Verdict::Retry { after: reply.answer.retry_after, reason }
}

/// Splunk's texts for its codes. This table is used in place of the answer, whose text must not reach the log.
fn text(code: i64) -> Option<&'static str> {
    Some(match code {
        1 => "token disabled",
        2 => "token is required",
        3 => "invalid authorization",
        4 => "invalid token",
        5 => "no data",
        6 => "invalid data format",
        7 => "incorrect index: the token may not write to it",
        8 => "internal server error",
        9 => "server is busy",
        10 => "data channel is missing: the token wants acknowledgement",
        11 => "invalid data channel",
        12 => "event field is required",
        13 => "event field cannot be blank",
        14 => "acknowledgement is disabled",
        15 => "error in handling indexed fields",
        16 => "query string authorization is not enabled",
        18 => "queues are full",
        19 => "acknowledgement is unavailable",
        20 => "queues are full and acknowledgement is unavailable",
        21 => "invalid token",
        22 => "token disabled",
        23 => "server is shutting down",
        24 => "the queue is nearly full",
        25 => "the acknowledgement channel is nearly full",
        26 => "the queue is full",
        27 => "the acknowledgement channel is full",
        28 => "data channel is missing: sticky sessions are needed",
        _ => return None,
    })
}
