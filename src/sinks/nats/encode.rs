//! Encodes an event and its subject, which has as many levels as the template.

use std::borrow::Cow;

use super::{NatsSinkConfig, Subject, SubjectPart};
use crate::event::Event;
use crate::sinks::{Rendered, record};

/// Upper bound of a value in a subject, in characters: servers refuse subjects of more than a few thousand.
const MAX_VALUE_CHARACTERS: usize = 128;

/// Encodes an event and its subject.
pub(super) fn encode(config: &NatsSinkConfig, rendered: Rendered<'_>) -> Vec<u8> {
    let subject = subject(&config.subject, rendered.event);
    record::encode(rendered, Some(subject.into()))
}

/// Returns the subject of an event. A character that is not an ASCII letter, a digit, `-` or `_` becomes `_`:
/// dots separate levels, `*` and `>` are wildcards. A missing value becomes `none`.
pub(super) fn subject(template: &Subject, event: &Event<'_>) -> String {
    let mut subject = String::with_capacity(64);
    for part in &template.0 {
        let value = match part {
            SubjectPart::Text(text) => {
                subject.push_str(text);
                continue;
            }
            SubjectPart::Environment => event.environment_id(),
            SubjectPart::Action => Some(event.kind()),
            SubjectPart::Outcome => Some(event.outcome().as_str()),
            SubjectPart::Flow => event.flow_id(),
            SubjectPart::Connector => event.connector_id(),
        };
        subject.push_str(&level(value.unwrap_or_default()));
    }
    subject
}

fn level(value: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    match value {
        "" => Cow::Borrowed("none"),
        _ if value.len() <= MAX_VALUE_CHARACTERS && value.chars().all(is_plain) => {
            Cow::Borrowed(value)
        }
        _ => value
            .chars()
            .take(MAX_VALUE_CHARACTERS)
            .map(|c| if is_plain(c) { c } else { '_' })
            .collect(),
    }
}
