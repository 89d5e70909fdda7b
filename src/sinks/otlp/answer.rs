//! Verdicts of an OTLP receiver. It may accept a part of a request, without naming the part.
//! <https://opentelemetry.io/docs/specs/otlp/#otlphttp-response>

use prost::Message;
use serde::Deserialize;

use super::messages::{ExportLogsResponse, RefusalStatus};
use crate::http_client::{Answer, Class, advice, class_of};
use crate::sinks::{Reason, Report, SinkFinding, Verdict};

/// The response in JSON, which some receivers send whatever the request was.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonResponse {
    #[serde(default, alias = "partial_success")]
    partial_success: Option<JsonPartialSuccess>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct JsonPartialSuccess {
    #[serde(alias = "rejected_log_records")]
    rejected_log_records: serde_json::Value,
}

/// `google.rpc.Status` in JSON. Fields with their default value may be missing.
#[derive(Deserialize)]
struct JsonRefusalStatus {
    code: Option<i32>,
    message: Option<String>,
}

/// Encodings of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AnswerEncoding {
    Protobuf,
    Json,
    /// Text, HTML, or no content type.
    Other,
}

/// Returns the report for `count` records that were sent together.
///
/// The protocol forbids to repeat a partly accepted request. If all of its records are rejected, each becomes a dead
/// letter. Otherwise the rejected ones are unknown: all count as delivered, and the number as a finding.
pub(super) fn report(answer: &Answer, count: usize) -> Report {
    let all = |verdict: Verdict| Report::from(vec![verdict; count]);
    let rejected = match rejected(answer) {
        Ok(rejected) => rejected,
        Err(verdict) => return all(verdict),
    };
    if rejected >= count as u64 {
        let words = "it rejected every record of the request";
        return all(Verdict::Rejected { reason: answer.reason(words, None) });
    }
    all(Verdict::Delivered).with(SinkFinding::PartialSuccess, rejected)
}

/// Returns the result of a probe with an empty request.
pub(super) fn probed(answer: &Answer) -> Result<String, Reason> {
    match rejected(answer) {
        Ok(_) => Ok("it accepts requests".to_owned()),
        Err(Verdict::Split { .. }) if answer.status == 400 => {
            Ok("it refuses the empty request of the check (HTTP 400), and not the credentials"
                .to_owned())
        }
        Err(other) => Err(other.into_reason()),
    }
}

/// Returns the number of records that a successful answer rejects, or the verdict for all of them.
fn rejected(answer: &Answer) -> Result<u64, Verdict> {
    let status = answer.status;
    let reason = |words: &str| answer.reason(format!("HTTP {status}{words}"), None);
    match class_of(status) {
        Class::Success if answer.is_torn() => Err(Verdict::Retry {
            after: answer.retry_after,
            reason: reason(", and the answer broke off"),
        }),
        Class::Success | Class::Refused if answer.is_page() => Err(answer.page_verdict()),
        Class::Success => read(answer).ok_or_else(|| Verdict::Fatal {
            reason: reason(": this is not an answer of an OTLP receiver; correct endpoint"),
        }),
        // OTLP knows no retry after 408 and 500. Proxies answer so in an outage, which must not make dead letters.
        Class::Retry => Err(Verdict::Retry { after: answer.retry_after, reason: reason("") }),
        Class::Fatal => Err(Verdict::Fatal { reason: reason(&format!(": {}", advice(status))) }),
        Class::Refused if !is_refusal(answer) => Err(Verdict::Retry {
            after: answer.retry_after,
            reason: reason(
                ": this is not an answer of an OTLP receiver; correct endpoint, or the proxy",
            ),
        }),
        Class::TooLarge | Class::Refused => Err(Verdict::Split { reason: reason("") }),
    }
}

fn encoding(answer: &Answer) -> AnswerEncoding {
    match answer.content_type.as_deref() {
        Some("application/x-protobuf" | "application/protobuf") => AnswerEncoding::Protobuf,
        Some("application/json") => AnswerEncoding::Json,
        _ => AnswerEncoding::Other,
    }
}

/// Returns the number of rejected records; `None` if the answer is no response.
fn read(answer: &Answer) -> Option<u64> {
    let body = answer.body.as_slice();
    match (encoding(answer), body.is_empty()) {
        (AnswerEncoding::Protobuf | AnswerEncoding::Json, true) => return Some(0),
        // Loki and Grafana Cloud answer so: the status itself says that there is no body, and so no content type.
        (AnswerEncoding::Other, true) => return (answer.status == 204).then_some(0),
        (AnswerEncoding::Protobuf, false) => {
            let response = ExportLogsResponse::decode(body).ok()?;
            let rejected = response.partial_success.map_or(0, |part| part.rejected_log_records);
            return Some(u64::try_from(rejected).unwrap_or(0));
        }
        // Some receivers send JSON as text. Any other text may be a page of a proxy.
        (AnswerEncoding::Json | AnswerEncoding::Other, false) => {}
    }
    // OTLP lets a receiver add fields. Without the one of the protocol, they are another API's answer, or an error.
    let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(body).ok()?;
    let is_response = fields.is_empty()
        || ["partialSuccess", "partial_success"].iter().any(|name| fields.contains_key(*name));
    if !is_response || fields.contains_key("error") {
        return None;
    }
    let response: JsonResponse = serde_json::from_slice(body).ok()?;
    // 64-bit numbers are texts in the JSON of protobuf.
    Some(match response.partial_success.unwrap_or_default().rejected_log_records {
        serde_json::Value::Number(number) => number.as_u64().unwrap_or(0),
        serde_json::Value::String(text) => text.parse().unwrap_or(0),
        _ => 0,
    })
}

/// Returns true if a receiver of OTLP refuses the request: the body is a `google.rpc.Status`, which is empty only in
/// protobuf. Any other body is one of a proxy, which no record causes.
fn is_refusal(answer: &Answer) -> bool {
    let body = answer.body.as_slice();
    match encoding(answer) {
        AnswerEncoding::Protobuf => RefusalStatus::decode(body).is_ok(),
        AnswerEncoding::Json | AnswerEncoding::Other => {
            serde_json::from_slice::<JsonRefusalStatus>(body)
                .is_ok_and(|status| status.code.is_some() || status.message.is_some())
        }
    }
}
