//! The two lines that a bulk request has for each event.

use chrono::SecondsFormat;
use serde_json::value::RawValue;
use std::collections::HashMap;

use crate::sinks::Rendered;

/// An action line with the event's id, and the document. Data streams take `create` only, and
/// documents with `@timestamp` only: it is added where the format has none.
pub(super) fn encode(rendered: Rendered<'_>) -> Vec<u8> {
    let Rendered { line, event, source } = rendered;
    let mut out = format!("{{\"create\":{{\"_id\":\"{}\"}}}}\n", event.uid(source)).into_bytes();
    out.reserve(line.len() + 64);
    if has_timestamp(&line) {
        out.extend_from_slice(&line);
    } else {
        let time = event.time().to_rfc3339_opts(SecondsFormat::Millis, true);
        out.extend_from_slice(format!("{{\"@timestamp\":\"{time}\"").as_bytes());
        let members = line.get(1..).unwrap_or(b"}");
        if members.trim_ascii_start() != b"}" {
            out.push(b',');
        }
        out.extend_from_slice(members);
    }
    out
}

/// Returns true if the document has a field `@timestamp`. One search nearly always decides that.
fn has_timestamp(line: &[u8]) -> bool {
    memchr::memmem::find(line, b"@timestamp").is_some()
        && serde_json::from_slice::<HashMap<String, &RawValue>>(line)
            .is_ok_and(|members| members.contains_key("@timestamp"))
}
