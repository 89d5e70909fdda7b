//! The wrappers that events arrive in, told apart by content.
//!
//! | wrapper | from |
//! | --- | --- |
//! | `{"_embedded":{"activities":[…]}}` | an export of PingOne's audit API |
//! | `{"event":{…},"time":…}` | the webhook's Splunk schema |
//! | `{"logs":[…]}` | the webhook's New Relic schema |
//!
//! A wrapper's own members (host, time) describe the transport and are not kept.

use super::Place;
use super::members::{Member, Members};

/// What a wrapper holds, as it is written, and where: one event, or a list of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wrapped<'a> {
    pub(super) value: &'a str,
    pub(super) place: Place,
}

/// What a wrapper holds, or `None` where the object is an event, or is not clearly a wrapper: then
/// it stays one element, and nothing in it can get lost.
pub(super) fn unwrap<'a>(members: &Members<'_, 'a>, place: Place) -> Option<Wrapped<'a>> {
    let is_event = ["id", "recordedAt", "action"].iter().any(|name| members.get(name).is_some());
    if is_event || !place.has_room() {
        return None;
    }
    let mut wrappers = ["logs", "event", "_embedded"].into_iter().filter_map(|name| {
        let (member, repeated) = members.get(name)?;
        Some((name, member, repeated))
    });
    let (Some((name, member, false)), None) = (wrappers.next(), wrappers.next()) else {
        return None;
    };
    let wrapped = |member: Member<'_, 'a>, place| Wrapped { value: member.value(), place };
    let wrapped = match name {
        "_embedded" => match member.object()?.get("activities")? {
            (list, false) => wrapped(list, place.member("_embedded").member("activities")),
            _ => return None,
        },
        name => wrapped(member, place.member(name)),
    };
    let opens = if name == "event" { '{' } else { '[' };
    wrapped.value.starts_with(opens).then_some(wrapped)
}
