//! Id and type of the event that a quarantine entry holds.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::decode;
use crate::spool::{EntryOrigin, EntrySummary};

/// Largest entry whose bytes are parsed. An event has a few thousand bytes.
const MAX_ENTRY_BYTES: u64 = 1024 * 1024;

/// Maximum length of a shown id or type: those of a refused event are unbounded.
const MAX_SHOWN_CHARS: usize = 128;

/// Id and `action.type` of an event, if present.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct EntryEvent {
    pub(super) event_id: Option<String>,
    pub(super) event_type: Option<String>,
}

#[derive(Deserialize)]
struct RawIdentity<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    action: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct RawAction<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
}

impl EntryEvent {
    /// Returns true if the bytes of an entry are parsed: not if compressed, corrupt or too large.
    pub(super) fn can_be_read(summary: &EntrySummary) -> bool {
        summary.origin != EntryOrigin::Damage
            && summary.encoding.is_empty()
            && summary.size <= MAX_ENTRY_BYTES
    }

    /// Parses the bytes of one event, accepted or refused. Empty for a body with several events.
    pub(super) fn of(bytes: &[u8]) -> EntryEvent {
        let elements = decode::body(bytes, false).unwrap_or_default();
        let raw = match elements.as_slice() {
            [element] => element.raw,
            [] => bytes,
            _ => return EntryEvent::default(),
        };
        let Ok(identity) = serde_json::from_slice::<RawIdentity<'_>>(raw) else {
            return EntryEvent::default();
        };
        let action = identity.action.and_then(|action| serde_json::from_str(action.get()).ok());
        EntryEvent {
            event_id: identity.id.and_then(text),
            event_type: action.and_then(|action: RawAction<'_>| text(action.kind?)),
        }
    }
}

/// Returns a string, or a number in its place.
fn text(value: &RawValue) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(value.get()).ok()?;
    let text = match value {
        serde_json::Value::String(text) => text,
        serde_json::Value::Number(number) => number.to_string(),
        _ => return None,
    };
    Some(text.chars().take(MAX_SHOWN_CHARS).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_identified_though_it_was_refused() {
        let read = |bytes: &[u8]| {
            let event = EntryEvent::of(bytes);
            [event.event_id, event.event_type].map(|text| text.unwrap_or("-".to_owned()))
        };
        assert_eq!(read(br#"{"id":"a","action":{"type":"T"}}"#), ["a", "T"]);
        assert_eq!(read(br#"[{"id":7,"action":{"type":null}}]"#), ["7", "-"]);
        assert_eq!(read(br#"{"id":{"x":1},"action":"T"}"#), ["-", "-"]);
        assert_eq!(read(br#"[{"id":"a"},{"id":"b"}]"#), ["-", "-"], "which of them?");
        assert_eq!(read(b"no JSON"), ["-", "-"]);
        assert_eq!(read(b""), ["-", "-"]);
        let long = format!("{{\"id\":\"{}\"}}", "x".repeat(5000));
        assert_eq!(read(long.as_bytes())[0].len(), MAX_SHOWN_CHARS);
    }
}
