//! A summary as an event: PingOne's form, with the fields of the flow run where every format reads them, and an object
//! `summary` beside these.

use std::collections::BTreeMap;

use serde::Serialize;

use super::open::{Latest, OpenInteraction, RunOutcome, Subflow, TYPE_NAMES};
use super::steps::{self, SummaryStep};
use super::table::{EndReason, EndedInteraction};
use super::{SUMMARY_SOURCE, SUMMARY_TYPE, time_text};
use crate::event::Outcome;
use crate::spool::{DedupKey, Millis, NewEvent};

/// Text that is left out if it is empty.
type Text<'a> = Option<&'a str>;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SummaryEvent<'a> {
    id: String,
    recorded_at: String,
    correlation_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    internal_correlation: Option<InternalCorrelation<'a>>,
    action: SummaryAction,
    #[serde(skip_serializing_if = "Option::is_none")]
    actors: Option<SummaryActors<'a>>,
    resources: [SummaryResource<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<SummaryResult>,
    #[serde(rename = "_embedded")]
    embedded: SummaryEmbedded<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct InternalCorrelation<'a> {
    transaction_id: &'a str,
}

#[derive(Debug, Serialize)]
struct SummaryAction {
    #[serde(rename = "type")]
    kind: &'static str,
    description: &'static str,
}

#[derive(Debug, Serialize)]
struct SummaryActors<'a> {
    user: SummaryUser<'a>,
}

#[derive(Debug, Serialize)]
struct SummaryUser<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<ById<'a>>,
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Debug, Serialize)]
struct ById<'a> {
    id: &'a str,
}

#[derive(Debug, Serialize)]
struct SummaryResource<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<ById<'a>>,
}

#[derive(Debug, Serialize)]
struct SummaryResult {
    status: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SummaryEmbedded<'a> {
    flow_interaction_event: SummaryFlow<'a>,
}

/// Fields of the run. Connector, capability and node are those of the last error.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SummaryFlow<'a> {
    interaction_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    company_id: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flow_id: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flow_name: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flow_version_id: Option<i64>,
    ts_ems: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome_type: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome_status: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome_status_detail: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome_description: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connector_id: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_capability_name: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_id: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_flow: Option<SummaryParent<'a>>,
    summary: SummaryFacts<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SummaryParent<'a> {
    interaction_id: &'a str,
    flow_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_id: Text<'a>,
}

/// Facts that only a summary has.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SummaryFacts<'a> {
    source: &'a str,
    generation: u64,
    last_position: u64,
    started_at: String,
    duration_ms: i64,
    ended_by: &'static str,
    start_seen: bool,
    outcome_seen: bool,
    timed_out: bool,
    events: u32,
    errors: u32,
    counts: BTreeMap<&'static str, u32>,
    path: Vec<SummaryStep<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    steps_omitted: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subflows: Vec<SummarySubflow<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    subflows_omitted: u32,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SummarySubflow<'a> {
    interaction_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    flow_id: Text<'a>,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// Returns the summary as a new event of the spool. The same events yield the same key. `copy` counts the summaries of
/// these events that the spool has stored and cannot read any more.
pub(super) fn event(ended: &EndedInteraction, copy: u32) -> NewEvent {
    let id = id(&ended.run);
    let covered = format!("{id}:{}:{copy}", ended.run.last);
    let key = DedupKey::of_id(SUMMARY_SOURCE, covered.as_bytes(), (0, 0));
    // Texts and numbers always serialize.
    let bytes = serde_json::to_vec(&summary(ended, id)).unwrap_or_default();
    NewEvent { key, bytes: bytes.into() }
}

/// Returns the outcome of an interaction: as reported, else a failure if a connector failed.
pub(super) fn outcome(run: &OpenInteraction) -> Outcome {
    match &run.outcome {
        Some(outcome) => outcome.value.outcome,
        None if run.errors() > 0 => Outcome::Failure,
        None => Outcome::Unknown,
    }
}

fn id(run: &OpenInteraction) -> String {
    format!("{}:{}", run.id, run.first)
}

fn summary(ended: &EndedInteraction, id: String) -> SummaryEvent<'_> {
    let run = &*ended.run;
    let environment = value(&run.environment);
    SummaryEvent {
        id,
        recorded_at: time_text(run.active_at),
        correlation_id: &run.id,
        internal_correlation: value(&run.transaction)
            .map(|transaction_id| InternalCorrelation { transaction_id }),
        action: SummaryAction { kind: SUMMARY_TYPE, description: "DaVinci Interaction Summary" },
        actors: run.user.as_ref().map(|user| SummaryActors {
            user: SummaryUser {
                id: given(&user.value.id),
                name: given(&user.value.name),
                environment: given(&user.value.environment).map(|id| ById { id }),
                kind: "USER",
            },
        }),
        resources: [SummaryResource {
            kind: "DAVINCI_INTERACTION",
            id: value(&run.flow_id),
            name: value(&run.flow_name),
            environment: environment.map(|id| ById { id }),
        }],
        result: match outcome(run) {
            Outcome::Success => Some(SummaryResult { status: "SUCCESS" }),
            Outcome::Failure => Some(SummaryResult { status: "FAILURE" }),
            Outcome::Unknown => None,
        },
        embedded: SummaryEmbedded { flow_interaction_event: flow(ended, environment) },
    }
}

fn flow<'a>(ended: &'a EndedInteraction, environment: Text<'a>) -> SummaryFlow<'a> {
    let run = &*ended.run;
    let error = run.error.as_ref().map(|error| &error.value);
    let reported = |text: fn(&RunOutcome) -> &str| {
        run.outcome.as_ref().and_then(|outcome| given(text(&outcome.value)))
    };
    SummaryFlow {
        interaction_id: &run.id,
        company_id: environment,
        flow_id: value(&run.flow_id),
        flow_name: value(&run.flow_name),
        flow_version_id: run.version.as_ref().map(|version| version.value),
        ts_ems: time_text(run.span().1),
        outcome_type: reported(|outcome| &outcome.kind),
        outcome_status: reported(|outcome| &outcome.status),
        outcome_status_detail: reported(|outcome| &outcome.detail),
        outcome_description: reported(|outcome| &outcome.description),
        connector_id: error.and_then(|node| given(&node.connector)),
        original_capability_name: error.and_then(|node| given(&node.capability)),
        node_id: error.and_then(|node| given(&node.id)),
        parent_flow: run.parent.as_ref().map(|parent| SummaryParent {
            interaction_id: &parent.value.id,
            flow_id: &parent.value.flow_id,
            node_id: given(&parent.value.node_id),
        }),
        summary: facts(ended),
    }
}

fn facts<'a>(ended: &'a EndedInteraction) -> SummaryFacts<'a> {
    let run = &*ended.run;
    let counts = TYPE_NAMES.into_iter().zip(run.counts).filter(|(_, count)| *count > 0);
    let subflow = |subflow: &'a Subflow| SummarySubflow {
        interaction_id: &subflow.id,
        flow_id: given(&subflow.flow_id),
    };
    SummaryFacts {
        source: &run.source,
        generation: run.first,
        last_position: run.last,
        started_at: time_text(run.span().0),
        duration_ms: duration(run),
        ended_by: ended.ended_by.as_str(),
        start_seen: run.start_seen(),
        outcome_seen: run.outcome.is_some(),
        timed_out: ended.ended_by == EndReason::Timeout,
        events: run.counts.iter().fold(0, |sum, count| sum.saturating_add(*count)),
        errors: run.errors(),
        counts: counts.collect(),
        path: steps::path(&run.steps),
        steps_omitted: run.steps_omitted,
        subflows: run.subflows.iter().map(subflow).collect(),
        subflows_omitted: run.subflows_omitted,
    }
}

/// Returns the time from the earliest to the latest event, in ms.
pub(super) fn duration(run: &OpenInteraction) -> Millis {
    let (started, ended) = run.span();
    ended.saturating_sub(started)
}

fn value(latest: &Option<Latest<Box<str>>>) -> Text<'_> {
    latest.as_ref().map(|latest| &*latest.value)
}

fn given(text: &str) -> Text<'_> {
    (!text.is_empty()).then_some(text)
}
