//! `check --tests`: runs the `[[tests]]` of the configuration. Each event takes the path of a received one: redaction
//! before the spool, the sink's filters, its redaction, its format.

use serde::Serialize;
use serde_json::Value;

use crate::cli::input;
use crate::config::{Config, ConfigTest, ExpectedField, ExpectedResult, TestEvent};
use crate::decode;
use crate::deliver::{FilterReason, SinkConfig, filter_reason};
use crate::format::{self, Received};
use crate::redact::Redaction;

/// Time of receipt of the events, in milliseconds since the Unix epoch: the same in each run.
const RECEIVED_AT: i64 = 1_700_000_000_000;

/// Result of one test.
#[derive(Debug, Serialize)]
pub(super) struct TestResult {
    pub(super) name: String,
    pub(super) ok: bool,
    /// Expectations that do not hold.
    pub(super) failures: Vec<String>,
}

/// Runs all tests, in the order of the file.
pub(super) fn run(config: &Config) -> Vec<TestResult> {
    let result = |test: &ConfigTest| {
        let failures = failures(test, config).unwrap_or_else(|failure| vec![failure]);
        TestResult { name: test.name.clone(), ok: failures.is_empty(), failures }
    };
    config.tests.iter().map(result).collect()
}

/// Returns the expectations of a test that do not hold.
///
/// # Errors
///
/// The test has no event, or the service would quarantine it.
fn failures(test: &ConfigTest, config: &Config) -> Result<Vec<String>, String> {
    let Some(sink) = config.sinks.iter().find(|sink| sink.name == test.sink) else {
        return Err(format!("there is no sink {:?}", test.sink));
    };
    let first = || config.sources.first().map(|source| source.name.as_str());
    let source = test.source.as_deref().or_else(first).unwrap_or_default();
    let event = event_of(&test.event)?;
    let stored = redacted(config.redact.as_ref().map(Redaction::new).as_ref(), event);
    let output = output(&stored, sink, source)?;
    Ok(match (test.expect, output) {
        (ExpectedResult::Delivered, Ok(line)) => compare(test, &line),
        (expected, Err((result, _))) if result == expected => Vec::new(),
        (expected, Ok(_)) => {
            vec![format!("expected {}, but sink {} gets the event", expected.word(), sink.name)]
        }
        (expected, Err((result, reason))) => {
            let verb = match result {
                ExpectedResult::Sampled => "samples out",
                _ => "filters",
            };
            let (expected, sink) = (expected.word(), &sink.name);
            vec![format!("expected {expected}, but sink {sink} {verb} the event: {reason}")]
        }
    })
}

/// Returns the bytes of the one event of a test.
fn event_of(event: &TestEvent) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    match event {
        TestEvent::Inline(text) => bytes.extend_from_slice(text.as_bytes()),
        TestEvent::File(path) => {
            let read = input::open(path).and_then(|mut file| Ok(file.read_to_end(&mut bytes)?));
            read.map_err(|_| format!("{} cannot be read", path.display()))?;
        }
    }
    let elements = decode::body(&bytes, false).map_err(|refusal| quarantined(&refusal))?;
    match elements.as_slice() {
        [element] => match &element.verdict {
            Ok(_) => Ok(element.raw.to_vec()),
            Err(refusal) => Err(quarantined(refusal)),
        },
        _ => Err(format!("the test has {} events; write one", elements.len())),
    }
}

fn quarantined(refusal: &decode::Refusal) -> String {
    let decode::Refusal { path, detail, .. } = refusal;
    format!("the event would be quarantined: {path}: {detail}")
}

fn redacted(redaction: Option<&Redaction>, event: Vec<u8>) -> Vec<u8> {
    match redaction {
        Some(redaction) => redaction.event(&event).into_owned(),
        None => event,
    }
}

/// Returns the output line of a sink, or the result and the reason if its filters or its sample exclude the event.
fn output(
    stored: &[u8],
    sink: &SinkConfig,
    source: &str,
) -> Result<Result<String, (ExpectedResult, String)>, String> {
    let typed = |bytes| {
        let mut typed = decode::event(bytes).map_err(|refusal| quarantined(&refusal))?;
        typed.event.apply(&sink.outcomes);
        Ok::<_, String>(typed.event)
    };
    if let Some(reason) = filter_reason(sink, &typed(stored)?, source) {
        let result = match reason {
            FilterReason::NotSampled(_) => ExpectedResult::Sampled,
            _ => ExpectedResult::Filtered,
        };
        return Ok(Err((result, reason.to_string())));
    }
    let bytes = redacted(sink.redact.as_ref().map(Redaction::new).as_ref(), stored.to_vec());
    let event = typed(&bytes)?;
    let received = Received { event: &event, raw: &bytes, received_at: RECEIVED_AT, source };
    let line = format::render(&sink.formatting, received).bytes;
    Ok(Ok(String::from_utf8_lossy(&line).into_owned()))
}

/// Returns the expectations about the output that do not hold. Values of the output are not shown: a test may show
/// that a secret is in it.
fn compare(test: &ConfigTest, line: &str) -> Vec<String> {
    let mut failures = Vec::new();
    let document: Option<Value> = serde_json::from_str(line).ok();
    if document.is_none() && !(test.fields.is_empty() && test.absent.is_empty()) {
        failures.push("the format has no JSON fields; use contains and lacks".to_owned());
    }
    if let Some(document) = document {
        failures.extend(test.fields.iter().filter_map(|field| field_failure(field, &document)));
        let is_there = |pointer: &&String| document.pointer(pointer).is_some();
        let there = test.absent.iter().filter(is_there);
        failures.extend(there.map(|pointer| format!("{pointer} is there, but expected absent")));
    }
    let missing = test.contains.iter().filter(|text| !line.contains(*text));
    failures.extend(missing.map(|text| format!("{text:?} is not in the output")));
    let found = test.lacks.iter().filter(|text| line.contains(*text));
    failures.extend(found.map(|text| format!("{text:?} is in the output")));
    failures
}

fn field_failure(expected: &ExpectedField, document: &Value) -> Option<String> {
    let ExpectedField { pointer, value } = expected;
    let found = match document.pointer(pointer) {
        None => return Some(format!("{pointer} is absent, but expected {value:?}")),
        Some(Value::String(text)) => text == value,
        Some(other) => serde_json::from_str::<Value>(value).is_ok_and(|value| value == *other),
    };
    (!found).then(|| format!("{pointer} has another value than {value:?}"))
}
