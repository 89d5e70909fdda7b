//! The subject of an event: whatever the event says, it has as many levels as its template.

use std::borrow::Cow;

use crate::config::{Part, Subject};
use crate::event::Event;

/// Characters of a value at most: servers refuse subjects of more than a few thousand.
const LONGEST: usize = 128;

/// Fills the places in. A character that is not a letter of ASCII, a digit, `-` or `_` becomes `_`:
/// dots separate levels, `*` and `>` are wildcards. What an event does not have is `none`.
pub(super) fn of(template: &Subject, event: &Event<'_>) -> String {
    let mut subject = String::with_capacity(64);
    for part in &template.0 {
        let value = match part {
            Part::Text(text) => {
                subject.push_str(text);
                continue;
            }
            Part::Environment => event.environment_id(),
            Part::Action => Some(event.kind()),
            Part::Outcome => Some(event.outcome().as_str()),
            Part::Flow => event.flow_id(),
            Part::Connector => event.connector_id(),
        };
        subject.push_str(&level(value.unwrap_or_default()));
    }
    subject
}

fn level(value: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    match value {
        "" => Cow::Borrowed("none"),
        _ if value.len() <= LONGEST && value.chars().all(is_plain) => Cow::Borrowed(value),
        _ => value.chars().take(LONGEST).map(|c| if is_plain(c) { c } else { '_' }).collect(),
    }
}
