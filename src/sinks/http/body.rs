//! Bodies: events in an envelope, and requests with several of them. The same events always make the same bytes.

use serde::Serialize;

use super::config::BodyShape;
use super::profile::Envelope;
use crate::sinks::event_ids::{EventIds, source_of};
use crate::sinks::{Item, Rendered};

/// Sourcetype and logtype of the events, as the Splunk sink names them.
const LOGTYPE: &str = "pingone:davinci";

/// A log of New Relic's detailed JSON.
/// <https://docs.newrelic.com/docs/logs/log-api/introduction-log-api/>
#[derive(Serialize)]
struct NewRelicLog<'a> {
    /// Milliseconds since the epoch.
    timestamp: i64,
    message: &'a str,
    attributes: EventIds<'a>,
}

/// An event of Cribl Stream.
/// <https://docs.cribl.io/stream/event-model/>
#[derive(Serialize)]
struct CriblEvent<'a> {
    /// Seconds since the epoch, exact to the millisecond.
    #[serde(rename = "_time")]
    time: f64,
    host: &'a str,
    source: String,
    sourcetype: &'a str,
    #[serde(flatten)]
    ids: EventIds<'a>,
    #[serde(rename = "_raw")]
    raw: &'a str,
}

/// Returns one event as the receiver gets it.
pub(super) fn encode(envelope: Envelope, rendered: Rendered<'_>) -> Vec<u8> {
    let Rendered { line, event, source } = rendered;
    let milliseconds = event.time().timestamp_millis();
    let ids = || EventIds::of(event, source);
    let text = String::from_utf8_lossy(&line);
    let encoded = match envelope {
        Envelope::Plain => return line,
        Envelope::NewRelic => serde_json::to_vec(&NewRelicLog {
            timestamp: milliseconds,
            message: &text,
            attributes: ids(),
        }),
        Envelope::Cribl => serde_json::to_vec(&CriblEvent {
            time: milliseconds as f64 / 1000.0,
            host: "pingone",
            source: source_of(event),
            sourcetype: LOGTYPE,
            ids: ids(),
            raw: &text,
        }),
    };
    // It cannot fail: the envelopes hold strings and finite numbers only.
    encoded.unwrap_or_default()
}

/// Returns the body of a request.
pub(super) fn body(shape: BodyShape, envelope: Envelope, items: &[Item]) -> Vec<u8> {
    let (open, separator, close) = match (envelope, shape) {
        (Envelope::NewRelic, _) => {
            (r#"[{"common":{"attributes":{"logtype":"pingone:davinci"}},"logs":["#, ",", "]}]")
        }
        (_, BodyShape::Array) => ("[", ",", "]"),
        (_, BodyShape::Ndjson | BodyShape::Lines) => ("", "\n", "\n"),
        (_, BodyShape::Single) => ("", "", ""),
    };
    let size = items.iter().map(|item| item.payload.len() + 1).sum::<usize>();
    let mut body = Vec::with_capacity(size + open.len() + close.len());
    body.extend_from_slice(open.as_bytes());
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            body.extend_from_slice(separator.as_bytes());
        }
        body.extend_from_slice(&item.payload);
    }
    body.extend_from_slice(close.as_bytes());
    body
}
