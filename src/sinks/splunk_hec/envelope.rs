//! What stands around an event: when, from where, as what, and a few indexed fields.

use serde::Serialize;

use crate::config::SplunkHecSink;
use crate::event::Event;
use crate::sinks::Rendered;

/// What the add-on in `deploy/` knows.
const SOURCETYPE: &str = "pingone:davinci";

/// All but the event itself. The collector takes no other members: an unknown one makes it drop the
/// events that follow.
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

/// One object of the request, and a line break.
pub(in crate::sinks) fn encode(settings: &SplunkHecSink, rendered: Rendered<'_>) -> Vec<u8> {
    let Rendered { line, event, source } = rendered;
    let head = head(settings, event, source);
    // Strings only: it cannot fail, and without a head the collector would refuse the event.
    let mut out = serde_json::to_vec(&head).unwrap_or_default();
    out.pop();
    out.extend_from_slice(b",\"event\":");
    out.extend_from_slice(&line);
    out.push(b'}');
    out
}

fn head<'a>(settings: &'a SplunkHecSink, event: &'a Event<'_>, from: &str) -> Head<'a> {
    let time = event.time().timestamp_millis();
    let environment = event.environment_id().unwrap_or("unknown");
    let envelope = event.envelope();
    Head {
        time: seconds(time),
        host: &settings.host,
        source: settings.source.clone().unwrap_or_else(|| format!("davinci:{environment}")),
        sourcetype: settings.sourcetype.as_deref().unwrap_or(SOURCETYPE),
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

/// Seconds of milliseconds since the epoch, exactly.
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
