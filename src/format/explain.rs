//! Explains which event field became which field of a format.

use super::classify::session_change;
use super::leaves::{Leaves, MappedField};
use super::{Line, Received, cef, ecs, leef, line, ocsf};
use crate::event::Event;
use crate::format::{Format, FormatConfig};

/// A rendered event and the origin of its fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The rendered event.
    pub line: Line,
    /// Event fields and the format fields that show them, sorted by event field.
    pub mapped: Vec<MappedField>,
    /// Format fields derived by a rule, with the event field that determined them; empty if none
    /// did.
    pub derived: Vec<(&'static str, &'static str)>,
}

/// Rule for a format field that does not show an event field unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Derivation {
    Time,
    Outcome,
    Severity,
    Kind,
    /// The kind, except for a sign-on or sign-off that custom analytics report.
    Class,
}

/// Renders one event and explains the origin of each field.
pub fn explain(formatting: &FormatConfig, received: Received<'_>) -> Explanation {
    let mut leaves = Leaves::traced(received);
    let line = line(formatting, received, &mut leaves);
    let rules: &[(&str, Derivation)] = match formatting.format {
        Format::Native => {
            leaves.write_rest("(as it is)", None, &mut Vec::new());
            &[]
        }
        Format::Ecs => &ecs::RULES,
        Format::Ocsf => &ocsf::RULES,
        Format::Cef => &cef::RULES,
        Format::Leef => &leef::RULES,
    };
    let mut mapped = leaves.into_trace();
    mapped.sort();
    mapped.dedup();
    let is_reported = session_change(formatting, received.event).is_some();
    let derived = rules.iter().map(|(field, rule)| match rule {
        Derivation::Class if is_reported => (*field, "outcomeType"),
        rule => (*field, deciding_field(*rule, received.event)),
    });
    Explanation { line, mapped, derived: derived.collect() }
}

fn deciding_field(rule: Derivation, event: &Event<'_>) -> &'static str {
    match rule {
        Derivation::Time => event.time_field(),
        Derivation::Outcome | Derivation::Severity => event.outcome_field(),
        Derivation::Kind | Derivation::Class => "action.type",
    }
}

impl MappedField {
    /// Returns the event field's path with dots, for example `actors.user.name`.
    pub fn path(&self) -> String {
        let path = self.pointer.trim_start_matches('/').replace('/', ".");
        path.replace("~1", "/").replace("~0", "~")
    }
}
