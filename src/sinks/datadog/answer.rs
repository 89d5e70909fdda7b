//! Verdicts of the logs intake, which accepts or refuses a request as a whole.
//! <https://docs.datadoghq.com/api/latest/logs/#send-logs>

use crate::http_client::{Answer, Class, advice, class_of};
use crate::sinks::{Reason, Verdict};

/// Advice for a refused key.
const KEY: &str = "it refuses the API key; correct api_key, or site: a key is valid at one site";

/// Returns the verdict for all logs of a request.
pub(super) fn verdict(answer: &Answer) -> Verdict {
    let status = answer.status;
    let reason = |words: &str| answer.reason(format!("HTTP {status}{words}"), None);
    match (status, class_of(status)) {
        (202, _) if !answer.is_page() => Verdict::Delivered,
        (401 | 403, _) => Verdict::Fatal { reason: reason(&format!(": {KEY}")) },
        (_, Class::Success | Class::Refused) if answer.is_page() => answer.page_verdict(),
        // The intake answers 202 only.
        (_, Class::Success) => {
            let words = ": this is not an answer of the logs intake; correct site or endpoint";
            Verdict::Fatal { reason: reason(words) }
        }
        (_, Class::Retry) => Verdict::Retry { after: answer.retry_after, reason: reason("") },
        (_, Class::Fatal) => Verdict::Fatal { reason: reason(&format!(": {}", advice(status))) },
        // The intake refuses logs with a JSON object. Anything else has not come from the intake.
        (_, Class::Refused) if !answer.is_object() => Verdict::Retry {
            after: answer.retry_after,
            reason: reason(": something before the intake refuses the request"),
        },
        (_, Class::TooLarge | Class::Refused) => Verdict::Split { reason: reason("") },
    }
}

/// Returns the result of a request that asks if the key is valid. `is_own_endpoint` is true for an endpoint of the
/// operator: a proxy of the intake may not know this request.
pub(super) fn probed(answer: &Answer, is_own_endpoint: bool) -> Result<String, Reason> {
    let status = answer.status;
    match status {
        200 => Ok("the API key is valid".to_owned()),
        401 | 403 => Err(answer.reason(format!("HTTP {status}: {KEY}"), None)),
        404 if is_own_endpoint => {
            Ok("it answers, and the API key cannot be checked at this endpoint (HTTP 404)"
                .to_owned())
        }
        _ if class_of(status) == Class::Retry => Err(answer.reason(format!("HTTP {status}"), None)),
        _ => Err(answer.reason(format!("HTTP {status}: {}", advice(status)), None)),
    }
}
