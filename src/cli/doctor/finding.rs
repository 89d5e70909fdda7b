//! Results of the checks.

use serde::Serialize;

/// Results of all checks of one source.
#[derive(Debug, Serialize)]
pub(super) struct Examination {
    pub(super) source: String,
    pub(super) checks: Vec<CheckResult>,
}

/// Result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct CheckResult {
    /// Name of the check.
    pub(super) check: &'static str,
    pub(super) state: CheckState,
    pub(super) message: String,
    /// Remedy of a problem.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fix: Option<String>,
}

/// State of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum CheckState {
    Ok,
    Problem,
    /// Something that the check needs is missing.
    Skipped,
}

impl CheckResult {
    pub(super) fn ok(check: &'static str, message: impl Into<String>) -> CheckResult {
        CheckResult { check, state: CheckState::Ok, message: message.into(), fix: None }
    }

    pub(super) fn problem(
        check: &'static str,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) -> CheckResult {
        let (message, fix) = (message.into(), Some(fix.into()));
        CheckResult { check, state: CheckState::Problem, message, fix }
    }

    pub(super) fn skipped(check: &'static str, message: impl Into<String>) -> CheckResult {
        CheckResult { check, state: CheckState::Skipped, message: message.into(), fix: None }
    }
}
