//! Which event an entry of the quarantine holds, as far as its bytes tell.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::decode;
use crate::spool::{EntryOrigin, EntrySummary};

/// Bytes of an entry that are looked into. An event has a few thousand.
const MAX_READ: u64 = 1024 * 1024;

/// Characters of an id or a type that are shown; a refused event may have any.
const MAX_SHOWN: usize = 128;

/// Id and `action.type` of the event, where there is one.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Held {
    pub(super) event_id: Option<String>,
    pub(super) event_type: Option<String>,
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    action: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Typed<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
}

impl Held {
    /// Whether an entry's bytes are looked into: not those that are compressed, damaged or very many.
    pub(super) fn may_be_told(summary: &EntrySummary) -> bool {
        summary.origin != EntryOrigin::Damage
            && summary.encoding.is_empty()
            && summary.size <= MAX_READ
    }

    /// Of one event, be it refused; of a body with several, none.
    pub(super) fn of(bytes: &[u8]) -> Held {
        let elements = decode::body(bytes, false).unwrap_or_default();
        let raw = match elements.as_slice() {
            [element] => element.raw,
            [] => bytes,
            _ => return Held::default(),
        };
        let Ok(named) = serde_json::from_slice::<Named<'_>>(raw) else { return Held::default() };
        let action = named.action.and_then(|action| serde_json::from_str(action.get()).ok());
        Held {
            event_id: named.id.and_then(text),
            event_type: action.and_then(|action: Typed<'_>| text(action.kind?)),
        }
    }
}

/// A string, or a number that stands where a string belongs.
fn text(value: &RawValue) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(value.get()).ok()?;
    let text = match value {
        serde_json::Value::String(text) => text,
        serde_json::Value::Number(number) => number.to_string(),
        _ => return None,
    };
    Some(text.chars().take(MAX_SHOWN).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_named_though_it_was_refused() {
        let told = |bytes: &[u8]| {
            let held = Held::of(bytes);
            [held.event_id, held.event_type].map(|text| text.unwrap_or("-".to_owned()))
        };
        assert_eq!(told(br#"{"id":"a","action":{"type":"T"}}"#), ["a", "T"]);
        assert_eq!(told(br#"[{"id":7,"action":{"type":null}}]"#), ["7", "-"]);
        assert_eq!(told(br#"{"id":{"x":1},"action":"T"}"#), ["-", "-"]);
        assert_eq!(told(br#"[{"id":"a"},{"id":"b"}]"#), ["-", "-"], "which of them?");
        assert_eq!(told(b"no JSON"), ["-", "-"]);
        assert_eq!(told(b""), ["-", "-"]);
        let long = format!("{{\"id\":\"{}\"}}", "x".repeat(5000));
        assert_eq!(told(long.as_bytes())[0].len(), MAX_SHOWN);
    }
}
