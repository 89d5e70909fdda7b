//! Verdicts of a bulk answer, one for each document: the status is 200 even if documents are refused.

use serde::Deserialize;

use crate::http_client::{Answer, Class, advice, class_of};
use crate::sinks::{Reason, Report, SinkFinding, Verdict};

#[derive(Deserialize)]
struct BulkAnswer {
    items: Vec<BulkAction>,
}

#[derive(Deserialize)]
struct BulkAction {
    create: BulkItemOutcome,
}

#[derive(Deserialize)]
struct BulkItemOutcome {
    status: u16,
    error: Option<Failure>,
    failure_store: Option<String>,
}

#[derive(Deserialize)]
struct Failure {
    #[serde(rename = "type", default, deserialize_with = "word")]
    kind: Option<String>,
    /// May repeat a part of the document: kept with the dead letter, never logged.
    reason: Option<String>,
}

/// Reads an error type, which is a word such as `mapper_parsing_exception`. Any other text must not reach the log.
fn word<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    Ok(text.filter(|text| text.len() <= 80 && text.chars().all(plain)))
}

/// Error types whose cause is the document.
const OF_A_DOCUMENT: [&str; 13] = [
    "date_time_parse_exception",
    "document_parsing_exception",
    "fail_processor_exception",
    "illegal_argument_exception",
    "json_parse_exception",
    "mapper_parsing_exception",
    "max_bytes_length_exceeded_exception",
    "number_format_exception",
    "parse_exception",
    "parsing_exception",
    "script_exception",
    "strict_dynamic_mapping_exception",
    "x_content_parse_exception",
];

/// Error types that every document gets until an operator changes the cluster or the configuration.
const OF_THE_CLUSTER: [&str; 9] = [
    "action_request_validation_exception",
    "cluster_block_exception",
    "index_closed_exception",
    "index_not_found_exception",
    "invalid_alias_name_exception",
    "invalid_index_name_exception",
    "invalid_index_template_exception",
    "security_exception",
    "validation_exception",
];

/// Texts of refusals whose type is a document's, although the cause is the cluster: a missing pipeline, too many shards,
/// no write index.
const CLUSTERS_WORDS: [&str; 7] = [
    "pipeline with id",
    "this action would add",
    "maximum normal shards open",
    "maximum shards open",
    "no write index is defined",
    "only write ops with an op_type of create",
    "no matching index template",
];

fn is_of_the_cluster(kind: Option<&str>, text: &str) -> bool {
    kind.is_some_and(|kind| OF_THE_CLUSTER.contains(&kind))
        || CLUSTERS_WORDS.iter().any(|words| text.contains(words))
}

/// Returns the report for `count` documents that were sent together.
pub(in crate::sinks) fn report(answer: &Answer, count: usize) -> Report {
    let all = |verdict: Verdict| Report::from(vec![verdict; count]);
    let status = answer.status;
    match class_of(status) {
        Class::Success => {}
        Class::TooLarge => {
            let reason = answer.reason("the request is too large (HTTP 413)", None);
            return all(Verdict::Split { reason });
        }
        Class::Retry => return all(retry(answer)),
        // Documents have results of their own. A request is refused as a whole because of its URL.
        Class::Fatal | Class::Refused => {
            let kind = error_type(answer);
            let advice = match status {
                400 => "it refuses the request's parameters; see flavor, pipeline and data_stream",
                404 => "there is no such data stream, index template or pipeline; create it",
                _ => advice(status),
            };
            let named = kind.as_deref().map_or(String::new(), |kind| format!(", {kind}"));
            let message = format!("HTTP {status}{named}: {advice}");
            return all(Verdict::Fatal { reason: answer.reason(message, kind) });
        }
    }
    match serde_json::from_slice::<BulkAnswer>(&answer.body) {
        Ok(body) if body.items.len() == count => items(answer, &body.items),
        // A smaller request has a smaller answer. For a single document, the event is not the cause.
        _ if answer.is_too_long && count > 1 => {
            all(Verdict::Split { reason: answer.reason("the answer is too long to be read", None) })
        }
        _ if !answer.is_whole && !answer.is_too_long => all(retry(answer)),
        _ => all(Verdict::Fatal {
            reason: answer
                .reason("the answer is not one of the bulk API; correct the endpoint", None),
        }),
    }
}

fn items(answer: &Answer, actions: &[BulkAction]) -> Report {
    let mut stored_as_failure = 0;
    let takes_some = actions.iter().any(|action| is_taken(action.create.status));
    let verdicts: Vec<Verdict> = actions
        .iter()
        .map(|BulkAction { create }| {
            stored_as_failure += u64::from(create.failure_store.as_deref() == Some("used"));
            verdict(answer, create, takes_some)
        })
        .collect();
    Report::from(verdicts).with(SinkFinding::FailureStore, stored_as_failure)
}

/// 409: a document with this id exists, and it is this event.
fn is_taken(status: u16) -> bool {
    matches!(status, 200..=299 | 409)
}

/// Returns the verdict for one document. `takes_some` is true if another document of the request was accepted. Only then
/// is a refusal with an ambiguous cause attributed to this document.
fn verdict(answer: &Answer, outcome: &BulkItemOutcome, takes_some: bool) -> Verdict {
    let status = outcome.status;
    // The usual case, without building a reason.
    if is_taken(status) {
        return Verdict::Delivered;
    }
    let kind = outcome.error.as_ref().and_then(|error| error.kind.clone());
    let named = kind.as_deref().unwrap_or("no error type");
    let text = outcome.error.as_ref().and_then(|error| error.reason.as_deref()).unwrap_or_default();
    let advice = if is_of_the_cluster(kind.as_deref(), text) {
        ": the cluster takes no document; see its answer in its own log, and correct it there"
    } else {
        ""
    };
    let reason = Reason {
        message: format!("status {status}, {named}{advice}"),
        status: Some(status),
        answer: answer.quote(text.as_bytes()),
        code: kind,
        is_late: false,
    };
    match status {
        // The cause is the data stream or the key, so every document is refused.
        401 | 403 | 404 => Verdict::Fatal { reason },
        429 | 500.. => Verdict::Retry { after: answer.retry_after, reason },
        _ if is_of_the_cluster(reason.code.as_deref(), text) => Verdict::Fatal { reason },
        _ => {
            let is_known = reason.code.as_deref().is_some_and(|kind| OF_A_DOCUMENT.contains(&kind));
            if is_known || takes_some {
                Verdict::Rejected { reason }
            } else {
                Verdict::Retry { after: answer.retry_after, reason }
            }
        }
    }
}

fn retry(answer: &Answer) -> Verdict {
    let status = answer.status;
    let what = if answer.is_whole { "" } else { ", and the answer broke off" };
    let reason = answer.reason(format!("it answered HTTP {status}{what}"), error_type(answer));
    Verdict::Retry { after: answer.retry_after, reason }
}

fn error_type(answer: &Answer) -> Option<String> {
    #[derive(Deserialize)]
    struct Whole {
        error: Failure,
    }
    serde_json::from_slice::<Whole>(&answer.body).ok()?.error.kind
}
