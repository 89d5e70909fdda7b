//! Verdicts of an OTLP receiver. It may accept a part of a request, without naming the part.
//! <https://opentelemetry.io/docs/specs/otlp/#otlphttp-response>

use prost::Message;
use serde::Deserialize;

use super::messages::ExportLogsResponse;
use crate::http_client::{Answer, Class, advice, class_of};
use crate::sinks::{Reason, Report, SinkFinding, Verdict};

/// The response in JSON, which some receivers send whatever the request was.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct JsonResponse {
    #[serde(default)]
    partial_success: Option<JsonPartialSuccess>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct JsonPartialSuccess {
    rejected_log_records: serde_json::Value,
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
        Class::Success if !answer.is_whole => Err(Verdict::Retry {
            after: answer.retry_after,
            reason: reason(", and the answer broke off"),
        }),
        Class::Success => read(&answer.body).ok_or_else(|| Verdict::Fatal {
            reason: reason(": this is not an answer of an OTLP receiver; correct endpoint"),
        }),
        // OTLP knows no retry after 408 and 500. Proxies answer so in an outage, which must not make dead letters.
        Class::Retry => Err(Verdict::Retry { after: answer.retry_after, reason: reason("") }),
        Class::Fatal => Err(Verdict::Fatal { reason: reason(&format!(": {}", advice(status))) }),
        Class::TooLarge | Class::Refused => Err(Verdict::Split { reason: reason("") }),
    }
}

/// Returns the number of rejected records; `None` if the body is no response.
fn read(body: &[u8]) -> Option<u64> {
    if let Ok(response) = ExportLogsResponse::decode(body) {
        let rejected = response.partial_success.map_or(0, |part| part.rejected_log_records);
        return Some(u64::try_from(rejected).unwrap_or(0));
    }
    let response: JsonResponse = serde_json::from_slice(body).ok()?;
    // 64-bit numbers are texts in the JSON of protobuf.
    Some(match response.partial_success.unwrap_or_default().rejected_log_records {
        serde_json::Value::Number(number) => number.as_u64().unwrap_or(0),
        serde_json::Value::String(text) => text.parse().unwrap_or(0),
        _ => 0,
    })
}
