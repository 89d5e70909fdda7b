//! Outcome of an event: one rule for every format and metric.
//!
//! The documented error example and real `PASSWORD.CHECK_FAILED` events have `result.status: SUCCESS`.
//! Therefore a failure in the event's type is evaluated first and `result.status` last.

use super::{Event, Interaction, Reported, ResultBlock, registry};

/// Outcome of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The operation succeeded.
    Success,
    /// The operation failed or was denied.
    Failure,
    /// The event does not say.
    Unknown,
}

impl Outcome {
    /// Returns the lower-case name used in metrics and filters.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Success => "success",
            Outcome::Failure => "failure",
            Outcome::Unknown => "unknown",
        }
    }
}

/// Returns the outcome and the path of the field that determines it.
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
    let result = event.envelope().result.as_ref().filter(|result| result.status.is_some());
    match (registry::outcome(&event.envelope().action.kind), result) {
        (Some(Outcome::Failure), _) => (Outcome::Failure, "action.type"),
        (_, Some(result)) => (result.outcome(), "result.status"),
        (Some(outcome), None) => (outcome, "action.type"),
        (None, None) => (Outcome::Unknown, ""),
    }
}

impl ResultBlock<'_> {
    /// Returns the outcome that `status` states, under any known spelling.
    pub fn outcome(&self) -> Outcome {
        self.status.as_deref().map_or(Outcome::Unknown, from_result_status)
    }
}

impl Reported<'_> {
    /// Returns the outcome that `outcomeStatus` states; `None` if the field is empty or absent.
    pub fn outcome(&self) -> Option<Outcome> {
        let status = self.status.as_deref().filter(|status| !status.trim().is_empty());
        status.map(from_outcome_status)
    }

    /// Returns whether `outcomeStatus` states fraud.
    pub(super) fn is_fraud(&self) -> bool {
        self.status.as_deref().is_some_and(|status| status.trim().eq_ignore_ascii_case("fraud"))
    }
}

/// Words of flow authors for a success, and for a failure.
const OUTCOME_WORDS: [&[&str]; 2] = [
    &["success", "successful", "succeeded", "approved", "allowed", "completed", "passed"],
    &[
        "error",
        "denied",
        "fraud",
        "failure",
        "failed",
        "fail",
        "blocked",
        "timeout",
        "timed_out",
        "timedout",
        "declined",
        "rejected",
        "invalid",
        "expired",
        "locked",
    ],
];

/// Maps the flow author's free text to an outcome. A word outside the lists means
/// [`Outcome::Unknown`].
fn from_outcome_status(status: &str) -> Outcome {
    let [successes, failures] = OUTCOME_WORDS;
    one_of(status, successes, failures)
}

fn from_result_status(status: &str) -> Outcome {
    one_of(status, &["success", "succeeded"], &["failure", "failed", "error", "denied", "rejected"])
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
