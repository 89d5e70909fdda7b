//! The wrappers that events arrive in, told apart by content.
//!
//! | wrapper | from |
//! | --- | --- |
//! | `{"_embedded":{"activities":[…]}}` | an export of PingOne's audit API |
//! | `{"event":{…},"time":…}` | the webhook's Splunk schema |
//! | `{"logs":[…]}` | the webhook's New Relic schema |
//!
//! A wrapper's own fields (host, time) describe the transport and are not kept. Any other field beside the events is
//! a finding; what holds events there is read like the rest.

use memchr::memmem;

use super::JsonPath;
use super::members::{Member, Members, Names};

/// What a wrapper holds, as it is written, and where: one event, or a list of them.
#[derive(Debug)]
pub(super) struct Wrapped<'a> {
    pub(super) value: &'a str,
    pub(super) path: JsonPath,
    pub(super) siblings: Vec<Sibling<'a>>,
}

/// A field beside the events of a wrapper, which is worth a finding.
#[derive(Debug)]
pub(super) struct Sibling<'a> {
    pub(super) path: String,
    pub(super) value: &'a str,
    pub(super) holds_events: bool,
}

/// Fields that wrappers are known to have: those with events, then those of each transport.
const KNOWN: Names<13> = Names::new([
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

/// The same inside `_embedded`.
const KNOWN_EMBEDDED: Names<1> = Names::new(["activities"]);

/// What a wrapper holds, or `None` where the object is an event, or is not clearly a wrapper: then
/// it stays one element, and nothing in it can get lost.
pub(super) fn unwrap<'a>(members: &Members<'_, 'a>, path: JsonPath) -> Option<Wrapped<'a>> {
    let is_event = ["id", "recordedAt", "action"].iter().any(|name| members.get(name).is_some());
    if is_event || !path.has_room() {
        return None;
    }
    let mut wrappers = ["logs", "event", "_embedded"].into_iter().filter_map(|name| {
        let (member, repeated) = members.get(name)?;
        Some((name, member, repeated))
    });
    let (Some((name, member, false)), None) = (wrappers.next(), wrappers.next()) else {
        return None;
    };
    let wrapped = match name {
        "_embedded" => {
            let embedded = member.object()?;
            let (list, false) = embedded.get("activities")? else { return None };
            let path = path.member("_embedded");
            let siblings = siblings(&embedded, &KNOWN_EMBEDDED, "activities", path);
            Wrapped { value: list.value(), path: path.member("activities"), siblings }
        }
        name => Wrapped { value: member.value(), path: path.member(name), siblings: Vec::new() },
    };
    let opens = if name == "event" { '{' } else { '[' };
    wrapped.value.starts_with(opens).then(|| {
        let mut wrapped = wrapped;
        wrapped.siblings.extend(siblings(members, &KNOWN, name, path));
        wrapped
    })
}

/// The fields beside `wrapper` that are unknown, or hold events.
fn siblings<'a, const N: usize>(
    members: &Members<'_, 'a>,
    known: &Names<N>,
    wrapper: &str,
    path: JsonPath,
) -> Vec<Sibling<'a>> {
    let of = |member: Member<'_, 'a>| {
        let (name, value) = (member.name(), member.value());
        let holds_events =
            value.starts_with(['{', '[']) && memmem::find(value.as_bytes(), TIME).is_some();
        let is_finding = name != wrapper && (holds_events || !known.contains_name(&name));
        let path = || format!("{path}.{}", name.chars().take(80).collect::<String>());
        is_finding.then(|| Sibling { path: path(), value, holds_events })
    };
    members.iter().filter_map(of).collect()
}

/// The field that tells an event from what describes a transport.
const TIME: &[u8] = b"\"recordedAt\"";
