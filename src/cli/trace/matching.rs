//! Search for an event id in bytes, also in bytes that are not a valid event.

use memchr::memmem::Finder;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::decode;
use crate::spool::{Entry, EntryOrigin};

/// Certainty that a quarantine entry holds the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Match {
    /// An object has this id.
    Id,
    /// The text of the id occurs in bytes that are not JSON, or in another field.
    Text,
}

pub(super) struct IdMatcher<'a> {
    pub(super) id: &'a str,
    finder: Finder<'a>,
}

#[derive(serde::Deserialize)]
struct ObjectWithId<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
}

impl<'a> IdMatcher<'a> {
    pub(super) fn new(id: &'a str) -> IdMatcher<'a> {
        IdMatcher { id, finder: Finder::new(id) }
    }

    /// Returns true if the bytes may contain the id: literally, or spelt with escapes.
    pub(super) fn may_be_in(&self, bytes: &[u8]) -> bool {
        self.is_in(bytes) || memchr::memchr(b'\\', bytes).is_some()
    }

    fn is_in(&self, bytes: &[u8]) -> bool {
        self.finder.find(bytes).is_some()
    }

    /// Searches a quarantine entry for the id; `None` if its bytes cannot be searched.
    pub(super) fn search(&self, entry: &Entry) -> Option<Option<Match>> {
        let Entry { summary, bytes } = entry;
        if summary.origin == EntryOrigin::Damage || !summary.encoding.is_empty() {
            return None;
        }
        if !self.may_be_in(bytes) {
            return Some(None);
        }
        let elements = decode::body(bytes, false).unwrap_or_default();
        if has_id(bytes, self.id) || elements.iter().any(|element| has_id(element.raw, self.id)) {
            return Some(Some(Match::Id));
        }
        Some(self.is_in(bytes).then_some(Match::Text))
    }
}

/// Returns true if a JSON object has this id, also if it is not a valid event.
pub(super) fn has_id(raw: &[u8], id: &str) -> bool {
    let object: Option<ObjectWithId<'_>> = serde_json::from_slice(raw).ok();
    let found = object.and_then(|object| serde_json::from_str::<String>(object.id?.get()).ok());
    found.is_some_and(|found| found == id)
}
