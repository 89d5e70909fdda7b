//! Records for brokers: an event's bytes after a line with its subject or key and its ids.

use std::borrow::Cow;

#[cfg(any(feature = "kafka", feature = "nats"))]
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Rendered;
#[cfg(any(feature = "kafka", feature = "nats"))]
use super::{Item, Reason};

/// Metadata of an event. In an item it is one line of JSON before the event's own line.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct RecordHead<'a> {
    /// Subject of NATS, or key of Kafka.
    #[serde(borrow)]
    pub(super) route: Option<Cow<'a, str>>,
    /// Id that every repetition of the event has.
    #[serde(borrow)]
    pub(super) uid: Cow<'a, str>,
    /// `id`
    #[serde(borrow)]
    pub(super) event_id: Cow<'a, str>,
    /// `action.type`
    #[serde(borrow)]
    pub(super) action_type: Cow<'a, str>,
}

pub(super) fn encode(rendered: Rendered<'_>, route: Option<Cow<'_, str>>) -> Vec<u8> {
    let Rendered { line, event, source } = rendered;
    let envelope = event.envelope();
    let head = RecordHead {
        route,
        uid: event.uid(source).into(),
        event_id: Cow::Borrowed(&*envelope.id),
        action_type: Cow::Borrowed(&*envelope.action.kind),
    };
    // Serializing strings cannot fail.
    let mut out = serde_json::to_vec(&head).unwrap_or_default();
    out.push(b'\n');
    out.extend_from_slice(&line);
    out
}

/// Decodes the bytes of [`encode`].
///
/// # Errors
/// The bytes are not a record, which would be a bug of this program. The event stays in the spool.
#[cfg(any(feature = "kafka", feature = "nats"))]
pub(super) fn decode(item: &Item) -> Result<(RecordHead<'_>, Bytes), Reason> {
    let end = memchr::memchr(b'\n', &item.payload).unwrap_or(0);
    let head = serde_json::from_slice(&item.payload[..end]).map_err(|_| {
        Reason::new("the event was not made ready for a broker; please report this")
    })?;
    Ok((head, item.payload.slice(end + 1..)))
}
