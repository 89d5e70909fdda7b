//! Fields of the summary of a flow run.

use std::fmt::Display;

use super::layout::{field, filled};
use super::typed::{TypedField, date, typed};
use crate::event::{Flow, RunSummary};
use crate::format::document::{Document, TextField};
use crate::format::layout::Field;
use crate::format::leaves::Leaves;
use crate::format::slots::{Alternatives, any_of, slot};

/// Nanoseconds per millisecond: ECS states durations in nanoseconds.
const NANOS_PER_MILLI: i64 = 1_000_000;

const TEXTS: [TextField; 2] = [
    filled(&["ping_one.davinci.interaction.ended_by"], any_of(["~/summary/endedBy"])),
    filled(&["ping_one.davinci.interaction.source"], any_of(["~/summary/source"])),
];

const NUMBERS: [TypedField; 3] = [
    typed("ping_one.davinci.interaction.errors", ["~/summary/errors"]),
    typed("ping_one.davinci.interaction.events", ["~/summary/events"]),
    typed("ping_one.davinci.interaction.generation", ["~/summary/generation"]),
];

const FLAGS: [TypedField; 3] = [
    typed("ping_one.davinci.interaction.start_seen", ["~/summary/startSeen"]),
    typed("ping_one.davinci.interaction.outcome_seen", ["~/summary/outcomeSeen"]),
    typed("ping_one.davinci.interaction.timed_out", ["~/summary/timedOut"]),
];

/// Sets the fields. A value in another unit also stays in the extension.
pub(super) fn fill(
    summary: &RunSummary<'_>,
    flow: &Flow<'_>,
    leaves: &mut Leaves<'_>,
    document: &mut Document,
) {
    document.fill(&TEXTS, leaves);
    if let Some(at) = summary.started_at.map(date) {
        leaves
            .take(&["event.start"], const { &any_of(["~/summary/startedAt"]) }, |text| text == at);
        document.text(const { field("event.start") }, &at);
    }
    if let Some(at) = flow.completed_at.map(date) {
        leaves.copied(&["event.end"], const { slot("~/tsEms") });
        document.text(const { field("event.end") }, &at);
    }
    let nanoseconds =
        summary.duration_ms.and_then(|milliseconds| milliseconds.checked_mul(NANOS_PER_MILLI));
    if let Some(nanoseconds) = nanoseconds.filter(|duration| *duration >= 0) {
        leaves.copied(&["event.duration"], const { slot("~/summary/durationMs") });
        document.plain(const { field("event.duration") }, nanoseconds);
    }
    for ((name, field, from), value) in
        NUMBERS.iter().zip([summary.errors, summary.events, summary.generation])
    {
        plain(name, *field, from, value, leaves, document);
    }
    for ((name, field, from), value) in
        FLAGS.iter().zip([summary.start_seen, summary.outcome_seen, summary.timed_out])
    {
        plain(name, *field, from, value, leaves, document);
    }
}

/// Sets a number or a boolean. Another spelling of it also stays in the extension.
fn plain<T: Display>(
    name: &'static str,
    field: Field,
    from: &Alternatives,
    value: Option<T>,
    leaves: &mut Leaves<'_>,
    document: &mut Document,
) {
    if let Some(value) = value {
        leaves.take(&[name], from, |text| text == value.to_string());
        document.plain(field, value);
    }
}
