//! Encodes events as entries of Loki's streams, and puts the entries of one stream together.
//! <https://grafana.com/docs/loki/latest/reference/loki-http-api/#ingest-logs>

use std::collections::HashMap;

use memchr::memmem;
use serde::Serialize;
use serde_json::{Map, Value};

use super::config::{EventLabel, LokiSinkConfig};
use crate::event::Event;
use crate::sinks::event_ids::EventIds;
use crate::sinks::{Item, Rendered};

/// Text between the labels of a stream and its entries. It cannot occur within the labels, where quotes are escaped.
const VALUES: &[u8] = b",\"values\":[";

/// Ids that are structured metadata. Action and outcome are labels, or can be read from the line.
#[derive(Serialize)]
struct Metadata<'a> {
    event_id: &'a str,
    event_uid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    interaction_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flow_id: Option<&'a str>,
}

/// Returns a stream with one entry: time, line, and ids.
pub(super) fn encode(settings: &LokiSinkConfig, rendered: Rendered<'_>) -> Vec<u8> {
    let Rendered { line, event, source } = rendered;
    let labels = labels(settings, event, source);
    let ids = EventIds::of(event, source);
    let metadata = Metadata {
        event_id: ids.event_id,
        event_uid: &ids.event_uid,
        interaction_id: ids.interaction_id,
        flow_id: ids.flow_id,
    };
    let text = String::from_utf8_lossy(&line);
    let time = nanoseconds(event);
    // None of these can fail: they hold strings only.
    let entry = match settings.has_metadata {
        true => serde_json::to_vec(&(time, text, metadata)),
        false => serde_json::to_vec(&(time, text)),
    };
    let mut out = b"{\"stream\":".to_vec();
    out.extend(serde_json::to_vec(&labels).unwrap_or_default());
    out.extend_from_slice(VALUES);
    out.extend(entry.unwrap_or_default());
    out.extend_from_slice(b"]}");
    out
}

fn labels(settings: &LokiSinkConfig, event: &Event<'_>, source: &str) -> Map<String, Value> {
    let fixed = settings.labels.iter().map(|(name, value)| (name.clone(), value.as_str().into()));
    let of_event = settings.event_labels.iter().map(|label| {
        let value = match label {
            EventLabel::Environment => event.environment_id().unwrap_or("unknown"),
            EventLabel::Action => &event.envelope().action.kind,
            EventLabel::Outcome => event.outcome().as_str(),
            EventLabel::Source => source,
        };
        (label.as_str().to_owned(), value.into())
    });
    fixed.chain(of_event).collect()
}

/// Returns the time of an event in nanoseconds since the epoch, as text. A time that 64 bits cannot hold is the epoch,
/// which Loki refuses as too old.
fn nanoseconds(event: &Event<'_>) -> String {
    event.time().timestamp_nanos_opt().unwrap_or(0).to_string()
}

/// Returns the body of a request. Entries with the same labels are in one stream, in their order.
pub(super) fn body(items: &[Item]) -> Vec<u8> {
    let mut streams: Vec<(&[u8], Vec<&[u8]>)> = Vec::new();
    let mut known: HashMap<&[u8], usize> = HashMap::new();
    for item in items {
        let at = memmem::find(&item.payload, VALUES).unwrap_or(0);
        let (labels, rest) = item.payload.split_at(at);
        let entry = rest.get(VALUES.len()..rest.len().saturating_sub(2)).unwrap_or_default();
        let index = *known.entry(labels).or_insert_with(|| {
            streams.push((labels, Vec::new()));
            streams.len() - 1
        });
        streams[index].1.push(entry);
    }
    let mut body = b"{\"streams\":[".to_vec();
    for (index, (labels, entries)) in streams.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        body.extend_from_slice(labels);
        body.extend_from_slice(VALUES);
        body.extend(entries.join(&b','));
        body.extend_from_slice(b"]}");
    }
    body.extend_from_slice(b"]}");
    body
}
