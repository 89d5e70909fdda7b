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

/// What a wrapper holds, or `None` where the object is an event itself.
pub(super) fn unwrap<'a>(
    members: &Members<'a>,
    place: Place,
) -> Result<Option<Vec<Piece<'a>>>, Refusal> {
    if members.get("action").is_some() || !place.has_room() {
        return Ok(None);
    }
    let (list, place) = if let Some((logs, _)) = members.get("logs") {
        (logs, place.member("logs"))
    } else if let Some((event, _)) = members.get("event") {
        if !event.get().starts_with('{') {
            return Ok(None);
        }
        let piece = Piece { place: place.member("event"), ..Piece::whole(event.get().as_bytes()) };
        return Ok(Some(vec![piece]));
    } else {
        let embedded = members.get("_embedded").and_then(|(value, _)| Members::of(value));
        match embedded.and_then(|embedded| embedded.get("activities")) {
            Some((activities, _)) => (activities, place.member("_embedded").member("activities")),
            None => return Ok(None),
        }
    };
    let text = list.get();
    if !text.starts_with('[') {
        return Ok(None);
    }
    let mut pieces = Vec::new();
    array(text.as_bytes(), 1, place, &mut pieces)?;
    Ok(Some(pieces))
}
