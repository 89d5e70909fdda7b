//! The quarantine: refused elements, bodies and dead letters, with reasons and exact bytes.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{DedupKey, Millis};

/// Origin of an entry, which decides the meaning of a retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryOrigin {
    /// One element of a received body; a retry types it again.
    Element,
    /// A whole received body; a retry splits it again.
    Body,
    /// A spooled event that a sink's target refused; a retry sends it to that sink again.
    DeadLetter,
    /// A chunk of the spool that no longer matches its checksum. Kept for people; it has no retry.
    Damage,
}

impl EntryOrigin {
    /// The stored name.
    pub fn as_str(self) -> &'static str {
        match self {
            EntryOrigin::Element => "element",
            EntryOrigin::Body => "body",
            EntryOrigin::DeadLetter => "dead_letter",
            EntryOrigin::Damage => "damage",
        }
    }

    pub(super) fn parse(name: &str) -> EntryOrigin {
        [EntryOrigin::Element, EntryOrigin::Body, EntryOrigin::DeadLetter]
            .into_iter()
            .find(|origin| origin.as_str() == name)
            .unwrap_or(EntryOrigin::Damage)
    }
}

/// Answer of a target that rejected an event.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TargetAnswer {
    /// Attempts that the event was part of.
    pub attempts: u32,
    /// The HTTP status, or the one that the answer gives this event.
    pub status: Option<u16>,
    /// The target's own code or error type.
    pub code: Option<String>,
    /// The beginning of the answer.
    pub text: String,
}

/// An entry to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// Origin of the entry.
    pub origin: EntryOrigin,
    /// Deduplication key of a received element.
    pub key: Option<DedupKey>,
    /// Reason as a fixed word, for counting.
    pub reason: &'static str,
    /// Reason as a sentence.
    pub detail: String,
    /// JSON path from the root of the received body.
    pub path: String,
    /// Position in the received body, from 0.
    pub index: u64,
    /// The request's `X-Request-Id`.
    pub request_id: String,
    /// The `Content-Encoding` the bytes are still in, if they could not be inflated.
    pub encoding: String,
    /// The sink that could not deliver it.
    pub sink: Option<Arc<str>>,
    /// Answer of the sink's target.
    pub target: Option<TargetAnswer>,
    /// Exact bytes.
    pub bytes: Bytes,
}

/// Upper bound of an entry's size besides its bytes and texts of any length: so that many small ones are
/// not for free.
pub(super) const ENTRY_OVERHEAD: u64 = 512;

impl NewEntry {
    /// Returns the bytes that the entry counts in the quarantine, equal to those of the stored entry.
    pub(super) fn size(&self) -> u64 {
        let NewEntry { detail, path, request_id, encoding, bytes, .. } = self;
        let texts = detail.len() + path.len() + request_id.len() + encoding.len();
        let answer = self
            .target
            .as_ref()
            .map_or(0, |target| target.text.len() + target.code.as_ref().map_or(0, String::len));
        ENTRY_OVERHEAD + (texts + answer + bytes.len()) as u64
    }
}

/// A stored entry without its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntrySummary {
    /// Number of the entry, never reused.
    pub id: i64,
    /// Time of storage, in milliseconds since the Unix epoch.
    pub at: Millis,
    /// The source it came from.
    pub source: String,
    /// Origin of the entry.
    pub origin: EntryOrigin,
    /// Reason as a fixed word.
    pub reason: String,
    /// Reason as a sentence.
    pub detail: String,
    /// JSON path from the root of the received body.
    pub path: String,
    /// Position in the received body, from 0.
    pub index: u64,
    /// The request's `X-Request-Id`.
    pub request_id: String,
    /// The `Content-Encoding` its bytes are still in; empty when plain.
    pub encoding: String,
    /// The sink that could not deliver it.
    pub sink: Option<String>,
    /// Answer of the sink's target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetAnswer>,
    /// Length of its bytes.
    pub size: u64,
}

/// A stored entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The entry without its bytes.
    pub summary: EntrySummary,
    /// Exact bytes as received.
    pub bytes: Vec<u8>,
}

/// Filter and order of a listing.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Only entries after this number.
    pub after: i64,
    /// Only this reason.
    pub reason: Option<String>,
    /// Only this source.
    pub source: Option<String>,
    /// Only dead letters of this sink.
    pub sink: Option<String>,
    /// The newest first; otherwise the oldest.
    pub newest_first: bool,
    /// At most this many.
    pub limit: u32,
}
