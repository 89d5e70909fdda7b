//! How much an event matters: one rule for every format, header and filter.

use super::{Event, Interaction, Outcome};

/// How much an event matters to whoever watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Nothing went wrong.
    Informational,
    /// A node said `success: false`, as a comparison's false branch does without anything being wrong.
    Low,
    /// Something failed or was denied.
    Medium,
    /// Fraud was reported.
    High,
}

pub(super) fn of(event: &Event<'_>) -> Severity {
    if event.outcome() != Outcome::Failure {
        return Severity::Informational;
    }
    let Event::Interaction(interaction) = event else { return Severity::Medium };
    let reported = &interaction.flow.reported;
    match &interaction.interaction {
        Interaction::SendErrorResponse(_) => Severity::Medium,
        _ if reported.is_fraud() => Severity::High,
        _ if reported.outcome().is_some() => Severity::Medium,
        other if other.node().success == Some(false) => Severity::Low,
        _ => Severity::Medium,
    }
}
