//! Severity of an event: one rule for every format, header and filter.

use super::{Event, Interaction, Outcome};

/// Severity of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Nothing went wrong.
    Informational,
    /// A node reported `success: false`. The false branch of a comparison does so without an error.
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
