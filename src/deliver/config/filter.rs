//! `include`, `exclude` and `sample`: the events that a sink gets.

use crate::event::Severity;
use crate::settings::{Pattern, Section};
use crate::shown;

/// Filters of a sink. The sink gets the events that any of `include` matches (all, if there is none), without those
/// that any of `exclude` matches, and without those of interactions that are not in the sample.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoutingConfig {
    /// Filters of which at least one has to match; an empty list matches everything.
    pub include: Vec<FilterConfig>,
    /// Filters of which none may match.
    pub exclude: Vec<FilterConfig>,
    pub sample: SampleConfig,
}

/// Sample of the interactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleConfig {
    /// One of so many interactions is kept; 1 keeps all.
    pub keep_one_in: u64,
}

impl Default for SampleConfig {
    fn default() -> SampleConfig {
        SampleConfig { keep_one_in: 1 }
    }
}

/// Upper bound of `keep_one_in`.
const MAX_KEEP_ONE_IN: u64 = 1_000_000;

/// Matches an event if each list that is not empty has an entry for the event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FilterConfig {
    /// `action.type`, whole or its last part, for example `START_INTERACTION` or `DAVINCI.*`.
    pub types: Vec<Pattern>,
    /// `success`, `failure`, `unknown`.
    pub outcomes: Vec<String>,
    /// Severities, as [`Severity::ALL`] names them.
    pub severities: Vec<Severity>,
    pub sources: Vec<String>,
    /// Flow ids, with or without dashes, or flow names.
    pub flows: Vec<Pattern>,
    /// Connector ids, for example `httpConnector`.
    pub connectors: Vec<Pattern>,
}

impl RoutingConfig {
    /// Reads `include`, `exclude` and `sample`.
    pub(crate) fn read(section: &mut Section<'_>) -> Option<RoutingConfig> {
        let doc = "Filters. An event has to match one of them, if there are any.";
        let include = section.table_or_tables("include", doc, read_filter);
        let doc = "Filters. An event that matches one of them is left out.";
        let exclude = section.table_or_tables("exclude", doc, read_filter);
        let doc = "Sample of the flow runs that pass the filters.";
        let sample = section.table("sample", doc, |sample| {
            let doc = "Keeps all events of one of so many flow runs, by interactionId, and events without one; 1: all.";
            let keep_one_in = sample.integer("keep_one_in", 1..=MAX_KEEP_ONE_IN, doc).or("1");
            Some(SampleConfig { keep_one_in: keep_one_in? })
        });
        Some(RoutingConfig { include: include?, exclude: exclude?, sample: sample? })
    }
}

fn read_filter(section: &mut Section<'_>) -> Option<FilterConfig> {
    let wanted = "a text with at most one *, at its end";
    if section.is_empty() {
        let advice = "and all other lists are missing; an empty filter would match everything, write at \
                      least one";
        section.report("types", advice);
    }
    let outcomes = section.list_as("outcomes", "success, failure or unknown.", |outcome| {
        match ["success", "failure", "unknown"].contains(&outcome) {
            true => Ok(outcome.to_owned()),
            false => Err(format!(
                "{}is not \"success\", \"failure\" or \"unknown\"",
                shown::value(outcome)
            )),
        }
    });
    let outcomes = outcomes.or_empty();
    let doc = "informational, low, medium or high.";
    let severities = section.choices("severities", &Severity::ALL, doc).or_empty();
    let doc = "Values of action.type, whole or the last part; a * at the end matches any rest.";
    let types = section.list("types", wanted, doc).or_empty();
    let sources = section.list("sources", "a name", "Names of sources.").or_empty();
    let doc = "Ids of flows, with or without dashes, or names; a * at the end matches any rest.";
    let flows = section.list("flows", wanted, doc).or_empty();
    let doc = "Ids of connectors; a * at the end matches any rest.";
    let connectors = section.list("connectors", wanted, doc).or_empty();
    Some(FilterConfig {
        types: types?,
        outcomes: outcomes?,
        severities: severities?,
        sources: sources?,
        flows: flows?,
        connectors: connectors?,
    })
}
