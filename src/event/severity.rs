//! Severity of an event: one rule for every format, header and filter.

use super::{Event, Interaction, Outcome, RiskLevel, registry};

/// Severity of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Nothing went wrong, and nothing was changed that an administrator watches.
    Informational,
    /// Routine administration. Also a node that reported `success: false`: the false branch of a
    /// comparison does so without an error.
    Low,
    /// Something failed or was denied, or protection was weakened.
    Medium,
    /// Fraud, a privilege granted, or the audit trail cut off.
    High,
}

impl Severity {
    /// All severities, the lowest first, by their names in a configuration.
    pub const ALL: [(&str, Severity); 4] = [
        ("informational", Severity::Informational),
        ("low", Severity::Low),
        ("medium", Severity::Medium),
        ("high", Severity::High),
    ];

    /// Returns the severity with a name of [`Severity::ALL`].
    pub(super) fn named(name: &str) -> Option<Severity> {
        Severity::ALL.iter().find(|(known, _)| *known == name).map(|(_, severity)| *severity)
    }
}

pub(super) fn of(event: &Event<'_>) -> Severity {
    let Event::Interaction(interaction) = event else { return of_type(event) };
    if event.outcome() != Outcome::Failure {
        return Severity::Informational;
    }
    let reported = &interaction.flow.reported;
    match &interaction.interaction {
        Interaction::SendErrorResponse(_) => Severity::Medium,
        _ if reported.is_fraud() => Severity::High,
        _ if reported.outcome().is_some() => Severity::Medium,
        other if other.node().success == Some(false) => Severity::Low,
        _ => Severity::Medium,
    }
}

/// The severity of the type, unless a risk evaluation states a level.
fn of_type(event: &Event<'_>) -> Severity {
    let envelope = event.envelope();
    let entry = registry::lookup(&envelope.action.kind);
    let severity = match envelope.risk_level {
        Some(RiskLevel::High) => Severity::High,
        Some(RiskLevel::Medium) => Severity::Medium,
        Some(RiskLevel::Low) => Severity::Informational,
        None => entry.severity,
    };
    match event.outcome() {
        Outcome::Failure => severity.max(entry.severity_on_failure),
        Outcome::Success | Outcome::Unknown => severity,
    }
}
