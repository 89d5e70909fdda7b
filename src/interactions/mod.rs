//! Summaries of flow runs: one event of its own type for each `interactionId`, made of the events of the run.
//!
//! | file | content |
//! | --- | --- |
//! | [`config`] | `[interactions]` |
//! | [`open`] | an interaction that is not summarised yet |
//! | [`steps`] | the path of a run |
//! | [`table`] | all open interactions, within a bound of memory; timeouts |
//! | [`covered`] | events that are part of a stored summary |
//! | [`tracker`] | reads the log, pure: which summaries are due, and how far the cursor may move |
//! | [`document`] | a summary as an event |
//! | [`summariser`] | the task: reads the spool, appends summaries, moves its cursor |
//! | [`analytics`] | statistics of flows, from summaries |
//!
//! # Durability
//!
//! The log is the only state. The summariser has a cursor, like a sink. The cursor stays below the first event of
//! every open interaction, so that these events are not trimmed. A summary is appended to the log before the cursor
//! passes its events, and states the positions of the first and the last event that it covers. After a restart the
//! summariser reads from its cursor again: events that a stored summary covers are skipped, and all others open their
//! interactions again. A crash at any moment therefore neither loses nor doubles a summary. The id of a summary
//! consists of the interaction's id and the position of the first covered event, so that even a repeated append is a
//! duplicate.

mod analytics;
mod config;
mod covered;
mod document;
mod event_times;
mod open;
mod steps;
mod summariser;
mod table;
mod tracker;

use chrono::{DateTime, SecondsFormat};

pub use analytics::{FailingStep, FlowAnalytics, FlowReport, FlowStatistics};
pub use config::InteractionsConfig;
pub use summariser::Summariser;

use crate::spool::Millis;

/// Type of a summary.
pub const SUMMARY_TYPE: &str = "DAVINCI_SIEM.INTERACTION";

/// Source of the summaries. No configured source may have this name while summaries are on.
pub const SUMMARY_SOURCE: &str = "interactions";

/// Name of the summariser's cursor. Sinks cannot have it: their names contain no `@`.
pub const CURSOR_NAME: &str = "@interactions";

/// Returns a time as RFC 3339 writes it.
fn time_text(at: Millis) -> String {
    let at = DateTime::from_timestamp_millis(at).unwrap_or_default();
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// Truncates a text to at most `bytes` bytes, at a character boundary.
fn cut(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}

#[cfg(test)]
mod tests;
