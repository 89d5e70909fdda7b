//! Encodes an event in the collector's envelope: time, host, source, sourcetype, and a few indexed fields.

use serde::Serialize;

use super::SplunkHecSinkConfig;
use crate::event::Event;
use crate::sinks::Rendered;

/// The envelope without the event. The collector accepts no other fields: an unknown field makes it drop the events
/// that follow.
#[derive(Serialize)]
struct Head<'a> {
    /// Seconds since the epoch; as text, since a float would round it.
    time: String,
    host: &'a str,
    source: String,
    sourcetype: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<&'a str>,
    fields: Fields<'a>,
}

/// Indexed fields. The collector removes no duplicates: `| dedup event_uid` does.
#[derive(Serialize)]
struct Fields<'a> {
    event_id: &'a str,
    event_uid: String,
    action_type: &'a str,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    interaction_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flow_id: Option<&'a str>,
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

fn head<'a>(settings: &'a SplunkHecSinkConfig, event: &'a Event<'_>, from: &str) -> Head<'a> {
    let time = event.time().timestamp_millis();
    let environment = event.environment_id().unwrap_or("unknown");
    let envelope = event.envelope();
    Head {
        time: seconds(time),
        host: &settings.host,
        source: settings.source.clone().unwrap_or_else(|| format!("davinci:{environment}")),
        sourcetype: &settings.sourcetype,
        index: settings.index.as_deref(),
        fields: Fields {
            event_id: &envelope.id,
            event_uid: event.uid(from),
            action_type: &envelope.action.kind,
            outcome: event.outcome().as_str(),
            interaction_id: event.interaction_id(),
            flow_id: event.flow_id(),
        },
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
