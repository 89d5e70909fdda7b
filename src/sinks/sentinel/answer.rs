//! Verdicts of the Logs Ingestion API, which accepts or refuses a request as a whole.
//! <https://learn.microsoft.com/azure/azure-monitor/logs/logs-ingestion-api-overview>

use serde::Deserialize;

use crate::http_client::{Answer, Class, advice, class_of};
use crate::sinks::{Reason, Verdict};

#[derive(Deserialize)]
struct ErrorAnswer {
    error: ServiceError,
}

#[derive(Deserialize)]
struct ServiceError {
    code: String,
}

/// Beginnings of error codes that name the rule or the API version, and no record.
const CODES_OF_THE_RULE: [&str; 4] =
    ["InvalidApiVersion", "InvalidDataCollection", "InvalidDcr", "InvalidStream"];

/// Returns the verdict for all items of a request.
pub(super) fn verdict(answer: &Answer) -> Verdict {
    let status = answer.status;
    let code = code(answer);
    let named = code.as_deref().map_or(String::new(), |code| format!(", {code}"));
    let reason = |words: &str| answer.reason(format!("HTTP {status}{named}{words}"), code.clone());
    if status == 204 {
        return Verdict::Delivered;
    }
    let words = match status {
        400 if is_of_the_rule(code.as_deref()) => {
            ": the rule does not declare this stream; correct stream. A change of the rule takes some minutes"
        }
        401 => ": it refuses the access token; correct the identity, cloud or audience",
        403 => {
            ": assign the role Monitoring Metrics Publisher on the data collection rule to the identity. \
             It takes effect within 30 minutes"
        }
        404 => ": this endpoint has no such rule; correct endpoint or rule_id",
        _ => "",
    };
    if !words.is_empty() {
        return Verdict::Fatal { reason: reason(words) };
    }
    match class_of(status) {
        Class::Success | Class::Refused if answer.is_page() => answer.page_verdict(),
        // Only 204 is a success: any other answer is not one of this API.
        Class::Success => Verdict::Fatal {
            reason: reason(": this is not an answer of the Logs Ingestion API; correct endpoint"),
        },
        Class::Retry => Verdict::Retry { after: answer.retry_after, reason: reason("") },
        Class::Fatal => Verdict::Fatal { reason: reason(&format!(": {}", advice(status))) },
        // The API refuses records with a JSON object. Anything else has not come from the API.
        Class::Refused if !answer.is_object() => Verdict::Retry {
            after: answer.retry_after,
            reason: reason(": something before the Logs Ingestion API refuses the request"),
        },
        Class::TooLarge | Class::Refused => Verdict::Split { reason: reason("") },
    }
}

/// Returns the verdict of a probe with an empty list. The service looks at token, rule and stream first, so that a
/// refusal of the empty list shows that these are accepted.
pub(super) fn probed(answer: &Answer) -> Result<String, Reason> {
    match verdict(answer) {
        Verdict::Delivered => Ok("it accepts the identity for this rule and stream".to_owned()),
        Verdict::Split { .. } if answer.status == 400 => Ok(
            "it accepts the identity for this rule and stream, and refuses the empty list of the check (HTTP 400)"
                .to_owned(),
        ),
        other => Err(other.into_reason()),
    }
}

/// Returns the error code, if it is a word; any other text is not shown in logs.
fn code(answer: &Answer) -> Option<String> {
    let read: ErrorAnswer = serde_json::from_slice(&answer.body).ok()?;
    let code = read.error.code;
    let is_word =
        (1..=80).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_word.then_some(code)
}

fn is_of_the_rule(code: Option<&str>) -> bool {
    code.is_some_and(|code| CODES_OF_THE_RULE.iter().any(|start| code.starts_with(start)))
}
