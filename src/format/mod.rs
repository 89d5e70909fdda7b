//! What an event becomes before a sink sends it. Pure functions, one file per format.

mod native;

use chrono::{DateTime, SecondsFormat};
use serde::Serialize;

use crate::config::Format;

/// An event and what the receiver knows about it.
#[derive(Debug, Clone, Copy)]
pub struct Received<'a> {
    /// The event's bytes, as received: one well-formed JSON object.
    pub raw: &'a [u8],
    /// When it was received, milliseconds since the epoch.
    pub received_at: i64,
    /// The configured source it came from.
    pub source: &'a str,
}

/// Renders one event as one line, without the line break.
pub fn render(format: Format, wrap: bool, event: Received<'_>) -> Vec<u8> {
    let line = match format {
        Format::Native => native::render(event.raw),
    };
    if wrap { wrapped(event, &line) } else { line.into_owned() }
}

/// `{"received_at","source","event"}` around a line that is JSON itself.
fn wrapped(event: Received<'_>, line: &[u8]) -> Vec<u8> {
    #[derive(Serialize)]
    struct Head<'a> {
        received_at: String,
        source: &'a str,
    }
    let received_at = DateTime::from_timestamp_millis(event.received_at).unwrap_or_default();
    let received_at = received_at.to_rfc3339_opts(SecondsFormat::Millis, true);
    // Two strings cannot fail to serialize; an empty head would still be followed by the event.
    let mut out =
        serde_json::to_vec(&Head { received_at, source: event.source }).unwrap_or_default();
    out.pop();
    out.extend_from_slice(b",\"event\":");
    out.extend_from_slice(line);
    out.push(b'}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapped_event_says_when_and_from_where() {
        let event =
            Received { raw: b"{\"id\": 1.0}", received_at: 1_700_000_000_123, source: "a\"b" };
        let line = render(Format::Native, true, event);
        assert_eq!(
            String::from_utf8(line).expect("UTF-8"),
            r#"{"received_at":"2023-11-14T22:13:20.123Z","source":"a\"b","event":{"id": 1.0}}"#
        );
    }
}
