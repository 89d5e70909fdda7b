//! Encodes an event in the collector's envelope: time, host, source, sourcetype, and a few indexed fields.

use serde::Serialize;

use super::SplunkHecSinkConfig;
use crate::event::Event;
use crate::sinks::Rendered;
use crate::sinks::event_ids::{EventIds, source_of};

/// The envelope without the event. The collector accepts no other fields: an unknown field makes it drop the events
/// that follow.
#[derive(Serialize)]
struct HecHead<'a> {
    /// Seconds since the epoch; as text, since a float would round it.
    time: String,
    host: &'a str,
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sourcetype: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<&'a str>,
    /// Indexed fields. The collector removes no duplicates: `| dedup event_uid` does.
    fields: EventIds<'a>,
}

/// Returns one object of the request.
pub(super) fn encode(settings: &SplunkHecSinkConfig, rendered: Rendered<'_>) -> Vec<u8> {
    let Rendered { line, event, source } = rendered;
    let head = head(settings, event, source);
    // It cannot fail, since the head holds strings only. Without a head the collector would refuse the event.
    let mut out = serde_json::to_vec(&head).unwrap_or_default();
    out.pop();
    out.extend_from_slice(b",\"event\":");
    out.extend_from_slice(&line);
    out.push(b'}');
    out
}

fn head<'a>(settings: &'a SplunkHecSinkConfig, event: &'a Event<'_>, from: &str) -> HecHead<'a> {
    HecHead {
        time: seconds(event.time().timestamp_millis()),
        host: &settings.host,
        source: settings.source.clone().unwrap_or_else(|| source_of(event)),
        sourcetype: settings.sourcetype.as_deref(),
        index: settings.index.as_deref(),
        fields: EventIds::of(event, from),
    }
}

/// Returns milliseconds since the epoch as seconds, exactly.
fn seconds(milliseconds: i64) -> String {
    let sign = if milliseconds < 0 { "-" } else { "" };
    let amount = milliseconds.unsigned_abs();
    format!("{sign}{}.{:03}", amount / 1000, amount % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_the_epoch_are_exact_too() {
        for (milliseconds, text) in [
            (0, "0.000"),
            (1_500, "1.500"),
            (-500, "-0.500"),
            (-1_500, "-1.500"),
            (-2_000, "-2.000"),
        ] {
            assert_eq!(seconds(milliseconds), text);
        }
    }
}
