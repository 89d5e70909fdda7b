//! Log of one event: reserved attributes, and the event as the text of `message`, which Datadog reads as JSON.
//!
//! The event is a text, as Datadog's own agent sends it: no field of the event can replace a reserved attribute of the
//! request.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::DatadogSinkConfig;
use super::config::MAX_TAG_CHARS;
use crate::event::{Event, Severity};
use crate::format::Format;
use crate::sinks::{Rendered, SinkFinding};

/// Bytes of a log above which Datadog cuts it.
const MAX_LOG_BYTES: usize = 1_000_000;

/// Beginning of every log.
const HEAD: &[u8] = b"{\"timestamp\":";

/// Attributes after the time.
#[derive(Serialize)]
struct Attributes<'a> {
    ddsource: &'a str,
    ddtags: String,
    hostname: &'a str,
    service: &'a str,
    status: &'static str,
    event_uid: String,
    message: &'a str,
}

/// Returns the log of an event. The time comes first: [`without_time`] removes it.
pub(super) fn encode(
    settings: &DatadogSinkConfig,
    rendered: Rendered<'_>,
) -> (Vec<u8>, Option<SinkFinding>) {
    let Rendered { line, event, source } = rendered;
    let line = String::from_utf8_lossy(&line);
    // Datadog's pipelines look for OCSF below this attribute.
    let message = match settings.format {
        Format::Ocsf => format!("{{\"ocsf\":{line}}}").into(),
        _ => line,
    };
    let attributes = Attributes {
        ddsource: &settings.source,
        ddtags: tags(settings, event),
        hostname: &settings.hostname,
        service: &settings.service,
        status: status(event.severity()),
        event_uid: event.uid(source),
        message: &message,
    };
    let mut out = HEAD.to_vec();
    out.extend_from_slice(event.time().timestamp_millis().to_string().as_bytes());
    out.push(b',');
    // Texts cannot fail to serialize.
    let attributes = serde_json::to_vec(&attributes).unwrap_or_default();
    out.extend_from_slice(attributes.get(1..).unwrap_or(b"}"));
    let finding = (out.len() > MAX_LOG_BYTES).then_some(SinkFinding::Truncated);
    (out, finding)
}

/// Returns Datadog's word for a severity.
pub(super) fn status(severity: Severity) -> &'static str {
    match severity {
        Severity::Informational => "info",
        Severity::Low => "notice",
        Severity::Medium => "warn",
        Severity::High => "error",
    }
}

fn tags(settings: &DatadogSinkConfig, event: &Event<'_>) -> String {
    let own = [
        ("env_id", event.environment_id().unwrap_or_default()),
        ("action", event.kind()),
        ("outcome", event.outcome().as_str()),
    ];
    let own = own.into_iter().filter(|(_, value)| !value.is_empty());
    let own = own.map(|(name, value)| format!("{name}:{}", tag_value(value, name.len() + 1)));
    own.chain(settings.tags.iter().cloned()).collect::<Vec<_>>().join(",")
}

/// Returns a sender's text as the value of a tag. A comma in it would begin another tag.
fn tag_value(text: &str, name_chars: usize) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "_-./".contains(c);
    let clean = text.chars().take(MAX_TAG_CHARS - name_chars);
    clean.map(|c| if is_plain(c) { c.to_ascii_lowercase() } else { '_' }).collect()
}

/// Returns the time of a log.
pub(super) fn time_of(log: &[u8]) -> Option<DateTime<Utc>> {
    let rest = log.strip_prefix(HEAD)?;
    let end = memchr::memchr(b',', rest)?;
    let milliseconds = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
    DateTime::from_timestamp_millis(milliseconds)
}

/// Returns the part of a log after `{` and its time.
pub(super) fn without_time(log: &[u8]) -> &[u8] {
    let comma = memchr::memchr(b',', log).map_or(0, |comma| comma + 1);
    &log[comma..]
}
