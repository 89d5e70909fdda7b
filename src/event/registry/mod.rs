//! Registry of PingOne action types: one row per type drives outcome, severity and every format.
//!
//! `actions.tsv` lists the published types. A type that is not listed is mapped by the words of its name:
//! `verbs.tsv` says what the words mean, `kinds.tsv` what kind of object the type is about. In both, the
//! first row that matches counts.
//!
//! Sources of names and meanings: Ping's audit reporting events
//! (<https://developer.pingidentity.com/pingone-api/platform/reference/audit-reporting-events.html>), its DaVinci
//! audit events
//! (<https://docs.pingidentity.com/pingone/early-access-features/ea_p1_davinci_audit_events.html>), Ping's
//! sample for Amazon Security Lake (<https://github.com/pingone-davinci/pingone-amazon-security-lake>), the
//! types that Amazon `CloudWatch` Pipelines
//! lists for PingOne, Elastic's `ping_one` integration, and the `included_action_types` of public Terraform
//! configurations.

mod actions;
mod derive;
mod words;

use std::borrow::Cow;

use super::{Outcome, Severity};

/// Facts about an action type, independent of the rest of the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionType {
    /// Kind of object or activity, for example `sign_on`, `role` or `davinci_flow`.
    pub kind: &'static str,
    /// Verb, for example `created` or `locked`.
    pub verb: &'static str,
    /// Outcome that the words of the type state. A failure outweighs `result.status`.
    pub outcome: Option<Outcome>,
    /// Severity if the event does not report a failure.
    pub severity: Severity,
    /// Severity if the event reports a failure.
    pub severity_on_failure: Severity,
    /// Object that is affected, for example `user` or `application`.
    pub target: &'static str,
    /// Values of `resources[].type` under which the target is sent. Empty if unknown.
    pub resource_types: &'static str,
    /// Values of `event.category` in ECS.
    pub ecs_category: Vec<&'static str>,
    /// Values of `event.type` in ECS.
    pub ecs_type: Vec<&'static str>,
    /// Class and activity in OCSF 1.3.0.
    pub ocsf_1_3: OcsfActivity,
    /// Class and activity in OCSF 1.8.0.
    pub ocsf_1_8: OcsfActivity,
    /// Class and activity where the event lacks an object that the class requires.
    pub ocsf_fallback: OcsfActivity,
    /// Category for QRadar, which identifies a record by category and event id.
    pub category: &'static str,
    /// Name for people in title case, without the characters `|` and `=`.
    pub title: Cow<'static, str>,
    /// True for types that have a row of their own.
    pub is_listed: bool,
}

/// Class and activity of OCSF. <https://schema.ocsf.io>
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OcsfActivity {
    /// `class_uid`.
    pub class: u16,
    /// `activity_id`.
    pub activity: u8,
}

/// Returns the entry of a type: its row, or what the words of its name say. The comparison ignores case.
pub fn lookup(action_type: &str) -> Cow<'static, ActionType> {
    match actions::listed(action_type) {
        Some(listed) => Cow::Borrowed(listed),
        None => Cow::Owned(derive::derive(action_type)),
    }
}

/// Returns whether a type has a row of its own. The comparison ignores case.
pub fn is_listed(action_type: &str) -> bool {
    actions::listed(action_type).is_some()
}

/// Returns the outcome of [`lookup`] without the rest of the entry: receiving needs it of each event.
pub(super) fn outcome(action_type: &str) -> Option<Outcome> {
    actions::listed(action_type).map_or_else(|| derive::outcome(action_type), |entry| entry.outcome)
}

/// Returns all listed types with their names, in the order of the table.
pub fn listed() -> impl Iterator<Item = (&'static str, &'static ActionType)> {
    actions::all()
}

impl OcsfActivity {
    /// Reads `3002/1`.
    fn read(text: &str) -> Option<OcsfActivity> {
        let (class, activity) = text.split_once('/')?;
        Some(OcsfActivity { class: class.parse().ok()?, activity: activity.parse().ok()? })
    }
}

/// Rows of a table without its heading, each as its columns.
fn rows<const COLUMNS: usize>(
    table: &'static str,
) -> impl Iterator<Item = [&'static str; COLUMNS]> {
    let columns = |row: &'static str| row.split('\t').collect::<Vec<_>>().try_into().ok();
    table.lines().skip(1).filter_map(columns)
}

#[cfg(test)]
mod tests;
