//! Record of one event: the columns that this sink adds, and the event.

use std::collections::HashMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::value::RawValue;

use crate::format::Format;
use crate::sinks::{Rendered, SinkFinding};

/// Bytes of a field above which Azure cuts it.
const MAX_FIELD_BYTES: usize = 64 * 1024;

/// Beginning of every record.
const HEAD: &[u8] = b"{\"TimeGenerated\":\"";

/// Returns the record of an event. In the format `ecs` each top-level field is a column. The fields of other formats
/// would collide with reserved columns, such as `id`, so that the event is one column.
///
/// `EventTime` repeats `TimeGenerated`, which Azure replaces in old events.
pub(super) fn encode(format: Format, rendered: Rendered<'_>) -> (Vec<u8>, Option<SinkFinding>) {
    let Rendered { line, event, source } = rendered;
    let time = event.time().to_rfc3339_opts(SecondsFormat::Millis, true);
    let uid = event.uid(source);
    let mut out = Vec::with_capacity(line.len() + 192);
    out.extend_from_slice(HEAD);
    out.extend_from_slice(
        format!("{time}\",\"EventTime\":\"{time}\",\"RecordUid\":\"{uid}\"").as_bytes(),
    );
    let is_long = line.len() > MAX_FIELD_BYTES;
    if format == Format::Ecs {
        let fields = line.get(1..).unwrap_or(b"}");
        if fields.trim_ascii_start() != b"}" {
            out.push(b',');
        }
        out.extend_from_slice(fields);
        let is_cut = is_long && has_long_field(&line);
        return (out, is_cut.then_some(SinkFinding::Truncated));
    }
    out.extend_from_slice(b",\"RawEvent\":");
    out.extend_from_slice(&line);
    out.push(b'}');
    (out, is_long.then_some(SinkFinding::Truncated))
}

/// Returns true if Azure cuts a field of the document.
fn has_long_field(line: &[u8]) -> bool {
    serde_json::from_slice::<HashMap<String, &RawValue>>(line)
        .is_ok_and(|fields| fields.values().any(|value| value.get().len() > MAX_FIELD_BYTES))
}

/// Returns the time of a record.
pub(super) fn time_of(record: &[u8]) -> Option<DateTime<Utc>> {
    let rest = record.strip_prefix(HEAD)?;
    let end = memchr::memchr(b'"', rest)?;
    std::str::from_utf8(&rest[..end]).ok()?.parse().ok()
}
