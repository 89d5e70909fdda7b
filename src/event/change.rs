//! Change of an object by an administrative event, derived from the last word of `action.type`.

use super::Event;

/// Kind of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    /// The object was created.
    Created,
    /// The object was changed.
    Updated,
    /// The object was deleted.
    Deleted,
}

/// Last words of administrative types. An unknown word means no known change.
/// <https://docs.pingidentity.com/pingone/early-access-features/ea_p1_davinci_audit_events.html>
const WORDS: [(&str, Change); 13] = [
    ("CREATED", Change::Created),
    ("ADDED", Change::Created),
    ("CLONED", Change::Created),
    ("IMPORTED", Change::Created),
    ("UPDATED", Change::Updated),
    ("DEPLOYED", Change::Updated),
    ("ENABLED", Change::Updated),
    ("DISABLED", Change::Updated),
    ("REVERTED", Change::Updated),
    ("OVERRIDDEN", Change::Updated),
    ("ENABLE_ANALYTICS_DEBUG_VIEW", Change::Updated),
    ("DELETED", Change::Deleted),
    ("REMOVED", Change::Deleted),
];

pub(super) fn of(event: &Event<'_>) -> Option<Change> {
    if matches!(event, Event::Interaction(_) | Event::DeliveryTest(_)) {
        return None;
    }
    let kind = &*event.envelope().action.kind;
    let word = kind.rsplit('.').next().unwrap_or(kind);
    WORDS.iter().find(|(known, _)| word.eq_ignore_ascii_case(known)).map(|(_, change)| *change)
}
