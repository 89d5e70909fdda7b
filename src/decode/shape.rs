//! Recognises and opens the wrappers in which events arrive.
//!
//! | wrapper | from |
//! | --- | --- |
//! | `{"_embedded":{"activities":[…]}}` | an export of PingOne's audit API |
//! | `{"event":{…},"time":…}` | the webhook's Splunk schema |
//! | `{"logs":[…]}` | the webhook's New Relic schema |
//!
//! A wrapper's own fields (host, time) describe the transport and are not kept. Any other field
//! beside the events is a finding; events inside such a field are read like the others.

use memchr::memmem;

use super::JsonPath;
use super::fields::{Field, FieldNames, ObjectFields};

/// Content of a wrapper: one event or an array of events, as written, and its JSON path.
#[derive(Debug)]
pub(super) struct Wrapped<'a> {
    pub(super) value: &'a str,
    pub(super) path: JsonPath,
    pub(super) siblings: Vec<Sibling<'a>>,
}

/// A field beside the events of a wrapper, to be reported as a finding.
#[derive(Debug)]
pub(super) struct Sibling<'a> {
    pub(super) path: String,
    pub(super) value: &'a str,
    pub(super) holds_events: bool,
}

/// Known fields of wrappers: those that hold events, then those of each transport.
const KNOWN: FieldNames<13> = FieldNames::new([
    "logs",
    "event",
    "_embedded",
    "common",
    "time",
    "host",
    "source",
    "sourcetype",
    "index",
    "fields",
    "_links",
    "count",
    "size",
]);

/// Known fields inside `_embedded`.
const KNOWN_EMBEDDED: FieldNames<1> = FieldNames::new(["activities"]);

/// Returns the content of a wrapper. Returns `None` if the object is an event or not clearly a
/// wrapper: it then stays one element, and nothing in it is lost.
pub(super) fn unwrap<'a>(fields: &ObjectFields<'_, 'a>, path: JsonPath) -> Option<Wrapped<'a>> {
    let is_event = ["id", "recordedAt", "action"].iter().any(|name| fields.get(name).is_some());
    if is_event || !path.has_room() {
        return None;
    }
    let mut wrappers = ["logs", "event", "_embedded"].into_iter().filter_map(|name| {
        let (field, repeated) = fields.get(name)?;
        Some((name, field, repeated))
    });
    let (Some((name, field, false)), None) = (wrappers.next(), wrappers.next()) else {
        return None;
    };
    let wrapped = match name {
        "_embedded" => {
            let embedded = field.object()?;
            let (list, false) = embedded.get("activities")? else { return None };
            let path = path.field("_embedded");
            let siblings = siblings(&embedded, &KNOWN_EMBEDDED, "activities", path);
            Wrapped { value: list.value(), path: path.field("activities"), siblings }
        }
        name => Wrapped { value: field.value(), path: path.field(name), siblings: Vec::new() },
    };
    let opens = if name == "event" { '{' } else { '[' };
    wrapped.value.starts_with(opens).then(|| {
        let mut wrapped = wrapped;
        wrapped.siblings.extend(siblings(fields, &KNOWN, name, path));
        wrapped
    })
}

/// Returns the fields beside `wrapper` that are unknown or hold events.
fn siblings<'a, const N: usize>(
    fields: &ObjectFields<'_, 'a>,
    known: &FieldNames<N>,
    wrapper: &str,
    path: JsonPath,
) -> Vec<Sibling<'a>> {
    let of = |field: Field<'_, 'a>| {
        let (name, value) = (field.name(), field.value());
        let holds_events =
            value.starts_with(['{', '[']) && memmem::find(value.as_bytes(), TIME).is_some();
        let is_finding = name != wrapper && (holds_events || !known.contains_name(&name));
        let path = || format!("{path}.{}", name.chars().take(80).collect::<String>());
        is_finding.then(|| Sibling { path: path(), value, holds_events })
    };
    fields.iter().filter_map(of).collect()
}

/// Field name that occurs in events only, not in descriptions of a transport.
const TIME: &[u8] = b"\"recordedAt\"";
