//! Messages of the quarantine's stream: the entry's unchanged bytes; its fields are a header, in JSON.

use async_nats::HeaderMap;
use async_nats::jetstream::message::PublishMessage;
use bytes::Bytes;

use crate::spool::{Entry, EntrySummary, Millis, NewEntry};

/// Fields of a quarantine entry, as JSON.
const ENTRY: &str = "Davinci-Siem-Entry";

/// Maximum size of an entry's fields as JSON, in bytes.
const FIELDS: usize = 16 * 1024;

/// Maximum size of each text of an entry if there is no room for more, in bytes.
const BRIEF: usize = 32;

/// Returns the subject of quarantine entries.
pub(super) fn subject(stream: &str) -> String {
    format!("{stream}.refused")
}

/// Shortens an entry's texts so that the servers accept the message.
pub(super) fn fitting(mut entry: NewEntry, max_payload: usize) -> NewEntry {
    if entry.bytes.len() + FIELDS <= max_payload {
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

/// Returns the fields of a new entry. Its number is not known yet.
pub(super) fn summary_of(entry: &NewEntry, source: &str, at: Millis) -> EntrySummary {
    EntrySummary {
        id: 0,
        at,
        source: source.to_owned(),
        origin: entry.origin,
        reason: entry.reason.to_owned(),
        detail: entry.detail.clone(),
        path: entry.path.clone(),
        index: entry.index,
        request_id: entry.request_id.clone(),
        encoding: entry.encoding.clone(),
        sink: entry.sink.as_deref().map(str::to_owned),
        target: entry.target.clone(),
        size: entry.bytes.len() as u64,
    }
}

/// Builds the message of an entry. The servers store one of each `id` within their window.
pub(super) fn message(summary: &EntrySummary, bytes: Bytes, id: &str) -> PublishMessage {
    // JSON has no line breaks, which would end a header.
    let fields = serde_json::to_string(summary).unwrap_or_default();
    PublishMessage::build().payload(bytes).header(ENTRY, fields).message_id(id)
}

/// Parses the fields of a stored entry; `None` for a message of another program.
pub(super) fn summary(headers: Option<&HeaderMap>, sequence: u64) -> Option<EntrySummary> {
    let summary: EntrySummary = serde_json::from_str(headers?.get(ENTRY)?.as_str()).ok()?;
    Some(EntrySummary { id: i64::try_from(sequence).ok()?, ..summary })
}

/// Parses a stored entry.
pub(super) fn stored(headers: &HeaderMap, sequence: u64, bytes: &Bytes) -> Option<Entry> {
    Some(Entry { summary: summary(Some(headers), sequence)?, bytes: bytes.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::{EntryOrigin, TargetAnswer};

    fn new(size: usize, text: &str) -> NewEntry {
        let target =
            TargetAnswer { attempts: 3, status: Some(400), code: None, text: text.to_owned() };
        NewEntry {
            origin: EntryOrigin::DeadLetter,
            key: None,
            reason: "rejected",
            detail: text.to_owned(),
            path: "$[3]".to_owned(),
            index: 3,
            request_id: "r\r\nX: 1".to_owned(),
            encoding: String::new(),
            sink: Some("hook".into()),
            target: Some(target),
            bytes: vec![b'x'; size].into(),
        }
    }

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        let text = "a \"detail\"\r\nwith a break \u{1f600}";
        let summary = summary_of(&new(5, text), "pingone", 42);
        let written = message(&summary, Bytes::from_static(b"\xff\x00raw"), "id");
        let written = written.outbound_message("s");
        let headers = written.headers.expect("headers");
        let header = headers.get(ENTRY).expect("the entry").as_str();
        assert!(!header.contains(['\r', '\n']), "a break would end the header: {header}");
        let found = stored(&headers, 11, &written.payload).expect("an entry");
        assert_eq!(found.summary, EntrySummary { id: 11, ..summary });
        assert_eq!(found.bytes, b"\xff\x00raw");
        assert_eq!(super::summary(None, 1), None, "of another program");
    }

    #[test]
    fn beside_the_largest_event_texts_are_cut_short() {
        let largest = 1024 * 1024;
        let text = "\u{1}".repeat(1024);
        for (size, is_whole) in [(largest - 1024, false), (largest - FIELDS, true)] {
            let fitted = fitting(new(size, &text), largest);
            assert_eq!(fitted.detail.len() == 1024, is_whole, "{size}");
            let summary = summary_of(&fitted, "pingone", 42);
            let header = serde_json::to_string(&summary).expect("JSON").len();
            assert!(header + size <= largest, "{size} and {header}");
        }
    }
}
