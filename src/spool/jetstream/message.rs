//! What a stored event is as a message: its bytes, untouched, below a subject that names its source.
//!
//! | subject | what |
//! | --- | --- |
//! | `STREAM.event.SOURCE` | an event as it was received |
//! | `STREAM.copy.SOURCE.SINK` | one that is for this sink alone: a retried dead letter, a replay |
//! | `STREAM.refused` | an entry of the quarantine; what is known of it is a header, in JSON |
//!
//! Names of sources and sinks are of a-z, 0-9, `-` and `_`, so each is one token of a subject.

use std::sync::Arc;

use async_nats::HeaderMap;
use async_nats::jetstream::message::PublishMessage;
use bytes::Bytes;

use crate::spool::{Damage, DedupKey, Entry, Millis, NewEntry, Read, Stored, Summary};

/// When an event was received, in milliseconds since the epoch.
const RECEIVED_AT: &str = "Davinci-Siem-Received-At";

/// What is known of an entry, as JSON.
const ENTRY: &str = "Davinci-Siem-Entry";

/// Bytes that headers and subject take beside an event, at most, for what its size is compared with.
pub(super) const OVERHEAD: usize = 1024;

/// The subjects of a stream, for whoever makes it.
pub(super) fn event_subjects(stream: &str) -> Vec<String> {
    vec![format!("{stream}.event.*"), format!("{stream}.copy.*.*")]
}

/// The subject of entries.
pub(super) fn entry_subject(stream: &str) -> String {
    format!("{stream}.refused")
}

/// The subject of events of a source, for one sink or for all.
pub(super) fn event_subject(stream: &str, source: &str, only_sink: Option<&str>) -> String {
    match only_sink {
        None => format!("{stream}.event.{source}"),
        Some(sink) => format!("{stream}.copy.{source}.{sink}"),
    }
}

/// The message of an event.
pub(super) fn event(bytes: Bytes, received_at: Millis, id: Option<String>) -> PublishMessage {
    let message =
        PublishMessage::build().payload(bytes).header(RECEIVED_AT, received_at.to_string());
    match id {
        Some(id) => message.message_id(id),
        None => message,
    }
}

/// The message id of a key.
pub(super) fn id(key: DedupKey) -> String {
    format!("{:032x}", u128::from_le_bytes(key.to_bytes()))
}

/// The event of a message. What somebody else has put into the stream is no event, and is not lost either.
pub(super) fn read(
    subject: &str,
    headers: Option<&HeaderMap>,
    position: u64,
    bytes: Bytes,
) -> Read {
    let received_at = header(headers, RECEIVED_AT).and_then(|text| text.parse().ok());
    // The stream's name may hold no dots, so that the rest begins behind the first.
    let mut tokens = subject.split('.').skip(1);
    let place = match (tokens.next(), tokens.next(), tokens.next(), tokens.next()) {
        (Some("event"), Some(source), None, None) => Some((source, None)),
        (Some("copy"), Some(source), Some(sink), None) => Some((source, Some(sink))),
        _ => None,
    };
    match (place, received_at) {
        (Some((source, sink)), Some(received_at)) => Read::Event(Stored {
            position,
            received_at,
            source: source.into(),
            only_sink: sink.map(Arc::from),
            bytes,
        }),
        _ => Read::Damaged(Damage {
            first: position,
            last: position,
            source: String::new(),
            detail: format!("the message on {subject} was not written by davinci-siem"),
            bytes,
        }),
    }
}

/// The message of an entry.
pub(super) fn entry(
    entry: NewEntry,
    source: &str,
    at: Millis,
    id: Option<String>,
) -> PublishMessage {
    let size = entry.bytes.len() as u64;
    let summary = Summary {
        // Its place in the stream, which is not known yet.
        id: 0,
        at,
        source: source.to_owned(),
        origin: entry.origin,
        reason: entry.reason.to_owned(),
        detail: entry.detail,
        path: entry.path,
        index: entry.index,
        request_id: entry.request_id,
        encoding: entry.encoding,
        sink: entry.sink.map(|sink| sink.to_string()),
        target: entry.target,
        size,
    };
    // JSON has no line breaks, which would end a header.
    let text = serde_json::to_string(&summary).unwrap_or_default();
    let message = PublishMessage::build().payload(entry.bytes).header(ENTRY, text);
    match id {
        Some(id) => message.message_id(id),
        None => message,
    }
}

/// What is known of a stored entry; `None` if somebody else has written it.
pub(super) fn summary(headers: Option<&HeaderMap>, sequence: u64) -> Option<Summary> {
    let summary: Summary = serde_json::from_str(header(headers, ENTRY)?).ok()?;
    Some(Summary { id: i64::try_from(sequence).ok()?, ..summary })
}

/// A stored entry.
pub(super) fn stored_entry(headers: &HeaderMap, sequence: u64, bytes: &Bytes) -> Option<Entry> {
    Some(Entry { summary: summary(Some(headers), sequence)?, bytes: bytes.to_vec() })
}

fn header<'a>(headers: Option<&'a HeaderMap>, name: &str) -> Option<&'a str> {
    headers?.get(name).map(|value| value.as_str())
}
