//! How an event ended: one rule for every format and metric.
//!
//! The documented error example says `result.status: SUCCESS`, so the event's type comes first and
//! `result.status` last.

use super::{Event, Interaction, Reported, ResultBlock};

/// How an event ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It did what it was asked.
    Success,
    /// It failed, or was denied.
    Failure,
    /// The event does not say.
    Unknown,
}

impl Outcome {
    /// The lower-case name used in metrics and filters.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Success => "success",
            Outcome::Failure => "failure",
            Outcome::Unknown => "unknown",
        }
    }
}

/// The outcome, and the member that tells it.
pub(super) fn of(event: &Event<'_>) -> (Outcome, &'static str) {
    if let Event::Interaction(event) = event {
        if matches!(event.interaction, Interaction::SendErrorResponse(_)) {
            return (Outcome::Failure, "action.type");
        }
        if let Some(outcome) = event.flow.reported.outcome() {
            return (outcome, "outcomeStatus");
        }
        if let Some(success) = event.interaction.node().success {
            return (if success { Outcome::Success } else { Outcome::Failure }, "success");
        }
    }
    match event.envelope().result.as_ref().filter(|result| result.status.is_some()) {
        Some(result) => (result.outcome(), "result.status"),
        None => (Outcome::Unknown, ""),
    }
}

impl ResultBlock<'_> {
    /// What `status` says in any spelling, right or wrong.
    pub fn outcome(&self) -> Outcome {
        self.status.as_deref().map_or(Outcome::Unknown, from_result_status)
    }
}

impl Reported<'_> {
    /// What `outcomeStatus` says; `None` if it says nothing at all.
    pub fn outcome(&self) -> Option<Outcome> {
        let status = self.status.as_deref().filter(|status| !status.trim().is_empty());
        status.map(from_outcome_status)
    }

    /// Whether `outcomeStatus` says fraud.
    pub(super) fn is_fraud(&self) -> bool {
        self.status.as_deref().is_some_and(|status| status.trim().eq_ignore_ascii_case("fraud"))
    }
}

/// Free text that the flow's author chose; words outside this list say nothing we may assume.
fn from_outcome_status(status: &str) -> Outcome {
    one_of(status, &["success", "approved"], &["error", "denied", "fraud", "failure", "failed"])
}

fn from_result_status(status: &str) -> Outcome {
    one_of(status, &["success", "succeeded"], &["failure", "failed"])
}

fn one_of(status: &str, successes: &[&str], failures: &[&str]) -> Outcome {
    let status = status.trim();
    let is_among = |words: &[&str]| words.iter().any(|word| status.eq_ignore_ascii_case(word));
    if is_among(successes) {
        Outcome::Success
    } else if is_among(failures) {
        Outcome::Failure
    } else {
        Outcome::Unknown
    }
}
