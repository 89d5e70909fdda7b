//! Which bytes hold the event that is asked for. Stored events say their id; of what was refused, the id may
//! be all that is left, or not even that.

use memchr::memmem::Finder;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::decode;
use crate::spool::{Entry, EntryOrigin};

/// How sure it is that a quarantine entry holds the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Match {
    /// It has this id.
    Id,
    /// The id's text is somewhere in bytes that are not JSON, or in another member.
    Text,
}

/// Looks for one id.
pub(super) struct Wanted<'a> {
    pub(super) id: &'a str,
    finder: Finder<'a>,
}

#[derive(serde::Deserialize)]
struct WithId<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
}

impl<'a> Wanted<'a> {
    pub(super) fn new(id: &'a str) -> Wanted<'a> {
        Wanted { id, finder: Finder::new(id) }
    }

    /// Whether bytes can hold the id at all: as it is, or spelt with escapes.
    pub(super) fn may_be_in(&self, bytes: &[u8]) -> bool {
        self.is_in(bytes) || memchr::memchr(b'\\', bytes).is_some()
    }

    fn is_in(&self, bytes: &[u8]) -> bool {
        self.finder.find(bytes).is_some()
    }

    /// Whether an entry of the quarantine holds it; `None` if its bytes do not tell.
    pub(super) fn look_into(&self, entry: &Entry) -> Option<Option<Match>> {
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

/// Whether an object has this id, though it may be no event.
pub(super) fn has_id(raw: &[u8], id: &str) -> bool {
    let object: Option<WithId<'_>> = serde_json::from_slice(raw).ok();
    let found = object.and_then(|object| serde_json::from_str::<String>(object.id?.get()).ok());
    found.is_some_and(|found| found == id)
}
