//! The wrappers that events arrive in, told apart by content.
//!
//! | wrapper | from |
//! | --- | --- |
//! | `{"_embedded":{"activities":[…]}}` | an export of PingOne's audit API |
//! | `{"event":{…},"time":…}` | the webhook's Splunk schema |
//! | `{"logs":[…]}` | the webhook's New Relic schema |
//!
//! A wrapper's own members (host, time) describe the transport and are not kept.

use super::members::Members;
use super::split::{Piece, array};
use super::{Place, Refusal};

/// What a wrapper holds, or `None` where the object is an event, or is not clearly a wrapper: then
/// it stays one element, and nothing in it can get lost.
pub(super) fn unwrap<'a>(
    members: &Members<'a>,
    place: Place,
) -> Result<Option<Vec<Piece<'a>>>, Refusal> {
    let is_event = ["id", "recordedAt", "action"].iter().any(|name| members.get(name).is_some());
    if is_event || !place.has_room() {
        return Ok(None);
    }
    let mut wrappers = ["logs", "event", "_embedded"].into_iter().filter_map(|name| {
        let (value, repeated) = members.get(name)?;
        Some((name, value, repeated))
    });
    let (Some((name, value, false)), None) = (wrappers.next(), wrappers.next()) else {
        return Ok(None);
    };
    let embedded = (name == "_embedded").then(|| Members::of(value)).flatten();
    let (list, place) = match (name, embedded.and_then(|embedded| embedded.get("activities"))) {
        ("logs", _) => (value, place.member("logs")),
        ("_embedded", Some((activities, false))) => {
            (activities, place.member("_embedded").member("activities"))
        }
        ("event", _) if value.starts_with('{') => {
            let place = place.member("event");
            return Ok(Some(vec![Piece { place, ..Piece::whole(value.as_bytes()) }]));
        }
        _ => return Ok(None),
    };
    if !list.starts_with('[') {
        return Ok(None);
    }
    let mut pieces = Vec::new();
    array(list.as_bytes(), 1, place, &mut pieces)?;
    Ok(Some(pieces))
}
