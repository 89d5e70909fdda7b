//! Outcome of an event: one rule for every format and metric.
//!
//! The documented error example and real `PASSWORD.CHECK_FAILED` events have `result.status: SUCCESS`.
//! Therefore a failure in the event's type is evaluated first and `result.status` last.

use std::borrow::Cow;

use super::{Event, Interaction, OutcomeWords, Reported, ResultBlock, registry};

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
        if let Some(found) = event.flow.reported.outcome_and_field() {
            return found;
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
    /// Returns the outcome that `outcomeStatus` states, or that the words of `[outcomes]` give to it or
    /// to `outcomeType`; `None` if neither is the case and `outcomeStatus` is empty or absent.
    pub fn outcome(&self) -> Option<Outcome> {
        self.outcome_and_field().map(|(outcome, _)| outcome)
    }

    fn outcome_and_field(&self) -> Option<(Outcome, &'static str)> {
        self.configured.or(self.stated().map(|outcome| (outcome, "outcomeStatus")))
    }

    /// Returns the outcome that `outcomeStatus` states by the built-in words.
    fn stated(&self) -> Option<Outcome> {
        let status = self.status.as_deref().filter(|status| !status.trim().is_empty());
        status.map(from_outcome_status)
    }

    /// Applies the words of `[outcomes]`: to `outcomeStatus`, and to `outcomeType` if no word explains
    /// `outcomeStatus`.
    pub(super) fn apply(&mut self, words: &OutcomeWords) {
        let of = |text: &Option<Cow<'_, str>>| words.outcome(text.as_deref()?);
        let by_status = of(&self.status).map(|outcome| (outcome, "outcomeStatus"));
        let is_explained = self.stated().is_some_and(|outcome| outcome != Outcome::Unknown);
        let by_kind = || of(&self.kind).map(|outcome| (outcome, "outcomeType"));
        self.configured = by_status.or_else(|| if is_explained { None } else { by_kind() });
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

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(kind: &'static str, status: &'static str) -> Reported<'static> {
        let text = |text: &'static str| (!text.is_empty()).then_some(Cow::Borrowed(text));
        Reported { kind: text(kind), status: text(status), ..Reported::default() }
    }

    #[test]
    fn configured_words_come_before_the_built_in_ones() {
        let patterns = |texts: &[&str]| {
            texts.iter().map(|text| text.parse().expect("a pattern")).collect::<Vec<_>>()
        };
        let words = OutcomeWords {
            success: patterns(&["registered", "step-up*", "expired"]),
            failure: patterns(&["abandoned", "step-up-failed"]),
        };
        let (success, failure) = (Some(Outcome::Success), Some(Outcome::Failure));
        for (kind, status, expected, field) in [
            ("login", "abandoned", failure, "outcomeStatus"),
            ("login", " Registered ", success, "outcomeStatus"),
            ("login", "step-up-done", success, "outcomeStatus"),
            ("login", "step-up-failed", failure, "outcomeStatus"),
            ("login", "expired", success, "outcomeStatus"),
            ("login", "denied", failure, "outcomeStatus"),
            ("login", "half-way", Some(Outcome::Unknown), "outcomeStatus"),
            ("registered", "", success, "outcomeType"),
            ("registered", "half-way", success, "outcomeType"),
            ("registered", "denied", failure, "outcomeStatus"),
            ("login", "", None, ""),
            ("", "", None, ""),
        ] {
            let mut reported = reported(kind, status);
            reported.apply(&words);
            let found = reported.outcome_and_field();
            let expected = expected.map(|outcome| (outcome, field));
            assert_eq!(found, expected, "{kind} {status}");
        }
        let mut unchanged = reported("registered", "abandoned");
        unchanged.apply(&OutcomeWords::default());
        assert_eq!(unchanged.outcome(), Some(Outcome::Unknown));
    }

    #[test]
    fn the_documentation_lists_the_built_in_words() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/formats.md");
        let page = std::fs::read_to_string(path).expect("the page");
        for (outcome, words) in ["success", "failure"].into_iter().zip(OUTCOME_WORDS) {
            let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
            let row = format!("| {outcome} | {} |", words.join(", "));
            assert!(page.contains(&row), "docs/formats.md has no row {row}");
        }
    }
}
