//! Record of one event: the columns that this sink adds, and the event.

use std::collections::BTreeMap;

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
    if format != Format::Ecs {
        push_field(&mut out, "RawEvent", &line);
        out.push(b'}');
        return (out, is_long.then_some(SinkFinding::Truncated));
    }
    if is_long && let Ok(fields) = serde_json::from_slice::<Fields<'_>>(&line) {
        let is_cut = push_long(&mut out, &fields);
        out.push(b'}');
        return (out, is_cut.then_some(SinkFinding::Truncated));
    }
    let fields = line.get(1..).unwrap_or(b"}");
    if fields.trim_ascii_start() != b"}" {
        out.push(b',');
    }
    out.extend_from_slice(fields);
    (out, None)
}

/// Fields of a JSON object, in an order that does not change.
type Fields<'a> = BTreeMap<String, &'a RawValue>;

/// Appends the fields of a long document. `event.original` becomes the column `RawEvent`, so that Azure does not cut the
/// column `event` because of it. Returns true if Azure cuts a column.
fn push_long(out: &mut Vec<u8>, fields: &Fields<'_>) -> bool {
    let mut is_cut = false;
    let mut push = |name: &str, value: &[u8]| {
        is_cut |= value.len() > MAX_FIELD_BYTES;
        push_field(out, name, value);
    };
    for (name, value) in fields {
        let value = value.get();
        let inner = serde_json::from_str::<Fields<'_>>(value).ok().filter(|_| name == "event");
        let Some(mut inner) = inner.filter(|inner| inner.contains_key("original")) else {
            push(name, value.as_bytes());
            continue;
        };
        if let Some(original) = inner.remove("original") {
            push("RawEvent", original.get().as_bytes());
        }
        let mut object = vec![b'{'];
        for (name, value) in inner {
            push_field(&mut object, &name, value.get().as_bytes());
        }
        object.push(b'}');
        push(name, &object);
    }
    is_cut
}

/// Appends a field to an object.
fn push_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    // A text cannot fail to serialize.
    out.extend_from_slice(&serde_json::to_vec(name).unwrap_or_default());
    out.push(b':');
    out.extend_from_slice(value);
}

/// Returns the time of a record.
pub(super) fn time_of(record: &[u8]) -> Option<DateTime<Utc>> {
    let rest = record.strip_prefix(HEAD)?;
    let end = memchr::memchr(b'"', rest)?;
    std::str::from_utf8(&rest[..end]).ok()?.parse().ok()
}
