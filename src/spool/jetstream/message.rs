//! Messages of JetStream: an event's unchanged bytes, with a subject that names its source.
//!
//! | subject | message |
//! | --- | --- |
//! | `STREAM.event.SOURCE` | event as received |
//! | `STREAM.copy.SOURCE.SINK` | event for one sink: a retried dead letter, a replay |
//! | `STREAM.refused` | quarantine entry; its fields are a header, in JSON |
//!
//! Names of sources and sinks consist of a-z, 0-9, `-` and `_`, so each is one token of a subject.

use std::sync::Arc;

use async_nats::HeaderMap;
use async_nats::jetstream::message::PublishMessage;
use bytes::Bytes;

use crate::spool::{Damage, DedupKey, Entry, EntrySummary, Millis, NewEntry, Read, StoredEvent};

/// Time of receipt of an event, in milliseconds since the Unix epoch.
const RECEIVED_AT: &str = "Davinci-Siem-Received-At";

/// Fields of a quarantine entry, as JSON.
const ENTRY: &str = "Davinci-Siem-Entry";

/// Maximum size of headers and subject beside an event, in bytes, for checks against the maximum payload.
pub(super) const OVERHEAD: usize = 1024;

/// Maximum size of an entry's fields as JSON, in bytes.
const WORDS: usize = 16 * 1024;

/// Maximum size of each text of an entry if there is no room for more, in bytes.
const BRIEF: usize = 32;

/// Returns the subjects of a stream.
pub(super) fn event_subjects(stream: &str) -> Vec<String> {
    vec![format!("{stream}.event.*"), format!("{stream}.copy.*.*")]
}

/// Returns the subject of quarantine entries.
pub(super) fn entry_subject(stream: &str) -> String {
    format!("{stream}.refused")
}

/// Returns the subject of events of a source, for one sink or for all.
pub(super) fn event_subject(stream: &str, source: &str, only_sink: Option<&str>) -> String {
    match only_sink {
        None => format!("{stream}.event.{source}"),
        Some(sink) => format!("{stream}.copy.{source}.{sink}"),
    }
}

/// Builds the message of an event.
pub(super) fn event(bytes: Bytes, received_at: Millis, id: Option<String>) -> PublishMessage {
    let message =
        PublishMessage::build().payload(bytes).header(RECEIVED_AT, received_at.to_string());
    match id {
        Some(id) => message.message_id(id),
        None => message,
    }
}

/// Returns the message id of a key.
pub(super) fn id(key: DedupKey) -> String {
    format!("{:032x}", u128::from_le_bytes(key.to_bytes()))
}

/// Parses the event of a message. A message of another program is reported as damage, not lost.
pub(super) fn read(
    subject: &str,
    headers: Option<&HeaderMap>,
    position: u64,
    bytes: Bytes,
) -> Read {
    let received_at = header(headers, RECEIVED_AT).and_then(|text| text.parse().ok());
    // The stream's name holds no dots, so the rest starts after the first.
    let mut tokens = subject.split('.').skip(1);
    let lease = match (tokens.next(), tokens.next(), tokens.next(), tokens.next()) {
        (Some("event"), Some(source), None, None) => Some((source, None)),
        (Some("copy"), Some(source), Some(sink), None) => Some((source, Some(sink))),
        _ => None,
    };
    match (lease, received_at) {
        (Some((source, sink)), Some(received_at)) => Read::Event(StoredEvent {
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

/// Shortens an entry's texts so that the servers accept the message.
pub(super) fn fitting(mut entry: NewEntry, max_payload: usize) -> NewEntry {
    if entry.bytes.len() + WORDS <= max_payload {
        return entry;
    }
    let cut = |text: &mut String| text.truncate(text.floor_char_boundary(BRIEF));
    cut(&mut entry.detail);
    cut(&mut entry.path);
    if let Some(target) = &mut entry.target {
        cut(&mut target.text);
    }
    entry
}

/// Builds the message of an entry.
pub(super) fn entry(
    entry: NewEntry,
    source: &str,
    at: Millis,
    id: Option<String>,
) -> PublishMessage {
    let size = entry.bytes.len() as u64;
    let summary = EntrySummary {
        // The entry's number in the stream, not known yet.
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

/// Parses the fields of a stored entry; `None` for a message of another program.
pub(super) fn summary(headers: Option<&HeaderMap>, sequence: u64) -> Option<EntrySummary> {
    let summary: EntrySummary = serde_json::from_str(header(headers, ENTRY)?).ok()?;
    Some(EntrySummary { id: i64::try_from(sequence).ok()?, ..summary })
}

/// Parses a stored entry.
pub(super) fn stored_entry(headers: &HeaderMap, sequence: u64, bytes: &Bytes) -> Option<Entry> {
    Some(Entry { summary: summary(Some(headers), sequence)?, bytes: bytes.to_vec() })
}

fn header<'a>(headers: Option<&'a HeaderMap>, name: &str) -> Option<&'a str> {
    headers?.get(name).map(|value| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::{EntryOrigin, TargetAnswer};

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        pairs.iter().for_each(|(name, value)| headers.insert(*name, *value));
        headers
    }

    #[test]
    fn an_event_is_read_as_it_was_written() {
        let bytes = Bytes::from_static(b"{\"id\":\"a\"}");
        for (sink, subject) in
            [(None, "siem.event.pingone"), (Some("hook"), "siem.copy.pingone.hook")]
        {
            assert_eq!(event_subject("siem", "pingone", sink), subject);
            let headers = headers(&[(RECEIVED_AT, "1700000000123")]);
            let Read::Event(stored) = read(subject, Some(&headers), 7, bytes.clone()) else {
                panic!("an event")
            };
            assert_eq!((stored.position, stored.received_at), (7, 1_700_000_000_123));
            assert_eq!((&*stored.source, stored.only_sink.as_deref()), ("pingone", sink));
            assert_eq!(stored.bytes, bytes);
        }
    }

    #[test]
    fn what_somebody_else_has_written_is_no_event_and_is_not_lost() {
        let good = headers(&[(RECEIVED_AT, "1")]);
        for (subject, headers) in [
            ("siem.event.pingone", None),
            ("siem.event.pingone", Some(headers(&[(RECEIVED_AT, "soon")]))),
            ("siem.event", Some(good.clone())),
            ("siem.event.a.b", Some(good.clone())),
            ("siem.copy.pingone", Some(good.clone())),
            ("siem.other.pingone", Some(good)),
        ] {
            let read = read(subject, headers.as_ref(), 9, Bytes::from_static(b"x"));
            let Read::Damaged(damage) = read else { panic!("{subject}: no event") };
            assert_eq!((damage.first, damage.last, &damage.bytes[..]), (9, 9, &b"x"[..]));
            assert!(damage.detail.contains(subject), "{}", damage.detail);
        }
    }

    #[test]
    fn keys_are_ids_of_their_own() {
        let id = |name: &str| id(DedupKey::new("pingone", name, (0, 0)));
        assert_eq!(id("a").len(), 32);
        assert_eq!(id("a"), id("a"));
        assert_ne!(id("a"), id("b"));
    }

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        let target = TargetAnswer {
            attempts: 3,
            status: Some(400),
            code: None,
            text: "line\r\nbreak \u{1f600}".to_owned(),
        };
        let new = NewEntry {
            origin: EntryOrigin::DeadLetter,
            key: None,
            reason: "rejected",
            detail: "a \"detail\"\nwith a break".to_owned(),
            path: "$[3]".to_owned(),
            index: 3,
            request_id: "r\r\nX: 1".to_owned(),
            encoding: String::new(),
            sink: Some("hook".into()),
            target: Some(target.clone()),
            bytes: Bytes::from_static(b"\xff\x00raw"),
        };
        // As read back: the header's text, parsed again.
        let written = entry(new, "pingone", 42, Some("id".to_owned())).outbound_message("s");
        let kept = written.headers.expect("headers");
        let text = kept.get(ENTRY).expect("the entry").as_str();
        assert!(!text.contains(['\r', '\n']), "a break would end the header: {text}");
        let found = stored_entry(&kept, 11, &written.payload).expect("an entry");
        assert_eq!((found.summary.id, found.summary.at, found.summary.size), (11, 42, 5));
        assert_eq!(found.summary.detail, "a \"detail\"\nwith a break");
        assert_eq!(found.summary.target, Some(target));
        assert_eq!(found.bytes, b"\xff\x00raw");
        assert_eq!(summary(None, 1), None, "somebody else's");
    }

    #[test]
    fn beside_the_largest_event_words_are_cut_short() {
        let largest = 1024 * 1024;
        let new = |size: usize| NewEntry {
            origin: EntryOrigin::DeadLetter,
            key: None,
            reason: "rejected",
            detail: "\u{1}".repeat(1024),
            path: "$".repeat(1024),
            index: 3,
            request_id: String::new(),
            encoding: String::new(),
            sink: Some("hook".into()),
            target: Some(TargetAnswer {
                attempts: 3,
                status: Some(400),
                code: None,
                text: "\u{1f600}".repeat(256),
            }),
            bytes: vec![0; size].into(),
        };
        for (size, is_whole) in [(largest - OVERHEAD, false), (largest - WORDS, true)] {
            let fitted = fitting(new(size), largest);
            assert_eq!(fitted.detail.len() == 1024, is_whole, "{size}");
            let written = entry(fitted, "pingone", 42, Some("id".to_owned())).outbound_message("s");
            let header = written.headers.expect("headers").get(ENTRY).expect("it").as_str().len();
            assert!(header + size <= largest, "{size} and {header}");
        }
    }
}
